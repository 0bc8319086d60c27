//! Playing stories: one seed, or a range of them on all cores.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::oracles::complaints;
use super::stage::Sim;

/// Seeds of a run that says nothing else.
const SEEDS: u64 = 200;
/// A run is at least so many times faster than the time it simulates.
const SPEED_UP: u128 = 1_000;
/// Failed seeds after which a long run gives up.
const MAX_FAILURES: usize = 20;

/// What a story came to.
pub(crate) struct Played {
    pub(crate) trace: String,
    pub(crate) simulated: Duration,
    pub(crate) events: u64,
    pub(crate) accounts: usize,
    pub(crate) acknowledged: usize,
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
            let (gap, tick) = sim.pause();
            sim.pass(gap, tick);
        }
        sim.heal();
        sim
    }

    fn act(&mut self) {
        match self.dice.below(100) {
            0..=37 => self.people_send(),
            38..=59 => self.somebody_takes(),
            60..=62 => self.officers_grant(),
            63..=68 => self.somebody_asks_again(),
            69..=77 => self.weather(),
            78..=86 if self.plan.trouble => self.trouble(),
            _ => self.lie(),
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
        let again = format!("CITY_NODE_SEED={seed} cargo test -p city-protocol sim -- --nocapture");
        let _infallible = writeln!(text, "again: {again}");
        text
    });
    Played {
        trace: sim.trace.hash(),
        simulated: Duration::from_millis(sim.world.now.since(sim.begun)),
        events: sim.trace.events,
        accounts: sim.people.iter().map(Vec::len).sum(),
        acknowledged: sim.acked.len(),
        failure,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a random test takes its seed back"
)]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "how fast a simulation is, is measured in real time"
)]
fn whatever_happens_the_honest_end_in_step() {
    let seed = number("CITY_NODE_SEED");
    let first = seed.or_else(|| number("CITY_NODE_SIM_FIRST")).unwrap_or(0);
    let seeds = seed.map_or_else(|| number("CITY_NODE_SIM_SEEDS").unwrap_or(SEEDS), |_| 1);
    let next = AtomicU64::new(first);
    let all: Mutex<Vec<Played>> = Mutex::default();
    let failures: Mutex<Vec<String>> = Mutex::default();
    let begun = Instant::now();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while failures.lock().unwrap().len() < MAX_FAILURES {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        return;
                    }
                    let told = std::panic::catch_unwind(|| play(seed));
                    match told {
                        Ok(mut played) => {
                            failures.lock().unwrap().extend(played.failure.take());
                            all.lock().unwrap().push(played);
                        }
                        Err(_) => failures
                            .lock()
                            .unwrap()
                            .push(format!("CITY_NODE_SEED={seed} panics")),
                    }
                }
            });
        }
    });
    let wall = begun.elapsed();
    let (all, failures) = (all.into_inner().unwrap(), failures.into_inner().unwrap());
    let sum = |of: fn(&Played) -> u64| all.iter().map(of).sum::<u64>();
    let simulated: Duration = all.iter().map(|played| played.simulated).sum();
    let ratio = simulated.as_millis() / wall.as_millis().max(1);
    println!(
        "seeds {first}..{}: {} accounts, {} events, {} entries acknowledged; {} days simulated in {:.1} s: {ratio} times faster",
        first + seeds,
        sum(|played| played.accounts as u64),
        sum(|played| played.events),
        sum(|played| played.acknowledged as u64),
        simulated.as_secs() / 86_400,
        wall.as_secs_f64(),
    );
    if let [played] = all.as_slice() {
        println!("CITY_NODE_SEED={first}: trace {}", played.trace);
    }
    assert!(
        failures.is_empty(),
        "{} stories failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert!(
        ratio >= SPEED_UP,
        "only {ratio} times faster than the time it simulates"
    );
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in [3, 5, 8] {
        assert_eq!(play(seed).trace, play(seed).trace, "seed {seed}");
    }
}
