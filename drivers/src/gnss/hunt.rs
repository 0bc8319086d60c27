//! Finds the speed of a serial line: listens at one after the other until frames with a right checksum come.
//!
//! Pure: the time and the decoder's counters in, the next speed out. Nothing is written to the line.

use super::framing::Counters;
use super::source::BAUDS;
use std::time::Duration;

/// How long one speed is listened to. Receivers speak once a second; the burst may have just ended.
const WINDOW: Duration = Duration::from_millis(1300);

/// So many bytes without a frame, and the speed is wrong: three of the longest usual sentences.
const UNREADABLE: u64 = 300;

/// A line that was understood is taken to have changed its speed after this long without a frame, if bytes still come.
const CHANGED: Duration = Duration::from_millis(2500);

/// Where the search stands.
#[derive(Debug)]
pub(super) struct Hunt {
    /// Speeds to try, the one in use first; a single one is never left.
    order: Vec<u32>,
    at: usize,
    since: Duration,
    frames: u64,
    noise: u64,
    understood: bool,
}

impl Hunt {
    /// This speed and no other.
    pub(super) fn fixed(baud: u32) -> Self {
        Self::over(vec![baud])
    }

    /// All speeds, beginning with the one that was right last.
    pub(super) fn from(last: Option<u32>) -> Self {
        let mut order: Vec<u32> = last.into_iter().collect();
        order.extend(BAUDS.into_iter().filter(|&baud| Some(baud) != last));
        Self::over(order)
    }

    fn over(order: Vec<u32>) -> Self {
        Self {
            order,
            at: 0,
            since: Duration::ZERO,
            frames: 0,
            noise: 0,
            understood: false,
        }
    }

    /// The speed in use.
    pub(super) fn baud(&self) -> u32 {
        self.order[self.at]
    }

    /// The speed to go to, if this one is wrong. `counters` are those since the speed was set.
    pub(super) fn next(&mut self, now: Duration, counters: Counters) -> Option<u32> {
        if self.order.len() == 1 {
            return None;
        }
        let frames = counters.nmea + counters.ubx;
        if frames > self.frames {
            self.frames = frames;
            self.noise = counters.noise_bytes;
            self.since = now;
            self.understood |= frames >= 2;
            return None;
        }
        let waited = now.saturating_sub(self.since);
        let noise = counters.noise_bytes - self.noise;
        let wrong = if self.understood {
            waited >= CHANGED && noise > 0
        } else {
            waited >= WINDOW || noise >= UNREADABLE
        };
        if !wrong {
            return None;
        }
        self.at = (self.at + 1) % self.order.len();
        self.since = now;
        self.frames = 0;
        self.noise = 0;
        self.understood = false;
        Some(self.baud())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(nmea: u64, noise_bytes: u64) -> Counters {
        Counters {
            nmea,
            noise_bytes,
            ..Counters::default()
        }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn every_speed_is_tried_in_turn_the_last_good_one_first() {
        let mut hunt = Hunt::from(Some(57_600));
        let mut tried = vec![hunt.baud()];
        for round in 1..9 {
            assert_eq!(hunt.next(ms(round * 1300 - 1), counters(0, 0)), None);
            tried.extend(hunt.next(ms(round * 1300), counters(0, 0)));
        }
        assert_eq!(
            tried,
            [
                57_600, 9600, 38_400, 115_200, 4800, 19_200, 230_400, 460_800, 921_600
            ]
        );
        assert_eq!(hunt.next(ms(9 * 1300), counters(0, 0)), Some(57_600));
    }

    #[test]
    fn unreadable_bytes_shorten_the_wait_and_frames_end_it() {
        let mut hunt = Hunt::from(None);
        assert_eq!(hunt.next(ms(100), counters(0, 299)), None);
        assert_eq!(hunt.next(ms(200), counters(0, 300)), Some(38_400));
        assert_eq!(hunt.next(ms(900), counters(2, 40)), None);
        // Silence alone is no other speed; unreadable bytes are.
        assert_eq!(hunt.next(ms(60_000), counters(2, 40)), None);
        assert_eq!(hunt.next(ms(60_000), counters(2, 41)), Some(115_200));
    }

    #[test]
    fn a_fixed_speed_stays() {
        let mut hunt = Hunt::fixed(9600);
        assert_eq!(hunt.next(ms(100_000), counters(0, 100_000)), None);
        assert_eq!(hunt.baud(), 9600);
    }
}
