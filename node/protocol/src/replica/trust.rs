//! What the own log says of its CAs' lists of revoked certificates: the newest that the operator put there, when they
//! are news, at most daily.

use super::{ClockQuality, Now, Replica};
use crate::amount::Timestamp;
use crate::body::{Kind, Trust};
use crate::codec;
use crate::ledger::{History, Rows as _};
use crate::vertex::{Entry, Known};

/// Least time between two `trust` entries of a log, in milliseconds: a day. A list may have half a megabyte, and every
/// follower keeps each for ever.
pub const TRUST_EVERY_MS: u64 = 24 * 60 * 60 * 1000;
/// How long a home waits with what it finds at its start, in milliseconds: a minute, so that one that is started again
/// and again hears its peers before it writes.
const AFTER_START_MS: u64 = 60 * 1000;
/// How often what could not be entered is tried again, in milliseconds: a minute. Each costs reading the lists.
const AGAIN_MS: u64 = 60 * 1000;

/// What is to be said, and when that is looked at next.
#[derive(Default)]
pub(super) struct Saying {
    body: Option<Trust>,
    next: Timestamp,
}

impl Saying {
    /// The node started.
    pub(super) fn begin(&mut self, now: Now) {
        self.next = now.time.plus_ms(AFTER_START_MS);
    }

    /// This is what the operator's files say now.
    pub(super) fn take(&mut self, body: Trust, now: Now) {
        let changed = self.body.as_ref().is_some_and(|before| *before != body);
        self.body = Some(body);
        if changed {
            self.next = now.time;
        }
    }
}

impl Replica {
    /// Enters the lists if they are news and the last entry is a day old.
    pub(super) fn enter_due_trust(&mut self, now: Now, history: &dyn History) {
        let Some(body) = &self.saying.body else {
            return;
        };
        let (rows, log) = (self.layers(history), self.home.log());
        if now.time < self.saying.next
            || now.quality == ClockQuality::Floor
            || !self.home.sequences(&rows)
            || rows.log(&log).is_none_or(|row| row.seq == 0)
        {
            return;
        }
        self.saying.next = now.time.plus_ms(AGAIN_MS);
        if let Some((said, last)) = self.last_trust(history) {
            let due = last.plus_ms(TRUST_EVERY_MS);
            if now.time < due {
                self.saying.next = due;
                return;
            }
            if !body.says_more_than(&said) {
                // Until there are others.
                self.saying.next = Timestamp(u64::MAX);
                return;
            }
        }
        let entry = Entry::home_authored(Kind::Trust, codec::encode(body));
        // What does not go in now, as into a log that is being convicted, is tried again.
        let _later = self.push(vec![(entry, Known::default())], now, history);
    }

    /// What the own log said last of its CAs' lists, and when; in the open vertex it is said now.
    fn last_trust(&self, history: &dyn History) -> Option<(Trust, Timestamp)> {
        let log = self.home.log();
        let at = self.rows_now(history).trust_entry(&log)?;
        let body = Trust::read(&self.entry_now(&at, history)?.body).ok()?;
        let rows = self.layers(history);
        let vertex = rows.vertex_at(&log, at.epoch, at.seq);
        let time = vertex.and_then(|id| rows.vertex(&id)).map(|row| row.time);
        Some((body, time.or_else(|| Some(rows.log(&log)?.time))?))
    }
}
