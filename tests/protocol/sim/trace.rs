//! What happened: a hash over all of it, by which two runs are compared, and the last lines in words.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use city_protocol::amount::Timestamp;
use city_protocol::ids::sha256;

use crate::world::{BEGIN, Sent};

/// Lines that are shown of a story that failed, if nobody wants more.
const TAIL: usize = 60;
/// How many somebody wants.
static LINES: AtomicUsize = AtomicUsize::new(TAIL);

/// Something that happened.
enum Event {
    /// A frame arrived.
    Frame(usize, usize, String, usize),
    /// Anything else, in words.
    Said(String),
}

/// The hash and the tail.
#[derive(Default)]
pub(crate) struct Trace {
    hash: [u8; 32],
    tail: VecDeque<(Timestamp, Event)>,
    pub(crate) events: u64,
}

impl Trace {
    /// From now on so many lines are shown of a story that failed.
    pub(crate) fn show(lines: usize) {
        LINES.store(lines, Ordering::Relaxed);
    }

    pub(crate) fn frame(&mut self, at: Timestamp, (from, to, _, frame): &Sent) {
        let ends = [*from, *to].map(|home| home as u8);
        self.take(at, &[&ends, frame]);
        let name = String::from_utf8_lossy(name_of(frame)).into_owned();
        // Of these there are too many to be told.
        if name == "beacon" {
            return;
        }
        self.keep(at, Event::Frame(*from, *to, name, frame.len()));
    }

    pub(crate) fn say(&mut self, at: Timestamp, what: String) {
        self.take(at, &[what.as_bytes()]);
        self.keep(at, Event::Said(what));
    }

    /// The hash in hex.
    pub(crate) fn hash(&self) -> String {
        self.hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn take(&mut self, at: Timestamp, what: &[&[u8]]) {
        let at = at.0.to_be_bytes();
        let parts: Vec<&[u8]> = [&self.hash[..], &at]
            .into_iter()
            .chain(what.iter().copied())
            .collect();
        self.hash = sha256(&parts);
        self.events += 1;
    }

    fn keep(&mut self, at: Timestamp, event: Event) {
        if self.tail.len() >= LINES.load(Ordering::Relaxed) {
            self.tail.pop_front();
        }
        self.tail.push_back((at, event));
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, event) in &self.tail {
            let ms = at.since(BEGIN);
            let (days, hours) = (ms / 86_400_000, ms / 3_600_000 % 24);
            let (minutes, seconds) = (ms / 60_000 % 60, ms / 1000 % 60);
            write!(
                f,
                "  day {days} {hours:02}:{minutes:02}:{seconds:02}.{:03} ",
                ms % 1000
            )?;
            match event {
                Event::Frame(from, to, name, len) => {
                    writeln!(f, "{from} → {to} {name}, {len} bytes")?;
                }
                Event::Said(what) => writeln!(f, "{what}")?,
            }
        }
        Ok(())
    }
}

/// The name of the message in a frame: the only key of its CBOR map.
pub(crate) fn name_of(frame: &[u8]) -> &[u8] {
    match frame {
        [0xa1, head @ 0x60..=0x77, rest @ ..] => &rest[..rest.len().min(usize::from(head & 0x1f))],
        _ => b"garbage",
    }
}
