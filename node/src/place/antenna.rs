//! The antenna: fixes of the receiver become samples in a bounded window, and on request a verdict.
//!
//! Policy stands in the core.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use city_drivers::gnss::{self, AntennaState, Event, Notice, ReceiverConfig, receiver};
use city_protocol::amount::Timestamp;
use city_protocol::place::{
    self, BoundaryIndex, Claim, Observation, PlacePolicy, SeenSatellite, Site, Survey, Verdict,
};
use city_protocol::region::Region;
use tokio::sync::mpsc;

use super::latch::SpoofingLatch;
use super::outline::Outline;
use super::sample::sample;
use crate::config::rfc3339;
use crate::engine::utc;
use crate::keys::KeyFileError;

/// Events of the receiver that wait: some seconds of ten epochs each.
const EVENTS: usize = 64;

/// Notices of the receiver that are kept: what a u-blox says at its start.
pub const MAX_NOTICES: usize = 16;

/// What the receiver said in words.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Said {
    /// When, by the node's clock; of what it repeats, a minute ago at most.
    pub at: Timestamp,
    /// `error`, `warning`, `notice`, `user` or `other`.
    pub severity: String,
    /// Its words, printable, one line.
    pub text: String,
}

/// What `status` shows of the receiver.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct ReceiverStatus {
    /// The device, if one is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Whether it is open.
    pub connected: bool,
    /// The device that `auto` found, if it is another than the configured one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// What the line carries: NMEA, UBX, or both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Speed of a serial line, bits per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baud: Option<u32>,
    /// What the receiver, its plug or gpsd says it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Fixes since the start.
    pub fixes: u64,
    /// Bytes that belonged to no sentence or message.
    pub noise_bytes: u64,
    /// Sentences and messages with a wrong checksum.
    pub bad_checksums: u64,
    /// Why it is not open, or not heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// How it finds its antenna: `ok`, `short` or `open`, if it supervises it and says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub antenna: Option<String>,
    /// When a change of that was logged last.
    #[serde(skip)]
    antenna_told: Option<Timestamp>,
    /// What it said in words since it was connected, oldest first; at most [`MAX_NOTICES`].
    pub notices: Vec<Said>,
}

impl ReceiverStatus {
    /// Keeps what it says; what it repeats moves to the end, the oldest makes room.
    fn note(&mut self, notice: Notice, at: Timestamp) {
        if let Some(state) = notice.antenna() {
            self.antenna_is(state, at);
        }
        let said = Said {
            at,
            severity: notice.severity.code().into(),
            text: notice.text,
        };
        let same = |held: &Said| held.text == said.text && held.severity == said.severity;
        self.notices.retain(|held| !same(held));
        if self.notices.len() == MAX_NOTICES {
            self.notices.remove(0);
        }
        self.notices.push(said);
    }

    /// A loose plug changes it with every epoch: the status follows, the log is told once in a while.
    fn antenna_is(&mut self, state: AntennaState, at: Timestamp) {
        if self.antenna.as_deref() == Some(state.code()) {
            return;
        }
        self.antenna = Some(state.code().into());
        if self
            .antenna_told
            .is_some_and(|told| u128::from(at.0.abs_diff(told.0)) < TELL_AGAIN.as_millis())
        {
            return;
        }
        self.antenna_told = Some(at);
        match state {
            AntennaState::Ok => tracing::info!("the receiver finds its antenna in order"),
            AntennaState::Short | AntennaState::Open => {
                tracing::warn!(antenna = state.code(), "the receiver's antenna is at fault");
            }
        }
    }
}

/// What judging rests on.
pub struct AntennaConfig {
    /// The receiver; none is a node without an antenna.
    pub receiver: Option<ReceiverConfig>,
    /// Whether it plays a declared recording.
    pub recorded: bool,
    /// Whether the network's purpose allows recorded and simulated receivers.
    pub purpose_allows_recorded: bool,
    /// Outlines of municipalities.
    pub boundary: Option<BoundaryIndex>,
    /// The municipality.
    pub home: Region,
    /// Its policy.
    pub policy: PlacePolicy,
    /// Where the antenna is, if somebody measured it.
    pub survey: Option<Survey>,
    /// Where indicated spoofing is noted, and since when it is; none: it is forgotten at the end.
    pub latch: Option<(SpoofingLatch, Option<Timestamp>)>,
}

/// How often a note that cannot be written is tried again: a receiver may say ten times a second that it is to be written.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// How often the same trouble is logged.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// When indicated spoofing could not be noted last, and when that was told.
#[derive(Default)]
struct LastTry {
    at: Option<Instant>,
    told: Option<Instant>,
}

impl LastTry {
    fn is_too_soon(&self) -> bool {
        self.at.is_some_and(|at| at.elapsed() < TRY_AGAIN)
    }

    fn failed(&mut self, error: &KeyFileError) {
        let now = Instant::now();
        self.at = Some(now);
        if self.told.is_none_or(|told| now - told >= TELL_AGAIN) {
            self.told = Some(now);
            tracing::error!(
                %error,
                "indicated spoofing could not be noted and would be forgotten at a restart; mend the disk, it is tried again"
            );
        }
    }
}

struct Seen {
    observation: Observation,
    status: ReceiverStatus,
}

/// The node's antenna; cheap to clone.
#[derive(Clone)]
pub struct Antenna {
    config: Arc<AntennaConfig>,
    seen: Arc<Mutex<Seen>>,
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A recording does not begin again: its time would run backwards.
const RECORDING_ENDED: &str = "the recording is at its end; restart the node to play it again";

const HELD: &str = "no holder of this lock panics";

impl Antenna {
    /// An antenna that has not seen anything.
    #[must_use]
    pub fn new(config: AntennaConfig) -> Self {
        let device = config
            .receiver
            .as_ref()
            .map(|receiver| receiver.source.to_string());
        let mut observation = Observation::new(config.recorded, &config.policy);
        if let Some((_, Some(since))) = &config.latch {
            observation.remember_spoofing(*since);
        }
        let seen = Seen {
            observation,
            status: ReceiverStatus {
                device,
                ..ReceiverStatus::default()
            },
        };
        Self {
            config: Arc::new(config),
            seen: Arc::new(Mutex::new(seen)),
        }
    }

    /// Reads the receiver for as long as it is polled; without a receiver it never ends either.
    pub async fn run(self) {
        let Some(receiver) = self.config.receiver.clone() else {
            return std::future::pending().await;
        };
        let (events, mut inbox) = mpsc::channel(EVENTS);
        let reading = receiver::run(receiver, events);
        let noting = async {
            let mut last = LastTry::default();
            while let Some(event) = inbox.recv().await {
                self.latch(&event, &mut last).await;
                self.note(event);
            }
        };
        tokio::join!(reading, noting);
    }

    /// Notes indicated spoofing durably, before any verdict shows it. What could not be noted is tried again with later
    /// epochs, whatever they say.
    async fn latch(&self, event: &Event, last: &mut LastTry) {
        let Event::Fix(fix) = event else { return };
        let indicated = fix.spoofing > Some(gnss::Spoofing::NoneIndicated);
        let remembered = self.seen.lock().expect(HELD).observation.spoofing_since();
        let Some(since) = remembered.or_else(|| indicated.then(utc)) else {
            return;
        };
        let noted = |(latch, _): &(SpoofingLatch, _)| latch.is_noted();
        if self.config.latch.as_ref().is_none_or(noted) || last.is_too_soon() {
            return;
        }
        let own = self.clone();
        let noting = move || {
            let Some((latch, _)) = &own.config.latch else {
                return Ok(());
            };
            let visible = || {
                let mut seen = own.seen.lock().expect(HELD);
                seen.observation.remember_spoofing(since);
            };
            latch.close(since, visible)
        };
        match tokio::task::spawn_blocking(noting).await {
            Ok(Ok(())) => *last = LastTry::default(),
            Ok(Err(error)) => last.failed(&error),
            // Its own panic, which is reported, or the end of the process.
            Err(_) => {}
        }
    }

    fn note(&self, event: Event) {
        let mut seen = self.seen.lock().expect(HELD);
        match event {
            Event::Connected => {
                seen.observation.connected(utc());
                let status = &mut seen.status;
                status.connected = true;
                status.problem = None;
                (status.found, status.protocol) = (None, None);
                (status.baud, status.identity) = (None, None);
                status.antenna = None;
                status.notices.clear();
                tracing::info!(device = ?status.device, "receiver connected");
            }
            Event::Heard {
                device,
                baud,
                protocol,
            } => {
                let status = &mut seen.status;
                tracing::info!(device, baud, protocol = protocol.name(), "receiver heard");
                status.found = Some(device).filter(|found| Some(found) != status.device.as_ref());
                status.baud = baud;
                status.protocol = Some(protocol.name().into());
                status.problem = None;
            }
            Event::Identity(identity) => {
                tracing::info!(identity, "receiver named");
                seen.status.identity = Some(identity);
            }
            Event::Configured(0) => {
                tracing::warn!("receiver refuses to send what place checking would use");
            }
            Event::Configured(messages) => {
                tracing::info!(messages, "receiver sends what place checking uses");
            }
            Event::Silent { unreadable } => {
                let what = if unreadable {
                    "open, but nothing readable"
                } else {
                    "open, but nothing received"
                };
                let advice = if unreadable {
                    "is gnss.baud its speed?"
                } else {
                    "does it have power?"
                };
                let since = utc().0.saturating_sub(millis(receiver::SILENCE));
                let problem = format!("{what} since {}; {advice}", rfc3339(Timestamp(since)));
                tracing::warn!(device = ?seen.status.device, problem, "receiver silent");
                seen.status.problem = Some(problem);
            }
            Event::Notice(notice) => seen.status.note(notice, utc()),
            Event::Ended => {
                tracing::warn!(device = ?seen.status.device, "the recording is at its end");
                seen.observation.disconnected();
                seen.status.connected = false;
                seen.status.problem = Some(RECORDING_ENDED.into());
            }
            Event::Fix(fix) => {
                seen.observation.push(sample(&fix, utc()));
                seen.status.fixes += 1;
            }
            Event::Disconnected { reason, retry_in } => {
                if seen.status.connected || seen.status.problem.is_none() {
                    tracing::warn!(device = ?seen.status.device, reason, "receiver gone; trying again");
                }
                seen.observation.disconnected();
                seen.status.connected = false;
                seen.status.problem =
                    Some(format!("{reason}; next try in {} ms", retry_in.as_millis()));
            }
            Event::Noise {
                bytes,
                bad_checksums,
            } => {
                seen.status.noise_bytes += bytes;
                seen.status.bad_checksums += bad_checksums;
            }
        }
    }

    /// What place checking says now.
    #[must_use]
    pub fn verdict(&self, now: Timestamp) -> Verdict {
        let seen = self.seen.lock().expect(HELD);
        place::judge(&seen.observation, &self.site(), now)
    }

    /// What a person's own coordinates amount to here. The receiver is not asked.
    #[must_use]
    pub fn claim(&self, claim: &Claim) -> Verdict {
        place::judge_claim(claim, &self.site())
    }

    fn site(&self) -> Site<'_> {
        let config = &self.config;
        Site {
            boundary: config.boundary.as_ref(),
            home: Some(&config.home),
            survey: config.survey,
            policy: &config.policy,
            purpose_allows_recorded: config.purpose_allows_recorded,
        }
    }

    /// The satellites of the newest epoch that lists any.
    #[must_use]
    pub fn sky(&self) -> Vec<SeenSatellite> {
        let seen = self.seen.lock().expect(HELD);
        let listing = seen.observation.samples().rev();
        let newest = listing.map(|s| &s.satellites).find(|list| !list.is_empty());
        newest.cloned().unwrap_or_default()
    }

    /// The home's outline, for the eye; none without a boundary index that has it.
    #[must_use]
    pub fn outline(&self) -> Option<Outline> {
        let code = self.config.home.municipality();
        let home = self.config.boundary.as_ref()?.municipality(code)?;
        Some(Outline::of(home))
    }

    /// Forgets that the receiver indicated spoofing: an operator has looked at the antenna. Returns since when it was
    /// remembered. Waits for the disk.
    ///
    /// # Errors
    /// [`KeyFileError`] if the note could not be removed: then it is remembered.
    pub fn clear_spoofing(&self) -> Result<Option<Timestamp>, KeyFileError> {
        let forget = || {
            let mut seen = self.seen.lock().expect(HELD);
            let since = seen.observation.spoofing_since();
            seen.observation.clear_spoofing();
            since
        };
        match &self.config.latch {
            Some((latch, _)) => latch.clear(forget),
            None => Ok(forget()),
        }
    }

    /// How the receiver is.
    #[must_use]
    pub fn status(&self) -> ReceiverStatus {
        self.seen.lock().expect(HELD).status.clone()
    }

    /// The municipality's policy.
    #[must_use]
    pub fn policy(&self) -> &PlacePolicy {
        &self.config.policy
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use city_drivers::gnss::Severity;

    #[test]
    fn what_the_receiver_says_is_kept_bounded_and_without_repetitions() {
        let mut status = ReceiverStatus::default();
        let mut say = |text: &str, at| {
            let notice = Notice {
                severity: Severity::Notice,
                text: text.into(),
            };
            status.note(notice, Timestamp(at));
        };
        say("ANTSTATUS=OK", 1);
        for n in 0..40 {
            say(&format!("line {n}"), 2);
        }
        say("line 30", 3);
        say("ANTSTATUS=SHORT", 4);
        assert_eq!(status.antenna.as_deref(), Some("short"));
        assert_eq!(status.notices.len(), MAX_NOTICES);
        let last: Vec<_> = status.notices.iter().rev().take(2).collect();
        assert_eq!(
            (&*last[0].text, last[0].at),
            ("ANTSTATUS=SHORT", Timestamp(4))
        );
        assert_eq!((&*last[1].text, last[1].at), ("line 30", Timestamp(3)));
        let of_30 = status.notices.iter().filter(|said| said.text == "line 30");
        assert_eq!(of_30.count(), 1);
    }
}
