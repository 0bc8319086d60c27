//! What a node remembers of one connected peer: what it claims, what it asked for, and how much more it
//! may be sent. Credit bounds what is between two nodes; every list is bounded by the number of logs.

use std::collections::{BTreeMap, BTreeSet};

use crate::amount::Timestamp;
use crate::ids::{BlockId, LogId};
use crate::region::Region;

/// Bytes that may be on their way to a peer before it says that it stored some: four full bodies.
pub const INITIAL_CREDIT: u64 = 4 << 20;
/// The same of a peer that may only read: 16 seconds of what such a peer is sent by default (64 KiB/s), half of what it waits for a
/// range. No less, because credit is given back in steps of that many bytes.
pub const READER_CREDIT: u64 = 1 << 20;
/// Most ranges that a peer may ask for at once: one a log of the largest network foreseen.
pub const MAX_RANGES: usize = 4096;

/// Which stream a message takes: live traffic never waits behind backfill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// Control and backfill.
    Sync,
    /// New heads and fault proofs.
    Live,
}

/// What a peer says it has of a log. A hint until the signed header arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Epoch.
    pub epoch: u64,
    /// Position.
    pub seq: u64,
    /// Whether the peer knows the log to be forked: then this is the cut.
    pub forked: bool,
}

/// A range that a peer asked for and has not been sent yet.
#[derive(Clone, Debug)]
pub struct Range {
    /// Epoch.
    pub epoch: u64,
    /// Next position to send.
    pub next: u64,
    /// Last position to send.
    pub to: u64,
    /// Whether it was asked for on the live stream.
    pub live: bool,
    /// Whether only headers were asked for.
    pub headers: bool,
    /// Arrival order, id and body of the next vertex, once looked up.
    pub head: Option<(u64, BlockId, BlockId)>,
}

/// A peer that had the same of every log when both were compared, and what of that is not certain any more.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// Epoch and position up to which it has this node's own log, or has it on its way on the live stream.
    pub own: (u64, u64),
    /// Logs whose news were announced to it since: what it lacks of them it asks for, and it has not shown yet that it has it.
    pub told: BTreeSet<LogId>,
}

/// One connected peer.
#[derive(Clone, Debug)]
pub struct Session {
    /// The peer's region, once its hello was accepted: until then nothing but hello is taken.
    pub region: Option<Region>,
    /// The node certificate of its hello and its intermediates, DER: judged again when other lists come.
    pub announced: Option<(Vec<u8>, Vec<Vec<u8>>)>,
    /// What it claims.
    pub claims: BTreeMap<LogId, Claim>,
    /// What it asked for.
    pub ranges: BTreeMap<LogId, Range>,
    /// Bytes that it may still be sent. Below zero after a vertex that was longer than what was left: that is owed,
    /// or else what is on its way would grow with every round.
    pub credit: i64,
    /// Bytes received from it that were not credited back yet.
    pub uncredited: u64,
    /// When its frontier is compared next.
    pub next_beacon: Timestamp,
    /// Interval of the comparison, in milliseconds; doubles while a round brings nothing.
    pub beacon_interval: u64,
    /// When it was last sent a frontier: asking for more does not bring more.
    pub frontier_sent: Option<Timestamp>,
    /// When its frontier was last answered.
    pub difference_sent: Option<Timestamp>,
    /// When it was last sent a beacon.
    pub beacon_sent: Option<Timestamp>,
    /// The region that the whitelist names for it.
    pub expected: Option<Region>,
    /// Whether the last comparison found a difference and nothing came of it yet.
    pub unequal: bool,
    /// How often it was asked for what it claims and another was asked instead, because it brought nothing.
    pub idle: u32,
    /// Logs that it follows whole, if it does not so with all: of others it is sent no vertices unasked.
    pub follows: Option<BTreeSet<LogId>>,
    /// Logs of which it answered with headers where bodies were asked for; no more than this node knows.
    pub bodiless: BTreeSet<LogId>,
    /// When its frontier was compared last, and whether it was equal.
    pub compared: Option<(Timestamp, bool)>,
    /// Whether it is in step, and how far that is certain.
    pub step: Option<Step>,
    /// Whether it was compared again before its time, because everything had come.
    pub hastened: bool,
    /// Whether it may only read: nothing is asked of it, and nothing that it says counts.
    pub reads_only: bool,
    /// Whether this node may only read there, as its hello says.
    pub only_read_at: bool,
}

impl Session {
    /// A session that waits for hello.
    #[must_use]
    pub const fn new(now: Timestamp) -> Self {
        Self {
            region: None,
            announced: None,
            claims: BTreeMap::new(),
            ranges: BTreeMap::new(),
            credit: INITIAL_CREDIT.cast_signed(),
            uncredited: 0,
            next_beacon: now,
            beacon_interval: 0,
            frontier_sent: None,
            difference_sent: None,
            beacon_sent: None,
            expected: None,
            unequal: false,
            idle: 0,
            follows: None,
            bodiless: BTreeSet::new(),
            compared: None,
            step: None,
            hastened: false,
            reads_only: false,
            only_read_at: false,
        }
    }

    /// The same of a peer that may only read.
    #[must_use]
    pub const fn of_reader(now: Timestamp) -> Self {
        let mut session = Self::new(now);
        session.reads_only = true;
        session.credit = READER_CREDIT.cast_signed();
        session
    }

    /// Takes a vertex of these two blocks, or a header with nothing, from the credit.
    pub const fn spend(&mut self, header: &[u8], body: &[u8]) {
        self.credit -= (header.len() + body.len()) as i64;
    }

    /// The next vertex of a log's range was sent; gives its epoch and position.
    pub fn served(&mut self, log: &LogId) -> Option<(u64, u64)> {
        let range = self.ranges.get_mut(log)?;
        let at = (range.epoch, range.next);
        range.next += 1;
        range.head = None;
        if range.next > range.to {
            self.ranges.remove(log);
        }
        Some(at)
    }

    /// Whether it follows a log whole, as far as it said.
    #[must_use]
    pub fn follows_whole(&self, log: &LogId) -> bool {
        let follows = self.follows.as_ref();
        follows.is_none_or(|follows| follows.contains(log))
    }

    /// It has all that this node has of a log, or has it on its way on the live stream.
    pub fn has(&mut self, log: &LogId) {
        if let Some(step) = &mut self.step {
            step.told.remove(log);
        }
    }

    /// The same of this node's own log, up to here.
    pub fn has_own(&mut self, at: (u64, u64)) {
        if let Some(step) = &mut self.step {
            step.own = step.own.max(at);
        }
    }

    /// It is told of news of a log, and asks for them if it lacks them.
    pub fn tell(&mut self, log: LogId) {
        if let Some(step) = &mut self.step {
            step.told.insert(log);
        }
    }

    /// The peer stored so many bytes. It cannot be owed more than at the beginning, whatever it says.
    pub fn refund(&mut self, bytes: u64) {
        let bytes = bytes.min(2 * INITIAL_CREDIT).cast_signed();
        let most = if self.reads_only {
            READER_CREDIT
        } else {
            INITIAL_CREDIT
        };
        self.credit = (self.credit + bytes).min(most.cast_signed());
    }

    /// Whether it may be asked for what it has: its hello was accepted, and it does not only read.
    #[must_use]
    pub const fn gives(&self) -> bool {
        self.established() && !self.reads_only
    }

    /// Whether hello was accepted.
    #[must_use]
    pub const fn established(&self) -> bool {
        self.region.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_its_way_stays_within_the_credit_and_one_vertex() {
        let (header, body) = (vec![0; 5_000], vec![0; 900_000]);
        let size = (header.len() + body.len()) as u64;
        let mut session = Session::new(Timestamp(0));
        let mut on_its_way = 0;
        for _ in 0..100 {
            while session.credit > 0 {
                session.spend(&header, &body);
                on_its_way += size;
            }
            assert!(on_its_way <= INITIAL_CREDIT + size, "{on_its_way}");
            session.refund(2 * size);
            on_its_way -= 2 * size;
        }
        session.refund(u64::MAX);
        assert_eq!(session.credit, INITIAL_CREDIT.cast_signed());
        // Whoever only reads has 16 seconds' worth, whatever it says.
        let mut reader = Session::of_reader(Timestamp(0));
        assert_eq!(reader.credit, READER_CREDIT.cast_signed());
        reader.spend(&header, &[]);
        reader.refund(u64::MAX);
        assert_eq!(reader.credit, READER_CREDIT.cast_signed());
    }
}
