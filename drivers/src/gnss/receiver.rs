//! The receiver task: keeps the configured receiver open, decodes it, and reports what happens as events.
//!
//! Owns connecting again with capped back-off, finding the line's speed, and noticing silence. Decides nothing about fixes; the
//! consumer sets the pace.

use super::decoder::Decoder;
use super::discover;
use super::fix::Fix;
use super::framing::Counters;
use super::gpsd::Gpsd;
use super::hunt::Hunt;
use super::notice::{News, Notice};
use super::recording::Recording;
use super::replay::Pace;
use super::serial::{Port, PortError};
use super::source::{Baud, ReceiverConfig, Source};
use super::ublox_setup::Setup;
use std::error::Error as _;
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

/// First wait after a loss. A USB receiver that re-enumerates is back after about this long.
pub const RETRY_MIN: Duration = Duration::from_millis(250);

/// Longest wait between attempts: status has to follow a re-plugged receiver within 3 s, and opening costs nothing.
pub const RETRY_MAX: Duration = Duration::from_secs(2);

/// A connection that held this long starts again with the shortest wait.
const STABLE: Duration = Duration::from_secs(5);

/// Noise is reported at most this often, so that a bad line cannot flood the events.
pub const NOISE_REPORT: Duration = Duration::from_secs(1);

/// Longest reason of a loss, in characters: some lines of a terminal.
const MAX_REASON: usize = 300;

/// Without a frame for this long a receiver is silent: they send at least once a second, and status has to follow within 3 s.
pub const SILENCE: Duration = Duration::from_millis(2500);

/// How often the clock is looked at while nothing comes.
const LOOK: Duration = Duration::from_millis(100);

/// Bytes read at a time; a second of the busiest receivers at 115,200 baud is 11,520.
const READ_SIZE: usize = 4096;

/// So many frames with a right checksum, and the line is understood: one may be chance at the wrong speed.
const UNDERSTOOD: u64 = 2;

/// What a line carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// NMEA 0183 sentences.
    Nmea,
    /// u-blox UBX frames.
    Ubx,
    /// Both.
    Both,
}

impl Protocol {
    /// For a person.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nmea => "NMEA",
            Self::Ubx => "UBX",
            Self::Both => "NMEA and UBX",
        }
    }

    fn of(counters: Counters) -> Option<Self> {
        match (counters.nmea > 0, counters.ubx > 0) {
            (false, false) => None,
            (true, false) => Some(Self::Nmea),
            (false, true) => Some(Self::Ubx),
            (true, true) => Some(Self::Both),
        }
    }
}

/// What happens at a receiver.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The port is open. Nothing was received yet.
    Connected,
    /// The line is understood, or carries another protocol than it did.
    Heard {
        /// The device, as it was found, or gpsd's address.
        device: String,
        /// Speed of a serial line, bits per second.
        baud: Option<u32>,
        /// What it carries.
        protocol: Protocol,
    },
    /// What the receiver, its USB plug or gpsd says it is; one line.
    Identity(String),
    /// So many of the messages that place checking uses were asked for and are sent from now on.
    Configured(u8),
    /// It says something in words that it did not say a moment ago.
    Notice(Notice),
    /// An epoch is complete.
    Fix(Fix),
    /// A recording is at its end; it does not begin again.
    Ended,
    /// Open, but no sentence and no frame for [`SILENCE`]; once, until [`Event::Heard`] follows.
    Silent {
        /// Bytes came, but none that can be read: another speed, or no receiver.
        unreadable: bool,
    },
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
    // The speed at which the line was understood last.
    let mut baud = None;
    loop {
        let opened = Instant::now();
        let lost = tokio::select! {
            lost = attend(&config, &mut baud, &events) => lost,
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

/// An open receiver.
enum Line {
    Serial { port: Port, hunt: Hunt },
    Gpsd(Box<Gpsd>),
    Recording(Recording),
}

/// What reading a line gave beside bytes.
enum Read {
    /// Nothing.
    Bytes,
    /// What the receiver is.
    Identity(String),
    /// A recording is at its end.
    End,
}

impl Line {
    async fn open(config: &ReceiverConfig, baud: Option<u32>) -> Result<Self, PortError> {
        let device = match &config.source {
            Source::Serial(device) => device.clone(),
            Source::Auto => discover::find().ok_or(PortError::NoneKnown)?,
            Source::Gpsd { address, device } => {
                let gpsd = Gpsd::open(address, device.as_deref()).await?;
                return Ok(Self::Gpsd(Box::new(gpsd)));
            }
            Source::Recording(file) => return Ok(Self::Recording(Recording::open(file).await?)),
        };
        let hunt = match config.baud {
            Baud::Fixed(baud) => Hunt::fixed(baud),
            Baud::Auto => Hunt::from(baud),
        };
        let port = Port::open(&device, hunt.baud())?;
        Ok(Self::Serial { port, hunt })
    }

    /// What is known of the receiver before it says a word.
    fn identity(&self) -> Option<String> {
        match self {
            Self::Serial { port, .. } => Some(discover::usb_of(port.device())?.describe()),
            Self::Gpsd(_) | Self::Recording(_) => None,
        }
    }

    /// Whether it is a USB device without a speed: whatever is set is right.
    fn is_cdc(&self) -> bool {
        let Self::Serial { port, .. } = self else {
            return false;
        };
        let path = port.device().canonicalize().unwrap_or_default();
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("ttyACM"))
    }

    async fn read(&mut self, buffer: &mut [u8], bytes: &mut Vec<u8>) -> Result<Read, PortError> {
        match self {
            Self::Serial { port, .. } => {
                let len = port.read(buffer).await?;
                bytes.extend_from_slice(&buffer[..len]);
                Ok(Read::Bytes)
            }
            Self::Gpsd(gpsd) => {
                let identity = gpsd.read(buffer, bytes).await?;
                Ok(identity.map_or(Read::Bytes, Read::Identity))
            }
            Self::Recording(recording) => {
                let some = recording.read(buffer, bytes).await?;
                Ok(some.map_or(Read::End, |()| Read::Bytes))
            }
        }
    }

    /// Its epochs are due when they were made; of a live receiver they are when they come.
    fn pace(&self) -> Option<Pace> {
        match self {
            Self::Recording(_) => Some(Pace::default()),
            Self::Serial { .. } | Self::Gpsd(_) => None,
        }
    }
}

/// One connection, from opening to loss.
async fn attend(
    config: &ReceiverConfig,
    baud: &mut Option<u32>,
    events: &Sender<Event>,
) -> Result<PortError, Unheard> {
    let send = async |event| events.send(event).await.map_err(|_| Unheard);
    let mut line = match Line::open(config, *baud).await {
        Ok(line) => line,
        Err(error) => return Ok(error),
    };
    send(Event::Connected).await?;
    if let Some(identity) = line.identity() {
        send(Event::Identity(identity)).await?;
    }
    let started = Instant::now();
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut listening = Listening::new();
    let mut setup: Option<Setup> = None;
    let (mut buffer, mut bytes) = (vec![0; READ_SIZE], Vec::new());
    let (mut fixes, mut notices) = (Vec::new(), Vec::new());
    let (mut pace, mut due, mut ended) = (line.pace(), started, false);
    loop {
        let read = tokio::select! {
            read = line.read(&mut buffer, &mut bytes) => Some(read),
            _ = ticks.tick() => None,
        };
        match read {
            None => {}
            Some(Ok(read)) => {
                ended = matches!(read, Read::End);
                if let Read::Identity(identity) = read {
                    send(Event::Identity(identity)).await?;
                }
                let mut said = None;
                listening.decoder.push_with(
                    &bytes,
                    |frame| {
                        notices.extend(listening.news.told(frame, started.elapsed()));
                        if let Some(setup) = &mut setup {
                            said = setup.take(frame).or(said.take());
                        }
                    },
                    |fix| fixes.push(fix),
                );
                listening.received |= !bytes.is_empty();
                bytes.clear();
                if ended {
                    listening.decoder.finish(|fix| fixes.push(fix));
                }
                if let Some(identity) = said {
                    send(Event::Identity(identity)).await?;
                }
            }
            Some(Err(error)) => {
                if let Some(event) = listening.noise.report(listening.decoder.counters()) {
                    send(event).await?;
                }
                return Ok(error);
            }
        }
        if let Some(protocol) = listening.newly_understood() {
            let (device, speed) = match &line {
                Line::Serial { port, hunt } => {
                    (port.device().display().to_string(), Some(hunt.baud()))
                }
                Line::Gpsd(_) | Line::Recording(_) => (config.source.to_string(), None),
            };
            *baud = speed;
            send(Event::Heard {
                device,
                baud: speed,
                protocol,
            })
            .await?;
            if config.configure && setup.is_none() && matches!(line, Line::Serial { .. }) {
                setup = Some(Setup::new(speed.filter(|_| !line.is_cdc())));
            }
        }
        for notice in notices.drain(..) {
            send(Event::Notice(notice)).await?;
        }
        for fix in fixes.drain(..) {
            if let Some(pace) = &mut pace {
                // Not sooner than now: what was late is not made up for by a burst.
                due = (due + pace.pause(fix.time_ms)).max(Instant::now());
                sleep_until(due).await;
            }
            send(Event::Fix(fix)).await?;
        }
        if listening.noise.is_due()
            && let Some(event) = listening.noise.report(listening.decoder.counters())
        {
            send(event).await?;
        }
        if ended {
            send(Event::Ended).await?;
            events.closed().await;
            return Err(Unheard);
        }
        // A recording that pauses is not silent.
        if pace.is_none()
            && let Some(unreadable) = listening.newly_silent()
        {
            // It may have been switched off, and then forgot what it was asked for.
            setup = None;
            send(Event::Silent { unreadable }).await?;
        }
        if let Some(accepted) = setup.as_mut().and_then(Setup::ended) {
            send(Event::Configured(accepted)).await?;
        }
        if let Line::Serial { port, hunt } = &mut line {
            if let Some(request) = setup.as_mut().and_then(|s| s.poll(started.elapsed()))
                && let Err(error) = port.write(&request).await
            {
                return Ok(error);
            }
            let counters = listening.decoder.counters();
            if let Some(next) = hunt.next(started.elapsed(), counters) {
                if let Err(error) = port.set_baud(next) {
                    return Ok(error);
                }
                listening.begin_anew();
                setup = None;
            }
        }
    }
}

/// In words for a status line; what gpsd says of itself stands in it.
fn reason(error: &PortError) -> String {
    let text = match error.source() {
        Some(source) => format!("{error} ({source})"),
        None => error.to_string(),
    };
    let shown = text.chars().filter(|c| !c.is_control());
    shown.take(MAX_REASON).collect()
}

/// What the line gave so far, and when.
struct Listening {
    decoder: Decoder,
    news: News,
    noise: NoiseReport,
    frames: u64,
    last_frame: Instant,
    received: bool,
    protocol: Option<Protocol>,
    silent: bool,
}

impl Listening {
    fn new() -> Self {
        Self {
            decoder: Decoder::new(),
            news: News::default(),
            noise: NoiseReport::new(),
            frames: 0,
            last_frame: Instant::now(),
            received: false,
            protocol: None,
            silent: false,
        }
    }

    /// At another speed: what came before belongs to nothing.
    fn begin_anew(&mut self) {
        self.decoder = Decoder::new();
        self.noise.reported = Counters::default();
        self.frames = 0;
        self.protocol = None;
    }

    /// The protocol, when the line is understood for the first time, after a silence, or in another way than before.
    fn newly_understood(&mut self) -> Option<Protocol> {
        let counters = self.decoder.counters();
        let frames = counters.nmea + counters.ubx;
        if frames == self.frames {
            return None;
        }
        self.frames = frames;
        self.last_frame = Instant::now();
        self.received = false;
        let protocol = Protocol::of(counters).filter(|_| frames >= UNDERSTOOD)?;
        let is_new = self.protocol != Some(protocol) || self.silent;
        self.protocol = Some(protocol);
        self.silent = false;
        is_new.then_some(protocol)
    }

    /// Whether bytes came that cannot be read, when the line has just fallen silent.
    fn newly_silent(&mut self) -> Option<bool> {
        if self.silent || self.last_frame.elapsed() < SILENCE {
            return None;
        }
        self.silent = true;
        Some(self.received)
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
