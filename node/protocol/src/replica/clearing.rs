//! What a home takes from other municipalities, and what it answers by itself: the municipality's own policy, asked
//! before sequencing and never a verdict on history.

use crate::amount::Amount;
use crate::region::{Region, RegionPrefix, closest};

/// How much is accepted from another municipality beyond what was settled to it: 10,000,000.00. That is 100.00 for each
/// inhabitant of a town of 100,000: trade does not notice it, and a mint that runs wild stops there.
const LIMIT: Amount = Amount::from_hundredths(1_000_000_000);
/// How long a transfer waits for an account that is not there, or is closed, in milliseconds: seven days. People enrol
/// after they were told that something waits, and officers meet once a week to recover keys.
pub const REJECT_GRACE_MS: u64 = 7 * 24 * 60 * 60 * 1000;
/// Most regions with a limit of their own.
pub const MAX_CLEARING_LIMITS: usize = 256;

/// The policy of `[clearing]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clearing {
    /// The limit for every other home.
    pub limit: Amount,
    /// Other limits by region; the longest prefix counts.
    pub limits: Vec<(RegionPrefix, Amount)>,
    /// How long a transfer waits for an account that is unknown or closed before the home rejects it, in milliseconds
    /// from when the sender's home received it.
    pub grace_ms: u64,
    /// Whether the home rejects at once what is beyond the limit, instead of letting it wait.
    pub reject_over_limit: bool,
}

impl Default for Clearing {
    fn default() -> Self {
        Self {
            limit: LIMIT,
            limits: Vec::new(),
            grace_ms: REJECT_GRACE_MS,
            reject_over_limit: false,
        }
    }
}

impl Clearing {
    /// The limit for the home of this municipality, each home by itself.
    #[must_use]
    pub fn limit_of(&self, region: &Region) -> Amount {
        closest(&self.limits, region).copied().unwrap_or(self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_region_has_its_limit() {
        let amount = Amount::from_hundredths;
        let limits = [("Asia/JP", 5), ("Asia/JP/17/17201", 7), ("Asia/JP/17", 6)];
        let clearing = Clearing {
            limit: amount(4),
            limits: limits
                .map(|(prefix, limit)| (prefix.parse().unwrap(), amount(limit)))
                .into(),
            ..Clearing::default()
        };
        let check = |region: &str, limit| {
            assert_eq!(clearing.limit_of(&region.parse().unwrap()), amount(limit));
        };
        check("Asia/JP/17/17201", 7);
        check("Asia/JP/17/17203", 6);
        check("Asia/JP/13/13101", 5);
        check("Europe/DE/BY/9162", 4);
    }
}
