//! What a receiver said about one instant: [`Fix`], the type this module exists for.
//!
//! Owns shapes and units. Does not judge: jamming, age, jumps and policy are checked where place is proved.

use super::satellite::{Constellation, Satellite, Signal};

/// Kind of position solution (NMEA GSA field 2; UBX NAV-PVT fixType).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum FixMode {
    /// No position.
    #[default]
    None,
    /// Latitude and longitude only.
    TwoD,
    /// With altitude.
    ThreeD,
}

/// How the receiver says it came to the position (NMEA GGA quality and mode indicators; UBX NAV-PVT flags).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Quality {
    /// No valid position.
    #[default]
    Invalid,
    /// Satellites alone.
    Autonomous,
    /// With differential corrections, SBAS among them.
    Differential,
    /// Precise positioning service.
    Pps,
    /// Carrier phase, ambiguities fixed.
    Rtk,
    /// Carrier phase, ambiguities floating.
    FloatRtk,
    /// Dead reckoning.
    Estimated,
    /// Typed in by a person.
    Manual,
    /// Made by a simulator.
    Simulated,
}

/// What the receiver's own spoofing detector says of this epoch; greater is worse. It speaks at the change: a receiver that
/// was spoofed from its start says [`Spoofing::NoneIndicated`] (u-blox interface description, UBX-NAV-STATUS spoofDetState).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Spoofing {
    /// The detector runs and sees nothing.
    NoneIndicated,
    /// One sign of spoofing.
    Indicated,
    /// Several signs at once (NAV-STATUS), or spoofing affirmed (SEC-SIG).
    Affirmed,
}

/// What the receiver's interference monitor says of this epoch, the worst of its radio blocks; greater is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Jamming {
    /// The monitor runs and sees nothing of weight.
    Ok,
    /// Interference is there, the fix holds.
    Warning,
    /// Interference is there, and no fix.
    Critical,
}

/// One epoch of a receiver. Fields that the receiver did not report are `None`; nothing is carried over from earlier
/// epochs but the date, and that only with the time of day.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fix {
    /// The receiver's UTC, milliseconds since the Unix epoch; only when date and time are known.
    pub time_ms: Option<u64>,
    /// Latitude, 1e-7 degrees, north positive, rounded half up; only with a position solution.
    pub lat_e7: Option<i32>,
    /// Longitude, 1e-7 degrees, east positive, rounded half up; only with a position solution.
    pub lon_e7: Option<i32>,
    /// Altitude above mean sea level, millimetres; only with a 3D solution.
    pub altitude_mm: Option<i32>,
    /// Kind of solution; where no sentence says it (no GSA), 3D is an altitude not made with fewer than four satellites.
    pub mode: FixMode,
    /// Origin of the solution.
    pub quality: Quality,
    /// Satellites used in the solution: the highest count that GGA, GNS, GSA or NAV-PVT report.
    pub satellites_used: u8,
    /// Satellites used or in view, by system and number; at most [`MAX_SATELLITES`](super::MAX_SATELLITES).
    pub satellites: Vec<Satellite>,
    /// Carrier-to-noise density of each signal, where the receiver tells signals apart (GSV of NMEA 4.11, NAV-SIG); at most
    /// [`MAX_SIGNALS`](super::MAX_SIGNALS). Empty otherwise.
    pub signals: Vec<Signal>,
    /// Horizontal dilution of precision, hundredths.
    pub hdop_centi: Option<u16>,
    /// Horizontal accuracy estimate of the receiver (NAV-PVT hAcc, or GST deviations), millimetres.
    pub accuracy_mm: Option<u32>,
    /// Speed over ground, millimetres per second.
    pub speed_mm_s: Option<u32>,
    /// The receiver's spoofing detector, as it is in this epoch and not latched (UBX NAV-STATUS, SEC-SIG); `None` when it is
    /// off or does not say. A message that came too late for its own epoch counts in the next.
    pub spoofing: Option<Spoofing>,
    /// The receiver's interference monitor, as it is in this epoch (UBX MON-RF, MON-HW, SEC-SIG); `None` when it is off or
    /// does not say.
    pub jamming: Option<Jamming>,
    /// Largest difference in latitude or in longitude between the positions of this epoch's sentences and frames (RMC, GGA,
    /// GLL, GNS, NAV-PVT…), 1e-7 degrees; `None` with fewer than two, or without a fix. Sentences of one receiver may carry
    /// different numbers of decimals: four decimals of a minute round to 8 of these.
    pub sentences_apart_e7: Option<u32>,
    /// The sentences and frames the fix was read from, in order, without line ends, for a digest; at most
    /// [`MAX_RAW_EPOCH`](super::MAX_RAW_EPOCH) bytes, cut at a frame.
    pub raw: Vec<u8>,
}

impl Fix {
    /// Latitude and longitude, 1e-7 degrees, when there is a solution.
    #[must_use]
    pub fn position(&self) -> Option<(i32, i32)> {
        self.lat_e7.zip(self.lon_e7)
    }

    /// Satellites in view: those the receiver lists with a signal or without.
    #[must_use]
    pub fn satellites_in_view(&self) -> usize {
        self.satellites.len()
    }

    /// Carrier-to-noise densities of the used satellites, dB-Hz, in the order of [`Fix::satellites`].
    pub fn used_cn0(&self) -> impl Iterator<Item = u8> + '_ {
        self.satellites
            .iter()
            .filter(|s| s.used)
            .filter_map(|s| s.cn0_dbhz)
    }

    /// Satellites of one system that are used, and those of them with a carrier-to-noise density.
    #[must_use]
    pub fn used_of(&self, constellation: Constellation) -> (usize, Vec<u8>) {
        let used: Vec<_> = self
            .satellites
            .iter()
            .filter(|s| s.used && s.constellation == constellation)
            .collect();
        let cn0 = used.iter().filter_map(|s| s.cn0_dbhz).collect();
        (used.len(), cn0)
    }

    /// Systems with at least one used satellite, each once, in order.
    #[must_use]
    pub fn constellations_used(&self) -> Vec<Constellation> {
        let mut systems: Vec<_> = self
            .satellites
            .iter()
            .filter(|s| s.used)
            .map(|s| s.constellation)
            .collect();
        systems.sort_unstable();
        systems.dedup();
        systems
    }
}
