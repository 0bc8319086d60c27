//! What everybody knows of each home, its charters, its board and its checkpoints, beside what the model says that they know.

use std::collections::BTreeMap;

use city_protocol::checkpoint::{Checkpoint, Leaf, verify_snapshot};
use city_protocol::crypto::PublicKey;
use city_protocol::ids::{BlockId, Digest};
use city_protocol::ledger::{
    AccountRow, CheckpointRow, History, NoteFound, Rows as _, Table, key, note_of, notes_of,
    read_row,
};
use city_protocol::vertex::{KeySource as _, SignedHeader};

use super::board::{Note, Text};
use super::charters::Charter;
use super::checkpoints::State;
use super::spec::Ledger;
use super::town::Town;
use crate::disk::Disk;
use crate::world::{HAKUSAN, KANAZAWA, KOMATSU};

impl Town {
    /// Everybody knows who decides, of how many.
    pub(super) fn compare_charters(&self, ledger: &Ledger) {
        for (reader, home) in everybody() {
            let log = self.log(home);
            let known = self.world.homes[reader]
                .replica
                .authorities()
                .authority(&log);
            let known = known.unwrap();
            let charters = &ledger.known_to(reader, home).charters;
            let row = self.world.homes[reader].row(&log);
            let number = known.charter_number();
            assert_eq!(number, charters.len() as u64, "{reader} of {home}");
            let named = self.charters[home][charters.len() - 1];
            assert_eq!(row.charter.unwrap_or(known.charter_hash), named);
            let Charter { k, officers } = &charters[charters.len() - 1];
            let keys = officers.iter().map(|who| self.officer(*who).public().id());
            let found = known.officers().iter().map(PublicKey::id);
            assert_eq!(known.board().k(), *k as u64);
            assert!(keys.eq(found), "{reader} of {home}");
        }
    }

    /// Every home reads what the model says, key by key and in the list.
    pub(super) fn compare_boards(&self, ledger: &Ledger) {
        let logs = [KANAZAWA, KOMATSU].map(|home| self.log(home));
        for reader in [KANAZAWA, KOMATSU, HAKUSAN] {
            let disk = &self.world.homes[reader].disk;
            let history: &dyn History = disk.read();
            let read = |found: &NoteFound| {
                let home = logs.iter().position(|log| *log == found.log).unwrap();
                let text = found.value(history).map(|value| text_of(&value));
                assert_eq!(text.is_none(), found.row.gone);
                (home, text)
            };
            let expected = ledger.board_of(reader, |notes| {
                let way = |home: usize| {
                    let vertex = self.notes[home][notes[home]];
                    let way = longest_way(disk, vertex, &mut self.ways.borrow_mut());
                    (way, logs[home])
                };
                usize::from(way(KOMATSU) > way(KANAZAWA))
            });
            let words = |(home, Note { text, .. }): (usize, Note)| (home, text);
            let expected = expected.into_iter().map(|(key, note)| (key, words(note)));
            let expected: Vec<_> = expected.collect();
            let (found, more) = notes_of(history, &logs, "", "", 1000);
            assert!(!more);
            let found = found.iter();
            let found = found.map(|note| (note.row.key.as_str().to_owned(), read(note)));
            assert_eq!(found.collect::<Vec<_>>(), expected, "what {reader} reads");
            for (key, note) in &expected {
                let found = note_of(history, &logs, key);
                assert_eq!(found.map(|found| read(&found)).as_ref(), Some(note));
            }
        }
    }

    /// Everybody who has a home's newest checkpoint finds the state under it that the model says.
    pub(super) fn compare_checkpoints(&self, ledger: &Ledger) {
        for (reader, home) in everybody() {
            let found = self.newest_checkpoint(reader, home);
            let expected = &ledger.known_to(reader, home).checkpoint;
            assert_eq!(&found, expected, "what {reader} has of {home}");
        }
    }

    /// The state under a home's newest checkpoint, as a reader's blocks have it.
    fn newest_checkpoint(&self, reader: usize, home: usize) -> Option<State> {
        let (disk, log) = (&self.world.homes[reader].disk, self.log(home));
        let history = disk.read();
        let rows = history.rows(&key(Table::Checkpoint, &[&log.0]), None, 1000);
        let row: CheckpointRow = read_row(&rows.last()?.1);
        let body = history.entry(&log, &row.at).unwrap().body;
        let checkpoint = Checkpoint::read(&body).unwrap();
        let mut state = State::default();
        let look = |leaf: &Leaf| self.put(&mut state, home, leaf);
        verify_snapshot(&checkpoint, |id| history.block(id), look).unwrap();
        assert_eq!(
            (row.time.0, row.snapshot),
            (state.time, checkpoint.snapshot)
        );
        Some(state)
    }

    /// A leaf of a home's state in the model's words.
    fn put(&self, state: &mut State, home: usize, leaf: &Leaf) {
        let transfer = |id: &Digest| {
            let mut sent = self.sent.iter();
            sent.position(|sent| sent.identity == *id).unwrap()
        };
        match leaf {
            Leaf::Log(log) => {
                let sums = log.sums;
                state.time = log.time.0;
                state.epoch = log.epoch;
                state.officers_used = log.officers_sequence;
                state.sums = [
                    sums.granted,
                    sums.ungranted,
                    sums.shortfall,
                    sums.available,
                    sums.open_out,
                    sums.settled_out,
                    sums.accepted_in,
                ];
            }
            Leaf::Account(leaf) => {
                let mut people = self.people.iter();
                let who = people.position(|person| person.account == leaf.account);
                let row = AccountRow::from(leaf);
                let account = self.account_in_words(who.unwrap(), &row);
                state.accounts.insert(who.unwrap(), account);
            }
            Leaf::Key(leaf) => {
                state.later_keys.insert(self.key_in_words(&leaf.key));
            }
            Leaf::Transfer(leaf) => {
                let amount = leaf.amount.hundredths();
                state.open.insert(transfer(&leaf.transfer), amount);
            }
            Leaf::Answer(leaf) => {
                state
                    .answers
                    .insert(transfer(&leaf.transfer), leaf.rejected);
            }
            Leaf::Clearing(leaf) => {
                assert_eq!(leaf.log, self.log(1 - home));
                state.clearing = [leaf.accepted, leaf.settled];
            }
            Leaf::Note(leaf) => {
                let bytes = usize::try_from(leaf.bytes).unwrap();
                let key = leaf.key.as_str().to_owned();
                state.notes.insert(key, (!leaf.gone).then_some(bytes));
            }
            Leaf::Charter(leaf) => {
                let mut charters = self.charters[home].iter();
                let number = charters.position(|named| *named == leaf.charter);
                state.later_charters.insert(1 + number.unwrap());
            }
            Leaf::Fault(leaf) => {
                let (accused, epoch) = (1 - home, leaf.epoch);
                assert_eq!(leaf.log, self.log(accused));
                assert_eq!(self.cuts.get(&(accused, epoch)), Some(&leaf.cut));
                state.faults.insert(epoch);
            }
            // The log's leaf names the newest.
            Leaf::Epoch(leaf) => assert!(leaf.epoch <= state.epoch),
        }
    }
}

/// Everybody, with each home of which they know something.
fn everybody() -> impl Iterator<Item = (usize, usize)> {
    [KANAZAWA, KOMATSU, HAKUSAN]
        .into_iter()
        .flat_map(|reader| [(reader, KANAZAWA), (reader, KOMATSU)])
}

/// How many vertices the longest way back from one has, itself among them: counted from the headers alone.
fn longest_way(disk: &Disk, vertex: BlockId, known: &mut BTreeMap<BlockId, u64>) -> u64 {
    if let Some(way) = known.get(&vertex) {
        return *way;
    }
    let Some(block) = disk.blocks.get(&vertex) else {
        return 0; // The genesis record.
    };
    let header = SignedHeader::read(block).unwrap().header;
    let before = std::iter::once(header.prev).chain(header.parents);
    let longest = before.map(|vertex| longest_way(disk, vertex, known)).max();
    let way = 1 + longest.unwrap();
    known.insert(vertex, way);
    way
}

/// A note's value in the model's words.
fn text_of(value: &[u8]) -> Text {
    let number = value
        .first_chunk()
        .map_or(0, |first| u64::from_be_bytes(*first));
    let filled = value.iter().skip(8).all(|byte| *byte == 7);
    assert!(filled && (value.is_empty() || value.len() >= 8));
    Text {
        number,
        bytes: value.len(),
    }
}
