//! Satellites as the core sees them, and the figures of their signals.
//!
//! Owns systems and integer statistics. What the figures mean stands in `checks_signal`.

use serde::{Deserialize, Serialize};

/// A navigation satellite system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum System {
    /// GPS (United States).
    Gps,
    /// A space-based augmentation system: MSAS, WAAS, EGNOS and the like.
    Sbas,
    /// GLONASS (Russia).
    Glonass,
    /// Galileo (European Union).
    Galileo,
    /// BeiDou (China).
    Beidou,
    /// QZSS, みちびき (Japan).
    Qzss,
    /// NavIC (India).
    NavIc,
    /// A number outside every known range.
    Unknown,
}

impl System {
    /// The stable word.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Gps => "gps",
            Self::Sbas => "sbas",
            Self::Glonass => "glonass",
            Self::Galileo => "galileo",
            Self::Beidou => "beidou",
            Self::Qzss => "qzss",
            Self::NavIc => "navic",
            Self::Unknown => "unknown",
        }
    }

    /// Whether it gives positions by signals of its own: a cheap transmitter sends GPS and what corrects it, not these.
    pub(super) const fn beside_gps(self) -> bool {
        matches!(
            self,
            Self::Glonass | Self::Galileo | Self::Beidou | Self::Qzss | Self::NavIc
        )
    }

    /// The first day on which a civil receiver could use it, milliseconds since the Unix epoch.
    ///
    /// GPS: initial operation, 1993-12-08. GLONASS: opened, 1993-09-24. SBAS: WAAS on the air, 1999-12-01 (tests). BeiDou:
    /// initial operation, 2011-12-27. QZSS: first launch, 2010-09-11. Galileo: first position by it alone, 2013-03-12.
    /// NavIC: first launch, 2013-07-01.
    pub(super) const fn since_ms(self) -> u64 {
        const DAY_MS: u64 = 86_400_000;
        DAY_MS
            * match self {
                Self::Gps | Self::Unknown => 8_742,
                Self::Glonass => 8_667,
                Self::Sbas => 10_926,
                Self::Qzss => 14_863,
                Self::Beidou => 15_335,
                Self::Galileo => 15_776,
                Self::NavIc => 15_887,
            }
    }
}

/// One satellite in one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenSatellite {
    /// Its system.
    pub system: System,
    /// Its number within the system.
    pub id: u16,
    /// Carrier-to-noise density, dB-Hz; `None` when in view but not tracked, or not reported.
    pub cn0_dbhz: Option<u8>,
    /// Whether the receiver used it.
    pub used: bool,
    /// Height above the horizon, degrees, if the receiver says so.
    pub elevation_deg: Option<i8>,
    /// Direction, degrees clockwise from north, if the receiver says so.
    pub azimuth_deg: Option<u16>,
}

impl SeenSatellite {
    /// Whether its signal is received.
    pub(super) const fn tracked(&self) -> bool {
        self.used || self.cn0_dbhz.is_some()
    }
}

/// C/N0 of the used satellites of one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cn0 {
    /// Used satellites that have a figure.
    pub satellites: usize,
    /// Mean, hundredths of a dB-Hz.
    pub mean_centi: u32,
    /// Standard deviation over these satellites, hundredths of a dB, rounded down.
    pub spread_centi: u32,
    /// Strongest, dB-Hz.
    pub max_dbhz: u8,
}

impl Cn0 {
    /// The figures of these values, in dB-Hz; `None` without any.
    #[must_use]
    pub fn of(values: impl Iterator<Item = u8>) -> Option<Self> {
        let (mut count, mut sum, mut squares, mut max) = (0_u64, 0_u64, 0_u64, 0);
        for value in values {
            let wide = u64::from(value);
            (count, sum, squares) = (count + 1, sum + wide, squares + wide * wide);
            max = value.max(max);
        }
        let mean_centi = (100 * sum).checked_div(count)?;
        // n²σ² = nΣx² − (Σx)²; with at most 96 values of a byte all of it stays below 2^53.
        let spread_centi = (10_000 * (count * squares - sum * sum)).isqrt() / count;
        let small = |value| u32::try_from(value).expect("at most 255 dB in hundredths");
        Some(Self {
            satellites: usize::try_from(count).expect("as many as were counted"),
            mean_centi: small(mean_centi),
            spread_centi: small(spread_centi),
            max_dbhz: max,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_signals() {
        assert_eq!(Cn0::of(std::iter::empty()), None);
        let one = Cn0::of([45].into_iter()).unwrap();
        assert_eq!(
            (one.mean_centi, one.spread_centi, one.max_dbhz),
            (4500, 0, 45)
        );
        // 2, 4, 4, 4, 5, 5, 7, 9: the textbook's mean 5 and deviation 2.
        let book = Cn0::of([2, 4, 4, 4, 5, 5, 7, 9].into_iter()).unwrap();
        assert_eq!((book.mean_centi, book.spread_centi), (500, 200));
        let wide = Cn0::of((0..96).map(|i| if i < 48 { 0 } else { 255 })).unwrap();
        assert_eq!(wide.spread_centi, 12_750);
    }
}
