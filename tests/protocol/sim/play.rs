//! One story from its first step to the end of healing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use city_protocol::replica::log_rows;

use super::oracles::{complaints, entries_of, sums_hold};
use super::stage::Sim;
use super::tricks::Trick;

/// What a story came to.
pub(crate) struct Played {
    pub(crate) trace: String,
    pub(crate) simulated: Duration,
    pub(crate) events: u64,
    pub(crate) accounts: usize,
    pub(crate) acknowledged: usize,
    pub(crate) tally: BTreeMap<&'static str, u64>,
    /// What is wrong, with the last lines of the story.
    pub(crate) failure: Option<String>,
}

impl Sim {
    /// Everything up to the end of healing.
    pub(crate) fn play(seed: u64) -> Self {
        let mut sim = Self::new(seed);
        sim.everybody_connects();
        sim.pass(5_000, 1_000);
        for _ in 0..sim.plan.steps {
            sim.step += 1;
            sim.act();
            sim.somebody_notes();
            sim.look_at_the_sums();
            let (gap, tick) = sim.pause();
            sim.pass(gap, tick);
            if sim.plan.ages && sim.step == sim.plan.steps / 2 {
                sim.half_a_year();
            }
        }
        sim.heal();
        sim.count_verdicts_on_tricks();
        sim.count_what_is_written();
        sim
    }

    fn act(&mut self) {
        match self.dice.below(100) {
            0..=33 => self.people_send(),
            34..=47 => self.somebody_takes(),
            48..=51 => self.somebody_rejects(),
            52..=54 => self.somebody_orders(),
            55..=56 => self.officers_grant(),
            57 => self.officers_take_back(),
            58 => self.somebody_enrols(),
            59..=60 => self.somebody_rotates(),
            61 => self.somebody_revokes(),
            62..=63 => self.officers_recover(),
            64 => self.officers_begin_an_epoch(),
            65..=68 => self.somebody_asks_again(),
            69..=77 => self.weather(),
            78..=86 if self.plan.trouble => self.trouble(),
            _ => self.lie(),
        }
    }

    /// Counts what nobody is told of when it happens.
    fn count_what_is_written(&mut self) {
        let home = self.honest()[0];
        let disk = &self.world.homes[home].disk;
        let mut kinds = BTreeMap::new();
        for (log, row) in log_rows(disk.read()) {
            for (_, entry) in entries_of(disk, &log, &row) {
                *kinds.entry(entry.kind.as_str()).or_default() += 1;
            }
        }
        for (kind, what) in [
            ("checkpoint", "checkpoints"),
            ("adopt", "adoptions"),
            ("note", "notes"),
        ] {
            for _ in 0..kinds.get(kind).copied().unwrap_or(0_u64) {
                self.count(what);
            }
        }
    }

    /// The sums hold at every step, at one home after the other.
    fn look_at_the_sums(&mut self) {
        let honest = self.honest();
        let home = honest[self.step as usize % honest.len()];
        if let Err(what) = sums_hold(self, home) {
            self.complain(what);
        }
    }

    /// How long nothing happens after a step, and how often everybody looks at the clock meanwhile.
    fn pause(&mut self) -> (u64, u64) {
        match self.dice.below(100) {
            0..=69 => (self.dice.between(50, 4_000), 1_000),
            70..=87 => (self.dice.between(5_000, 240_000), 20_000),
            88..=96 => (self.dice.between(1, 12) * 3_600_000, 7_200_000),
            _ => (self.dice.between(1, 5) * 86_400_000, 43_200_000),
        }
    }
}

impl Sim {
    /// More than the 180 days in which a transfer can be answered.
    fn half_a_year(&mut self) {
        self.say("half a year".into());
        self.count("half years");
        let late = self.plan.trick == Some(Trick::LateAccept) && !self.tricked;
        if late {
            self.prepare_to_be_late();
        }
        self.pass(190 * 86_400_000, 86_400_000);
        self.everybody_connects();
        if late {
            self.be_late();
        }
        self.pass(600_000, 20_000);
    }
}

/// A story that panics is told, too.
impl Drop for Sim {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("step {}\n{}", self.step, self.trace);
        }
    }
}

/// Plays one seed and looks at the end.
pub(crate) fn play(seed: u64) -> Played {
    let sim = Sim::play(seed);
    let wrong = complaints(&sim);
    let failure = (!wrong.is_empty()).then(|| {
        let mut text = format!("seed {seed}, step {}:\n", sim.step);
        for what in wrong {
            let _infallible = writeln!(text, "- {what}");
        }
        let _infallible = write!(text, "{}", sim.trace);
        let again =
            format!("CITY_NODE_SEED={seed} cargo test -p city-protocol sim::run -- --nocapture");
        let _infallible = writeln!(text, "again: {again}");
        text
    });
    Played {
        trace: sim.trace.hash(),
        simulated: Duration::from_millis(sim.world.now.since(sim.begun)),
        events: sim.trace.events,
        accounts: sim.people.iter().map(Vec::len).sum(),
        acknowledged: sim.acked.len(),
        tally: sim.tally.clone(),
        failure,
    }
}
