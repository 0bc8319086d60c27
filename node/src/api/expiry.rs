//! Until when this home takes an algorithm (`[crypto.not_after]`): asked of every submission before its signature is
//! looked at, and never of what is booked already.

use city_protocol::Refusal;
use city_protocol::crypto::{Algorithm, KemAlgorithm};

use super::ApiState;

impl ApiState {
    /// Whether submissions may still be signed with this algorithm.
    pub(super) fn takes(&self, algorithm: Algorithm) -> Result<(), Refusal> {
        self.not_after.admits(algorithm, self.clock.now().time)
    }

    /// Whether keys like these may still be registered.
    pub(super) fn takes_new_keys(
        &self,
        signing: Algorithm,
        kem: KemAlgorithm,
    ) -> Result<(), Refusal> {
        let now = self.clock.now().time;
        self.not_after.admits(signing, now)?;
        self.not_after.admits_kem(kem, now)
    }
}
