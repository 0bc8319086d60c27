//! The antenna: fixes of the receiver become samples in a bounded window, and on request a verdict.
//!
//! The only translator between the drivers' `Fix` and the core's `Sample`. Policy stands in the core.

use std::sync::{Arc, Mutex};

use city_drivers::gnss::{Event, Fix, FixMode, Quality, ReceiverConfig, receiver};
use city_protocol::amount::Timestamp;
use city_protocol::place::{self, BoundaryIndex, Observation, PlacePolicy, Point, Sample, Verdict};
use city_protocol::region::Region;
use tokio::sync::mpsc;

use crate::engine::utc;

/// Events of the receiver that wait: some seconds of ten epochs each.
const EVENTS: usize = 64;

/// What `status` shows of the receiver.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct ReceiverStatus {
    /// The device, if one is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Whether it is open.
    pub connected: bool,
    /// Fixes since the start.
    pub fixes: u64,
    /// Bytes that belonged to no sentence or message.
    pub noise_bytes: u64,
    /// Sentences and messages with a wrong checksum.
    pub bad_checksums: u64,
    /// Why it is not open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
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

const HELD: &str = "no holder of this lock panics";

impl Antenna {
    /// An antenna that has not seen anything.
    #[must_use]
    pub fn new(config: AntennaConfig) -> Self {
        let device = config
            .receiver
            .as_ref()
            .map(|receiver| receiver.device.display().to_string());
        let seen = Seen {
            observation: Observation::new(config.recorded),
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
            while let Some(event) = inbox.recv().await {
                self.note(event);
            }
        };
        tokio::join!(reading, noting);
    }

    fn note(&self, event: Event) {
        let mut seen = self.seen.lock().expect(HELD);
        match event {
            Event::Connected => {
                seen.observation.connected(utc());
                seen.status.connected = true;
                seen.status.problem = None;
                tracing::info!(device = ?seen.status.device, "receiver connected");
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
        place::judge(
            &seen.observation,
            self.config.boundary.as_ref(),
            &self.config.home,
            &self.config.policy,
            now,
            self.config.purpose_allows_recorded,
        )
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

/// An epoch of the drivers as a sample of the core.
fn sample(fix: &Fix, received_at: Timestamp) -> Sample {
    let point = fix
        .position()
        .and_then(|(lat, lon)| Point::new(lat, lon).ok());
    Sample {
        received_at,
        fix_time: fix.time_ms.map(Timestamp),
        point,
        mode: match fix.mode {
            FixMode::None => place::FixMode::None,
            FixMode::TwoD => place::FixMode::TwoD,
            FixMode::ThreeD => place::FixMode::ThreeD,
        },
        quality: quality(fix.quality),
        // A receiver that has a position and says 0 satellites does not say.
        satellites_used: (fix.satellites_used > 0 || point.is_none())
            .then_some(fix.satellites_used),
        satellites_in_view: u8::try_from(fix.satellites_in_view()).ok(),
        hdop_centi: fix.hdop_centi,
        accuracy_mm: fix.accuracy_mm,
        altitude_mm: fix.altitude_mm,
        speed_mm_s: fix.speed_mm_s,
        cn0_used: fix.used_cn0().collect(),
    }
}

const fn quality(quality: Quality) -> place::Quality {
    match quality {
        Quality::Invalid => place::Quality::Invalid,
        Quality::Autonomous => place::Quality::Autonomous,
        Quality::Differential => place::Quality::Differential,
        Quality::Pps => place::Quality::Pps,
        Quality::Rtk => place::Quality::Rtk,
        Quality::FloatRtk => place::Quality::FloatRtk,
        Quality::Estimated => place::Quality::Estimated,
        Quality::Manual => place::Quality::Manual,
        Quality::Simulated => place::Quality::Simulated,
    }
}
