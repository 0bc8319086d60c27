//! Satellites as receivers name them, brought to one numbering.
//!
//! Owns the number ranges of NMEA 0183 and the gnssId of UBX. Does not own whether a satellite is believed.

/// Most satellites kept per epoch. All constellations together show under 70 over one horizon.
pub const MAX_SATELLITES: usize = 96;

/// Most signals kept per epoch: three bands of every satellite.
pub const MAX_SIGNALS: usize = 3 * MAX_SATELLITES;

/// A navigation satellite system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Constellation {
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

/// One satellite in one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Satellite {
    /// Its system.
    pub constellation: Constellation,
    /// Its number within the system (GPS 1–32, SBAS PRN 120–158, GLONASS slot 1–32, QZSS 1–10, and so on); for
    /// [`Constellation::Unknown`] the number as received.
    pub id: u16,
    /// Strongest carrier-to-noise density of its signals, dB-Hz; `None` when in view but not tracked, or not reported.
    pub cn0_dbhz: Option<u8>,
    /// The receiver says that it used the satellite in this epoch's solution.
    pub used: bool,
    /// Height above the horizon, whole degrees from -90 to 90; `None` where the receiver does not say.
    pub elevation_deg: Option<i8>,
    /// Direction, whole degrees clockwise from true north, 0 to 359; `None` where the receiver does not say.
    pub azimuth_deg: Option<u16>,
}

impl Satellite {
    /// The same satellite in this direction, degrees. What is no direction, as receivers write that do not know it, is left out.
    #[must_use]
    pub(super) fn seen_at(self, elevation_deg: Option<i32>, azimuth_deg: Option<i32>) -> Self {
        let height = elevation_deg.filter(|degrees| (-90..=90).contains(degrees));
        let turn = azimuth_deg.filter(|degrees| (0..=360).contains(degrees));
        Self {
            elevation_deg: height.and_then(|degrees| i8::try_from(degrees).ok()),
            azimuth_deg: turn.and_then(|degrees| u16::try_from(degrees % 360).ok()),
            ..self
        }
    }

    /// Its one signal in a sentence of this signal; `None` without a carrier-to-noise density.
    pub(crate) fn signal(&self, signal: u8) -> Option<Signal> {
        Some(Signal {
            constellation: self.constellation,
            satellite: self.id,
            signal,
            cn0_dbhz: self.cn0_dbhz?,
        })
    }
}

/// One signal of one satellite in one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal {
    /// The satellite's system.
    pub constellation: Constellation,
    /// The satellite's number within the system, as in [`Satellite::id`].
    pub satellite: u16,
    /// Which signal, by the numbers of the receiver's protocol: the signal id of GSV (NMEA 0183 4.11, table 21, one
    /// hexadecimal digit) or sigId of NAV-SIG. Equal numbers of one system are one kind of signal within an epoch.
    pub signal: u8,
    /// Carrier-to-noise density, dB-Hz.
    pub cn0_dbhz: u8,
}

impl Constellation {
    /// By the talker of a sentence (NMEA 0183 4.11, talker identifiers, and those in use before); `GN` names none.
    pub(crate) fn of_talker(talker: &str) -> Option<Self> {
        Some(match talker {
            "GP" => Self::Gps,
            "GL" => Self::Glonass,
            "GA" => Self::Galileo,
            "GB" | "BD" => Self::Beidou,
            "GQ" | "QZ" | "PQ" => Self::Qzss,
            "GI" => Self::NavIc,
            _ => return None,
        })
    }

    /// By the GNSS system id that ends a GSA sentence (NMEA 0183 4.11, table 20).
    pub(crate) fn of_system_id(id: u8) -> Option<Self> {
        Some(match id {
            1 => Self::Gps,
            2 => Self::Glonass,
            3 => Self::Galileo,
            4 => Self::Beidou,
            5 => Self::Qzss,
            6 => Self::NavIc,
            _ => return None,
        })
    }

    /// By the gnssId of UBX messages (u-blox interface description, "Satellite numbering").
    pub(crate) fn of_ubx(gnss_id: u8) -> Self {
        match gnss_id {
            0 => Self::Gps,
            1 => Self::Sbas,
            2 => Self::Galileo,
            3 => Self::Beidou,
            5 => Self::Qzss,
            6 => Self::Glonass,
            7 => Self::NavIc,
            _ => Self::Unknown,
        }
    }

    /// Brings a number of a GSA or GSV sentence to (system, number within it). `named` is what talker or system id say;
    /// numbers of the shared NMEA ranges win over it, because receivers list SBAS and QZSS under GP.
    pub(crate) fn identify(named: Option<Self>, number: u32) -> (Self, u16) {
        let (system, base) = match (number, named) {
            (1..=64, Some(own @ (Self::Beidou | Self::Galileo | Self::Qzss | Self::NavIc))) => {
                (own, 0)
            }
            (1..=32, own) => (own.unwrap_or(Self::Gps), 0),
            // SBAS: 33 is PRN 120.
            (33..=64, _) => return (Self::Sbas, u16::try_from(number + 87).unwrap_or(u16::MAX)),
            (65..=96, _) => (Self::Glonass, 64),
            (120..=158, _) => (Self::Sbas, 0),
            (193..=202, _) => (Self::Qzss, 192),
            (203..=263, _) => (Self::Beidou, 200),
            (301..=336, _) => (Self::Galileo, 300),
            (401..=463, _) => (Self::Beidou, 400),
            _ => (Self::Unknown, 0),
        };
        (
            system,
            u16::try_from(number - base.min(number)).unwrap_or(u16::MAX),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Constellation::{self, *};

    #[test]
    fn numbers_of_all_ranges() {
        fn check(talker: &str, number: u32, expected: (Constellation, u16)) {
            let named = Constellation::of_talker(talker);
            assert_eq!(
                Constellation::identify(named, number),
                expected,
                "{talker} {number}"
            );
        }
        check("GP", 7, (Gps, 7));
        check("GN", 7, (Gps, 7));
        check("GP", 42, (Sbas, 129));
        check("GP", 193, (Qzss, 1));
        check("GL", 65, (Glonass, 1));
        check("GN", 88, (Glonass, 24));
        check("GL", 3, (Glonass, 3));
        check("GA", 36, (Galileo, 36));
        check("GB", 44, (Beidou, 44));
        check("BD", 214, (Beidou, 14));
        check("GN", 301, (Galileo, 1));
        check("GQ", 2, (Qzss, 2));
        check("GP", 0, (Unknown, 0));
        check("GP", 70_000, (Unknown, u16::MAX));
    }
}
