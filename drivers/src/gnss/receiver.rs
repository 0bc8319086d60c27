//! The receiver task: keeps the configured port open, decodes it, and reports what happens as events.
//!
//! Owns connecting again with capped back-off. Decides nothing about fixes; the consumer sets the pace.

use super::decoder::Decoder;
use super::fix::Fix;
use super::framing::Counters;
use super::serial::{Port, PortError};
use std::error::Error as _;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep};

/// First wait after a loss. A USB receiver that re-enumerates is back after about this long.
pub const RETRY_MIN: Duration = Duration::from_millis(250);

/// Longest wait between attempts: status has to follow a re-plugged receiver within 3 s, and opening costs nothing.
pub const RETRY_MAX: Duration = Duration::from_secs(2);

/// A connection that held this long starts again with the shortest wait.
const STABLE: Duration = Duration::from_secs(5);

/// Noise is reported at most this often, so that a bad line cannot flood the events.
pub const NOISE_REPORT: Duration = Duration::from_secs(1);

/// Bytes read at a time; a second of the busiest receivers at 115,200 baud is 11,520.
const READ_SIZE: usize = 4096;

/// Which receiver to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiverConfig {
    /// The serial device, for example `/dev/ttyACM0` or a by-id path. Nothing else is ever opened.
    pub device: PathBuf,
    /// Baud rate; pseudo-terminals and USB CDC ignore it.
    pub baud: u32,
}

/// What happens at a receiver.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The port is open. Nothing was received yet.
    Connected,
    /// An epoch is complete.
    Fix(Fix),
    /// The port could not be opened, or went away. An epoch that was not complete is dropped.
    Disconnected {
        /// What happened and what helps, for a person.
        reason: String,
        /// When the next attempt follows.
        retry_in: Duration,
    },
    /// The line carried bytes that belong to no frame since the last report (at most one a second).
    Noise {
        /// Bytes outside of frames.
        bytes: u64,
        /// Frames with a wrong checksum.
        bad_checksums: u64,
    },
}

/// The receiver of the events is gone: time to end.
struct Unheard;

/// Reads the receiver until the receiving half of `events` is dropped. Cancel-safe: dropping the future closes the port.
/// A consumer that is slow holds the reading back; the kernel then drops bytes, as with any serial port.
pub async fn run(config: ReceiverConfig, events: Sender<Event>) {
    let mut retry_in = RETRY_MIN;
    loop {
        let opened = Instant::now();
        let lost = tokio::select! {
            lost = attend(&config, &events) => lost,
            () = events.closed() => return,
        };
        let Ok(error) = lost else {
            return;
        };
        if opened.elapsed() >= STABLE {
            retry_in = RETRY_MIN;
        }
        let lost = Event::Disconnected {
            reason: reason(&error),
            retry_in,
        };
        if events.send(lost).await.is_err() {
            return;
        }
        tokio::select! {
            () = sleep(retry_in) => {}
            () = events.closed() => return,
        }
        retry_in = (retry_in * 2).min(RETRY_MAX);
    }
}

/// One connection, from opening to loss.
async fn attend(config: &ReceiverConfig, events: &Sender<Event>) -> Result<PortError, Unheard> {
    let send = async |event| events.send(event).await.map_err(|_| Unheard);
    let mut port = match Port::open(config) {
        Ok(port) => port,
        Err(error) => return Ok(error),
    };
    send(Event::Connected).await?;
    let mut decoder = Decoder::new();
    let mut fixes = Vec::new();
    let mut noise = NoiseReport::new();
    let mut buffer = vec![0; READ_SIZE];
    loop {
        let len = match port.read(&mut buffer).await {
            Ok(len) => len,
            Err(error) => {
                if let Some(event) = noise.report(decoder.counters()) {
                    send(event).await?;
                }
                return Ok(error);
            }
        };
        decoder.push(&buffer[..len], |fix| fixes.push(fix));
        for fix in fixes.drain(..) {
            send(Event::Fix(fix)).await?;
        }
        if noise.is_due()
            && let Some(event) = noise.report(decoder.counters())
        {
            send(event).await?;
        }
    }
}

fn reason(error: &PortError) -> String {
    match error.source() {
        Some(source) => format!("{error} ({source})"),
        None => error.to_string(),
    }
}

/// What of the counters was reported, and when.
struct NoiseReport {
    reported: Counters,
    next: Instant,
}

impl NoiseReport {
    fn new() -> Self {
        Self {
            reported: Counters::default(),
            next: Instant::now(),
        }
    }

    fn is_due(&self) -> bool {
        Instant::now() >= self.next
    }

    fn report(&mut self, now: Counters) -> Option<Event> {
        let bytes = now.noise_bytes - self.reported.noise_bytes;
        let bad_checksums = now.bad_checksums - self.reported.bad_checksums;
        if bytes == 0 && bad_checksums == 0 {
            return None;
        }
        self.reported = now;
        self.next = Instant::now() + NOISE_REPORT;
        Some(Event::Noise {
            bytes,
            bad_checksums,
        })
    }
}
