//! Following a log by its headers: who signed which position, without what stands in it. The chain is whole and every
//! header's signature is checked, so forks are seen, cites have what they rest on, and two nodes compare the same heads; whether
//! an entry keeps the rules, its home is trusted for. What begins a log or an epoch, or brings a charter, is stored whole, for it
//! says who signs and decides.
//!
//! A log has two ends then: that of what is folded ([`LogRow`]) and that of its headers ([`HeadersRow`]). Whenever the first is
//! to reach the second (the log owes this home or is owed, it broke a rule, or the operator wants it), its bodies are asked
//! for from behind what is folded, and are folded as those of any log.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::{Action, MAX_AHEAD_MS, Now, Replica, head_rows};
use crate::body::{Amendment, EpochStart, Kind, read_officers_body};
use crate::ids::{BlockId, Digest, LogId};
use crate::ledger::{
    Changes, CharterRow, ClearingRow, EpochRow, Frozen, HeadersRow, History, IncomingRow, LogRow,
    Rows, Table, VertexRow, key, read_row,
};
use crate::region::{Region, RegionPrefix};
use crate::sync::MAX_FRONTIER;
use crate::trust::PeerId;
use crate::vertex::{Authority, Header, SignedHeader, VerifiedVertex, amends};

/// Most regions with a follow policy of their own.
pub const MAX_FOLLOW_POLICIES: usize = 256;

/// Rows read at once.
const PAGE: usize = 1024;

/// How a log is followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FollowPolicy {
    /// Headers and bodies: every rule is checked.
    #[default]
    Full,
    /// Headers only, as long as nobody here has to do with it.
    Headers,
}

impl FollowPolicy {
    /// Its name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Headers => "headers",
        }
    }
}

impl std::str::FromStr for FollowPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "full" => Ok(Self::Full),
            "headers" => Ok(Self::Headers),
            other => Err(format!("{other} is no policy: full or headers")),
        }
    }
}

/// The policy of `[follow]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Follow {
    /// For every region that is not named.
    pub policy: FollowPolicy,
    /// Others by region; the longest prefix counts.
    pub policies: Vec<(RegionPrefix, FollowPolicy)>,
}

impl Follow {
    /// The policy for the log of this municipality.
    #[must_use]
    pub fn policy_of(&self, region: &Region) -> FollowPolicy {
        let covering = self
            .policies
            .iter()
            .filter(|(prefix, _)| prefix.covers(region));
        let closest = covering.max_by_key(|(prefix, _)| prefix.as_str().len());
        closest.map_or(self.policy, |(_, policy)| *policy)
    }

    /// Whether any log may be followed by its headers.
    #[must_use]
    pub fn has_headers(&self) -> bool {
        let mut all = self.policies.iter().map(|(_, policy)| *policy);
        self.policy == FollowPolicy::Headers || all.any(|policy| policy == FollowPolicy::Headers)
    }
}

/// Which logs are followed whole although the policy says otherwise, and which lack bodies that are wanted.
#[derive(Debug, Default)]
pub(super) struct Following {
    pub(super) follow: Follow,
    /// Logs that this home has to do with in this run, or that stand still.
    whole: BTreeSet<LogId>,
    /// Logs whose headers go on behind what is folded, although they are to be followed whole.
    lacking: BTreeSet<LogId>,
}

impl Following {
    pub(super) fn new(follow: Follow) -> Self {
        Self {
            follow,
            ..Self::default()
        }
    }

    /// Logs whose bodies are wanted up to where their headers end.
    pub(super) const fn lacking(&self) -> &BTreeSet<LogId> {
        &self.lacking
    }
}

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
    /// The same with another policy of what is followed than all of everything.
    #[must_use]
    pub fn with_follow(self, follow: Follow) -> Self {
        Self {
            following: Following::new(follow),
            ..self
        }
    }

    /// Whether a log is followed by its headers alone. Its first vertex is always folded.
    pub(super) fn by_headers(&self, log: &LogId) -> bool {
        let Following {
            follow,
            whole,
            lacking,
        } = &self.following;
        let Some(authority) = self.authorities.0.get(log) else {
            return false;
        };
        follow.policy_of(authority.region()) == FollowPolicy::Headers
            && *log != self.home.log()
            && !whole.contains(log)
            && !lacking.contains(log)
            && !self.is_witness_of(log)
            && !self.home.authority.witnesses().contains(log)
    }

    /// What a hello says of that: the logs that are followed whole, or nothing where all are.
    pub(super) fn followed_whole(&self) -> Vec<LogId> {
        if !self.following.follow.has_headers() {
            return Vec::new();
        }
        let known = self.authorities.0.keys().copied();
        let whole = known.filter(|log| !self.by_headers(log));
        whole.take(MAX_FRONTIER).collect()
    }

    /// Which logs this home has to do with, and which of those end at a header.
    pub(super) fn recall_followed(&mut self, history: &dyn History) {
        self.following.lacking.clear();
        if self.following.follow.has_headers() {
            let partners = self.partners(history);
            self.following.whole.extend(partners);
        }
        for (log, row) in head_rows(history) {
            if row.frozen.is_some() {
                self.following.whole.insert(log);
            }
            let headers = history.headers(&log);
            if headers.is_some_and(|headers| headers.wanted || !self.by_headers(&log)) {
                self.following.lacking.insert(log);
            }
        }
    }

    /// The logs that owe this home, or are owed.
    fn partners(&self, history: &dyn History) -> BTreeSet<LogId> {
        let own = self.home.log();
        let mut found = BTreeSet::new();
        let ended = |name: &[u8]| name.last_chunk::<32>().copied().map(LogId);
        for (name, value) in self.all_rows(&key(Table::Clearing, &[&own.0]), history) {
            let row: ClearingRow = read_row(&value);
            found.extend(ended(&name).filter(|_| row != ClearingRow::default()));
        }
        for (_, value) in self.all_rows(&key(Table::Open, &[&own.0]), history) {
            found.insert(read_row::<LogId>(&value));
        }
        for (_, value) in self.all_rows(&key(Table::Incoming, &[&own.0]), history) {
            found.insert(read_row::<IncomingRow>(&value).log);
        }
        found
    }

    /// From here on a log is followed whole: its bodies are asked for from behind what is folded.
    pub(super) fn follow_whole(&mut self, log: LogId, history: &dyn History) {
        self.following.whole.insert(log);
        if let Some(headers) = self.layers(history).headers(&log) {
            self.following.lacking.insert(log);
            self.in_flight.remove(&log);
            if !headers.wanted {
                let wanted = true;
                let row = HeadersRow { wanted, ..headers };
                self.batch.put(key(Table::Headers, &[&log.0]), &row);
            }
        }
    }

    /// Somebody says that a log's officers began this epoch twice: where it is known by its headers only, its bodies tell.
    pub(super) fn fold_up_to(
        &mut self,
        log: &LogId,
        epoch: u64,
        beginning: Option<BlockId>,
        history: &dyn History,
    ) {
        let rows = self.layers(history);
        let folded = rows.log(log).map_or(epoch, |row| row.epoch);
        let another = rows
            .epoch(log, epoch)
            .is_some_and(|row| Some(row.id) != beginning);
        if folded < epoch && another {
            self.follow_whole(*log, history);
        }
    }

    /// The own log addresses these: what they answer is to be read.
    pub(super) fn follow_addressed(&mut self, to: &[LogId], history: &dyn History) {
        for log in to {
            if self.by_headers(log) {
                self.follow_whole(*log, history);
            }
        }
    }

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
                changes.rows.remove(&position_key(&header.header));
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
        let begun = whole.is_some_and(|vertex| vertex.begins() && h.epoch > 1);
        if begun && h.epoch == head.epoch && h.seq <= head.seq {
            // Perhaps its officers began this epoch in another way, which only who folds it can tell.
            return Step::Whole;
        }
        if h.epoch == head.epoch && h.seq <= head.seq {
            let other = rows.vertex_at(&h.log, h.epoch, h.seq);
            let other = other.and_then(|id| rows.get_block(&id));
            return other.map_or(Step::Nothing, Step::Rival);
        }
        let early = |now: Now| h.time > now.time.plus_ms(MAX_AHEAD_MS);
        if head.frozen.is_some() || live.is_some_and(early) || h.epoch < head.epoch {
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

    /// What is folded of a log has moved, or was cut: its headers end there if they went no further.
    pub(super) fn folded_to(&mut self, log: LogId, row: &LogRow, history: &dyn History) {
        let Some(headers) = self.layers(history).headers(&log) else {
            return;
        };
        if row.epoch > headers.epoch {
            // The next epoch may begin lower.
            let first = self.layers(history).first_of_epoch(&log, headers.epoch + 1);
            let first = first.unwrap_or(row.seq);
            self.forget_headers(log, first - 1, &headers, history);
        } else if (row.epoch, row.seq) >= (headers.epoch, headers.seq) {
            self.forget_headers(log, row.seq, &headers, history);
        }
    }

    /// What is folded, or where the log is cut, is all that counts: its headers beyond say nothing any more. What brought a
    /// charter stays known, as of any branch.
    fn forget_headers(
        &mut self,
        log: LogId,
        last: u64,
        headers: &HeadersRow,
        history: &dyn History,
    ) {
        self.drop_positions(log, headers.epoch, last + 1..=headers.seq, history);
        let rows = self.layers(history);
        let folded = rows.log(&log).map_or(headers.epoch, |row| row.epoch);
        let begun = (folded + 1..=headers.epoch)
            .map(|epoch| key(Table::Epoch, &[&log.0, &epoch.to_be_bytes()]));
        let begun: Vec<_> = begun.collect();
        begun.into_iter().for_each(|name| self.batch.delete(name));
        self.batch.delete(key(Table::Headers, &[&log.0]));
        self.following.lacking.remove(&log);
    }

    /// What stands at these positions of a log, on the chain whose newest epoch is `epoch`, counts no more. Only what is stored is
    /// looked at: where a log was cut may be as high as its home could count.
    pub(super) fn drop_positions(
        &mut self,
        log: LogId,
        epoch: u64,
        positions: RangeInclusive<u64>,
        history: &dyn History,
    ) {
        let (low, high) = positions.into_inner();
        if low > high {
            return;
        }
        let first = self.layers(history).epoch_of(&log, epoch, low);
        for epoch in first..=epoch {
            let prefix = key(Table::Position, &[&log.0, &epoch.to_be_bytes()]);
            let last = key_of_position(&log, epoch, high);
            let mut after = key_of_position(&log, epoch, low - 1);
            let pending = self.batch.rows.range(after.clone()..=last.clone());
            let pending = pending.map(|(name, _)| name.clone());
            let mut names: Vec<_> = pending.filter(|name| *name != after).collect();
            loop {
                let page = history.rows(&prefix, Some(&after), PAGE);
                let done = page.len() < PAGE;
                for (name, _) in page {
                    after.clone_from(&name);
                    names.push(name);
                }
                if done || after >= last {
                    break;
                }
            }
            names.retain(|name| *name <= last);
            names.into_iter().for_each(|name| self.batch.delete(name));
        }
    }

    /// A beginning of an epoch that no rule allows stands among a log's headers: they end where the bodies do.
    pub(super) fn refuse_headers(&mut self, header: &SignedHeader, history: &dyn History) {
        let (rows, h) = (self.layers(history), &header.header);
        let stands = rows.vertex_at(&h.log, h.epoch, h.seq) == Some(header.id);
        if let Some((row, headers)) = rows.log(&h.log).zip(rows.headers(&h.log))
            && stands
        {
            self.forget_headers(h.log, row.seq, &headers, history);
            self.following.whole.insert(h.log);
            self.as_of(h.log, &row);
        }
    }

    /// Whether the policy asks for a log's bodies.
    pub(super) fn is_to_be_whole(&self, log: &LogId) -> bool {
        let authority = self.authorities.0.get(log);
        authority.is_none_or(|authority| {
            self.following.follow.policy_of(authority.region()) == FollowPolicy::Full
        })
    }

    /// Nobody has the bodies of a log's last headers: it ends where they do.
    pub(super) fn give_up_headers(&mut self, log: LogId, history: &dyn History) {
        let rows = self.layers(history);
        if let Some((row, headers)) = rows.log(&log).zip(rows.headers(&log)) {
            self.forget_headers(log, row.seq, &headers, history);
            self.as_of(log, &row);
            self.moved.insert(log, None);
        }
    }

    /// An epoch is folded from another beginning than its headers stand on: they say nothing any more.
    pub(super) fn settle_beginning(&mut self, vertex: &VerifiedVertex, history: &dyn History) {
        let (rows, h) = (self.layers(history), &vertex.header.header);
        let other = rows.epoch(&h.log, h.epoch);
        let first = vertex.entries.iter().flatten().next();
        let begins = first.is_some_and(|entry| entry.kind == Kind::EpochStart);
        if begins
            && other.is_some_and(|other| other.id != vertex.id())
            && let Some(headers) = rows.headers(&h.log)
        {
            self.forget_headers(h.log, h.seq - 1, &headers, history);
        }
    }

    /// Who signs and decides is what the log's row says.
    fn as_of(&mut self, log: LogId, row: &LogRow) {
        if let Some(known) = self.authorities.0.get(&log) {
            let there = Arc::new(known.until(row.epoch, row.charter));
            self.authorities.0.insert(log, there);
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

    /// A log stands still: beyond the last position that counts its headers say nothing, and up to there it is followed whole.
    /// Before it stood at `stood`: up to there headers may have been kept for their bodies.
    pub(super) fn cut_headers(
        &mut self,
        log: LogId,
        cut: u64,
        stood: Option<u64>,
        history: &dyn History,
    ) {
        self.following.whole.insert(log);
        self.following.lacking.remove(&log);
        if let Some((row, stood)) = self.layers(history).log(&log).zip(stood) {
            self.drop_positions(log, row.epoch, cut.max(row.seq) + 1..=stood, history);
        }
        let rows = self.layers(history);
        let Some(headers) = rows.headers(&log) else {
            return;
        };
        let row = rows.log(&log).expect("it was frozen");
        self.forget_headers(log, cut.max(row.seq), &headers, history);
        self.as_of(log, &row);
    }

    /// The authority under which the next vertex of a log is folded: what is known may have gone on with its headers.
    pub(super) fn as_folded(
        &self,
        known: &Arc<Authority>,
        h: &Header,
        history: &dyn History,
    ) -> Arc<Authority> {
        let rows = self.layers(history);
        match rows.log(&h.log).filter(|_| rows.headers(&h.log).is_some()) {
            Some(row) => Arc::new(known.until(h.epoch, row.charter)),
            None => Arc::clone(known),
        }
    }

    /// Whether a missing vertex's body is lacking behind its header: it is asked for with the others of its log.
    pub(super) fn comes_in_a_range(&self, id: &BlockId, history: &dyn History) -> bool {
        let vertex = self.layers(history).vertex(id);
        vertex.is_some_and(|vertex| self.following.lacking.contains(&vertex.log))
    }

    /// Whether a vertex of which something is stored is still to be folded.
    pub(super) fn is_unfolded(&self, header: &SignedHeader, row: &LogRow) -> bool {
        let h = &header.header;
        let counts = row.frozen.is_none_or(|frozen| h.seq <= frozen.cut());
        (h.epoch, h.seq) > (row.epoch, row.seq) && counts && !self.refused.contains(&header.id)
    }
}

/// H(body) of the charter in force at this head.
fn in_force(head: &LogRow, authority: &Authority) -> Digest {
    head.charter.unwrap_or(authority.charter_hash)
}

fn position_key(h: &Header) -> Vec<u8> {
    key_of_position(&h.log, h.epoch, h.seq)
}

fn key_of_position(log: &LogId, epoch: u64, seq: u64) -> Vec<u8> {
    let position = [&log.0[..], &epoch.to_be_bytes(), &seq.to_be_bytes()];
    key(Table::Position, &position)
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
    changes.put(position_key(h), &header.id);
    changes.put(
        key(Table::Vertex, &[header.id.digest()]),
        &VertexRow {
            log: h.log,
            epoch: h.epoch,
            seq: h.seq,
            time: h.time,
            count: h.count,
            entries_root: h.entries_root,
            body: h.body,
            order,
            depth,
        },
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_region_has_its_policy() {
        let policies = [
            ("Asia/JP", FollowPolicy::Headers),
            ("Asia/JP/17", FollowPolicy::Full),
            ("Asia/JP/17/17407", FollowPolicy::Headers),
        ];
        let follow = Follow {
            policy: FollowPolicy::Full,
            policies: policies
                .map(|(prefix, policy)| (prefix.parse().unwrap(), policy))
                .into(),
        };
        let check = |region: &str, policy| {
            assert_eq!(follow.policy_of(&region.parse().unwrap()), policy);
        };
        check("Asia/JP/13/13101", FollowPolicy::Headers);
        check("Asia/JP/17/17201", FollowPolicy::Full);
        check("Asia/JP/17/17407", FollowPolicy::Headers);
        check("Europe/DE/BY/9162", FollowPolicy::Full);
        assert!(follow.has_headers());
        assert!(!Follow::default().has_headers());
    }
}
