//! Challenges that wait to be signed: each is good once, for a minute, and few wait for one source.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use city_protocol::body::CHALLENGE_LEN;

use super::rate::network;
use crate::client::person::random;

/// How long a challenge may be answered.
pub(super) const CHALLENGE_LIFETIME: Duration = Duration::from_secs(60);
/// Most challenges that wait: 16,384 of some 150 bytes. The oldest goes for a new one.
const MAX_WAITING: usize = 16_384;
/// Most that wait for one source: a school behind one address.
const MAX_PER_SOURCE: usize = 256;

type Challenge = [u8; CHALLENGE_LEN];

/// The challenges.
#[derive(Debug, Default)]
pub(super) struct Challenges(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// In the order in which they were given; some were answered since.
    order: VecDeque<(Instant, Challenge)>,
    sources: HashMap<Challenge, IpAddr>,
    per_source: HashMap<IpAddr, usize>,
}

impl Challenges {
    /// A new challenge for this source; `None` if too many of its own wait.
    pub(super) fn give(&self, source: IpAddr) -> Option<Challenge> {
        self.give_at(source, Instant::now())
    }

    /// Takes a challenge back; whether it was waiting and in time.
    pub(super) fn take(&self, challenge: &[u8]) -> bool {
        self.take_at(challenge, Instant::now())
    }

    fn give_at(&self, source: IpAddr, now: Instant) -> Option<Challenge> {
        let source = network(source);
        let mut waiting = self.0.lock().expect(HELD);
        waiting.drop_old(now);
        if waiting.per_source.get(&source).copied().unwrap_or(0) >= MAX_PER_SOURCE {
            return None;
        }
        if waiting.order.len() >= MAX_WAITING {
            waiting.drop_oldest();
        }
        let challenge = random();
        waiting.order.push_back((now, challenge));
        waiting.sources.insert(challenge, source);
        *waiting.per_source.entry(source).or_default() += 1;
        Some(challenge)
    }

    fn take_at(&self, challenge: &[u8], now: Instant) -> bool {
        let Ok(challenge) = Challenge::try_from(challenge) else {
            return false;
        };
        let mut waiting = self.0.lock().expect(HELD);
        waiting.drop_old(now);
        waiting.forget(&challenge)
    }
}

const HELD: &str = "no holder of this lock panics";

impl Waiting {
    fn drop_old(&mut self, now: Instant) {
        while let Some((given, _)) = self.order.front()
            && now.saturating_duration_since(*given) > CHALLENGE_LIFETIME
        {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, challenge)) = self.order.pop_front() {
            self.forget(&challenge);
        }
    }

    /// Whether it was there.
    fn forget(&mut self, challenge: &Challenge) -> bool {
        let Some(source) = self.sources.remove(challenge) else {
            return false;
        };
        if let Some(count) = self.per_source.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.per_source.remove(&source);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_good_once_for_a_minute() {
        let challenges = Challenges::default();
        let (home, now) = (IpAddr::from([192, 0, 2, 1]), Instant::now());
        let one = challenges.give_at(home, now).unwrap();
        assert!(challenges.take_at(&one, now));
        assert!(!challenges.take_at(&one, now), "once");
        let one = challenges.give_at(home, now).unwrap();
        assert!(challenges.take_at(&one, now + CHALLENGE_LIFETIME));
        let late = challenges.give_at(home, now).unwrap();
        let later = now + CHALLENGE_LIFETIME + Duration::from_millis(1);
        assert!(!challenges.take_at(&late, later));
        assert!(!challenges.take_at(&[0; 31], now));
    }

    #[test]
    fn one_source_does_not_take_the_whole_table() {
        let challenges = Challenges::default();
        let now = Instant::now();
        let (greedy, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        for _ in 0..MAX_PER_SOURCE {
            challenges.give_at(greedy, now).unwrap();
        }
        assert!(challenges.give_at(greedy, now).is_none());
        let kept = challenges.give_at(other, now).unwrap();
        assert!(challenges.take_at(&kept, now));
        let later = now + CHALLENGE_LIFETIME + Duration::from_secs(1);
        assert!(challenges.give_at(greedy, later).is_some());
        let waiting = challenges.0.lock().unwrap();
        assert_eq!(
            (
                waiting.order.len(),
                waiting.sources.len(),
                waiting.per_source.len()
            ),
            (1, 1, 1)
        );
    }

    #[test]
    fn the_oldest_goes_when_the_table_is_full() {
        let challenges = Challenges::default();
        let now = Instant::now();
        let first = challenges
            .give_at(IpAddr::from([10, 0, 0, 1]), now)
            .unwrap();
        for n in 0..u32::try_from(MAX_WAITING).unwrap() {
            let source = IpAddr::from((0x0b00_0000 + n).to_be_bytes());
            challenges.give_at(source, now).unwrap();
        }
        assert!(!challenges.take_at(&first, now));
        assert_eq!(challenges.0.lock().unwrap().order.len(), MAX_WAITING);
    }
}
