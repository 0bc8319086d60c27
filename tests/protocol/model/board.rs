//! What homes write on the board that all of them share: who may write where, how long it may be, and whose word counts.

use std::collections::BTreeMap;

use city_protocol::refusal::Refusal::{self, *};

use super::spec::{Ledger, first};
use super::words::Verdict;

/// The municipalities' names, below which each writes alone.
pub(crate) const REGIONS: [&str; 2] = ["Asia/JP/17/17201", "Asia/JP/17/17203"];
/// Longest value, in bytes.
pub(super) const LONGEST: usize = 64 * 1024;

/// What stands under a key: a number, and how many bytes of it there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) number: u64,
    pub(crate) bytes: usize,
}

/// What one home said last under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    /// Nothing: it is deleted.
    pub(crate) text: Option<Text>,
    /// Which of its home's notes it is, from 0.
    pub(crate) nth: usize,
    /// How many of the other home's its writer had heard of.
    knew: usize,
}

/// What one home said last under each key.
pub(crate) type Board = BTreeMap<String, Note>;

impl Ledger {
    /// A home writes below its own name, or where everybody may, as much as a note holds. The same again is said again.
    pub(super) fn note(
        &mut self,
        at: usize,
        key: &str,
        text: Option<Text>,
    ) -> Result<Verdict, Refusal> {
        let own = key.strip_prefix(REGIONS[at]);
        let below = own.and_then(|rest| rest.strip_prefix('/'));
        let may = !key.contains('/') || below.is_some_and(|rest| !rest.is_empty());
        first([
            (text.is_some_and(|text| text.bytes > LONGEST), TooLarge),
            (self.stopped[at], NotSequencing),
            (!may, NoteKey),
        ])?;
        let (nth, knew) = (self.says[at].notes, self.told[1 - at].notes);
        let says = &mut self.says[at];
        says.board.insert(key.into(), Note { text, nth, knew });
        says.notes += 1;
        Ok(Verdict::Booked(None))
    }

    /// What a reader finds under each key, and who wrote it: what was written by whoever knew of the other's word, and of
    /// two that did not know of each other what has the longer way behind it. 0 and 1 read at the homes, 2 elsewhere.
    pub(crate) fn board_of(
        &self,
        reader: usize,
        longer: impl Fn([usize; 2]) -> usize,
    ) -> BTreeMap<String, (usize, Note)> {
        let boards = [0, 1].map(|home| &self.known_to(reader, home).board);
        let mut found = BTreeMap::new();
        for key in boards[0].keys().chain(boards[1].keys()) {
            let counts = match boards.map(|board| board.get(key)) {
                [Some(a), Some(b)] if b.knew > a.nth => (1, *b),
                [Some(a), Some(b)] if a.knew > b.nth => (0, *a),
                [Some(a), Some(b)] => {
                    let home = longer([a.nth, b.nth]);
                    (home, [*a, *b][home])
                }
                [Some(a), None] => (0, *a),
                [None, b] => (1, *b.expect("in one of both")),
            };
            found.insert(key.clone(), counts);
        }
        found
    }
}
