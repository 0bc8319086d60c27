//! What people send: the place that they prove, and what their home books of it.

use city_protocol::refusal::Refusal::{self, *};

use super::spec::{AHEAD, EXPENSE, FRESH, Ledger, PAYABLE, Proof, Sent, Who, first, home_of};
use super::steps::Evidence;
use super::words::{Draft, Verdict};

impl Ledger {
    /// A home holds a proof for whoever has an account there.
    pub(super) fn prove(
        &mut self,
        who: Who,
        id: u64,
        evidence: Evidence,
    ) -> Result<Verdict, Refusal> {
        first([(!self.accounts.contains_key(&who), UnknownAccount)])?;
        let (at, held) = (self.now, true);
        self.proofs.push(Proof {
            who,
            id,
            at,
            evidence,
            held,
        });
        Ok(Verdict::Done)
    }

    /// A transfer takes 愛貨 from what is available; whether the receiver exists is not asked.
    pub(super) fn transfer(&mut self, draft: &Draft) -> Result<Verdict, Refusal> {
        let Draft {
            from,
            to,
            id,
            amount,
            sequence,
            ..
        } = *draft;
        let account = self.accounts.get(&from).cloned();
        let next = account.as_ref().map_or(0, |account| account.used + 1);
        let id_is_used = self
            .transfers
            .iter()
            .any(|sent| (sent.from, sent.id) == (from, id) && !sent.lost);
        first([
            (amount == 0, BadAmount),
            (from == to, SameAccount),
            (sequence == 0, BadField),
            (draft.at != home_of(from), WrongHome),
            (account.is_none(), UnknownAccount),
            (
                account
                    .as_ref()
                    .is_some_and(|it| (from, it.key()) != draft.signer),
                WrongKey,
            ),
            (account.as_ref().is_some_and(|it| it.revoked), KeyRevoked),
            (sequence < next, SequenceUsed),
            (sequence > next, SequenceGap),
            (id_is_used, TransferIdUsed),
            (draft.created_at > self.now + AHEAD, FutureDated),
            (draft.expires_at < self.now, Expired),
        ])?;
        self.placed(draft)?;
        let available = account.map_or(0, |account| account.available);
        first([
            (amount > available, Overdraft),
            (self.stopped[draft.at], NotSequencing),
        ])?;

        let home = &mut self.homes[home_of(from)];
        home.open_out += amount;
        home.journal.push((from, EXPENSE, true, amount));
        home.journal.push((from, PAYABLE, false, amount));
        self.transfers.push(Sent {
            from,
            to,
            id,
            amount,
            at: self.now,
            known: home_of(from) == home_of(to),
            accepted: false,
            rejected: false,
            settled: false,
            refunded: false,
            refund_known: false,
            answer_known: false,
            adopted: false,
            lost: false,
            key: draft.signer.1,
        });
        let booked = self.balance(from, |account| {
            account.used = sequence;
            account.available -= amount;
            account.open_out += amount;
        });
        if home_of(from) == home_of(to) {
            self.answer_by_itself(self.transfers.len() - 1);
        }
        Ok(booked)
    }

    /// The proof is held by this home, made for this account and transfer, fresh, good enough, and inside.
    fn placed(&self, draft: &Draft) -> Result<(), Refusal> {
        let named = draft.proof.map(|n| self.proofs[n]);
        let held = |named: &Proof| {
            self.proofs.contains(&Proof {
                held: true,
                ..*named
            })
        };
        let here = |named: &Proof| home_of(named.who) == draft.at;
        let proof = named.filter(held).filter(here).ok_or(PlaceUnknown)?;
        first([
            (
                (proof.who, proof.id) != (draft.from, draft.id),
                PlaceMismatch,
            ),
            (proof.evidence == Evidence::Nowhere, NoPosition),
            (proof.evidence != Evidence::Inside, PlaceInsufficient),
            (self.now - proof.at > FRESH, PlaceInsufficient),
        ])
    }
}
