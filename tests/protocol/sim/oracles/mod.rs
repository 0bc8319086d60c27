//! What must hold after every story. Each oracle looks at a finished stage and complains, or not; `mutations`
//! proves of each that it can.

mod books;
mod faults;
mod mutations;
mod step;
mod witnesses;

pub(crate) use books::{
    acknowledged_entries_stand, books_balance, entries_of, index_is_what_the_log_says, sums_hold,
};
pub(crate) use faults::{nobody_believes_a_trick, nobody_forks_unnoticed, verdicts_agree};
pub(crate) use step::{homes_are_in_step, what_was_sent_arrived};
pub(crate) use witnesses::{the_named_witness, witnesses_rest_on_it};

use super::stage::Sim;

/// What an oracle finds: nothing, or what is wrong.
pub(crate) type Finding = Result<(), String>;

/// An oracle.
pub(crate) type Oracle = fn(&Sim) -> Finding;

/// All of them.
pub(crate) const ORACLES: [(&str, Oracle); 10] = [
    ("homes are in step", homes_are_in_step),
    ("books balance", books_balance),
    ("the index is what the log says", index_is_what_the_log_says),
    ("acknowledged entries stand", acknowledged_entries_stand),
    ("nobody forks unnoticed", nobody_forks_unnoticed),
    ("verdicts agree", verdicts_agree),
    ("nobody believes a trick", nobody_believes_a_trick),
    ("what was sent arrived", what_was_sent_arrived),
    ("witnesses rest on it", witnesses_rest_on_it),
    ("the named witness", the_named_witness),
];

/// Everything that is wrong at the end.
pub(crate) fn complaints(sim: &Sim) -> Vec<String> {
    let mut all = sim.complaints.clone();
    for (name, oracle) in ORACLES {
        if let Err(what) = oracle(sim) {
            all.push(format!("{name}: {what}"));
        }
    }
    all
}

/// Fails with what is wrong.
fn ensure(holds: bool, what: impl FnOnce() -> String) -> Finding {
    if holds { Ok(()) } else { Err(what()) }
}
