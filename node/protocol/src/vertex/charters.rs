//! The charters of a log: the first, and what officers made of it later. Each names the one before it, so that a log
//! that forked, or was cut back, has a chain for every position.

use super::{Authority, Booked, Checked, Entry, verify_entry_signature};
use crate::body::{Amendment, Charter, Kind, MAX_CHARTERS, read_officers_body};
use crate::crypto::PublicKey;
use crate::genesis::Genesis;
use crate::ids::{Digest, LogId, sha256};
use crate::refusal::Refusal;

/// Most charters that are kept of a log with those of its branches: more are looked through for what still counts.
const MAX_KEPT: u64 = 2 * MAX_CHARTERS;

/// The officers of a charter.
#[derive(Clone, Debug)]
pub struct Board {
    k: u64,
    keys: Vec<PublicKey>,
}

/// A charter, as far as it says who decides and who witnesses.
#[derive(Clone, Debug)]
pub(super) struct InForce {
    pub(super) hash: Digest,
    number: u64,
    /// The one before it; none of the first.
    before: Option<Digest>,
    /// The epoch in which it was booked.
    epoch: u64,
    board: Board,
    witnesses: Vec<LogId>,
    /// The entry that says so; none for the first, which the authority has.
    entry: Option<Entry>,
}

impl Board {
    /// How many have to sign.
    #[must_use]
    pub const fn k(&self) -> u64 {
        self.k
    }

    /// The officers' keys.
    #[must_use]
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// At least k distinct officers signed, all of them officers, in order of their key ids. `checked` is what is
    /// known of the signatures; what is not known is checked here.
    ///
    /// # Errors
    /// [`Refusal::OfficersShort`], and those of a signature.
    pub fn signed(&self, entry: &Entry, checked: &[Checked]) -> Result<(), Refusal> {
        let enough = entry.sig.len() as u64 >= self.k;
        if !enough || !entry.sig.is_sorted_by(|a, b| a.key < b.key) {
            return Err(Refusal::OfficersShort);
        }
        for (i, sig) in entry.sig.iter().enumerate() {
            let officer = self.keys.iter().find(|key| key.id() == sig.key);
            let officer = officer.ok_or(Refusal::OfficersShort)?;
            if checked.get(i) != Some(&Checked::Good) {
                verify_entry_signature(entry, sig.key, officer)?;
            }
        }
        Ok(())
    }

    /// The officers whom a later charter names. Who signed it is not looked at.
    ///
    /// # Errors
    /// The refusals of the body's form.
    pub fn named_by(amendment: &[u8]) -> Result<Self, Refusal> {
        let body: Amendment = read_officers_body(amendment)?;
        let keys = body.officers.public_keys()?;
        let k = body.officers.k;
        Ok(Self { k, keys })
    }
}

impl InForce {
    pub(super) fn first(hash: Digest, charter: &Charter, keys: Vec<PublicKey>) -> Self {
        let k = charter.officers.k;
        Self {
            hash,
            number: 1,
            before: None,
            epoch: 1,
            board: Board { k, keys },
            witnesses: charter.witnesses.clone(),
            entry: None,
        }
    }
}

impl Authority {
    /// H(body) of the newest charter that is known to count.
    #[must_use]
    pub const fn in_force(&self) -> Digest {
        self.in_force
    }

    /// Its number, from 1.
    #[must_use]
    pub fn charter_number(&self) -> u64 {
        self.current().number
    }

    /// Its officers.
    #[must_use]
    pub fn board(&self) -> &Board {
        &self.current().board
    }

    /// The officers of whichever charter is known.
    pub fn boards(&self) -> impl Iterator<Item = (Digest, &Board)> {
        self.charters.iter().map(|one| (one.hash, &one.board))
    }

    /// The officers of this charter.
    #[must_use]
    pub fn board_of(&self, charter: &Digest) -> Option<&Board> {
        self.find(charter).map(|one| &one.board)
    }

    /// The officers' keys, those in force.
    #[must_use]
    pub fn officers(&self) -> &[PublicKey] {
        self.board().keys()
    }

    /// The logs that are asked to witness this one.
    #[must_use]
    pub fn witnesses(&self) -> &[LogId] {
        &self.current().witnesses
    }

    /// Whether it is of a later epoch, or of the same and with more charters: a vertex may be verified with less than is
    /// known by then.
    #[must_use]
    pub fn knows_more_than(&self, other: &Self) -> bool {
        let known = |authority: &Self| (authority.epoch(), authority.charters.len());
        known(self) > known(other)
    }

    /// Whether this charter is known.
    #[must_use]
    pub fn knows(&self, charter: &Digest) -> bool {
        self.find(charter).is_some()
    }

    /// The authority with the charter that this entry makes, in force from its vertex on, which stands in `epoch`:
    /// enough officers of the one before it signed it. That it is the log's turn is for the fold to say.
    ///
    /// # Errors
    /// The refusals of the body's form, [`Refusal::WrongNetwork`], [`Refusal::WrongHome`],
    /// [`Refusal::CharterMismatch`] for another region or a charter before it that is not known,
    /// [`Refusal::OfficersShort`], [`Refusal::BadSignature`], [`Refusal::SuiteNotAdmitted`],
    /// [`Refusal::WrongAlgorithm`], or [`Refusal::BadEntry`].
    pub fn amend(&self, genesis: &Genesis, entry: &Entry, epoch: u64) -> Result<Self, Refusal> {
        let body: Amendment = read_officers_body(&entry.body)?;
        if body.network != genesis.network() {
            return Err(Refusal::WrongNetwork);
        }
        if body.home != self.log {
            return Err(Refusal::WrongHome);
        }
        if entry.kind != Kind::Charter || !is_received_alone(entry) {
            return Err(Refusal::BadEntry);
        }
        let before = self.find(&body.before).ok_or(Refusal::CharterMismatch)?;
        if body.number != before.number + 1 || body.region != *self.region() {
            return Err(Refusal::CharterMismatch);
        }
        before.board.signed(entry, &[])?;
        let board = Board::named_by(&entry.body)?;
        for key in &board.keys {
            self.admits(key, epoch, &body.before)?;
        }
        let hash = Digest(sha256(&[&entry.body]));
        let mut next = self.clone();
        if next.charters.len() as u64 >= MAX_KEPT {
            next.forget_branches();
        }
        if !next.knows(&hash) {
            next.charters.push(InForce {
                hash,
                number: body.number,
                before: Some(body.before),
                epoch,
                board,
                witnesses: body.witnesses,
                entry: Some(entry.clone()),
            });
        }
        next.in_force = hash;
        Ok(next)
    }

    /// The same with another of its charters in force; the first where none is named.
    #[must_use]
    pub fn under(&self, charter: Option<Digest>) -> Self {
        let mut other = self.clone();
        other.in_force = charter
            .filter(|charter| self.knows(charter))
            .unwrap_or(self.charter_hash);
        other
    }

    /// The entries that made the charters of an epoch, in order, as far as they are needed for the one in force and for
    /// the beginnings of its epochs.
    pub(super) fn charters_of(&self, epoch: u64) -> impl Iterator<Item = &Entry> {
        let of = self.charters.iter().filter(move |one| one.epoch == epoch);
        of.filter_map(|one| one.entry.as_ref())
    }

    /// Keeps of the charters only those that the one in force and the beginnings of the epochs rest on.
    pub(super) fn forget_branches(&mut self) {
        let begun = self.epochs.iter().map(|epoch| epoch.charter);
        let mut needed: Vec<Digest> = begun.chain([self.in_force]).collect();
        let mut at = 0;
        while let Some(hash) = needed.get(at) {
            let before = self.find(hash).and_then(|one| one.before);
            needed.extend(before.filter(|before| !needed.contains(before)));
            at += 1;
        }
        self.charters.retain(|one| needed.contains(&one.hash));
    }

    /// The officers of this charter and of all before it.
    pub(super) fn officers_up_to(&self, charter: &Digest) -> impl Iterator<Item = &PublicKey> {
        let before = |one: &&InForce| one.before.and_then(|before| self.find(&before));
        let chain = std::iter::successors(self.find(charter), before);
        chain.flat_map(|one| &one.board.keys)
    }

    fn current(&self) -> &InForce {
        self.find(&self.in_force)
            .expect("the charter in force is known")
    }

    fn find(&self, charter: &Digest) -> Option<&InForce> {
        self.charters.iter().find(|one| one.hash == *charter)
    }
}

/// Nothing is booked of the entry but when it was received, and it rests on nothing: no byte of it is without meaning,
/// also in a receipt.
pub(super) fn is_received_alone(entry: &Entry) -> bool {
    let plain = Booked {
        received_at: entry.booked.received_at,
        ..Booked::default()
    };
    entry.booked == plain && entry.booked.received_at.is_some() && entry.cites.is_empty()
}
