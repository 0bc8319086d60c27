//! Where a log ends that has headers behind what is folded of it: as bodies come, as it is cut, and where nobody has them. What stands
//! beyond is taken out of the index with all that was read from it.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::Replica;
use crate::body::Kind;
use crate::ids::LogId;
use crate::ledger::{HeadersRow, History, LogRow, Rows, Table, key, position_key};
use crate::vertex::{Authority, Header, SignedHeader, VerifiedVertex};

/// Rows read at once.
const PAGE: usize = 1024;

impl Replica {
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
        for epoch in folded + 1..=headers.epoch {
            let name = key(Table::Epoch, &[&log.0, &epoch.to_be_bytes()]);
            self.batch.delete(name);
        }
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
            let last = position_key(&log, epoch, high);
            let mut after = position_key(&log, epoch, low - 1);
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

    /// Whether a vertex of which something is stored is still to be folded.
    pub(super) fn is_unfolded(&self, header: &SignedHeader, row: &LogRow) -> bool {
        let h = &header.header;
        let counts = row.frozen.is_none_or(|frozen| h.seq <= frozen.cut());
        (h.epoch, h.seq) > (row.epoch, row.seq) && counts && !self.refused.contains(&header.id)
    }
}
