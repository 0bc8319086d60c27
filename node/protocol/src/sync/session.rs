//! What a node remembers of one connected peer: what it claims, what it asked for, and how much more it
//! may be sent. Credit bounds what is between two nodes; every list is bounded by the number of logs.

use std::collections::BTreeMap;

use crate::amount::Timestamp;
use crate::ids::{BlockId, LogId};
use crate::region::Region;

/// Bytes that may be on their way to a peer before it says that it stored some: four full bodies.
pub const INITIAL_CREDIT: u64 = 4 << 20;
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
    /// Arrival order, id and body of the next vertex, once looked up.
    pub head: Option<(u64, BlockId, BlockId)>,
}

/// One connected peer.
#[derive(Clone, Debug)]
pub struct Session {
    /// The peer's region, once its hello was accepted: until then nothing but hello is taken.
    pub region: Option<Region>,
    /// What it claims.
    pub claims: BTreeMap<LogId, Claim>,
    /// What it asked for.
    pub ranges: BTreeMap<LogId, Range>,
    /// Bytes that it may still be sent.
    pub credit: u64,
    /// Bytes received from it that were not credited back yet.
    pub uncredited: u64,
    /// When its frontier is compared next.
    pub next_beacon: Timestamp,
    /// Interval of the comparison, in milliseconds; doubles while a round brings nothing.
    pub beacon_interval: u64,
    /// When it was last sent a frontier: asking for more does not bring more.
    pub frontier_sent: Option<Timestamp>,
    /// The region that the whitelist names for it.
    pub expected: Option<Region>,
    /// Whether the last comparison found a difference and nothing came of it yet.
    pub unequal: bool,
}

impl Session {
    /// A session that waits for hello.
    #[must_use]
    pub const fn new(now: Timestamp) -> Self {
        Self {
            region: None,
            claims: BTreeMap::new(),
            ranges: BTreeMap::new(),
            credit: INITIAL_CREDIT,
            uncredited: 0,
            next_beacon: now,
            beacon_interval: 0,
            frontier_sent: None,
            expected: None,
            unequal: false,
        }
    }

    /// Whether hello was accepted.
    #[must_use]
    pub const fn established(&self) -> bool {
        self.region.is_some()
    }
}
