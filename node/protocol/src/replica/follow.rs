//! Following: vertices of other logs (and of the own, when the index is rebuilt) are judged, stored, or
//! put into the pen.

use std::sync::Arc;

use super::pen::Waiting;
use super::settlements::answers_in;
use super::{Action, MAX_AHEAD_MS, MAX_LOGS, Now, Replica};
use crate::body::{Fault, FaultReason, Kind};
use crate::ids::{BlockId, LogId};
use crate::ledger::{
    Changes, Frozen, History, LogRow, Missing, Rows, Table, Verdict, VertexRow, judge, key,
};
use crate::refusal::Refusal;
use crate::trust::PeerId;
use crate::vertex::{Entry, SignedHeader, VerifiedVertex, merkle_paths};

/// What to do with a vertex, before its entries are looked at.
pub(super) enum Place {
    /// It is stored already.
    Known,
    /// Its log does not count any more, or not this position.
    Beyond,
    /// Its log stands still at a cut, and somebody rests on this vertex: its header counts as present.
    Aside,
    /// Another vertex stands or waits at its position: this is its header block.
    Rival(Vec<u8>),
    /// Something comes first.
    Wait(Missing),
    /// It follows the head.
    Next,
    /// It begins an epoch behind this position, which is reached by these vertices from the head or from a lower
    /// position that counts.
    Epoch {
        /// The last position that counts already.
        common: u64,
        /// What comes behind it up to the cut, in order.
        branch: Vec<BlockId>,
    },
}

impl Replica {
    /// Takes a vertex and everything that waited for it.
    pub(super) fn ingest(
        &mut self,
        from: Option<PeerId>,
        vertex: VerifiedVertex,
        now: Now,
        history: &dyn History,
        out: &mut Vec<Action>,
    ) {
        let mut queue = vec![(from, vertex)];
        while let Some((from, vertex)) = queue.pop() {
            let (id, log) = (vertex.id(), vertex.header.header.log);
            if self.take(from, vertex, now, history, out) {
                queue.extend(self.freed(&id, &log));
            }
        }
    }

    /// Takes a header that came alone, and everything that waited for its vertex.
    pub(super) fn ingest_header(
        &mut self,
        from: Option<PeerId>,
        header: &SignedHeader,
        now: Now,
        history: &dyn History,
        out: &mut Vec<Action>,
    ) {
        if from.is_some() {
            self.notice_rollback(header, history, out);
        }
        if self.take_header(from, header, None, now, history, out) {
            for (from, vertex) in self.freed(&header.id, &header.header.log) {
                self.ingest(from, vertex, now, history, out);
            }
        }
    }

    /// What waited for a vertex or for its log.
    fn freed(
        &mut self,
        id: &BlockId,
        log: &LogId,
    ) -> impl Iterator<Item = (Option<PeerId>, VerifiedVertex)> + use<> {
        let freed = self.pen.release(id, log).into_iter();
        freed.map(|waiting| (waiting.from, waiting.vertex))
    }

    /// Takes one vertex; says whether it is stored now, so that others may follow.
    fn take(
        &mut self,
        from: Option<PeerId>,
        vertex: VerifiedVertex,
        now: Now,
        history: &dyn History,
        out: &mut Vec<Action>,
    ) -> bool {
        if from.is_some() {
            self.notice_rollback(&vertex.header, history, out);
        }
        self.convict_beginning(&vertex, from.is_some(), now, history);
        if self.only_header_of(&vertex, from.is_some(), history) {
            let known = self.layers(history).vertex(&vertex.id()).is_some();
            let asked = self.fetching.contains_key(&vertex.id());
            if from.is_some() && known && !asked && !vertex.begins() {
                // Nobody asked for it: a peer that folds the log shows where it breaks a rule.
                self.follow_whole(vertex.header.header.log, history);
            }
            return self.take_header(from, &vertex.header, Some(&vertex), now, history, out);
        }
        let place = self.place_of(&vertex, from.is_some().then_some(now), history);
        if !matches!(place, Place::Next | Place::Epoch { .. } | Place::Wait(_)) {
            self.learn_branch(&vertex, history);
        }
        match place {
            Place::Known => {
                self.fetching.remove(&vertex.id());
                self.progress(&vertex.header, false, now, history);
                false
            }
            Place::Beyond => {
                self.fetching.remove(&vertex.id());
                false
            }
            Place::Aside => {
                self.store_aside(&vertex, history);
                self.adopt_above(&vertex.id(), now, history);
                true
            }
            Place::Rival(other) => {
                self.fetching.remove(&vertex.id());
                let live = from.is_some();
                // Both headers were verified before: a refusal here means that the log is known at fault.
                let _known = self.convict_blocks(&other, &vertex.header.block, live, now, history);
                // Now that the log stands at its cut, somebody may rest on this very vertex.
                let h = &vertex.header.header;
                let frozen = self.layers(history).log(&h.log).and_then(|row| row.frozen);
                let aside = matches!(frozen, Some(Frozen::Equivocation(cut)) if cut < h.seq);
                if aside && self.pen.awaits(&vertex.id()) {
                    return self.take(from, vertex, now, history, out);
                }
                false
            }
            Place::Wait(missing) => {
                self.wait(from, vertex, missing, now, history, out);
                false
            }
            Place::Next => self.judge_next(from, vertex, now, history, out),
            Place::Epoch { common, branch } => {
                self.follow_epoch(from, vertex, (common, &branch), now, history, out)
            }
        }
    }

    /// Where a vertex belongs. `live` is the time for vertices that come from a peer; what is replayed
    /// from the own store has passed the clock before.
    fn place_of(&self, vertex: &VerifiedVertex, live: Option<Now>, history: &dyn History) -> Place {
        let rows = self.layers(history);
        let h = &vertex.header.header;
        let row = rows.log(&h.log);
        let unfolded = row
            .as_ref()
            .is_some_and(|row| self.is_unfolded(&vertex.header, row));
        if rows.vertex(&vertex.id()).is_some() && !unfolded {
            let stands = rows.vertex_at(&h.log, h.epoch, h.seq) == Some(vertex.id());
            let whole = || rows.get_block(&h.body).is_some() || rows.get_stub(&h.body).is_some();
            // Of what stands aside perhaps only the header.
            if stands || whole() {
                return Place::Known;
            }
        }
        let (epoch, seq, head, frozen) = match row {
            Some(row) => (row.epoch, row.seq, row.head, row.frozen),
            None => (1, 0, self.network, None),
        };
        let stored = |id: BlockId| rows.get_block(&id).map(Place::Rival);
        if h.epoch == epoch + 1 && seq > 0 {
            return self.place_of_new_epoch(vertex, live, history);
        }
        if h.epoch != epoch {
            // Of a closed epoch, beyond its cut or not: never a new fault, but others may rest on it.
            let awaited = self.pen.awaits(&vertex.id()) || self.adoptions.awaits(&vertex.id());
            let rests = h.epoch < epoch && (live.is_none() || awaited);
            return if rests { Place::Aside } else { Place::Beyond };
        }
        if h.seq <= seq {
            // Also in a log that stands at its cut: it may have forked earlier than is known.
            let other = rows.vertex_at(&h.log, h.epoch, h.seq);
            return other.and_then(stored).unwrap_or(Place::Beyond);
        }
        if let Some(Frozen::Equivocation(cut)) = frozen
            && h.seq > cut
        {
            let rests = live.is_none() || self.pen.awaits(&vertex.id());
            return if rests { Place::Aside } else { Place::Beyond };
        }
        // Two vertices at one position, even if one of them is invalid; also where a later fork is known by now.
        let invalid = frozen.and_then(|_| self.invalid_beside(&vertex.header, history));
        if let Some(other) = invalid {
            return Place::Rival(other);
        }
        match frozen {
            Some(Frozen::Invalid(_) | Frozen::Unsupported(_)) => return Place::Beyond,
            // Up to the cut it is followed as before.
            Some(Frozen::Equivocation(_)) | None => {}
        }
        // Where only headers are stored behind what is folded.
        let other = rows.vertex_at(&h.log, h.epoch, h.seq);
        if let Some(rival) = other.filter(|id| *id != vertex.id()).and_then(stored) {
            return rival;
        }
        if let Some(rival) = self.pen.rival(&vertex.header) {
            return Place::Rival(rival.header.block.clone());
        }
        if let Some(now) = live
            && h.time > now.time.plus_ms(MAX_AHEAD_MS)
        {
            return Place::Wait(Missing::Time(h.time.minus_ms(MAX_AHEAD_MS)));
        }
        if h.seq > seq + 1 || h.prev != head {
            return Place::Wait(Missing::Vertex(h.prev));
        }
        Place::Next
    }

    /// The header of another vertex at this position, if that was found invalid.
    fn invalid_beside(&self, header: &SignedHeader, history: &dyn History) -> Option<Vec<u8>> {
        let (rows, h) = (self.layers(history), &header.header);
        let other = rows.invalid(&h.log, h.epoch);
        let block = rows.get_block(&other.filter(|id| *id != header.id)?)?;
        let other = SignedHeader::read(&block).ok()?;
        (other.header.seq == h.seq).then_some(block)
    }

    pub(super) fn judge_next(
        &mut self,
        from: Option<PeerId>,
        vertex: VerifiedVertex,
        now: Now,
        history: &dyn History,
        out: &mut Vec<Action>,
    ) -> bool {
        let log = vertex.header.header.log;
        let authority = self.authority_at(&vertex, history);
        let verdict = match &authority {
            Ok(authority) => judge(&self.context(authority, history), &vertex, self.order),
            Err(refusal) => Verdict::of(*refusal),
        };
        match verdict {
            Verdict::Valid(valid) => {
                let begins = vertex.begins();
                self.settle_beginning(&vertex, history);
                self.folded_to(log, &valid.row, history);
                if begins {
                    let new = !self.authorities.0.contains_key(&log);
                    if new && self.authorities.0.len() >= MAX_LOGS {
                        return false;
                    }
                    // Not more than this vertex says: what else came with it may never count.
                    let epoch = vertex.header.header.epoch;
                    let authority = authority.as_ref().expect("it was judged valid");
                    let authority = Arc::new(authority.until(epoch, valid.row.charter));
                    if log == self.home.log() {
                        self.home.learn(authority.clone());
                        self.adoptions.begin();
                    }
                    // Headers know of more, where they go on.
                    if self.layers(history).headers(&log).is_none() {
                        self.authorities.0.insert(log, authority);
                    }
                }
                if log == self.home.log() {
                    self.follow_addressed(&vertex.header.header.to, history);
                }
                self.batch.absorb(valid.changes);
                self.note_witness(&vertex.header.header, &valid.entries, Some(now), history);
                self.order += 1;
                self.fetching.remove(&vertex.id());
                if !self.following.lacking.contains(&log) {
                    self.moved.insert(log, from);
                }
                if log != self.home.log() {
                    self.unacknowledged.insert(log);
                }
                self.progress(&vertex.header, true, now, history);
                if log == self.home.log() {
                    // Written by an earlier run whose disk was lost: what is open rests on less.
                    self.abandon_open(Refusal::Busy);
                }
                self.convict_entered(&vertex, from.is_some(), now, history);
                if from.is_some() {
                    self.close_answered_in(&vertex, now, history);
                    self.answer_arrivals(&vertex, now, history);
                    let entries = vertex.entries.as_deref().unwrap_or_default();
                    self.adopt_below(vertex.id(), log, entries, now, history);
                }
                true
            }
            Verdict::Invalid(refusal) if self.trusted.contains(&log) => {
                let cut = vertex.header.header.seq - 1;
                self.freeze(log, Frozen::Unsupported(cut), Some(refusal), history);
                false
            }
            Verdict::Invalid(refusal) => {
                let cut = vertex.header.header.seq - 1;
                self.keep_evidence(&vertex, history);
                self.batch.put(
                    key(
                        Table::Invalid,
                        &[&log.0, &vertex.header.header.epoch.to_be_bytes()],
                    ),
                    &vertex.id(),
                );
                self.freeze(log, Frozen::Invalid(cut), Some(refusal), history);
                let admitted = self.layers(history).log(&log).is_some();
                if from.is_some() && admitted && log != self.home.log() {
                    let (epoch, header) = (vertex.header.header.epoch, vertex.header.block);
                    let fault = Fault::invalid(log, epoch, cut, header);
                    self.enter_fault(&fault, now, history);
                }
                false
            }
            Verdict::Unsupported => {
                let cut = vertex.header.header.seq - 1;
                self.freeze(log, Frozen::Unsupported(cut), None, history);
                false
            }
            Verdict::Waiting(missing) => {
                self.wait(from, vertex, missing, now, history, out);
                false
            }
        }
    }

    /// Puts a vertex into the pen, and asks for what it waits for.
    pub(super) fn wait(
        &mut self,
        from: Option<PeerId>,
        vertex: VerifiedVertex,
        missing: Missing,
        now: Now,
        history: &dyn History,
        out: &mut Vec<Action>,
    ) {
        if let (Missing::Vertex(id), Some(peer)) = (missing, from)
            && !self.pen.contains(&id)
            && !self.comes_in_a_range(&id, history)
        {
            self.fetch(peer, id, now, out);
        }
        let since = now.time;
        self.pen.put(Waiting {
            vertex,
            missing,
            from,
            since,
        });
    }

    /// Stores a vertex of a log that stands at its cut, without folding it: those who took it before they
    /// knew of the fault rest on it.
    pub(super) fn store_aside(&mut self, vertex: &VerifiedVertex, history: &dyn History) {
        let h = &vertex.header.header;
        let depth = self.layers(history).depth_of(h);
        let mut changes = Changes::default();
        changes.put(
            key(Table::Vertex, &[vertex.id().digest()]),
            &VertexRow::of(h, self.order, depth),
        );
        changes.blocks.extend(unjudged(vertex));
        self.order += 1;
        self.fetching.remove(&vertex.id());
        self.batch.absorb(changes);
    }

    /// Keeps the blocks of a vertex that broke a rule.
    fn keep_evidence(&mut self, vertex: &VerifiedVertex, history: &dyn History) {
        let rows = self.layers(history);
        let here = |id: &BlockId| rows.get_block(id).is_some();
        if !here(&vertex.id()) || !here(&vertex.header.header.body) {
            self.batch.blocks.extend(unjudged(vertex));
        }
    }

    /// Stops counting a log after its present head.
    pub(super) fn freeze(
        &mut self,
        log: LogId,
        frozen: Frozen,
        refusal: Option<Refusal>,
        history: &dyn History,
    ) {
        // A log whose first vertex is refused was never admitted: nothing of it is counted.
        let Some(row) = self.layers(history).log(&log) else {
            return;
        };
        let stood = row.frozen.map(|frozen| frozen.cut());
        self.batch.put(
            key(Table::Log, &[&log.0]),
            &LogRow {
                frozen: Some(frozen),
                ..row
            },
        );
        self.cut_witnesses(log, frozen, history);
        self.cut_headers(log, frozen.cut(), stood, history);
        self.pen.drop_beyond(&log, frozen.cut());
        self.in_flight.remove(&log);
        self.moved.insert(log, None);
        self.after.push(Action::Frozen(log, frozen, refusal));
    }

    /// Closes the own transfers that this vertex answers.
    fn close_answered_in(&mut self, vertex: &VerifiedVertex, now: Now, history: &dyn History) {
        let own = self.home.log();
        if vertex.header.header.log == own {
            return;
        }
        let Ok(entries) = &vertex.entries else { return };
        let answers = answers_in(entries, &own);
        if answers.is_empty() {
            return;
        }
        let leaves: Vec<_> = entries.iter().map(Entry::leaf).collect();
        let (_, paths) = merkle_paths(&leaves);
        for (i, answer) in answers {
            let cite = entries[i].to_cite(vertex.id(), i as u64, &paths[i]);
            let (id, transfer) = (Some(vertex.id()), &answer.transfer);
            self.close(transfer, answer.accepts, cite, id, now, history);
        }
    }

    /// A `fault` entry carries its proof: whoever reads it knows as much as its author.
    fn convict_entered(
        &mut self,
        vertex: &VerifiedVertex,
        live: bool,
        now: Now,
        history: &dyn History,
    ) {
        for entry in vertex
            .entries
            .iter()
            .flatten()
            .filter(|entry| entry.kind == Kind::Fault)
        {
            let Ok(fault) = Fault::read(&entry.body) else {
                continue;
            };
            match (fault.reason, fault.evidence.as_slice()) {
                // The fold has checked it; a refusal means that it is known.
                (FaultReason::Equivocation, [a, b]) => {
                    let _known = self.convict_blocks(a, b, live, now, history);
                }
                (FaultReason::EpochStarts, _) => {
                    self.convict_beginnings(&fault, live, now, history);
                }
                // Its author's own verdict: this node comes to the same when it sees the vertex. Where it has seen another
                // one of that position, which broke a rule as well, nobody compares heads any more: both stand before it.
                (FaultReason::Invalid, [theirs]) => {
                    // Where only headers are here, the verdict needs the bodies first.
                    if self.by_headers(&fault.log) {
                        self.follow_whole(fault.log, history);
                    }
                    let rows = self.layers(history);
                    let mine = rows.invalid(&fault.log, fault.epoch);
                    if let Some(mine) = mine.and_then(|id| rows.get_block(&id)) {
                        let _known = self.convict_blocks(&mine, theirs, live, now, history);
                    }
                }
                _ => {}
            }
        }
    }

    /// Lets vertices go whose time has come.
    pub(super) fn release_due(&mut self, now: Now, history: &dyn History, out: &mut Vec<Action>) {
        self.pen.forget_old(now.time);
        for waiting in self.pen.release_due(now.time) {
            self.ingest(waiting.from, waiting.vertex, now, history, out);
        }
    }
}

/// The blocks of a vertex that was not found valid: the header stands before its body, so that whoever folds the
/// log again does not take its signatures for checked. Of one whose body was pruned there is only the header.
fn unjudged(vertex: &VerifiedVertex) -> impl Iterator<Item = (BlockId, Vec<u8>)> {
    let body = (vertex.header.header.body, vertex.body_block.clone());
    let body = Some(body).filter(|_| !vertex.is_pruned());
    std::iter::once((vertex.id(), vertex.header.block.clone())).chain(body)
}
