//! What the machine could do at most, and the arithmetic of measuring.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use city_protocol::body::{PersonBody as _, Transfer};
use city_protocol::crypto::{Algorithm, SecretKey, Signer as _, TAG_VERTEX};

use super::town::Sender;
use super::work::Encoded;

/// Cores that this process may use.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Does the jobs on all cores and gives the results in the order of the jobs.
pub fn on_all_cores<J: Send, T: Send>(jobs: Vec<J>, work: impl Fn(J) -> T + Sync) -> Vec<T> {
    let size = jobs.len().div_ceil(cores()).max(1);
    let mut jobs = jobs.into_iter();
    let mut parts: Vec<Vec<J>> = Vec::new();
    while jobs.len() > 0 {
        parts.push(jobs.by_ref().take(size).collect());
    }
    let work = &work;
    thread::scope(|scope| {
        let workers: Vec<_> = parts
            .into_iter()
            .map(|part| scope.spawn(move || part.into_iter().map(work).collect::<Vec<T>>()))
            .collect();
        let joined = workers.into_iter().map(|worker| worker.join());
        joined
            .flat_map(|part| part.expect("no job panics"))
            .collect()
    })
}

/// Verifications a second with every core, of these very transfers.
pub fn verifications_per_s(senders: &[Sender], work: &[Vec<Encoded>]) -> f64 {
    let keys: HashMap<_, _> = senders
        .iter()
        .map(|sender| (sender.account, sender.key.public()))
        .collect();
    let jobs: Vec<_> = work
        .iter()
        .flatten()
        .map(|(account, bytes, sig)| (keys[account], bytes, sig.signature().expect("a length")))
        .collect();
    let count = jobs.len();
    let begun = Instant::now();
    on_all_cores(jobs, |(key, bytes, signature)| {
        key.verify(Transfer::TAG, bytes, &signature)
            .expect("a good signature");
    });
    per_s(count, begun.elapsed())
}

/// One verification, one vertex signature and one fdatasync of as many bytes as one transfer takes, in seconds.
pub fn one_acknowledgement(dir: &Path, algorithm: Algorithm) -> f64 {
    let key = SecretKey::generate(algorithm);
    let message = vec![7; 1500];
    let signature = key.sign(TAG_VERTEX, &message);
    let mut verify = times(50, || {
        key.public()
            .verify(TAG_VERTEX, &message, &signature)
            .expect("good");
    });
    let mut sign = times(50, || drop(key.sign(TAG_VERTEX, &message)));
    let mut file = File::create(dir.join("limit")).expect("a file");
    let bytes = vec![7; 12 * 1024];
    let mut sync = times(50, || {
        file.write_all(&bytes).expect("written");
        file.sync_data().expect("synced");
    });
    median(&mut verify) + median(&mut sign) + median(&mut sync)
}

/// How long each of so many runs of a job took, in seconds.
pub fn times(runs: usize, mut job: impl FnMut()) -> Vec<f64> {
    let one = |()| {
        let begun = Instant::now();
        job();
        begun.elapsed().as_secs_f64()
    };
    std::iter::repeat_n((), runs).map(one).collect()
}

/// The value in the middle; sorts.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The value that only one in a hundred exceeds; sorts.
pub fn p99(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() * 99 / 100]
}

/// Seconds of processor time that this process used, over all cores. On a machine that others use, too, its ratios
/// say more than those of wall time.
pub fn processor_s() -> f64 {
    processor_s_of("self")
}

/// The same of another process, by its number.
pub fn processor_s_of(process: &str) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("a running process");
    // Behind the name in brackets; utime and stime are the 14th and 15th field, in hundredths of a second.
    let behind = stat.rsplit(") ").next().expect("a name");
    let ticks = behind.split_whitespace().skip(11).take(2);
    let ticks: f64 = ticks.map(|n| n.parse::<f64>().expect("a number")).sum();
    ticks / 100.0
}

/// How many a second.
pub fn per_s(count: usize, time: Duration) -> f64 {
    number(count as u64) / time.as_secs_f64()
}

/// A count as a figure; exact below 2^53.
pub const fn number(count: u64) -> f64 {
    count as f64
}
