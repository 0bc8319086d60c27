//! What people say to homes in full, and what homes answer.

use city_protocol::refusal::Refusal;

use super::board::Text;
use super::charters::{Charter, Officer};
use super::keys::Key;
use super::spec::{Order, Who};
use super::steps::{Evidence, Signed};

/// What somebody asks a home, with all numbers filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Enrol {
        who: Who,
        at: usize,
    },
    Grant(Who, Decided),
    Ungrant(Who, Decided),
    Correct(Who, Option<usize>, Decided),
    Prove {
        who: Who,
        id: u64,
        evidence: Evidence,
    },
    Transfer(Draft),
    Answer(Said),
    Order {
        who: Who,
        key: u64,
        sequence: u64,
        takes: Option<Order>,
    },
    Rotate {
        who: Who,
        key: u64,
        sequence: u64,
        new: Key,
        signed: Signed,
    },
    Revoke {
        who: Who,
        key: u64,
        sequence: u64,
    },
    Close {
        who: Who,
        signers: Signatures,
        sequence: u64,
    },
    Recover {
        who: Who,
        signers: Signatures,
        sequence: u64,
        new: Key,
    },
    Elect(Elected),
    Note {
        at: usize,
        key: String,
        text: Option<Text>,
    },
    Lie {
        home: usize,
        to: usize,
    },
    Epoch(Begun),
    Checkpoint(usize),
    /// What was booked as the n-th is submitted once more.
    Again(usize),
    /// All that the homes have to say to each other is carried.
    Carry,
    Clock {
        ms: u64,
        tick: bool,
    },
    Restart(usize),
}

/// Whose signatures stand under a decision; whether the last of them is over something else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signatures {
    pub(crate) of: Vec<Officer>,
    pub(crate) forged: bool,
}

/// What officers sign of who decides next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Elected {
    pub(crate) at: usize,
    pub(crate) number: usize,
    /// Number of the charter that it says it follows.
    pub(crate) after: usize,
    pub(crate) next: Charter,
    pub(crate) signers: Signatures,
    pub(crate) sequence: u64,
}

/// What officers sign of an epoch that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Begun {
    pub(crate) at: usize,
    pub(crate) old_epoch: u64,
    /// Whether the cut is the newest vertex.
    pub(crate) at_head: bool,
    pub(crate) signers: Signatures,
    pub(crate) sequence: u64,
}

/// What officers sign of a decision about a balance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decided {
    /// The home that is asked.
    pub(crate) at: usize,
    pub(crate) signers: Signatures,
    pub(crate) sequence: u64,
    pub(crate) amount: u64,
}

/// What somebody says of a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) rejects: bool,
    pub(crate) by: Who,
    /// Which of their keys signs.
    pub(crate) key: u64,
    pub(crate) transfer: usize,
    pub(crate) sequence: u64,
    pub(crate) amount: u64,
}

/// A transfer as its author signs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) from: Who,
    pub(crate) to: Who,
    /// Whose key signs, and which.
    pub(crate) signer: Key,
    /// The home that is asked.
    pub(crate) at: usize,
    pub(crate) amount: u64,
    pub(crate) sequence: u64,
    pub(crate) id: u64,
    pub(crate) created_at: u64,
    pub(crate) expires_at: u64,
    /// Its proof, by number; `None` names one that was never made.
    pub(crate) proof: Option<usize>,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Booked now; available to the account afterwards, where the entry moves 愛貨.
    Booked(Option<u64>),
    /// Booked before: the first receipt.
    Repeated,
    Refused(Refusal),
    /// Nothing was asked that could be booked.
    Done,
}

impl Verdict {
    /// `booked`, `repeated`, `done`, or the refusal's code.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Booked(_) => "booked".into(),
            Self::Repeated => "repeated".into(),
            Self::Refused(refusal) => refusal.code().into(),
            Self::Done => "done".into(),
        }
    }
}

impl Request {
    /// Whether somebody hands it in, so that it can be handed in again.
    pub(super) const fn is_handed_in(&self) -> bool {
        !matches!(
            self,
            Self::Note { .. } | Self::Checkpoint(_) | Self::Epoch(_)
        )
    }

    /// What is asked, in a word.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Enrol { .. } => "enrol",
            Self::Grant(..) => "grant",
            Self::Ungrant(..) => "ungrant",
            Self::Correct(..) => "correct",
            Self::Prove { .. } => "place",
            Self::Transfer(_) => "transfer",
            Self::Answer(Said { rejects: true, .. }) => "reject",
            Self::Answer(_) => "accept",
            Self::Order { .. } => "order",
            Self::Rotate { .. } => "rotate",
            Self::Revoke { .. } => "revoke",
            Self::Close { .. } => "close",
            Self::Recover { .. } => "recover",
            Self::Elect(_) => "elect",
            Self::Note { .. } => "note",
            Self::Checkpoint(_) => "checkpoint",
            Self::Lie { .. } => "lie",
            Self::Epoch(_) => "epoch",
            Self::Again(_) => "again",
            Self::Carry => "carry",
            Self::Clock { .. } => "clock",
            Self::Restart(_) => "restart",
        }
    }
}
