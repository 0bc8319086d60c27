//! How final an entry is (DESIGN §6.7): `sequenced`, then `witnessed` by so many municipalities, then `settled`.
//!
//! A log is witnessed by another where that one's vertices name a vertex of it as a parent or cite it, and so is all
//! that stands below. What a parent's own parents witness is not counted for the log that names the parent: the number
//! shown is a lower bound.

use std::fmt;

use super::rows::{Table, TransferRow, TransferState, WitnessRow, key};
use super::view::{History, read_row};
use crate::ids::LogId;

/// Most witnesses that are counted: one row each is read, and nobody trusts the next one more.
pub const MAX_WITNESSES_COUNTED: usize = 4096;

/// How final an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Finality {
    /// Its home signed its place in the log; only that home could still deny it.
    Sequenced,
    /// It is an ancestor of later vertices of so many other municipalities: to deny it, its home would convict itself.
    Witnessed(u64),
    /// A transfer that is closed: settled, or given back.
    Settled,
}

impl Finality {
    /// That of what stands at a position (epoch and seq) of a log.
    #[must_use]
    pub fn at(history: &dyn History, log: &LogId, position: (u64, u64)) -> Self {
        match witnesses_of(history, log, position) {
            0 => Self::Sequenced,
            n => Self::Witnessed(n),
        }
    }

    /// That of a transfer in its sender's log.
    #[must_use]
    pub fn of_transfer(history: &dyn History, log: &LogId, row: &TransferRow) -> Self {
        match row.state {
            TransferState::Open => Self::at(history, log, (row.at.epoch, row.at.seq)),
            TransferState::Settled | TransferState::Refunded => Self::Settled,
        }
    }

    /// The stable code, as programs read it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Sequenced => "sequenced",
            Self::Witnessed(_) => "witnessed",
            Self::Settled => "settled",
        }
    }
}

impl fmt::Display for Finality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Witnessed(n) => write!(f, "witnessed by {n}"),
            _ => f.write_str(self.code()),
        }
    }
}

/// How many other municipalities witness what stands at a position (epoch and seq) of a log.
#[must_use]
pub fn witnesses_of(history: &dyn History, log: &LogId, position: (u64, u64)) -> u64 {
    let rows = history.rows(&key(Table::Witness, &[&log.0]), None, MAX_WITNESSES_COUNTED);
    let reaches = |row: &WitnessRow| row.position() >= position;
    let witnesses = rows.iter().map(|(_, row)| read_row(row)).filter(reaches);
    witnesses.count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finality_has_a_code_and_words() {
        let check = |finality: Finality, code, words| {
            assert_eq!((finality.code(), &*finality.to_string()), (code, words));
        };
        check(Finality::Sequenced, "sequenced", "sequenced");
        check(Finality::Witnessed(2), "witnessed", "witnessed by 2");
        check(Finality::Settled, "settled", "settled");
    }
}
