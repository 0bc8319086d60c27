//! The home: admits what people and officers submit, books it in the open vertex, and seals that.

use std::sync::Arc;

use super::{Action, BookedEntry, ClockQuality, Now, Outcome, Replica, Ticket};
use crate::amount::{Amount, Timestamp};
use crate::body::{
    Accept, Common, Fault, Grant, Kind, MAX_FUTURE_MS, OwnEntry, PersonBody, Settle, Start,
    Transfer, identity, read_person_body,
};
use crate::codec;
use crate::crypto::{Signer, TAG_GRANT};
use crate::ids::{AccountId, BlockId, Digest, LogId, sha256};
use crate::journal::debit_for_transfer;
use crate::ledger::{Fold, FoldError, History, Layers, Rows, Table, TransferState, key};
use crate::refusal::Refusal;
use crate::stage::{SignedGrant, Submission, Verified};
use crate::vertex::{
    Authority, Booked, Checked, Cite, Entry, EntrySignature, Header, MAX_BODY, MAX_ENTRIES,
    MAX_PARENTS, MAX_PARENT_AHEAD_MS, MAX_TO, Receipt, SignedHeader, encode_body, merkle_path,
    merkle_paths,
};

/// Most own transfers looked at in one sweep for missed settlements.
const SWEEP: usize = 4096;

/// The own log's keys and state.
pub(super) struct Home {
    authority: Arc<Authority>,
    signer: Box<dyn Signer>,
    start: Start,
    /// The position up to which the log stood when this run began to write, until `start` is durable.
    start_written: bool,
    start_at: Option<(u64, u64)>,
}

impl Home {
    pub(super) fn new(authority: Arc<Authority>, signer: Box<dyn Signer>, start: Start) -> Self {
        Self { authority, signer, start, start_written: false, start_at: None }
    }

    pub(super) fn log(&self) -> LogId {
        self.authority.log
    }

    pub(super) fn authority(&self) -> Arc<Authority> {
        self.authority.clone()
    }

    pub(super) fn software(&self) -> &str {
        &self.start.software
    }

    pub(super) fn sequences(&self, rows: &(impl Rows + ?Sized)) -> bool {
        rows.log(&self.log()).is_none_or(|row| row.frozen.is_none())
    }

    /// Looks whether the vertex that carries this run's `start` is durable now.
    pub(super) fn start_is_written(&mut self, history: &dyn History) {
        if let Some((epoch, seq)) = self.start_at {
            self.start_written |= history.vertex_at(&self.log(), epoch, seq).is_some();
        }
    }
}

/// The vertex that is being collected.
pub(super) struct OpenVertex {
    fold: Fold,
    bytes: usize,
    cited: Vec<BlockId>,
    replies: Vec<(Ticket, Digest, u64, bool)>,
    worth: bool,
}

impl OpenVertex {
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) const fn is_worth_sealing(&self) -> bool {
        self.worth
    }
}

/// An upper bound of what an entry takes in the body block.
fn size_of(entries: &[Entry]) -> usize {
    encode_body(entries).len()
}

impl Replica {
    /// Writes charter and start if the log does not exist yet.
    pub(super) fn begin_own_log(&mut self, now: Now, history: &dyn History) {
        if history.log(&self.home.log()).is_none() && self.open_vertex(now, history).is_ok() {
            self.open.as_mut().expect("just opened").worth = true;
        }
    }

    pub(super) fn submit(
        &mut self,
        ticket: Ticket,
        submission: Submission,
        now: Now,
        history: &dyn History,
    ) {
        if let Err(refusal) = self.admit(ticket, submission, now, history) {
            self.after.push(Action::Reply(ticket, Err(refusal)));
            let idle = self.open.as_ref().is_some_and(|open| !open.worth);
            if idle {
                self.open = None;
            }
        }
    }

    fn admit(
        &mut self,
        ticket: Ticket,
        submission: Submission,
        now: Now,
        history: &dyn History,
    ) -> Result<(), Refusal> {
        match submission {
            Submission::Enrol(body) => {
                let identity = body.identity();
                if let Some(at) = self.rows_now(history).submission(&self.home.log(), &identity) {
                    return self.repeat(ticket, identity, at, history);
                }
                self.dated(&body.body().common(), now)?;
                let (bytes, sig) = body.into_parts();
                let entry = self.signed_entry(Kind::Enrol, bytes, vec![sig], now);
                self.book(ticket, identity, vec![(entry, vec![Checked::Good])], now, history)
            }
            Submission::Grant(grant) => self.admit_grant(ticket, grant, now, history),
            Submission::Transfer(transfer) => self.admit_transfer(ticket, transfer, now, history),
            Submission::Accept(accept) => self.admit_accept(ticket, accept, now, history),
        }
    }

    fn admit_grant(
        &mut self,
        ticket: Ticket,
        grant: SignedGrant,
        now: Now,
        history: &dyn History,
    ) -> Result<(), Refusal> {
        let body = Grant::read(&grant.bytes)?;
        let identity = identity(TAG_GRANT, &grant.bytes);
        let rows = self.rows_now(history);
        if let Some(at) = rows.submission(&self.home.log(), &identity) {
            return self.repeat(ticket, identity, at, history);
        }
        let account =
            rows.account(&self.home.log(), &body.account).ok_or(Refusal::UnknownAccount)?;
        let balance = account.available.plus(body.amount)?;
        let mut signatures = grant.signatures;
        signatures.sort_by_key(|sig| sig.key);
        let checked = vec![Checked::Unknown; signatures.len()];
        let mut entry = self.signed_entry(Kind::Grant, grant.bytes, signatures, now);
        entry.booked.balance_after = Some(balance);
        self.book(ticket, identity, vec![(entry, checked)], now, history)
    }

    fn admit_transfer(
        &mut self,
        ticket: Ticket,
        transfer: Verified<Transfer>,
        now: Now,
        history: &dyn History,
    ) -> Result<(), Refusal> {
        let identity = transfer.identity();
        let body = transfer.body().clone();
        let home = self.home.log();
        let rows = self.rows_now(history);
        if let Some(row) = rows.transfer(&home, &identity) {
            return self.repeat(ticket, identity, row.at, history);
        }
        let balance = self.in_turn(&rows, &body.sender, &body.common())?;
        let by_id = [&home.0[..], body.sender.as_str().as_bytes(), &body.transfer_id.0];
        if rows.get(&key(Table::TransferId, &by_id)).is_some() {
            return Err(Refusal::TransferIdUsed);
        }
        self.dated(&body.common(), now)?;
        if body.expires_at < now.time {
            return Err(Refusal::Expired);
        }
        let proof = self.places.get(&body.proof_of_place).ok_or(Refusal::PlaceUnknown)?;
        proof.binds(&self.network, &body.sender, &body.transfer_id)?;
        proof.admit(self.home.authority.region(), &self.policy, now.time)?;
        let balance = balance.minus(body.amount)?;

        let place = Entry::home_authored(Kind::Place, proof.encode());
        let grade = proof.grade_at(now.time);
        let (bytes, sig) = transfer.into_parts();
        let mut entry = self.signed_entry(Kind::Transfer, bytes, vec![sig], now);
        entry.booked.balance_after = Some(balance);
        entry.booked.debit = Some(debit_for_transfer(body.account_title));
        entry.booked.place = Some(grade);
        let entries = vec![(place, Vec::new()), (entry, vec![Checked::Good])];
        self.book(ticket, identity, entries, now, history)
    }

    fn admit_accept(
        &mut self,
        ticket: Ticket,
        accept: Verified<Accept>,
        now: Now,
        history: &dyn History,
    ) -> Result<(), Refusal> {
        let submitted = accept.identity();
        let body = accept.body().clone();
        let home = self.home.log();
        let rows = self.rows_now(history);
        if let Some(at) = rows.accepted(&home, &body.transfer) {
            let same = self
                .entry_now(&at, history)
                .is_some_and(|entry| identity(Accept::TAG, &entry.body) == submitted);
            return if same {
                self.repeat(ticket, submitted, at, history)
            } else {
                Err(Refusal::AlreadyAccepted)
            };
        }
        let account = AccountId::new(&body.home, &body.key);
        let balance = self.in_turn(&rows, &account, &body.common())?.plus(body.amount)?;
        self.dated(&body.common(), now)?;
        let (cite, cited) = self.cite_transfer(&body, history)?;
        let (bytes, sig) = accept.into_parts();
        let mut entry = self.signed_entry(Kind::Accept, bytes, vec![sig], now);
        entry.booked.balance_after = Some(balance);
        entry.cites = vec![cite];
        self.book(ticket, submitted, vec![(entry, vec![Checked::Good])], now, history)?;
        let open = self.open.as_mut().expect("book leaves the vertex open");
        open.cited.extend(cited);
        if body.sender_home == home {
            let at = OwnEntry { index: open.fold.next_position().index - 1, ..open.fold.next_position() };
            self.settle(&body.transfer, Cite::Own(at), None, now, history);
        }
        Ok(())
    }

    /// The cite of the transfer that an `accept` names, from the sender's log or the own.
    fn cite_transfer(
        &self,
        body: &Accept,
        history: &dyn History,
    ) -> Result<(Cite, Option<BlockId>), Refusal> {
        let rows = self.rows_now(history);
        let transfer = rows
            .transfer(&body.sender_home, &body.transfer)
            .ok_or(Refusal::UnknownTransfer)?;
        if body.sender_home == self.home.log() {
            return Ok((Cite::Own(transfer.at), None));
        }
        if rows.log(&body.sender_home).is_some_and(|row| row.frozen.is_some()) {
            return Err(Refusal::LogFrozen);
        }
        let (cite, vertex) = cite_entry(&rows, &body.sender_home, &transfer.at)
            .ok_or(Refusal::UnknownTransfer)?;
        Ok((cite, Some(vertex)))
    }

    /// The account's balance, if the key is its own and it is this number's turn.
    fn in_turn(
        &self,
        rows: &impl Rows,
        account: &AccountId,
        common: &Common,
    ) -> Result<Amount, Refusal> {
        if common.network != self.network {
            return Err(Refusal::WrongNetwork);
        }
        if common.home != self.home.log() {
            return Err(Refusal::WrongHome);
        }
        let row = rows.account(&self.home.log(), account).ok_or(Refusal::UnknownAccount)?;
        if row.key != common.key {
            return Err(Refusal::WrongKey);
        }
        match common.sequence.cmp(&row.next_sequence) {
            std::cmp::Ordering::Less => Err(Refusal::SequenceUsed),
            std::cmp::Ordering::Greater => Err(Refusal::SequenceGap),
            std::cmp::Ordering::Equal => Ok(row.available),
        }
    }

    fn dated(&self, common: &Common, now: Now) -> Result<(), Refusal> {
        if common.created_at > now.time.plus_ms(MAX_FUTURE_MS) {
            Err(Refusal::FutureDated)
        } else {
            Ok(())
        }
    }

    fn signed_entry(&self, kind: Kind, body: Vec<u8>, sig: Vec<EntrySignature>, now: Now) -> Entry {
        let booked = Booked { received_at: Some(now.time), ..Booked::default() };
        Entry { kind, body, sig, booked, cites: Vec::new() }
    }

    /// Puts entries into the open vertex; the last one is what the ticket waits for.
    fn book(
        &mut self,
        ticket: Ticket,
        identity: Digest,
        entries: Vec<(Entry, Vec<Checked>)>,
        now: Now,
        history: &dyn History,
    ) -> Result<(), Refusal> {
        self.push(entries, now, history)?;
        let open = self.open.as_mut().expect("push leaves the vertex open");
        let index = open.fold.next_position().index - 1;
        open.replies.push((ticket, identity, index, false));
        Ok(())
    }

    /// Puts entries into the open vertex together or not at all.
    fn push(
        &mut self,
        entries: Vec<(Entry, Vec<Checked>)>,
        now: Now,
        history: &dyn History,
    ) -> Result<(), Refusal> {
        let plain: Vec<Entry> = entries.iter().map(|(entry, _)| entry.clone()).collect();
        let size = size_of(&plain);
        let full = self.open.as_ref().is_some_and(|open| {
            open.bytes + size > MAX_BODY
                || open.fold.entries().len() + plain.len() + 1 > MAX_ENTRIES
                || open.fold.to().len() >= MAX_TO
        });
        if full {
            self.seal(now, history);
        }
        self.open_vertex(now, history)?;
        let mut open = self.open.take().expect("just opened");
        let authority = self.home.authority();
        let ctx = self.context(&authority, history);
        let pushed = entries
            .into_iter()
            .try_for_each(|(entry, checked)| open.fold.push(&ctx, entry, &checked));
        match pushed {
            Ok(()) => {
                open.bytes += size;
                open.worth = true;
            }
            Err(_) => open.fold.drop_pending_place(),
        }
        self.open = Some(open);
        pushed.map_err(|error| match error {
            FoldError::Refused(refusal) => refusal,
            FoldError::Waiting(_) => Refusal::UnknownTransfer,
        })
    }

    fn open_vertex(&mut self, now: Now, history: &dyn History) -> Result<(), Refusal> {
        if self.open.is_some() {
            return Ok(());
        }
        if now.quality == ClockQuality::Floor {
            return Err(Refusal::ClockUnknown);
        }
        let log = self.home.log();
        let rows = self.layers(history);
        let row = rows.log(&log);
        if row.as_ref().is_some_and(|row| row.frozen.is_some()) {
            return Err(Refusal::NotSequencing);
        }
        let mut first = Vec::new();
        if row.is_none() {
            let charter = self.home.authority.charter_body.clone();
            first.push(Entry::home_authored(Kind::Charter, charter));
        }
        let position = row.as_ref().map_or((1, 1), |row| (row.epoch, row.seq + 1));
        let start_pending = self.home.start_at.is_none_or(|at| at >= position);
        if !self.home.start_written && start_pending {
            first.push(Entry::home_authored(Kind::Start, codec::encode(&self.home.start)));
            self.home.start_at = Some(position);
        }
        let bytes = size_of(&first);
        let mut fold = Fold::begin(log, self.network, row);
        let authority = self.home.authority();
        let ctx = self.context(&authority, history);
        for entry in first {
            fold.push(&ctx, entry, &[]).map_err(|_| Refusal::NotSequencing)?;
        }
        self.open =
            Some(OpenVertex { fold, bytes, cited: Vec::new(), replies: Vec::new(), worth: false });
        Ok(())
    }

    /// Closes, signs and batches the open vertex, if it holds anything worth it.
    pub(super) fn seal(&mut self, now: Now, history: &dyn History) {
        let Some(open) = self.open.take() else { return };
        if !open.worth {
            return;
        }
        let entries = open.fold.entries().to_vec();
        let body_block = encode_body(&entries);
        let leaves: Vec<_> = entries.iter().map(Entry::leaf).collect();
        let (entries_root, paths) = merkle_paths(&leaves);
        let (parents, parents_bound) = self.parents(&open.cited, now.time, history);
        let (not_before, not_after) = open.fold.time_bounds();
        let time = now.time.min(not_after).max(not_before).max(parents_bound);
        let at = open.fold.next_position();
        let authority = self.home.authority();
        let header = Header {
            v: 1,
            network: self.network,
            log: self.home.log(),
            epoch: at.epoch,
            seq: at.seq,
            prev: open.fold.prev(),
            parents,
            to: open.fold.to().iter().copied().collect(),
            time,
            count: entries.len() as u64,
            entries_root: Digest(entries_root),
            body: BlockId::of(&body_block),
            alg: authority.node_key.algorithm(),
            key: authority.node_key.id(),
            charter: authority.charter_hash,
        };
        let header = SignedHeader::sign(header, &*self.home.signer);
        let refused = |refusal| {
            move |(ticket, ..): (Ticket, Digest, u64, bool)| Action::Reply(ticket, Err(refusal))
        };
        match open.fold.finish(&header, body_block, self.order) {
            Ok((changes, _)) => {
                self.batch.absorb(changes);
                self.order += 1;
                self.moved.insert(self.home.log(), None);
                for (ticket, identity, index, repeated) in open.replies {
                    let i = usize::try_from(index).expect("an index below 256");
                    let receipt = receipt(&authority, &header, &entries[i], index, &paths[i]);
                    let booked = BookedEntry {
                        identity,
                        vertex: header.id,
                        at: OwnEntry { index, ..at },
                        receipt,
                        repeated,
                    };
                    self.after.push(Action::Reply(ticket, Ok(Outcome::Booked(Box::new(booked)))));
                }
            }
            Err(refusal) => self.after.extend(open.replies.into_iter().map(refused(refusal))),
        }
    }

    /// Parents of the next vertex, cited first, and the earliest time that they allow.
    fn parents(
        &mut self,
        cited: &[BlockId],
        now: Timestamp,
        history: &dyn History,
    ) -> (Vec<BlockId>, Timestamp) {
        let rows = self.layers(history);
        let mut parents: Vec<BlockId> = Vec::new();
        let mut bound = Timestamp(0);
        for id in cited {
            if parents.len() < MAX_PARENTS && !parents.contains(id) {
                parents.push(*id);
                let time = rows.vertex(id).map_or(Timestamp(0), |row| row.time);
                bound = bound.max(time.minus_ms(MAX_PARENT_AHEAD_MS));
            }
        }
        let mut acknowledged = Vec::new();
        for log in &self.unacknowledged {
            if parents.len() == MAX_PARENTS {
                break;
            }
            let Some(row) = rows.log(log) else { continue };
            let soon_enough = row.time.minus_ms(MAX_PARENT_AHEAD_MS) <= now.max(bound);
            if row.frozen.is_none() && row.seq > 0 && soon_enough {
                acknowledged.push(*log);
                if !parents.contains(&row.head) {
                    parents.push(row.head);
                }
            }
        }
        for log in acknowledged {
            self.unacknowledged.remove(&log);
        }
        (parents, bound)
    }

    /// Enters the settlement of an own transfer that its receiver accepted.
    pub(super) fn settle(
        &mut self,
        transfer: &Digest,
        cite: Cite,
        cited: Option<BlockId>,
        now: Now,
        history: &dyn History,
    ) {
        let Some(row) = self.rows_now(history).transfer(&self.home.log(), transfer) else { return };
        if row.state != TransferState::Open {
            return;
        }
        let body = Settle {
            v: 1,
            transfer: *transfer,
            own: row.at,
            amount: row.amount,
            reason: Settle::ACCEPTED.into(),
        };
        let mut entry = Entry::home_authored(Kind::Settle, codec::encode(&body));
        entry.cites = vec![cite];
        // Where it cannot be entered now (clock, room), the sweep finds it again.
        if self.push(vec![(entry, Vec::new())], now, history).is_ok()
            && let Some(open) = &mut self.open
        {
            open.cited.extend(cited);
        }
    }

    /// Looks for own transfers that were accepted elsewhere but not settled: after a start or a full disk.
    pub(super) fn settle_what_was_accepted(&mut self, now: Now, history: &dyn History) {
        for (identity, home) in self.open_transfers(history) {
            let rows = self.rows_now(history);
            let Some(at) = rows.accepted(&home, &identity) else { continue };
            if home == self.home.log() {
                self.settle(&identity, Cite::Own(at), None, now, history);
            } else if let Some((cite, vertex)) = cite_entry(&rows, &home, &at) {
                self.settle(&identity, cite, Some(vertex), now, history);
            }
        }
    }

    /// How many own transfers were accepted elsewhere but not settled.
    pub(super) fn unsettled(&self, history: &dyn History) -> usize {
        self.open_transfers(history)
            .iter()
            .filter(|(identity, home)| history.accepted(home, identity).is_some())
            .count()
    }

    fn open_transfers(&self, history: &dyn History) -> Vec<(Digest, LogId)> {
        history
            .rows(&key(Table::Open, &[&self.home.log().0]), None, SWEEP)
            .into_iter()
            .filter_map(|(key, _)| {
                let identity = Digest(key.get(33..)?.try_into().ok()?);
                Some((identity, history.typed(&key)?))
            })
            .collect()
    }

    /// Enters a fault into the own log, once per log and epoch.
    pub(super) fn enter_fault(&mut self, fault: &Fault, now: Now, history: &dyn History) {
        let rows = self.rows_now(history);
        if rows.fault_cut(&self.home.log(), &fault.log, fault.epoch).is_none() {
            let entry = Entry::home_authored(Kind::Fault, codec::encode(fault));
            // A home that cannot sequence now enters it with its next start.
            let _not_now = self.push(vec![(entry, Vec::new())], now, history);
        }
    }

    /// Answers with the first receipt of something that was booked before.
    fn repeat(
        &mut self,
        ticket: Ticket,
        identity: Digest,
        at: OwnEntry,
        history: &dyn History,
    ) -> Result<(), Refusal> {
        if let Some(open) = &mut self.open {
            let here = open.fold.next_position();
            if (at.epoch, at.seq) == (here.epoch, here.seq) {
                open.replies.push((ticket, identity, at.index, true));
                return Ok(());
            }
        }
        let authority = self.home.authority();
        let booked = stored_receipt(&self.layers(history), &authority, identity, at)
            .ok_or(Refusal::NotSequencing)?;
        self.after.push(Action::Reply(ticket, Ok(Outcome::Booked(Box::new(booked)))));
        Ok(())
    }

    /// Rows with the open vertex on top.
    fn rows_now<'a>(&'a self, history: &'a dyn History) -> Layers<'a> {
        let layers = self.layers(history);
        match &self.open {
            Some(open) => layers.with(open.fold.changes()),
            None => layers,
        }
    }

    fn entry_now(&self, at: &OwnEntry, history: &dyn History) -> Option<Entry> {
        if let Some(open) = &self.open {
            let here = open.fold.next_position();
            if (at.epoch, at.seq) == (here.epoch, here.seq) {
                return open.fold.entries().get(usize::try_from(at.index).ok()?).cloned();
            }
        }
        self.layers(history).entry(&self.home.log(), at)
    }
}

/// The cite of an entry that stands in another log, and its vertex.
fn cite_entry(rows: &impl Rows, log: &LogId, at: &OwnEntry) -> Option<(Cite, BlockId)> {
    let vertex = rows.vertex_at(log, at.epoch, at.seq)?;
    let row = rows.vertex(&vertex)?;
    let entries = crate::vertex::decode_body(&rows.get_block(&row.body)?).ok()?;
    let leaves: Vec<_> = entries.iter().map(Entry::leaf).collect();
    let index = usize::try_from(at.index).ok()?;
    let cite = entries.get(index)?.to_cite(vertex, at.index, &merkle_path(&leaves, index));
    Some((cite, vertex))
}

/// The receipt of an entry of this authority's log that is stored.
#[must_use]
pub fn stored_receipt(
    rows: &impl Rows,
    authority: &Authority,
    identity: Digest,
    at: OwnEntry,
) -> Option<BookedEntry> {
    let vertex = rows.vertex_at(&authority.log, at.epoch, at.seq)?;
    let row = rows.vertex(&vertex)?;
    let header = SignedHeader::read(&rows.get_block(&vertex)?).ok()?;
    let entries = crate::vertex::decode_body(&rows.get_block(&row.body)?).ok()?;
    let leaves: Vec<_> = entries.iter().map(Entry::leaf).collect();
    let index = usize::try_from(at.index).ok()?;
    let path = merkle_path(&leaves, index);
    let receipt = receipt(authority, &header, entries.get(index)?, at.index, &path);
    Some(BookedEntry { identity, vertex, at, receipt, repeated: true })
}

fn receipt(
    authority: &Authority,
    header: &SignedHeader,
    entry: &Entry,
    index: u64,
    path: &[[u8; 32]],
) -> Receipt {
    Receipt {
        v: 1,
        authority: vec![Entry::home_authored(Kind::Charter, authority.charter_body.clone())],
        header: header.block.clone(),
        entry: entry.clone(),
        index,
        path: path.iter().copied().map(Digest).collect(),
    }
}

/// The identity of an entry that a person or officers submitted.
#[must_use]
pub fn entry_identity(entry: &Entry) -> Option<Digest> {
    use crate::body::Enrol;
    match entry.kind {
        Kind::Enrol => Some(identity(Enrol::TAG, &entry.body)),
        Kind::Grant => Some(identity(TAG_GRANT, &entry.body)),
        Kind::Transfer => Some(identity(Transfer::TAG, &entry.body)),
        Kind::Accept => Some(identity(Accept::TAG, &entry.body)),
        Kind::Charter | Kind::Place | Kind::Settle | Kind::Start | Kind::Fault => None,
    }
}

/// The acceptances in a vertex whose transfers come from this log, with their positions.
pub(super) fn acceptances_of(entries: &[Entry], log: &LogId) -> Vec<(usize, Accept)> {
    entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| entry.kind == Kind::Accept)
        .filter_map(|(i, entry)| Some((i, read_person_body::<Accept>(&entry.body).ok()?)))
        .filter(|(_, accept)| accept.sender_home == *log)
        .collect()
}

/// H of a body, as `proof_of_place` and `charter` name it.
#[must_use]
pub fn body_hash(body: &[u8]) -> Digest {
    Digest(sha256(&[body]))
}
