//! Epochs: beginning one in the own log, following one in another's.
//!
//! An `epoch-start` is the officers' word about where a log counts up to: a follower that holds more goes back to
//! the cut, one that stood still at a fork takes the branch that the officers chose.

use super::admit::officers_entry;
use super::follow::Place;
use super::seal::OpenVertex;
use super::{Action, ClockQuality, MAX_AHEAD_MS, Now, Replica, Ticket};
use crate::body::{EpochStart, Kind, OfficersBody as _, identity, read_officers_body};
use crate::codec;
use crate::ids::{BlockId, LogId};
use crate::ledger::{Fold, FoldError, History, LogRow, Missing, Rows, Table, Verdict, judge, key};
use crate::refusal::Refusal;
use crate::stage::SignedBySeveral;
use crate::trust::PeerId;
use crate::vertex::{Authority, Entry, Known, SignedHeader, VerifiedVertex, decode_body};

/// Most vertices of a branch that are folded at once to reach a cut: what a box booked between a fork and the
/// moment when somebody saw it.
const MAX_BRANCH: usize = 4096;

/// Most beginnings of epochs that are remembered as refused: each needs the signatures of k officers.
const MAX_REFUSED: usize = 1024;

impl Replica {
    /// Begins an epoch of the own log.
    pub(super) fn begin_epoch(
        &mut self,
        ticket: Ticket,
        signed: SignedBySeveral,
        now: Now,
        history: &dyn History,
    ) {
        if let Err(refusal) = self.try_begin_epoch(ticket, signed, now, history) {
            self.after.push(Action::Reply(ticket, Err(refusal)));
        }
    }

    fn try_begin_epoch(
        &mut self,
        ticket: Ticket,
        signed: SignedBySeveral,
        now: Now,
        history: &dyn History,
    ) -> Result<(), Refusal> {
        let identity = identity(EpochStart::TAG, &signed.bytes);
        let log = self.home.log();
        if let Some(at) = self.rows_now(history).submission(&log, &identity) {
            return self.repeat(ticket, identity, at, history);
        }
        if now.quality == ClockQuality::Floor {
            return Err(Refusal::ClockUnknown);
        }
        // What waits was received by the epoch that ends.
        self.seal(now, history);
        let entry = self.epoch_entry(signed, now)?;
        let row = self.layers(history).log(&log);
        let row = row.ok_or(Refusal::NotSequencing)?;
        let authority = &self.home.authority;
        let charter = row.charter.unwrap_or(authority.charter_hash);
        let next = authority.begin_epoch(&self.genesis, &entry, charter)?;
        if !self.home.could_sign(&next) {
            return Err(Refusal::WrongKey);
        }
        let before = row.charter;
        let open = self.open_decided(&next, entry, row, history)?;

        let (old, new) = (next.epoch() - 1, next.epoch());
        self.home.learn(next.into());
        self.open = Some(open.awaited(ticket, identity));
        self.seal(now, history);
        let row = self.layers(history).log(&log);
        if row.is_some_and(|row| row.epoch == new) {
            self.home.begins_epoch();
            self.adoptions.begin();
            self.authorities.0.insert(log, self.home.authority());
        } else {
            // It could not be dated: whoever waited was told.
            self.home.unlearn(old, before);
        }
        Ok(())
    }

    fn epoch_entry(&self, signed: SignedBySeveral, now: Now) -> Result<Entry, Refusal> {
        let body: EpochStart = read_officers_body(&signed.bytes)?;
        super::admit::dated(body.created_at, now)?;
        Ok(officers_entry(Kind::EpochStart, signed, now))
    }

    /// A vertex that begins with what officers decided about the log itself, its next epoch or a later charter, and this
    /// run's `start` if it is owed.
    pub(super) fn open_decided(
        &mut self,
        next: &Authority,
        entry: Entry,
        row: LogRow,
        history: &dyn History,
    ) -> Result<OpenVertex, Refusal> {
        let position = (next.epoch(), row.seq + 1);
        let mut first = vec![entry];
        if self.home.owes_start(position) {
            let start = codec::encode(&self.home.start);
            first.push(Entry::home_authored(Kind::Start, start));
        }
        let fold = Fold::begin(self.home.log(), self.network, Some(row), next.epoch());
        let opened = self.opened(next, fold, first, history);
        opened.map_err(|error| match error {
            FoldError::Refused(refusal) => refusal,
            FoldError::Waiting(_) => Refusal::NotSequencing,
        })
    }

    /// Where a vertex of the epoch after the newest belongs.
    pub(super) fn place_of_new_epoch(
        &self,
        vertex: &VerifiedVertex,
        live: Option<Now>,
        history: &dyn History,
    ) -> Place {
        let rows = self.layers(history);
        let h = &vertex.header.header;
        let row = rows.log(&h.log);
        if self.refused.contains(&vertex.id()) && self.pen.awaits(&vertex.id()) {
            return Place::Aside;
        }
        let Some(row) = row.filter(|_| !self.refused.contains(&vertex.id())) else {
            return Place::Beyond;
        };
        // Asked before anything is folded: whoever names what nobody has makes no work.
        if let Some(parent) = h.parents.iter().find(|id| rows.vertex(id).is_none()) {
            return Place::Wait(Missing::Vertex(*parent));
        }
        if let Some(now) = live
            && h.time > now.time.plus_ms(MAX_AHEAD_MS)
        {
            return Place::Wait(Missing::Time(h.time.minus_ms(MAX_AHEAD_MS)));
        }
        let mut branch = Vec::new();
        let (mut at, mut seq) = (h.prev, h.seq - 1);
        loop {
            if seq == 0 || branch.len() > MAX_BRANCH {
                return Place::Beyond;
            }
            if rows.vertex_on_chain(&h.log, row.epoch, seq) == Some(at) {
                break;
            }
            let (Some(found), Some(block)) = (rows.vertex(&at), rows.get_block(&at)) else {
                return Place::Wait(Missing::Vertex(at));
            };
            // It is of the epoch that ends: of an earlier one every vertex that counts is on the chain.
            let here = (found.log, found.epoch, found.seq) == (h.log, row.epoch, seq);
            let Some(header) = SignedHeader::read(&block).ok().filter(|_| here) else {
                return Place::Beyond;
            };
            branch.push(at);
            (at, seq) = (header.header.prev, seq - 1);
        }
        if seq > row.seq {
            // The headers before it are here, the bodies not yet.
            return Place::Wait(Missing::Vertex(at));
        }
        branch.reverse();
        let common = seq;
        Place::Epoch { common, branch }
    }

    /// Goes back to what counts in common, takes the branch up to the cut, and then the epoch's beginning: all of
    /// it or nothing.
    pub(super) fn follow_epoch(
        &mut self,
        from: Option<PeerId>,
        vertex: VerifiedVertex,
        (common, branch): (u64, &[BlockId]),
        now: Now,
        history: &dyn History,
        out: &mut Vec<Action>,
    ) -> bool {
        let log = vertex.header.header.log;
        let (batch, order) = (self.batch.clone(), self.order);
        let authority = self.authorities.0.get(&log).cloned();
        match self.reach(log, (common, branch), history).and_then(|()| {
            let ctx = self.context(&vertex.authority, history);
            match judge(&ctx, &vertex, self.order) {
                Verdict::Valid(_) => Ok(()),
                Verdict::Waiting(missing) => Err(Some(missing)),
                Verdict::Invalid(_) | Verdict::Unsupported => Err(None),
            }
        }) {
            Ok(()) => self.judge_next(from, vertex, now, history, out),
            Err(missing) => {
                (self.batch, self.order) = (batch, order);
                self.authorities
                    .0
                    .extend(authority.map(|known| (log, known)));
                match missing {
                    Some(missing) => self.wait(from, vertex, missing, now, history, out),
                    // Its officers signed it, so it is no fault; the log goes on as if it had not come.
                    None => {
                        if self.refused.len() >= MAX_REFUSED {
                            self.refused.clear();
                        }
                        self.refused.insert(vertex.id());
                        self.refuse_headers(&vertex.header, history);
                        self.fetching.remove(&vertex.id());
                    }
                }
                false
            }
        }
    }

    /// Makes the log's state that of the cut. An error leaves the batch half done: the caller puts it back.
    fn reach(
        &mut self,
        log: LogId,
        (common, branch): (u64, &[BlockId]),
        history: &dyn History,
    ) -> Result<(), Option<Missing>> {
        let row = self.layers(history).log(&log).ok_or(None)?;
        if row.seq > common {
            if !self.can_fold(log, row.epoch, common, history) {
                return Err(None);
            }
            self.fold_again(log, common, history);
        } else {
            if let Some(frozen) = row.frozen {
                self.drop_positions(log, row.epoch, common + 1..=frozen.cut(), history);
            }
            let thawed = LogRow {
                frozen: None,
                ..row
            };
            self.batch.put(key(Table::Log, &[&log.0]), &thawed);
        }
        for id in branch {
            let authority = self.authorities.0.get(&log).cloned().ok_or(None)?;
            let rows = self.layers(history);
            let stored = || {
                let vertex = rows.vertex(id)?;
                let header = SignedHeader::read(&rows.get_block(id)?).ok()?;
                if let Some(body) = rows.get_block(&vertex.body) {
                    let entries = decode_body(&body);
                    let known = entries.iter().flatten().map(Known::nothing).collect();
                    return Some((header, body, entries, known));
                }
                // It was found valid before its body was pruned.
                let (entries, known) = rows.stored_entries(&vertex.body)?.into_iter().unzip();
                Some((header, Vec::new(), Ok(entries), known))
            };
            let stored = stored().ok_or(Some(Missing::Vertex(*id)))?;
            let (header, body_block, entries, known) = stored;
            let aside = VerifiedVertex {
                header,
                body_block,
                entries,
                known,
                authority,
            };
            let authority = self.authority_at(&aside, history).map_err(|_| None)?;
            match judge(&self.context(&authority, history), &aside, self.order) {
                Verdict::Valid(mut valid) => {
                    self.authorities.0.insert(log, authority);
                    valid.changes.blocks.clear();
                    self.batch.absorb(valid.changes);
                    self.note_witness(&aside.header.header, &valid.entries, None, history);
                    self.order += 1;
                }
                Verdict::Waiting(missing) => return Err(Some(missing)),
                Verdict::Invalid(_) | Verdict::Unsupported => return Err(None),
            }
        }
        Ok(())
    }
}
