//! What may happen next: the transitions, good and bad, and how often each is drawn.

use std::ops::Range;

use proptest::option::weighted;
use proptest::prelude::*;

use super::spec::{Ledger, Who};

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
        elsewhere: bool,
        amount: Much,
        turn: Turn,
        id: Id,
        dated: Dated,
        proof: ProofOf,
    },
    /// The n-th transfer is accepted by whom it is for, or by somebody else.
    Accept {
        by: Option<Who>,
        transfer: usize,
        turn: Turn,
        other_amount: bool,
    },
    Again(usize),
    Carry,
    Clock {
        ms: u64,
        tick: bool,
    },
    Restart(usize),
}

/// Which officers sign a grant; two of three are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signers {
    Two,
    OtherTwo,
    All,
    One,
    OneTwice,
    /// One of them is the other municipality's.
    OneForeign,
    /// One of the two signatures is over something else.
    OneForged,
}

impl Signers {
    pub(crate) fn too_few(self) -> bool {
        matches!(self, Self::One | Self::OneTwice | Self::OneForeign)
    }
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

/// Four people in two municipalities.
const PEOPLE: Range<Who> = 0..4;

/// What may happen to this ledger: mostly what people do, often enough what they should not.
pub(crate) fn next(ledger: &Ledger) -> BoxedStrategy<Step> {
    let (sent, booked) = (ledger.transfers.len(), ledger.booked.len());
    let strangers = people(|who| !ledger.accounts.contains_key(&who));
    let citizens = people(|who| ledger.accounts.contains_key(&who));
    let rich = people(|who| ledger.accounts.get(&who).is_some_and(|a| a.available > 0));
    let open = ledger.open();
    prop_oneof![
        1 + 5 * weight(strangers.len()) => (one_of(strangers), rarely())
            .prop_map(|(who, elsewhere)| Step::Enrol { who, elsewhere }),
        4 => (one_of(citizens), rarely(), signers(), turn(), much()).prop_map(
            |(to, elsewhere, signers, turn, amount)| Step::Grant { to, elsewhere, signers, turn, amount }
        ),
        2 => (PEOPLE, id(), evidence()).prop_map(|(who, id, evidence)| Step::Prove { who, id, evidence }),
        3 + 4 * weight(rich.len()) => transfer(one_of(rich)),
        weight(sent.min(1)) * (3 + 3 * weight(open.len().min(3))) => (weighted(0.1, PEOPLE), transfer_of(open, sent), turn(), rarely())
            .prop_map(|(by, transfer, turn, other_amount)| Step::Accept { by, transfer, turn, other_amount }),
        weight(booked.min(2)) => (0..booked.max(1)).prop_map(Step::Again),
        5 => Just(Step::Carry),
        4 => clock(),
        1 => (0..2_usize).prop_map(Step::Restart),
    ]
    .boxed()
}

fn people(are: impl Fn(Who) -> bool) -> Vec<Who> {
    PEOPLE.filter(|who| are(*who)).collect()
}

fn weight(count: usize) -> u32 {
    u32::try_from(count).expect("a few")
}

/// Mostly one of these, sometimes anybody.
fn one_of(these: Vec<Who>) -> BoxedStrategy<Who> {
    if these.is_empty() {
        return PEOPLE.boxed();
    }
    prop_oneof![12 => proptest::sample::select(these), 1 => PEOPLE].boxed()
}

/// Mostly a transfer that nobody accepted yet.
fn transfer_of(open: Vec<usize>, sent: usize) -> BoxedStrategy<usize> {
    if open.is_empty() {
        return (0..sent.max(1)).boxed();
    }
    prop_oneof![8 => proptest::sample::select(open), 1 => 0..sent].boxed()
}

/// Whether what the step is about is there: when a story gets shorter it may not be.
pub(crate) fn possible(ledger: &Ledger, step: &Step) -> bool {
    match step {
        Step::Accept { .. } => !ledger.transfers.is_empty(),
        Step::Again(_) => !ledger.booked.is_empty(),
        _ => true,
    }
}

fn transfer(from: BoxedStrategy<Who>) -> impl Strategy<Value = Step> {
    let who = (from, PEOPLE, weighted(0.05, PEOPLE), rarely());
    let what = (much(), turn(), id(), dated(), proof());
    (who, what).prop_map(
        |((from, to, signer, elsewhere), (amount, turn, id, dated, proof))| Step::Transfer {
            from,
            to,
            signer,
            elsewhere,
            amount,
            turn,
            id,
            dated,
            proof,
        },
    )
}

fn rarely() -> impl Strategy<Value = bool> {
    proptest::bool::weighted(0.05)
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![18 => Just(Turn::Next), 1 => Just(Turn::Used), 1 => Just(Turn::Ahead)]
}

fn much() -> impl Strategy<Value = Much> {
    prop_oneof![
        12 => (1..5_000_u64).prop_map(Much::This),
        1 => Just(Much::This(0)),
        2 => Just(Much::All),
        2 => Just(Much::OneTooMany),
    ]
}

fn id() -> impl Strategy<Value = Id> {
    prop_oneof![8 => Just(Id::New), 2 => (0..8_u64).prop_map(Id::Of)]
}

fn evidence() -> impl Strategy<Value = Evidence> {
    prop_oneof![
        6 => Just(Evidence::Inside),
        1 => Just(Evidence::Outside),
        1 => Just(Evidence::Claimed),
        1 => Just(Evidence::Nowhere),
    ]
}

fn proof() -> impl Strategy<Value = ProofOf> {
    prop_oneof![
        14 => Just(ProofOf::Now),
        5 => (0..8_usize).prop_map(ProofOf::Its),
        1 => (0..8_usize).prop_map(ProofOf::Other),
        1 => Just(ProofOf::Nothing),
    ]
}

fn dated() -> impl Strategy<Value = Dated> {
    prop_oneof![
        16 => Just(Dated::Now),
        1 => Just(Dated::JustAhead),
        1 => Just(Dated::TooFarAhead),
        1 => Just(Dated::LastMoment),
        1 => Just(Dated::Expired),
    ]
}

fn signers() -> impl Strategy<Value = Signers> {
    prop_oneof![
        12 => Just(Signers::Two),
        2 => Just(Signers::OtherTwo),
        1 => Just(Signers::All),
        1 => Just(Signers::One),
        1 => Just(Signers::OneTwice),
        1 => Just(Signers::OneForeign),
        1 => Just(Signers::OneForged),
    ]
}

/// A moment, a proof's life and a millisecond more, ten minutes; seldom half a year and what is missing to it.
fn clock() -> impl Strategy<Value = Step> {
    const DAY: u64 = 24 * 60 * 60_000;
    let ms = prop_oneof![
        4 => 1..60_000_u64,
        2 => Just(300_000),
        2 => Just(300_001),
        1 => Just(600_000),
        1 => Just(180 * DAY),
        1 => Just(180 * DAY + 1),
    ];
    (ms, any::<bool>()).prop_map(|(ms, tick)| Step::Clock { ms, tick })
}
