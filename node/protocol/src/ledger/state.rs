//! How far a transfer has come, in people's words (DESIGN §6.7). One place for the names: every page, listing and
//! statement takes them from here.

use std::fmt;
use std::str::FromStr;

use super::rows::{AnswerRow, TransferState};
use crate::refusal::Refusal;

/// A transfer's state for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeopleState {
    /// Its sender's home has it; its receiver has not answered.
    Pending,
    /// The receiver has accepted it; the sender's home has not closed it yet.
    Received,
    /// Accepted and settled.
    Complete,
    /// The receiver, or the receiver's home, said no; the sender has it back, or will.
    Rejected,
    /// Nobody answered before the deadline; the sender has it back.
    Expired,
}

impl PeopleState {
    /// All of them, in the order of a transfer's life.
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::Received,
        Self::Complete,
        Self::Rejected,
        Self::Expired,
    ];

    /// The state of a transfer by what its sender's log says, and the answer in its receiver's, if one is known here.
    #[must_use]
    pub const fn of(row: TransferState, answer: Option<&AnswerRow>) -> Self {
        match (row, answer) {
            (TransferState::Settled, _) => Self::Complete,
            (_, Some(answer)) if answer.rejected => Self::Rejected,
            (TransferState::Refunded, _) => Self::Expired,
            (TransferState::Open, Some(_)) => Self::Received,
            (TransferState::Open, None) => Self::Pending,
        }
    }

    /// The stable code, as programs read it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Received => "received",
            Self::Complete => "complete",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
        }
    }

    /// In Japanese.
    #[must_use]
    pub const fn ja(self) -> &'static str {
        match self {
            Self::Pending => "受取待ち",
            Self::Received => "受取済み",
            Self::Complete => "完了",
            Self::Rejected => "受取拒否",
            Self::Expired => "期限切れ",
        }
    }

    /// In English.
    #[must_use]
    pub const fn en(self) -> &'static str {
        match self {
            Self::Pending => "waiting for its receiver",
            Self::Received => "received",
            Self::Complete => "complete",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for PeopleState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for PeopleState {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        Self::ALL
            .into_iter()
            .find(|state| state.code() == text)
            .ok_or(Refusal::BadField)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_its_own_names_and_comes_back_from_its_code() {
        for state in PeopleState::ALL {
            assert_eq!(state.code().parse(), Ok(state));
            assert_eq!(state.to_string(), state.code());
            for other in PeopleState::ALL.into_iter().filter(|other| *other != state) {
                assert_ne!(
                    (state.ja(), state.en()),
                    (other.ja(), other.en()),
                    "{state} and {other}"
                );
                assert_ne!(state.ja(), other.ja());
            }
        }
        assert_eq!("done".parse::<PeopleState>(), Err(Refusal::BadField));
    }
}
