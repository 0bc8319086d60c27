//! Following a log by its headers: who signed which position, without what stands in it. The chain is whole and every
//! header's signature is checked, so forks are seen, cites have what they rest on, and two nodes compare the same heads; whether
//! an entry keeps the rules, its home is trusted for. What begins a log or an epoch, or brings a charter, is stored whole, for it
//! says who signs and decides.
//!
//! A log has two ends then: that of what is folded ([`LogRow`]) and that of its headers ([`HeadersRow`]). Whenever the first is
//! to reach the second (the log owes this home or is owed, it broke a rule, or the operator wants it), its bodies are asked
//! for from behind what is folded, and are folded as those of any log.

use std::sync::Arc;

use super::{Action, MAX_AHEAD_MS, Now, Replica};
use crate::body::{Amendment, EpochStart, Kind, read_officers_body};
use crate::ids::{BlockId, Digest, LogId};
use crate::ledger::{
    Changes, CharterRow, EpochRow, Frozen, HeadersRow, History, LogRow, Rows, Table, VertexRow,
    key, position_key,
};
use crate::trust::PeerId;
use crate::vertex::{Authority, Header, SignedHeader, VerifiedVertex, amends};

/// What a header does to its log.
enum Step<'a> {
    /// It goes on.
    On,
    /// It goes on, and this vertex says who signs or decides from here on.
    Begins(&'a VerifiedVertex, Box<Authority>),
    /// It stands where its log does not count any more, and somebody rests on it.
    Aside,
    /// It is stored already, or says nothing.
    Nothing,
    /// Another vertex of its position is stored: this is its header block.
    Rival(Vec<u8>),
    /// This vertex, whole, says more.
    Fetch(BlockId),
    /// Only the entries tell how the log goes on.
    Whole,
}

impl Replica {
    /// Whether of a vertex that came whole only the header is taken. What is stored is folded where it can be, whatever the
    /// policy was then and is now.
    pub(super) fn only_header_of(
        &self,
        vertex: &VerifiedVertex,
        live: bool,
        history: &dyn History,
    ) -> bool {
        let h = &vertex.header.header;
        let rows = self.layers(history);
        let Some(row) = rows.log(&h.log).filter(|row| row.frozen.is_none()) else {
            return false;
        };
        if live {
            return self.by_headers(&h.log) && (h.epoch, h.seq) > (row.epoch, row.seq);
        }
        let ends = rows.headers(&h.log);
        h.prev != row.head && ends.is_some_and(|headers| h.prev == headers.head)
    }

    /// Takes a stored header that has no body: its log stood at its cut, or was followed by headers, or it is half of a proof.
    pub(super) fn alone(
        &mut self,
        header: SignedHeader,
        now: Now,
        history: &dyn History,
        out: &mut Vec<Action>,
    ) {
        self.take_waiting_headers(&header, now, history, out);
        let beside = self.is_beside(&header, history);
        if beside || !self.pair(&header, now, history) && self.goes_on(&header, history) {
            self.ingest_header(None, &header, now, history, out);
        } else {
            self.evidence(header, now, history);
        }
    }

    /// What stands right before a header that was stored alone was followed by its header, too, if it waits for anything.
    fn take_waiting_headers(
        &mut self,
        header: &SignedHeader,
        now: Now,
        history: &dyn History,
        out: &mut Vec<Action>,
    ) {
        let (mut chain, mut prev) = (Vec::new(), header.header.prev);
        while let Some(waiting) = self.pen.take_one(&prev) {
            prev = waiting.vertex.header.header.prev;
            chain.push(waiting);
        }
        for waiting in chain.into_iter().rev() {
            if self.goes_on(&waiting.vertex.header, history) {
                let (from, vertex) = (waiting.from, waiting.vertex);
                let header = vertex.header.clone();
                self.take_header(from, &header, Some(&vertex), now, history, out);
            } else {
                self.pen.put(waiting);
            }
        }
    }

    /// Whether a header stands beyond what its log counts, where it says nothing but that others may rest on it.
    fn is_beside(&self, header: &SignedHeader, history: &dyn History) -> bool {
        let h = &header.header;
        let Some(row) = self.layers(history).head(&h.log) else {
            return false;
        };
        let beyond = |frozen| matches!(frozen, Frozen::Equivocation(cut) if h.seq > cut);
        h.epoch < row.epoch || h.epoch == row.epoch && row.frozen.is_some_and(beyond)
    }

    /// Whether this header, which was stored alone, is the next of its log.
    fn goes_on(&self, header: &SignedHeader, history: &dyn History) -> bool {
        let h = &header.header;
        let head = self.layers(history).head(&h.log);
        h.log != self.home.log()
            && head.is_some_and(|row| row.frozen.is_none() && row.seq > 0 && row.head == h.prev)
    }

    /// Takes a header, and everything that waited for its vertex. `whole` is the vertex, where more than the header came.
    pub(super) fn take_header(
        &mut self,
        from: Option<PeerId>,
        header: &SignedHeader,
        whole: Option<&VerifiedVertex>,
        now: Now,
        history: &dyn History,
        out: &mut Vec<Action>,
    ) -> bool {
        let (log, id) = (header.header.log, header.id);
        let live = from.is_some();
        let step = self.step_of(header, whole, live.then_some(now), history);
        // Of a log that is followed whole a header says no more than that it forked.
        let goes_on = matches!(step, Step::On | Step::Begins(..) | Step::Whole);
        if let Some(peer) = from.filter(|_| whole.is_none() && !self.by_headers(&log)) {
            self.has_no_body(peer, &log, now, history, out);
            if goes_on && !self.following.lacking.contains(&log) {
                self.fetching.remove(&id);
                return false;
            }
        }
        match step {
            Step::On => {
                self.came(&id, whole);
                self.add_header(from, header, None, now, history);
            }
            Step::Begins(vertex, authority) => {
                self.came(&id, whole);
                self.add_header(from, header, Some((vertex, authority)), now, history);
            }
            Step::Aside => {
                let depth = self.layers(history).depth_of(&header.header);
                let mut changes = stored(header, self.order, depth);
                let h = &header.header;
                changes.rows.remove(&position_key(&h.log, h.epoch, h.seq));
                self.order += 1;
                self.came(&id, whole);
                self.batch.absorb(changes);
            }
            Step::Nothing => {
                self.came(&id, whole);
                self.progress(header, false, now, history);
                return false;
            }
            Step::Rival(other) => {
                self.fetching.remove(&id);
                // Nothing comes of it where the log is known at fault, or what is folded ends in an earlier epoch: then its bodies
                // say where it stands.
                let _known = self.convict_blocks(&other, &header.block, live, now, history);
                self.follow_whole(log, history);
                return false;
            }
            Step::Fetch(id) => {
                if let Some(peer) = from {
                    self.fetch(peer, id, now, out);
                }
                return false;
            }
            Step::Whole => {
                self.follow_whole(log, history);
                return false;
            }
        }
        true
    }

    /// A vertex that was asked for by its id has come, if it is whole: a header may cross with it.
    fn came(&mut self, id: &BlockId, whole: Option<&VerifiedVertex>) {
        if whole.is_some() {
            self.fetching.remove(id);
        }
    }

    /// What a header does to its log. `live` is the time for one that comes from a peer.
    fn step_of<'a>(
        &self,
        header: &SignedHeader,
        whole: Option<&'a VerifiedVertex>,
        live: Option<Now>,
        history: &dyn History,
    ) -> Step<'a> {
        let (rows, h) = (self.layers(history), &header.header);
        let Some((head, authority)) = rows.head(&h.log).zip(self.authorities.0.get(&h.log)) else {
            return Step::Nothing;
        };
        if rows.vertex_at(&h.log, h.epoch, h.seq) == Some(header.id) {
            return Step::Nothing;
        }
        if self.is_beside(header, history) {
            let awaited = live.is_none() || self.pen.awaits(&header.id);
            let news = awaited && rows.vertex(&header.id).is_none();
            return if news { Step::Aside } else { Step::Nothing };
        }
        if h.epoch == head.epoch && h.seq <= head.seq {
            if h.epoch > 1 && whole.is_some_and(VerifiedVertex::begins) {
                // Perhaps its officers began this epoch in another way, which only who folds it can tell.
                return Step::Whole;
            }
            let other = rows.vertex_at(&h.log, h.epoch, h.seq);
            let other = other.and_then(|id| rows.get_block(&id));
            return other.map_or(Step::Nothing, Step::Rival);
        }
        let early = |now: Now| h.time > now.time.plus_ms(MAX_AHEAD_MS);
        if head.frozen.is_some() || live.is_some_and(early) {
            return Step::Nothing;
        }
        if h.seq != head.seq + 1 {
            // Headers come in order; what is left out is asked for again. A new epoch may begin lower.
            return match h.epoch > head.epoch && h.seq <= head.seq {
                true => Step::Whole,
                false => Step::Nothing,
            };
        }
        if h.prev != head.head {
            return match h.epoch == head.epoch {
                true => Step::Fetch(h.prev),
                false => Step::Whole,
            };
        }
        if header.check_limits().is_err() || h.time < head.time {
            return Step::Whole;
        }
        let first = whole.and_then(|vertex| Some((vertex, vertex.entries.as_ref().ok()?.first()?)));
        let begins = |authority: Option<Authority>| match (first, authority) {
            // Of other entries beside it the rules would have to be asked.
            (Some((vertex, _)), Some(next))
                if next.in_force() == h.charter && says_no_more(vertex) =>
            {
                Step::Begins(vertex, next.into())
            }
            _ => Step::Whole,
        };
        let charter = in_force(&head, authority);
        match first {
            Some((_, entry)) if amends(header, entry) => {
                let body = read_officers_body::<Amendment>(&entry.body);
                let follows =
                    h.epoch == head.epoch && body.is_ok_and(|body| body.before == charter);
                let next = authority.amend(&self.genesis, entry, h.epoch);
                begins(next.ok().filter(|_| follows))
            }
            Some((_, entry)) if entry.kind == Kind::EpochStart => {
                let body = read_officers_body::<EpochStart>(&entry.body);
                let ends = (head.epoch, head.seq, head.head);
                let ended = |body: EpochStart| (body.old_epoch, body.cut_seq, body.cut) == ends;
                let follows =
                    h.epoch == head.epoch + 1 && h.charter == charter && body.is_ok_and(ended);
                let next = authority.begin_epoch(&self.genesis, entry, charter);
                begins(next.ok().filter(|_| follows))
            }
            _ if h.epoch == head.epoch && h.charter == charter => Step::On,
            None => Step::Fetch(header.id),
            Some(_) => Step::Whole,
        }
    }

    /// Stores a header as the newest of its log, with the vertex's body if that is to be kept.
    fn add_header(
        &mut self,
        from: Option<PeerId>,
        header: &SignedHeader,
        begins: Option<(&VerifiedVertex, Box<Authority>)>,
        now: Now,
        history: &dyn History,
    ) {
        let h = &header.header;
        let rows = self.layers(history);
        let named = h.to.contains(&self.home.log());
        let wanted = named || rows.headers(&h.log).is_some_and(|row| row.wanted);
        let head = rows.head(&h.log).expect("it was looked at");
        let mut changes = stored(header, self.order, rows.depth_of(h));
        if let Some((vertex, next)) = begins {
            // Behind its header: of its entries only the first was judged.
            changes.blocks.push((h.body, vertex.body_block.clone()));
            put_beginning(&mut changes, h, header.id, &head, &next);
            self.authorities.0.insert(h.log, Arc::new(*next));
        }
        let ends = HeadersRow {
            epoch: h.epoch,
            seq: h.seq,
            head: header.id,
            time: h.time,
            charter: Some(h.charter),
            wanted,
        };
        changes.put(key(Table::Headers, &[&h.log.0]), &ends);
        self.batch.absorb(changes);
        self.order += 1;
        self.moved.insert(h.log, from);
        self.progress(header, true, now, history);
        if !self.following.lacking.contains(&h.log) && (named || !self.by_headers(&h.log)) {
            self.follow_whole(h.log, history);
        }
    }

    /// A peer answered with a header where the body was asked for: somebody else is asked, or else the log goes on by headers.
    fn has_no_body(
        &mut self,
        peer: PeerId,
        log: &LogId,
        now: Now,
        history: &dyn History,
        out: &mut Vec<Action>,
    ) {
        if !self
            .in_flight
            .get(log)
            .is_some_and(|flight| flight.peer == peer && !flight.headers)
        {
            return;
        }
        self.in_flight.remove(log);
        if let Some(session) = self.sessions.get_mut(&peer) {
            session.bodiless.insert(*log);
        }
        self.request(log, now, history, out);
    }
}

/// H(body) of the charter in force at this head.
fn in_force(head: &LogRow, authority: &Authority) -> Digest {
    head.charter.unwrap_or(authority.charter_hash)
}

/// Whether a vertex has no entries but those that say who signs and decides, and `start`.
fn says_no_more(vertex: &VerifiedVertex) -> bool {
    let mut entries = vertex.entries.iter().flatten();
    entries.all(|entry| matches!(entry.kind, Kind::Charter | Kind::EpochStart | Kind::Start))
}

/// The block and rows of a header as any vertex has them.
fn stored(header: &SignedHeader, order: u64, depth: u64) -> Changes {
    let h = &header.header;
    let mut changes = Changes::default();
    changes.put(position_key(&h.log, h.epoch, h.seq), &header.id);
    changes.put(
        key(Table::Vertex, &[header.id.digest()]),
        &VertexRow::of(h, order, depth),
    );
    changes.blocks.push((header.id, header.block.clone()));
    changes
}

/// The rows of a vertex that begins an epoch or brings a charter.
fn put_beginning(
    changes: &mut Changes,
    h: &Header,
    id: BlockId,
    before: &LogRow,
    next: &Authority,
) {
    if h.epoch > before.epoch {
        let first = EpochRow { seq: h.seq, id };
        changes.put(
            key(Table::Epoch, &[&h.log.0, &h.epoch.to_be_bytes()]),
            &first,
        );
        return;
    }
    let row = CharterRow {
        before: in_force(before, next),
        epoch: h.epoch,
        vertex: id,
    };
    changes.put(key(Table::Charter, &[&h.log.0, &h.charter.0]), &row);
}
