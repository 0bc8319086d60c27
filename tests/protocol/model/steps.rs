//! What may happen: the transitions, good and bad.

use super::spec::Who;

/// One thing that happens. Numbers are relative to what is so far, so that a shorter story still makes sense.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Enrol {
        who: Who,
        elsewhere: bool,
    },
    Grant {
        to: Who,
        elsewhere: bool,
        signers: Signers,
        turn: Turn,
        amount: Much,
    },
    Prove {
        who: Who,
        id: Id,
        evidence: Evidence,
    },
    Transfer {
        from: Who,
        to: Who,
        /// Somebody else's key, in somebody's name.
        signer: Option<Who>,
        hand: Hand,
        elsewhere: bool,
        amount: Much,
        turn: Turn,
        id: Id,
        dated: Dated,
        proof: ProofOf,
    },
    /// The n-th transfer is accepted, or turned down, by whom it is for, or by somebody else.
    Answer {
        rejects: bool,
        by: Option<Who>,
        hand: Hand,
        transfer: usize,
        turn: Turn,
        other_amount: bool,
    },
    /// The home takes what the order says from now on, or nothing.
    Order {
        who: Who,
        hand: Hand,
        turn: Turn,
        takes: Option<Takes>,
    },
    Rotate {
        who: Who,
        hand: Hand,
        turn: Turn,
        new: New,
        signed: Signed,
    },
    /// Somebody closes their key.
    Revoke {
        who: Who,
        hand: Hand,
        turn: Turn,
    },
    /// Officers close it.
    Close {
        who: Who,
        signers: Signers,
        turn: Turn,
    },
    Recover {
        who: Who,
        signers: Signers,
        turn: Turn,
        new: New,
    },
    Ungrant {
        from: Who,
        elsewhere: bool,
        signers: Signers,
        turn: Turn,
        amount: Much,
    },
    /// Officers give the n-th transfer back to its sender, or to somebody else; or have somebody make good a shortfall.
    Correct {
        transfer: Option<usize>,
        who: Option<Who>,
        signers: Signers,
        turn: Turn,
        other_amount: bool,
    },
    /// Officers name who decides after them.
    Elect {
        home: usize,
        next: Next,
        follows: Follows,
        signers: Signers,
        turn: Turn,
    },
    /// A home writes on the board, or deletes.
    Note {
        home: usize,
        key: Place,
        text: Length,
    },
    /// A home signs a position twice: the first behind what it had so many steps ago.
    Lie {
        home: usize,
        back: usize,
    },
    /// Officers begin the next epoch.
    Epoch {
        home: usize,
        cut: Cut,
        signers: Signers,
        turn: Turn,
    },
    /// A home says what its state is.
    Checkpoint(usize),
    Again(usize),
    Carry,
    Clock {
        ms: u64,
        tick: bool,
    },
    Restart(usize),
}

/// Which officers sign a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signers {
    Enough,
    /// As many, from the other end.
    OtherOnes,
    All,
    Fewer,
    /// As many signatures, two of them one's.
    OneTwice,
    /// One of them is the other municipality's.
    OneForeign,
    /// One of the signatures is over something else.
    OneForged,
    /// Those of the charter before, where there was one.
    Former,
}

/// Who decides next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Next {
    Others,
    OneGoes,
    OneComes,
    OneDecides,
    AllDecide,
    NobodyDecides,
    MoreThanThereAre,
    /// One of them is named twice.
    OneTwice,
}

/// Which charter the next one says that it follows, and which number it has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Follows {
    Newest,
    /// The first, where there are more.
    First,
    /// The newest, under a number too high.
    Skips,
    /// The newest, under its own number.
    Again,
}

/// With which of their keys somebody signs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hand {
    Newest,
    /// The one before, where there was one.
    Older,
}

/// Which key an account is to have.
#[derive(Clone, Copy, Debug)]
pub(crate) enum New {
    Fresh,
    /// The one that it has.
    Same,
    /// The first that it had.
    First,
    /// That of the other person of the same home, who has an account.
    Neighbours,
}

/// Which keys sign a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signed {
    Both,
    OldAlone,
    NewAlone,
}

/// What an order takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Takes {
    pub(crate) most: Option<u64>,
    /// For how many milliseconds.
    pub(crate) during: Option<u64>,
    /// From the other person of the same home alone. 小松市's take from nobody else: what its limit leaves room for
    /// would be a question of the order in which things arrive.
    pub(crate) neighbour: bool,
}

/// The sequence number.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn {
    Next,
    Used,
    Ahead,
}

impl Turn {
    pub(crate) const fn after(self, used: u64) -> u64 {
        match self {
            Self::Used => used,
            Self::Next => used + 1,
            Self::Ahead => used + 2,
        }
    }
}

/// An amount, in hundredths.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Much {
    This(u64),
    All,
    OneTooMany,
}

/// A transfer id.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Id {
    New,
    Of(u64),
}

/// What place checking says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evidence {
    Inside,
    /// In the other municipality.
    Outside,
    /// A claim only.
    Claimed,
    Nowhere,
}

/// Which proof a transfer names.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ProofOf {
    /// One that is made for it now.
    Now,
    /// The n-th of all, and the transfer is the one that it was made for.
    Its(usize),
    /// The n-th of all.
    Other(usize),
    Nothing,
}

/// Which vertex the officers name as the last that counts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    Newest,
    /// The one before it.
    Lower,
    /// The newest, of an epoch that is not the newest.
    OtherEpoch,
}

/// Where a note stands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// Where everybody writes.
    Common(u8),
    /// Below the home's own name.
    Own(u8),
    /// Below the other home's.
    Others,
    /// Its own name and nothing below it.
    Bare,
    /// Below a name that begins like its own.
    Likewise,
}

/// How much a note says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Length {
    /// It deletes what stands there.
    Nothing,
    Empty,
    Word,
    Longest,
    TooLong,
}

/// When a transfer says it was made, and until when it may be sequenced.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dated {
    Now,
    /// As far ahead as a clock may be.
    JustAhead,
    TooFarAhead,
    /// It expires at this very moment.
    LastMoment,
    Expired,
}

impl Dated {
    /// Created at, expires at.
    pub(crate) const fn around(self, now: u64, ahead: u64) -> (u64, u64) {
        match self {
            Self::Now => (now, now + 600_000),
            Self::JustAhead => (now + ahead, now + 600_000),
            Self::TooFarAhead => (now + ahead + 1, now + 600_000),
            Self::LastMoment => (now, now),
            Self::Expired => (now, now - 1),
        }
    }
}
