//! Transfers that come by themselves, at random times, and the least that answering them durably takes: the same
//! verifications on every core, and one thread that signs and fsyncs once for all that wait.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use city_protocol::body::{PersonBody as _, Transfer};
use city_protocol::crypto::{SecretKey, Signer as _, TAG_VERTEX};

use super::limits::cores;
use super::town::Sender;
use super::work::{Encoded, in_turn};

/// Random times for so many arrivals, so many a second on average: exponential gaps from a fixed seed.
pub fn arrivals(count: usize, per_s: f64) -> Vec<Duration> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut at = 0.0;
    let gap = |()| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // 53 random bits, never zero.
        let chance = ((state >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        at -= chance.ln() / per_s;
        Duration::from_secs_f64(at)
    };
    std::iter::repeat_n((), count).map(gap).collect()
}

/// Gives out each thing at its time, or at once where that has passed.
pub fn pace<T>(things: Vec<T>, times: &[Duration], mut give: impl FnMut(T)) {
    let begun = Instant::now();
    for (thing, at) in things.into_iter().zip(times) {
        thread::sleep(at.saturating_sub(begun.elapsed()));
        give(thing);
    }
}

/// How long each answer took, in seconds, where nothing is done but verifying, signing for all that wait, and
/// appending as many bytes as were signed with one fdatasync.
pub fn raw_answers(
    dir: &Path,
    senders: &[Sender],
    work: &[Vec<Encoded>],
    times: &[Duration],
) -> Vec<f64> {
    let keys: HashMap<_, _> = senders
        .iter()
        .map(|sender| (sender.account, sender.key.public()))
        .collect();
    let node = SecretKey::generate(senders[0].key.public().algorithm());
    let mut file = File::create(dir.join("raw")).expect("a file");
    let (come, coming) = mpsc::channel::<(Instant, &Encoded)>();
    let coming = Mutex::new(coming);
    let (verified, waiting) = mpsc::channel::<(Instant, usize)>();
    thread::scope(|scope| {
        for _ in 0..cores() {
            let (coming, keys, verified) = (&coming, &keys, verified.clone());
            scope.spawn(move || {
                let next = || coming.lock().expect("nobody panics").recv();
                while let Ok((begun, (account, bytes, signature))) = next() {
                    let signed = signature.signature().expect("a length");
                    keys[account]
                        .verify(Transfer::TAG, bytes, &signed)
                        .expect("a good signature");
                    let size = bytes.len() + signature.sig.len();
                    verified.send((begun, size)).expect("it is waited for");
                }
            });
        }
        drop(verified);
        let answering = scope.spawn(move || {
            let mut took = Vec::new();
            while let Ok(first) = waiting.recv() {
                let group: Vec<_> = std::iter::once(first).chain(waiting.try_iter()).collect();
                let size = group.iter().map(|(_, size)| size).sum();
                let signature = node.sign(TAG_VERTEX, &[7; 500]);
                file.write_all(&vec![7; size]).expect("written");
                file.write_all(signature.as_bytes()).expect("written");
                file.sync_data().expect("synced");
                took.extend(group.iter().map(|(begun, _)| begun.elapsed().as_secs_f64()));
            }
            took
        });
        let all = in_turn(work.iter().map(|mine| mine.iter().collect()).collect());
        pace(all, times, |encoded| {
            come.send((Instant::now(), encoded)).expect("taken");
        });
        drop(come);
        answering.join().expect("answered")
    })
}
