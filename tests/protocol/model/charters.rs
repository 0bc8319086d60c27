//! Who decides in a home: the officers of the charter in force, as many of them as it says. They name who follows them.

use city_protocol::refusal::Refusal::{self, *};

use super::spec::{Ledger, first};
use super::steps::{Next, Signers};
use super::words::{Elected, Signatures, Verdict};

/// An officer: of which home, and the how manyth whom it ever named.
pub(crate) type Officer = (usize, u64);

/// Who decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Charter {
    /// How many have to sign.
    pub(crate) k: usize,
    /// Its officers, each once.
    pub(crate) officers: Vec<Officer>,
}

impl Charter {
    /// With how many officers, and which, a home begins.
    pub(crate) fn of(home: usize) -> Self {
        Self {
            k: 2,
            officers: vec![(home, 0), (home, 1), (home, 2)],
        }
    }

    /// Whether these are enough: k different ones, all of them officers.
    pub(super) fn is_met_by(&self, signatures: &Signatures) -> bool {
        let of = &signatures.of;
        let once = |n: usize| !of[..n].contains(&of[n]);
        of.len() >= self.k
            && (0..of.len()).all(once)
            && of.iter().all(|officer| self.officers.contains(officer))
    }
}

impl Ledger {
    /// The charter in force.
    pub(super) fn charter(&self, at: usize) -> &Charter {
        let charters = &self.says[at].charters;
        charters.last().expect("a home begins with one")
    }

    /// Whether enough officers of this home sign, in their turn.
    pub(super) fn decided(
        &self,
        at: usize,
        signatures: &Signatures,
        sequence: u64,
    ) -> Result<(), Refusal> {
        let used = self.homes[at].officers_used;
        first([
            (sequence <= used, SequenceUsed),
            (sequence > used + 1, SequenceGap),
            (!self.charter(at).is_met_by(signatures), OfficersShort),
            (signatures.forged, BadSignature),
        ])
    }

    /// Officers name who decides from now on. They are those of the charter that it follows, and that is the one in
    /// force.
    pub(super) fn elect(&mut self, elected: &Elected) -> Result<Verdict, Refusal> {
        let Elected {
            at,
            number,
            after,
            ref next,
            ref signers,
            sequence,
        } = *elected;
        let charters = &self.says[at].charters;
        let distinct = |n: usize| !next.officers[..n].contains(&next.officers[n]);
        let fits = (1..=next.officers.len()).contains(&next.k)
            && (0..next.officers.len()).all(distinct)
            && number >= 2;
        first([
            (!fits || sequence == 0, BadField),
            (self.stopped[at], NotSequencing),
            (number != after + 1, CharterMismatch),
            (!charters[after - 1].is_met_by(signers), OfficersShort),
            (signers.forged, BadSignature),
        ])?;
        self.decided(at, signers, sequence)?;
        first([(after != charters.len(), CharterMismatch)])?;
        self.homes[at].officers_used = sequence;
        self.says[at].charters.push(next.clone());
        Ok(Verdict::Booked(None))
    }

    /// The officers who sign, and the charter that they are to name.
    pub(super) fn signing(&self, at: usize, signers: Signers) -> Signatures {
        let Charter { k, officers } = self.charter(at);
        let (k, foreign) = (*k, (1 - at, 0));
        let fewer = || officers[..k - 1].to_vec();
        let of = match signers {
            Signers::Enough | Signers::OneForged => officers[..k].to_vec(),
            Signers::OtherOnes => officers.iter().rev().take(k).copied().collect(),
            Signers::All => officers.iter().rev().copied().collect(),
            // Somebody has to sign: where one is enough, it is one of another home.
            Signers::Fewer if k > 1 => fewer(),
            Signers::OneTwice => [fewer(), vec![officers[0]; 2]].concat(),
            Signers::Fewer | Signers::OneForeign => [fewer(), vec![foreign]].concat(),
            Signers::Former => {
                let charters = &self.says[at].charters;
                let before = &charters[charters.len().saturating_sub(2)];
                before.officers[..before.k].to_vec()
            }
        };
        Signatures {
            of,
            forged: signers == Signers::OneForged,
        }
    }

    /// Whom the officers name.
    pub(super) fn next(&mut self, at: usize, next: Next) -> Charter {
        let Charter { k, officers } = self.charter(at).clone();
        let n = officers.len();
        let mut fresh = |n: usize| {
            let first = self.officers_made[at];
            self.officers_made[at] += n as u64;
            (first..first + n as u64)
                .map(|made| (at, made))
                .collect::<Vec<Officer>>()
        };
        let (k, officers) = match next {
            Next::Others => (2, fresh(3)),
            Next::OneGoes => (k, [&officers[1..], &fresh(1)].concat()),
            Next::OneComes if n < 5 => (k, [officers, fresh(1)].concat()),
            Next::OneComes | Next::OneDecides => (1, officers),
            Next::AllDecide => (n, officers),
            Next::NobodyDecides => (0, officers),
            Next::MoreThanThereAre => (n + 1, officers),
            Next::OneTwice => (k, [&officers[..], &officers[..1]].concat()),
        };
        Charter { k, officers }
    }
}
