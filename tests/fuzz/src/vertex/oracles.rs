//! What has to hold of a vertex that was found valid, worked out once more from its entries and from what was there
//! before it: nothing here asks the rules.

use std::collections::{BTreeMap, BTreeSet};

use city_protocol::amount::{Amount, Timestamp};
use city_protocol::body::{Adopt, Answer, Correct, Kind, Settle, Transfer, identity};
use city_protocol::body::{PersonBody as _, Refund, read_officers_body, read_person_body};
use city_protocol::ids::{BlockId, Digest, LogId};
use city_protocol::ledger::{
    ACCEPT_DEADLINE_MS, AccountRow, Finished, LogRow, Rows as _, SILENCE_MS, Table, Totals,
    TransferState, VertexRow, position_key, read_row,
};
use city_protocol::vertex::{Cite, Entry, VerifiedVertex};

use super::oracles_others::{board, checkpoint, cited, decided, signed_by_people};
use crate::disk::Disk;

/// A vertex that was found valid, and what was there before it.
pub(super) struct Found<'a> {
    pub(super) vertex: &'a VerifiedVertex,
    pub(super) before: &'a Disk,
    pub(super) finished: &'a Finished,
    pub(super) log: LogId,
    pub(super) old: Option<LogRow>,
}

/// Everything that has to hold.
pub(super) fn sound(vertex: &VerifiedVertex, before: &Disk, finished: &Finished) {
    let log = vertex.header.header.log;
    let found = Found {
        vertex,
        before,
        finished,
        log,
        old: before.read().log(&log),
    };
    found.stands_where_nothing_stood();
    found.sums_are_those_of_the_accounts();
    found.sums_are_those_of_the_entries();
    found.each_transfer_ends_once();
    cited(&found);
    decided(&found);
    signed_by_people(&found);
    board(&found);
    checkpoint(&found);
}

impl Found<'_> {
    pub(super) fn entries(&self) -> &[Entry] {
        &self.finished.entries
    }

    /// Epoch and position of the vertex.
    pub(super) fn position(&self) -> (u64, u64) {
        (self.finished.row.epoch, self.finished.row.seq)
    }

    pub(super) fn time(&self) -> Timestamp {
        self.vertex.header.header.time
    }

    /// The next position of the log, or the first of its next epoch, where nothing stood.
    fn stands_where_nothing_stood(&self) {
        let (h, row) = (&self.vertex.header.header, &self.finished.row);
        let begins = self.entries().first().map(|entry| entry.kind) == Some(Kind::EpochStart);
        let (epoch, seq, time) = self
            .old
            .as_ref()
            .map_or((1, 0, Timestamp(0)), |old| (old.epoch, old.seq, old.time));
        let head = self.old.as_ref().map(|old| old.head);
        assert_eq!(
            (row.epoch, row.seq, row.head),
            (epoch + u64::from(begins), seq + 1, self.vertex.id())
        );
        assert_eq!((h.epoch, h.seq), (row.epoch, row.seq));
        assert!(head.is_none_or(|head| head == h.prev) && h.time >= time);
        let name = position_key(&self.log, h.epoch, h.seq);
        assert!(
            !self.before.rows.contains_key(&name),
            "a position is used once"
        );
    }

    fn sums_are_those_of_the_accounts(&self) {
        let row = &self.finished.row;
        assert!(row.totals.conserved(), "{:?}", row.totals);
        let sums = self
            .old
            .as_ref()
            .map_or(Totals::default(), |old| old.totals);
        let signed = |sum: u64| i128::from(sum);
        let (mut available, mut open) = (0, 0);
        for (key, value) in &self.finished.changes.rows {
            let value = value.as_ref().filter(|_| key[0] == Table::Account as u8);
            let Some(new) = value.map(|value| read_row::<AccountRow>(value)) else {
                continue;
            };
            assert_eq!(&key[1..33], self.log.0, "its own accounts and no others");
            let old = self.before.rows.get(key);
            let old = old.map(|old| read_row::<AccountRow>(old));
            let of_old = |take: fn(&AccountRow) -> Amount| {
                old.as_ref().map_or(0, |old| take(old).hundredths())
            };
            available += signed(new.available.hundredths()) - signed(of_old(|row| row.available));
            open += signed(new.open_out.hundredths()) - signed(of_old(|row| row.open_out));
            assert!(
                old.as_ref()
                    .is_none_or(|old| old.next_sequence <= new.next_sequence)
            );
            let same = old.is_none_or(|old| old.key == new.key);
            assert!(
                same || self.has(&[Kind::Rotate, Kind::Recover]),
                "a key stays"
            );
        }
        let moved = |new: u64, old: u64| signed(new) - signed(old);
        assert_eq!(available, moved(row.totals.available, sums.available));
        assert_eq!(open, moved(row.totals.open_out, sums.open_out));
    }

    pub(super) fn has(&self, kinds: &[Kind]) -> bool {
        self.entries()
            .iter()
            .any(|entry| kinds.contains(&entry.kind))
    }

    /// Each entry moves what its kind says, and nothing else moves.
    fn sums_are_those_of_the_entries(&self) {
        let mut sums = self
            .old
            .as_ref()
            .map_or(Totals::default(), |old| old.totals);
        for entry in self.entries() {
            let amount = amount(entry);
            match entry.kind {
                Kind::Grant => {
                    sums.granted += amount;
                    sums.available += amount;
                }
                Kind::Ungrant => {
                    sums.ungranted += amount;
                    sums.available -= amount;
                }
                Kind::Transfer => {
                    sums.available -= amount;
                    sums.open_out += amount;
                }
                Kind::Accept => {
                    sums.accepted_in += amount;
                    sums.available += amount;
                }
                Kind::Settle => {
                    sums.open_out -= amount;
                    sums.settled_out += amount;
                }
                Kind::Refund => {
                    sums.open_out -= amount;
                    sums.available += amount;
                }
                Kind::Correct if corrected(entry).is_some() => {
                    sums.open_out -= amount;
                    sums.available += amount;
                }
                Kind::Correct => {
                    sums.shortfall -= amount;
                    sums.available -= amount;
                }
                Kind::Adopt => match lost_kind(entry) {
                    Kind::Transfer => {
                        let short = entry.booked.shortfall.map_or(0, Amount::hundredths);
                        sums.settled_out += amount;
                        sums.shortfall += short;
                        sums.available -= amount - short;
                    }
                    Kind::Accept => {
                        sums.accepted_in += amount;
                        sums.available += amount;
                    }
                    _ => {}
                },
                _ => {}
            }
        }
        assert_eq!(
            self.finished.row.totals, sums,
            "nothing moved but what is written"
        );
    }

    /// One answer to a transfer and one end of it: neither there before, nor twice in the vertex, nor too late, nor to
    /// another transfer than was sent.
    fn each_transfer_ends_once(&self) {
        let rows = self.before.read();
        let (mut answered, mut ended) = (BTreeSet::new(), BTreeSet::new());
        let mut sent: BTreeMap<Digest, u64> = BTreeMap::new();
        for entry in self.entries() {
            let amount = amount(entry);
            match entry.kind {
                Kind::Transfer => {
                    let id = identity(Transfer::TAG, &entry.body);
                    assert!(rows.transfer(&self.log, &id).is_none(), "sent twice");
                    assert!(sent.insert(id, amount).is_none(), "sent twice");
                }
                Kind::Accept | Kind::Reject => {
                    let answer = Answer::read(entry.kind, &entry.body).expect("it is valid");
                    let once = rows.answer(&self.log, &answer.transfer).is_none();
                    assert!(once && answered.insert(answer.transfer), "answered twice");
                    self.answers_in_time(entry, &answer, &sent);
                }
                Kind::Settle | Kind::Refund | Kind::Correct => {
                    let Some(id) = ends(entry) else { continue };
                    let there = rows.transfer(&self.log, &id);
                    let there = there.filter(|row| row.state == TransferState::Open);
                    let row = there.as_ref().map(|row| row.amount.hundredths());
                    let open = row.or_else(|| sent.get(&id).copied());
                    assert_eq!(open, Some(amount), "what ends was open");
                    assert!(ended.insert(id), "ended twice");
                    if entry.kind == Kind::Correct {
                        let sent = there.and_then(|row| {
                            let id = rows.vertex_at(&self.log, row.at.epoch, row.at.seq)?;
                            Some(rows.vertex(&id)?.time)
                        });
                        let last = sent.expect("sent long ago").plus_ms(ACCEPT_DEADLINE_MS);
                        assert!(self.time() > last.plus_ms(SILENCE_MS), "silent too short");
                    }
                }
                Kind::Adopt => {
                    let id = ends(entry).expect("it names one");
                    let free = match lost_kind(entry) {
                        Kind::Transfer => {
                            rows.transfer(&self.log, &id).is_none() && ended.insert(id)
                        }
                        _ => rows.answer(&self.log, &id).is_none() && answered.insert(id),
                    };
                    assert!(free, "adopted twice");
                }
                _ => {}
            }
        }
    }

    /// What an answer rests on is the transfer that it names, sent to this home; an acceptance is not late.
    fn answers_in_time(&self, entry: &Entry, answer: &Answer, sent: &BTreeMap<Digest, u64>) {
        let rows = self.before.read();
        let sent_at = match entry.cites.as_slice() {
            [Cite::Entry(cite)] => {
                let transfer: Transfer = read_person_body(&cite.body).expect("a transfer");
                assert_eq!(identity(Transfer::TAG, &cite.body), answer.transfer);
                assert_eq!(transfer.receiver_home, self.log, "sent to somebody else");
                assert_eq!(transfer.amount, answer.amount, "another amount");
                rows.vertex(&cite.vertex).map(|row| row.time)
            }
            [Cite::Own(at)] => {
                let here = rows.vertex_at(&self.log, at.epoch, at.seq);
                let row = rows.transfer(&self.log, &answer.transfer);
                let amount = row.map(|row| row.amount.hundredths());
                let amount = amount.or_else(|| sent.get(&answer.transfer).copied());
                assert_eq!(amount, Some(answer.amount.hundredths()), "another amount");
                here.and_then(|id| rows.vertex(&id)).map(|row| row.time)
            }
            other => panic!("an answer rests on its transfer, not on {other:?}"),
        };
        let late = |sent: Timestamp| self.time() > sent.plus_ms(ACCEPT_DEADLINE_MS);
        assert!(
            !answer.accepts || !sent_at.is_some_and(late),
            "taken too late"
        );
    }

    /// A vertex that the log has, or had, before this one.
    pub(super) fn vertex_row(&self, id: &BlockId) -> Option<VertexRow> {
        self.before.read().vertex(id)
    }
}

/// What an entry moves, in hundredths.
fn amount(entry: &Entry) -> u64 {
    let amount = match entry.kind {
        Kind::Settle => Settle::read(&entry.body).ok().map(|body| body.amount),
        Kind::Refund => Refund::read(&entry.body).ok().map(|body| body.amount),
        Kind::Adopt => Adopt::read(&entry.body).ok().map(|body| body.amount),
        Kind::Accept => Answer::read(entry.kind, &entry.body)
            .ok()
            .map(|body| body.amount),
        Kind::Grant | Kind::Ungrant | Kind::Correct | Kind::Transfer => {
            let body: serde_json::Value = serde_json::from_slice(&entry.body).expect("it is valid");
            body["amount"].as_str().and_then(|text| text.parse().ok())
        }
        _ => return 0,
    };
    amount.expect("it is valid").hundredths()
}

fn corrected(entry: &Entry) -> Option<Digest> {
    read_officers_body::<Correct>(&entry.body).ok()?.transfer
}

/// The transfer that an entry ends.
fn ends(entry: &Entry) -> Option<Digest> {
    match entry.kind {
        Kind::Settle => Some(Settle::read(&entry.body).ok()?.transfer),
        Kind::Refund => Some(Refund::read(&entry.body).ok()?.transfer),
        Kind::Adopt => Some(Adopt::read(&entry.body).ok()?.transfer),
        _ => corrected(entry),
    }
}

/// What kind of entry was lost that this one adopts.
pub(super) fn lost_kind(entry: &Entry) -> Kind {
    match entry.cites.first() {
        Some(Cite::Entry(lost)) => lost.kind,
        other => panic!("an adoption rests on what was lost, not on {other:?}"),
    }
}
