//! The node's clock and how well it is known (DESIGN §6.10). The only place of the engine that reads it.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use city_protocol::amount::Timestamp;
use city_protocol::replica::{ClockQuality, Now};

/// When this software was built, in seconds since the Unix epoch: no honest clock is before it.
const BUILD_TIME_S: &str = env!("CITY_NODE_BUILD_TIME");
/// Present while systemd-timesyncd is synchronised.
const NTP_MARK: &str = "/run/systemd/timesync/synchronized";
/// The first real-time clock.
const RTC: &str = "/dev/rtc0";

/// How long what was seen of the clock's sources is believed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The system's clock with what is known of its quality.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    trust_system: bool,
    floor: Timestamp,
}

impl SystemClock {
    /// A clock that is never believed below `last_vertex` or the build time.
    #[must_use]
    pub fn new(trust_system: bool, last_vertex: Timestamp) -> Self {
        let built = BUILD_TIME_S.parse::<u64>().unwrap_or(0) * 1000;
        Self {
            trust_system,
            floor: last_vertex.max(Timestamp(built)),
        }
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> Now {
        self.now_with(self.sources())
    }

    /// What time it is, where the clock's sources give this quality.
    fn now_with(&self, sources: ClockQuality) -> Now {
        let time = utc();
        Now {
            time: time.max(self.floor),
            quality: if time < self.floor {
                ClockQuality::Floor
            } else {
                sources
            },
        }
    }

    fn sources(&self) -> ClockQuality {
        if Path::new(NTP_MARK).exists() {
            ClockQuality::Ntp
        } else if self.trust_system || Path::new(RTC).exists() {
            ClockQuality::Rtc
        } else {
            ClockQuality::Floor
        }
    }
}

/// The clock of the commit thread, which asks for each transfer: it looks at the sources once a second.
pub(super) struct Watch {
    clock: SystemClock,
    looked: Instant,
    sources: ClockQuality,
}

impl Watch {
    pub(super) fn new(clock: SystemClock) -> Self {
        Self {
            clock,
            looked: Instant::now(),
            sources: clock.sources(),
        }
    }

    pub(super) fn now(&mut self) -> Now {
        if self.looked.elapsed() >= LOOK_AGAIN {
            *self = Self::new(self.clock);
        }
        self.clock.now_with(self.sources)
    }
}

/// The system's time, whatever it is worth. A clock before 1970 reads as 0.
#[must_use]
pub fn utc() -> Timestamp {
    let ms = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    Timestamp(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_behind_the_last_vertex_is_not_believed() {
        let ahead = utc().plus_ms(60_000);
        let now = SystemClock::new(true, ahead).now();
        assert_eq!((now.quality, now.time), (ClockQuality::Floor, ahead));
        assert_ne!(
            SystemClock::new(true, Timestamp(0)).now().quality,
            ClockQuality::Floor
        );
    }
}
