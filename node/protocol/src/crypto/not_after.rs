//! Until when a home takes keys of each algorithm. An admission check, never a verdict: history is valid for ever.

use std::collections::BTreeMap;

use super::algorithm::{Algorithm, KemAlgorithm, Suite};
use crate::amount::Timestamp;
use crate::refusal::Refusal;

/// Last moments by the id of a suite or of one algorithm; what has none does not end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotAfter(BTreeMap<&'static str, Timestamp>);

impl NotAfter {
    /// Every id that can have a date.
    pub fn ids() -> impl Iterator<Item = &'static str> {
        let suites = Suite::ALL.iter().map(|suite| suite.id());
        suites
            .chain(Algorithm::ALL.iter().map(|algorithm| algorithm.id()))
            .chain(KemAlgorithm::ALL.iter().map(|algorithm| algorithm.id()))
    }

    /// Sets the last moment of a suite or an algorithm.
    ///
    /// # Errors
    /// [`Refusal::UnknownAlgorithm`].
    pub fn set(&mut self, id: &str, last: Timestamp) -> Result<(), Refusal> {
        let known = Self::ids().find(|known| *known == id);
        self.0.insert(known.ok_or(Refusal::UnknownAlgorithm)?, last);
        Ok(())
    }

    /// The last moment that was set for exactly this id.
    #[must_use]
    pub fn of(&self, id: &str) -> Option<Timestamp> {
        self.0.get(id).copied()
    }

    /// Whether a signing key may be registered, or sign a submission, at a moment: the dates of the algorithm and of
    /// its suite both count.
    ///
    /// # Errors
    /// [`Refusal::AlgorithmExpired`].
    pub fn admits(&self, algorithm: Algorithm, at: Timestamp) -> Result<(), Refusal> {
        self.both(algorithm.id(), algorithm.suite(), at)
    }

    /// Whether a KEM key may be registered at a moment.
    ///
    /// # Errors
    /// [`Refusal::AlgorithmExpired`].
    pub fn admits_kem(&self, algorithm: KemAlgorithm, at: Timestamp) -> Result<(), Refusal> {
        self.both(algorithm.id(), algorithm.suite(), at)
    }

    fn both(&self, id: &str, suite: Suite, at: Timestamp) -> Result<(), Refusal> {
        let over = |id| self.of(id).is_some_and(|last| at > last);
        if over(id) || over(suite.id()) {
            Err(Refusal::AlgorithmExpired)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earlier_date_counts_and_the_last_moment_is_still_good() {
        let mut dates = NotAfter::default();
        let (early, late) = (Timestamp(1_000), Timestamp(2_000));
        assert_eq!(
            dates.admits(Algorithm::Dilithium5, Timestamp(u64::MAX)),
            Ok(())
        );
        dates.set("dilithium5-ntru", late).unwrap();
        dates.set("ntru-hrss-701", early).unwrap();
        let expired = Err(Refusal::AlgorithmExpired);
        assert_eq!(dates.admits(Algorithm::Dilithium5, late), Ok(()));
        assert_eq!(
            dates.admits(Algorithm::Dilithium5, late.plus_ms(1)),
            expired
        );
        assert_eq!(dates.admits_kem(KemAlgorithm::NtruHps4096821, late), Ok(()));
        assert_eq!(dates.admits_kem(KemAlgorithm::NtruHrss701, early), Ok(()));
        assert_eq!(dates.admits_kem(KemAlgorithm::NtruHrss701, late), expired);
        assert_eq!(dates.admits(Algorithm::MlDsa87, late.plus_ms(1)), Ok(()));
        dates.set("dilithium5", early).unwrap();
        assert_eq!(dates.admits(Algorithm::Dilithium5, late), expired);
        assert_eq!(dates.set("rsa", early), Err(Refusal::UnknownAlgorithm));
    }
}
