//! Many stories: a range of seeds on all cores, and what they came to together.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::play::{Played, play};
use super::trace::Trace;

/// Seeds of a run that says nothing else.
const SEEDS: u64 = 200;
/// A run is at least so many times faster than the time it simulates.
const SPEED_UP: u128 = 1_000;
/// A run of so many seeds has seen everything that can happen.
const MANY: u64 = 100;
/// What can happen.
const HAPPENINGS: [&str; 42] = [
    "adoptions",
    "answers",
    "checkpoints",
    "cites beyond a cut seen through",
    "clearing limits reached",
    "convicted logs that went on",
    "convictions",
    "corrections",
    "double acceptances seen through",
    "enrolments",
    "epochs with another key",
    "epochs with the same key",
    "false checkpoints seen through",
    "false settlements seen through",
    "false snapshots seen through",
    "groundless refunds seen through",
    "half years",
    "homes that book again",
    "indexes made again",
    "invalid vertices",
    "late acceptances seen through",
    "lies",
    "logs followed by headers",
    "old copies that notice it",
    "partitions",
    "recoveries",
    "refusals of the liar",
    "rejections",
    "refused submissions",
    "repeated answers",
    "restored data directories",
    "restored ledgers",
    "revocations by officers",
    "revocations by people",
    "rotations",
    "shortfalls",
    "standing orders",
    "starts that book nothing",
    "torn groups",
    "ungrants",
    "unsigned epochs seen through",
    "withheld bodies seen through",
];
/// Failed seeds after which a long run gives up.
const MAX_FAILURES: usize = 20;

/// What a range of seeds came to.
#[derive(Default)]
struct Run {
    stories: u64,
    accounts: usize,
    events: u64,
    acknowledged: usize,
    simulated: Duration,
    tally: BTreeMap<&'static str, u64>,
    failures: Vec<String>,
    /// Of the story told last.
    trace: String,
}

impl Run {
    fn add(&mut self, played: Played) {
        self.stories += 1;
        self.accounts += played.accounts;
        self.events += played.events;
        self.acknowledged += played.acknowledged;
        self.simulated += played.simulated;
        for (what, times) in played.tally {
            *self.tally.entry(what).or_default() += times;
        }
        self.trace = played.trace;
        if let Some(failure) = played.failure {
            self.fail(failure);
        }
    }

    /// Tells of a failure at once: a long run takes hours.
    fn fail(&mut self, failure: String) {
        eprintln!("{failure}");
        self.failures.push(failure);
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.simulated.as_secs() / 86_400;
        writeln!(
            f,
            "{} stories of {days} days: {} accounts, {} events, {} entries acknowledged",
            self.stories, self.accounts, self.events, self.acknowledged
        )?;
        let tally: Vec<_> = self
            .tally
            .iter()
            .map(|(what, times)| format!("{times} {what}"))
            .collect();
        write!(f, "{}", tally.join(", "))
    }
}

/// Plays these seeds on all cores.
fn play_all(first: u64, seeds: u64) -> Run {
    let next = AtomicU64::new(first);
    let run: Mutex<Run> = Mutex::default();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while run.lock().unwrap().failures.len() < MAX_FAILURES {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        return;
                    }
                    let told = std::panic::catch_unwind(|| play(seed));
                    let mut run = run.lock().unwrap();
                    match told {
                        Ok(played) => run.add(played),
                        Err(_) => run.fail(format!("CITY_NODE_SEED={seed} panics")),
                    }
                }
            });
        }
    });
    run.into_inner().unwrap()
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
    if let Some(lines) = number("CITY_NODE_SIM_LINES") {
        Trace::show(lines as usize);
    }
    let begun = Instant::now();
    let run = play_all(first, seeds);
    let wall = begun.elapsed();
    let faster = run.simulated.as_millis() / wall.as_millis().max(1);
    println!(
        "seeds {first}..{} in {:.1} s, {faster} times faster than the time they simulate",
        first + seeds,
        wall.as_secs_f64()
    );
    println!("{run}");
    if seeds == 1 {
        println!("CITY_NODE_SEED={first}: trace {}", run.trace);
    }
    assert!(
        run.failures.is_empty(),
        "{} stories failed; each stands above with its seed",
        run.failures.len()
    );
    assert!(
        faster >= SPEED_UP,
        "only {faster} times faster than the time they simulate"
    );
    for what in HAPPENINGS.iter().filter(|_| seeds >= MANY) {
        assert!(run.tally.contains_key(what), "{what} never happened");
    }
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in [3, 5, 8] {
        assert_eq!(play(seed).trace, play(seed).trace, "seed {seed}");
    }
}
