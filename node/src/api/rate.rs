//! Who may ask how often: a token bucket per source and one for all, bounded in memory.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use lru::LruCache;

/// Sources that are remembered: 4,096 of some 60 bytes. A forgotten one begins anew; the bucket for all holds.
const SOURCES: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");
/// One token in the bucket's integer unit.
const TOKEN: u64 = 1_000_000_000;

/// How often may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests a second from one address (IPv6: one /64).
    pub source_per_s: u32,
    /// How many may come at once from one address.
    pub source_burst: u32,
    /// Requests a second from everybody.
    pub total_per_s: u32,
    /// How many may come at once from everybody.
    pub total_burst: u32,
    /// Logins a second from one address.
    pub logins_per_s: u32,
    /// How many logins may come at once from one address.
    pub logins_burst: u32,
}

impl Default for Limits {
    /// A town hall behind one address still gets 50 a second; everybody together keeps one core of the
    /// smallest box busy with signatures (some 5,000 verifications a second) for a tenth of the time.
    fn default() -> Self {
        Self {
            source_per_s: 50,
            source_burst: 200,
            total_per_s: 500,
            total_burst: 1000,
            logins_per_s: 5,
            logins_burst: 100,
        }
    }
}

/// The buckets.
#[derive(Debug)]
pub struct RateLimiter {
    sources: Buckets<IpAddr>,
    total: Mutex<Bucket>,
    limits: Limits,
    logins: Buckets<IpAddr>,
}

/// A bucket for each of those who ask.
#[derive(Debug)]
pub(super) struct Buckets<K: Hash + Eq> {
    per_s: u32,
    burst: u32,
    buckets: Mutex<LruCache<K, Bucket>>,
}

impl<K: Hash + Eq + Copy> Buckets<K> {
    /// Full buckets, which fill again at so much a second.
    pub(super) fn new(per_s: u32, burst: u32) -> Self {
        Self {
            per_s,
            burst,
            buckets: Mutex::new(LruCache::new(SOURCES)),
        }
    }

    /// Takes one; or says how long to wait.
    pub(super) fn take(&self, who: &K) -> Result<(), Duration> {
        self.take_at(who, Instant::now())
    }

    fn take_at(&self, who: &K, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().expect(HELD);
        let full = || Bucket::full(self.burst, now);
        let bucket = buckets.get_or_insert_mut(*who, full);
        bucket.take(self.per_s, self.burst, now)
    }
}

const HELD: &str = "no holder of this lock panics";

impl RateLimiter {
    /// Full buckets.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            sources: Buckets::new(limits.source_per_s, limits.source_burst),
            total: Mutex::new(Bucket::full(limits.total_burst, Instant::now())),
            limits,
            logins: Buckets::new(limits.logins_per_s, limits.logins_burst),
        }
    }

    /// Takes one request of this source.
    ///
    /// # Errors
    /// How long to wait.
    pub fn take(&self, source: IpAddr) -> Result<(), Duration> {
        self.take_at(source, Instant::now())
    }

    /// Takes one login of this source.
    pub(super) fn take_login(&self, source: IpAddr) -> Result<(), Duration> {
        self.logins.take(&network(source))
    }

    fn take_at(&self, source: IpAddr, now: Instant) -> Result<(), Duration> {
        // The source first: one that asks too much takes nothing from the others.
        self.sources.take_at(&network(source), now)?;
        let Limits {
            total_per_s,
            total_burst,
            ..
        } = self.limits;
        let mut total = self.total.lock().expect(HELD);
        total.take(total_per_s, total_burst, now)
    }
}

/// What counts as one source: an IPv4 address, an IPv6 /64 (what one connection gets).
pub(super) fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    level: u64,
    at: Instant,
}

impl Bucket {
    fn full(burst: u32, at: Instant) -> Self {
        Self {
            level: u64::from(burst) * TOKEN,
            at,
        }
    }

    fn take(&mut self, per_s: u32, burst: u32, now: Instant) -> Result<(), Duration> {
        let age = now.saturating_duration_since(self.at).as_nanos();
        // One nanosecond at one token a second is one unit.
        let gained = u64::try_from(age)
            .unwrap_or(u64::MAX)
            .saturating_mul(u64::from(per_s));
        self.level = self
            .level
            .saturating_add(gained)
            .min(u64::from(burst) * TOKEN);
        self.at = now;
        match self.level.checked_sub(TOKEN) {
            Some(left) => {
                self.level = left;
                Ok(())
            }
            None => {
                let missing = TOKEN - self.level;
                Err(Duration::from_nanos(
                    missing.div_ceil(u64::from(per_s.max(1))),
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Limits = Limits {
        source_per_s: 2,
        source_burst: 3,
        total_per_s: 100,
        total_burst: 5,
        logins_per_s: 1,
        logins_burst: 1,
    };

    #[test]
    fn a_source_gets_its_burst_and_then_its_rate() {
        let limiter = RateLimiter::new(SLOW);
        let a = IpAddr::from([192, 0, 2, 1]);
        let now = Instant::now();
        for _ in 0..3 {
            assert_eq!(limiter.take_at(a, now), Ok(()));
        }
        assert_eq!(limiter.take_at(a, now), Err(Duration::from_millis(500)));
        let later = now + Duration::from_millis(500);
        assert_eq!(limiter.take_at(a, later), Ok(()));
        assert!(limiter.take_at(a, later).is_err());
    }

    #[test]
    fn everybody_together_is_bounded_and_one_source_does_not_starve_the_others() {
        let limiter = RateLimiter::new(SLOW);
        let now = Instant::now();
        let a = IpAddr::from([192, 0, 2, 1]);
        let taken = (0..10).filter(|_| limiter.take_at(a, now).is_ok()).count();
        assert_eq!(taken, 3, "refused requests take nothing from the whole");
        let others = (2..10_u8).map(|host| IpAddr::from([192, 0, 2, host]));
        let taken = others
            .filter(|ip| limiter.take_at(*ip, now).is_ok())
            .count();
        assert_eq!(taken, 2);
    }

    #[test]
    fn an_ipv6_network_is_one_source() {
        let ip = |text: &str| network(text.parse().unwrap());
        assert_eq!(ip("2001:db8:1:2:3::4"), ip("2001:db8:1:2:ffff::"));
        assert_ne!(ip("2001:db8:1:2::1"), ip("2001:db8:1:3::1"));
        assert_eq!(ip("::ffff:192.0.2.1"), IpAddr::from([192, 0, 2, 1]));
    }
}
