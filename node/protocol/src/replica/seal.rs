//! The open vertex: entries are folded into it one by one; sealing signs it and puts it into the batch.

use std::collections::BTreeSet;

use super::receipts::receipt;
use super::{Action, BookedEntry, ClockQuality, Now, Outcome, Replica, Ticket};
use crate::amount::Timestamp;
use crate::body::{Kind, OwnEntry};
use crate::codec;
use crate::ids::{BlockId, Digest};
use crate::ledger::{Finished, Fold, FoldError, History, Layers, Rows};
use crate::refusal::Refusal;
use crate::vertex::{
    Authority, Entry, Header, Known, MAX_BODY, MAX_ENTRIES, MAX_PARENT_AHEAD_MS, MAX_PARENTS,
    MAX_TO, SignedHeader, body_of, merkle_paths,
};

/// Bytes kept free in a body for a `settle` that has to stand beside its `accept`.
pub(super) const SETTLE_ROOM: usize = 1024;

/// Somebody who waits for an entry of the open vertex.
struct Waiter {
    ticket: Ticket,
    identity: Digest,
    index: u64,
    repeated: bool,
}

/// The vertex that is being collected.
pub(super) struct OpenVertex {
    pub(super) fold: Fold,
    /// The entries' encodings, one after the other.
    encoded: Vec<u8>,
    /// The entries' leaves.
    leaves: Vec<[u8; 32]>,
    cited: Vec<BlockId>,
    waiters: Vec<Waiter>,
    worth: bool,
}

impl OpenVertex {
    /// Bytes of the body block, with the longest head that it can have.
    pub(super) const fn bytes(&self) -> usize {
        self.encoded.len() + 3
    }

    pub(super) const fn is_worth_sealing(&self) -> bool {
        self.worth
    }

    /// It is worth sealing, and somebody waits for its first entry.
    pub(super) fn awaited(mut self, ticket: Ticket, identity: Digest) -> Self {
        let (index, repeated) = (0, false);
        self.worth = true;
        self.waiters.push(Waiter {
            ticket,
            identity,
            index,
            repeated,
        });
        self
    }

    /// Notes that an entry of this vertex rests on another log's vertex.
    pub(super) fn cites(&mut self, vertex: Option<BlockId>) {
        self.cited
            .extend(vertex.filter(|id| !self.cited.contains(id)));
    }

    /// Lets somebody wait for an entry that was put into this vertex for them.
    pub(super) fn wait_for_first(&mut self, ticket: Ticket, identity: Digest, index: u64) {
        let repeated = false;
        self.waiters.push(Waiter {
            ticket,
            identity,
            index,
            repeated,
        });
    }

    /// Lets somebody wait for an entry that stands in this vertex already.
    pub(super) fn wait_for(&mut self, ticket: Ticket, identity: Digest, index: u64) {
        let repeated = true;
        self.waiters.push(Waiter {
            ticket,
            identity,
            index,
            repeated,
        });
    }

    /// Where the last entry stands.
    pub(super) fn last_position(&self) -> OwnEntry {
        let next = self.fold.next_position();
        OwnEntry {
            index: next.index.saturating_sub(1),
            ..next
        }
    }
}

impl Replica {
    /// Writes charter and start if the log does not exist yet.
    pub(super) fn begin_own_log(&mut self, now: Now, history: &dyn History) {
        let absent = self.layers(history).log(&self.home.log()).is_none();
        if absent {
            self.write_anything(now, history);
        }
    }

    /// Puts entries into the open vertex; the last one is what the ticket waits for.
    pub(super) fn book(
        &mut self,
        ticket: Ticket,
        identity: Digest,
        entries: Vec<(Entry, Known)>,
        now: Now,
        history: &dyn History,
    ) -> Result<(), Refusal> {
        self.push(entries, now, history)?;
        let open = self.open.as_mut().expect("push leaves the vertex open");
        let index = open.last_position().index;
        open.waiters.push(Waiter {
            ticket,
            identity,
            index,
            repeated: false,
        });
        Ok(())
    }

    /// Seals the open vertex unless so many more entries and bytes, received now, still fit.
    pub(super) fn make_room(
        &mut self,
        entries: usize,
        bytes: usize,
        now: Now,
        history: &dyn History,
    ) {
        let full = self.open.as_ref().is_some_and(|open| {
            open.bytes() + bytes > MAX_BODY
                || open.fold.entries().len() + entries > MAX_ENTRIES
                || open.fold.to().len() >= MAX_TO
                // An entry in it has to be sequenced before this moment.
                || open.fold.time_bounds().1 < now.time
        });
        if full {
            self.seal(now, history);
        }
    }

    /// Puts entries into the open vertex together or not at all.
    pub(super) fn push(
        &mut self,
        mut entries: Vec<(Entry, Known)>,
        now: Now,
        history: &dyn History,
    ) -> Result<(), Refusal> {
        for (entry, _) in &mut entries {
            self.home.confirming.mark(entry);
        }
        let encoded = codec::encode_each(entries.iter().map(|(entry, _)| entry));
        self.make_room(entries.len(), encoded.len(), now, history);
        self.open_vertex(now, history)?;
        let mut open = self.open.take().expect("just opened");
        let authority = self.home.authority();
        let ctx = self.context(&authority, history);
        let leaves = entries.iter().map(|(entry, known)| known.leaf(entry));
        let leaves: Vec<_> = leaves.collect();
        let pushed = entries
            .into_iter()
            .try_for_each(|(entry, known)| open.fold.push(&ctx, entry, &known));
        match pushed {
            Ok(()) => {
                open.encoded.extend_from_slice(&encoded);
                open.leaves.extend(leaves);
                open.worth = true;
            }
            Err(_) => open.fold.drop_pending_place(),
        }
        // Opened for nothing: nobody would seal it.
        self.open = Some(open).filter(|open| open.worth);
        pushed.map_err(|error| match error {
            FoldError::Refused(refusal) => refusal,
            FoldError::Waiting(_) => Refusal::UnknownTransfer,
        })
    }

    /// Makes sure that a vertex is written, empty if need be; says whether one will be.
    pub(super) fn write_anything(&mut self, now: Now, history: &dyn History) -> bool {
        let opened = self.open_vertex(now, history).is_ok();
        if opened {
            self.open.as_mut().expect("just opened").worth = true;
        }
        opened
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
        if !self.home.sequences(&rows) {
            return Err(self.home.refusal());
        }
        let mut first = Vec::new();
        if row.is_none() {
            let charter = self.home.authority.charter_body.clone();
            first.push(Entry::home_authored(Kind::Charter, charter));
        }
        let position = row.as_ref().map_or((1, 1), |row| (row.epoch, row.seq + 1));
        if self.home.owes_start(position) {
            first.push(Entry::home_authored(
                Kind::Start,
                codec::encode(&self.home.start),
            ));
        }
        let fold = Fold::begin(log, self.network, row, position.0);
        let authority = self.home.authority();
        let opened = self.opened(&authority, fold, first, history);
        self.open = Some(opened.map_err(|_| Refusal::NotSequencing)?);
        Ok(())
    }

    /// A vertex that begins with these entries.
    pub(super) fn opened(
        &self,
        authority: &Authority,
        mut fold: Fold,
        first: Vec<Entry>,
        history: &dyn History,
    ) -> Result<OpenVertex, FoldError> {
        let encoded = codec::encode_each(first.iter());
        let leaves = first.iter().map(Entry::leaf).collect();
        let ctx = self.context(authority, history);
        for entry in first {
            let known = Known::nothing(&entry);
            fold.push(&ctx, entry, &known)?;
        }
        let (cited, waiters) = (Vec::new(), Vec::new());
        Ok(OpenVertex {
            fold,
            encoded,
            leaves,
            cited,
            waiters,
            worth: false,
        })
    }

    /// Closes, signs and batches the open vertex, if it holds anything worth it.
    pub(super) fn seal(&mut self, now: Now, history: &dyn History) {
        let Some(open) = self.open.take().filter(|open| open.worth) else {
            return;
        };
        let head = self
            .layers(history)
            .log(&self.home.log())
            .map_or(self.network, |row| row.head);
        if head != open.fold.prev() {
            // The own log grew behind our back. To sign now would put two vertices at one position.
            self.refuse_waiters(open.waiters, Refusal::Busy);
            return;
        }
        let entries = open.fold.entries();
        let body_block = body_of(entries.len(), &open.encoded);
        debug_assert_eq!(open.leaves.len(), entries.len(), "a leaf for each entry");
        let (entries_root, paths) = merkle_paths(&open.leaves);
        let (not_before, not_after) = open.fold.time_bounds();
        let earliest = not_before.max(self.bound_by(&open.cited, history));
        let time = now.time.min(not_after).max(earliest);
        let parents = self.parents(&open.cited, time, history);
        let at = open.fold.next_position();
        let authority = &self.home.authority;
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
            alg: authority.node_key().algorithm(),
            key: authority.node_key().id(),
            charter: open.fold.in_force(authority),
        };
        if body_block.len() > MAX_BODY || time > not_after {
            // The clock went back behind a parent: what cannot be dated cannot be sequenced.
            self.refuse_waiters(open.waiters, Refusal::Busy);
            return;
        }
        let Some(signer) = self.home.signer() else {
            self.refuse_waiters(open.waiters, Refusal::NotSequencing);
            return;
        };
        let header = SignedHeader::sign(header, signer);
        let OpenVertex { fold, waiters, .. } = open;
        let Ok(Finished {
            changes, entries, ..
        }) = fold.finish(
            &self.context(authority, history),
            &header,
            body_block,
            self.order,
        )
        else {
            self.refuse_waiters(waiters, Refusal::Busy);
            return;
        };
        self.acknowledge(&header.header.parents, history);
        self.follow_addressed(&header.header.to, history);
        self.batch.absorb(changes);
        self.note_witness(&header.header, &entries, None, history);
        self.order += 1;
        self.moved.insert(self.home.log(), None);
        // An entry goes into the receipt of the last who waits for it, and is copied for others.
        let mut entries: Vec<_> = entries.into_iter().map(|entry| (entry, 0_usize)).collect();
        let place = |index: u64| usize::try_from(index).expect("an index below 256");
        for waiter in &waiters {
            entries[place(waiter.index)].1 += 1;
        }
        for Waiter {
            ticket,
            identity,
            index,
            repeated,
        } in waiters
        {
            let (entry, waiting) = &mut entries[place(index)];
            *waiting -= 1;
            let entry = match *waiting {
                0 => std::mem::replace(entry, Entry::home_authored(entry.kind, Vec::new())),
                _ => entry.clone(),
            };
            let path = &paths[place(index)];
            let receipt = receipt(self.home.charters.clone(), &header, entry, index, path);
            let (vertex, at) = (header.id, OwnEntry { index, ..at });
            let booked = BookedEntry {
                identity,
                vertex,
                at,
                receipt,
                repeated,
            };
            self.after
                .push(Action::Reply(ticket, Ok(Outcome::Booked(Box::new(booked)))));
        }
    }

    /// Drops the open vertex; whoever waits for it is told why.
    pub(super) fn abandon_open(&mut self, refusal: Refusal) {
        if let Some(open) = self.open.take() {
            self.refuse_waiters(open.waiters, refusal);
        }
    }

    fn refuse_waiters(&mut self, waiters: Vec<Waiter>, refusal: Refusal) {
        let refused = |waiter: Waiter| Action::Reply(waiter.ticket, Err(refusal));
        self.after.extend(waiters.into_iter().map(refused));
    }

    /// The earliest time that the cited vertices allow.
    fn bound_by(&self, cited: &[BlockId], history: &dyn History) -> Timestamp {
        let rows = self.layers(history);
        let times = cited
            .iter()
            .take(MAX_PARENTS)
            .filter_map(|id| rows.vertex(id));
        let latest = times
            .map(|row| row.time.minus_ms(MAX_PARENT_AHEAD_MS))
            .max();
        latest.unwrap_or(Timestamp(0))
    }

    /// Parents of a vertex with this time: cited first, then the heads to which a witness is owed, then others that it
    /// does not know of yet.
    fn parents(&self, cited: &[BlockId], time: Timestamp, history: &dyn History) -> Vec<BlockId> {
        let rows = self.layers(history);
        let mut parents: Vec<BlockId> = cited.iter().take(MAX_PARENTS).copied().collect();
        for log in self.witnessing.logs().chain(&self.unacknowledged) {
            if parents.len() == MAX_PARENTS {
                break;
            }
            // Of what is followed by headers nothing further on: whoever folds it may find that it breaks a rule.
            let Some(row) = rows.log(log) else { continue };
            if self.can_be_parent(log, time, history) && !parents.contains(&row.head) {
                parents.push(row.head);
            }
        }
        parents
    }

    /// Notes which heads have become ancestors of the own log.
    fn acknowledge(&mut self, parents: &[BlockId], history: &dyn History) {
        let parents: BTreeSet<&BlockId> = parents.iter().collect();
        let layers = Layers {
            history,
            batch: &self.batch,
            vertex: None,
        };
        self.unacknowledged.retain(|log| {
            layers
                .log(log)
                .is_some_and(|row| !parents.contains(&row.head))
        });
    }

    /// Rows with the open vertex on top.
    pub(super) fn rows_now<'a>(&'a self, history: &'a dyn History) -> Layers<'a> {
        let layers = self.layers(history);
        match &self.open {
            Some(open) => layers.with(open.fold.changes()),
            None => layers,
        }
    }

    /// The entry at a position of the own log, also in the open vertex.
    pub(super) fn entry_now(&self, at: &OwnEntry, history: &dyn History) -> Option<Entry> {
        if let Some(open) = &self.open {
            let here = open.fold.next_position();
            if (at.epoch, at.seq) == (here.epoch, here.seq) {
                return open
                    .fold
                    .entries()
                    .get(usize::try_from(at.index).ok()?)
                    .cloned();
            }
        }
        self.layers(history).entry(&self.home.log(), at)
    }
}
