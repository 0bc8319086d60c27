//! What a home says of itself, and everybody hears with the next post: its charters, its board, its newest checkpoint.

use std::collections::BTreeSet;

use super::board::Board;
use super::charters::Charter;
use super::checkpoints::State;
use super::spec::Ledger;

/// One home's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Published {
    /// Its epoch, from 1.
    pub(crate) epoch: u64,
    /// The epochs of the other home in which it was convicted, as this one has entered it.
    pub(crate) faults: BTreeSet<u64>,
    /// Its charters, the one in force last.
    pub(crate) charters: Vec<Charter>,
    /// What it said last under each key of the board.
    pub(crate) board: Board,
    /// How many notes it has written.
    pub(crate) notes: usize,
    /// The state of its newest checkpoint.
    pub(crate) checkpoint: Option<State>,
}

impl Published {
    /// What everybody knows of a home at first.
    pub(super) fn of(home: usize) -> Self {
        Self {
            epoch: 1,
            charters: vec![Charter::of(home)],
            ..Self::default()
        }
    }
}

impl Ledger {
    /// What somebody knows of a home: 0 and 1 are the homes themselves, 2 is neither.
    pub(crate) fn known_to(&self, reader: usize, home: usize) -> &Published {
        if reader == home {
            &self.says[home]
        } else {
            &self.told[home]
        }
    }
}
