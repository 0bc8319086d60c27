//! A position on the Earth in fixed point: 1e-7 degrees, read from decimal text by integer arithmetic.
//!
//! Owns range and rounding, so that x86 and ARM sign the same digits. Distances stand in `metric`.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::refusal::Refusal;

/// Decimals kept: 1e-7 degrees are 11 mm on the ground.
const DECIMALS: usize = 7;
/// One degree in units of 1e-7 degrees.
pub const DEGREE_E7: i32 = 10_000_000;
/// Most characters of one coordinate's text; the shortest text of an f64 needs fewer than 25.
const MAX_TEXT: usize = 40;

/// A position, WGS 84 (JGD2011 differs by centimetres). Latitude −90…90, longitude −180…180 degrees.
///
/// In DAG-CBOR and JSON a map `{lat_e7, lon_e7}` of integers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Point {
    lat_e7: i32,
    lon_e7: i32,
}

impl Point {
    /// From 1e-7 degrees.
    ///
    /// # Errors
    /// [`Refusal::OutOfRange`] beyond ±90 or ±180 degrees.
    pub const fn new(lat_e7: i32, lon_e7: i32) -> Result<Self, Refusal> {
        let in_range = lat_e7.unsigned_abs() <= 90 * DEGREE_E7.unsigned_abs()
            && lon_e7.unsigned_abs() <= 180 * DEGREE_E7.unsigned_abs();
        if in_range {
            Ok(Self { lat_e7, lon_e7 })
        } else {
            Err(Refusal::OutOfRange)
        }
    }

    /// From decimal degrees as text such as `35.8729082`, rounding half up (towards positive infinity).
    ///
    /// # Errors
    /// [`Refusal::BadField`] if a text is not a plain decimal number, [`Refusal::OutOfRange`] beyond ±90 or ±180.
    pub fn from_decimal(lat: &str, lon: &str) -> Result<Self, Refusal> {
        Self::new(degrees_e7(lat)?, degrees_e7(lon)?)
    }

    /// Latitude in 1e-7 degrees, north positive.
    #[must_use]
    pub const fn lat_e7(self) -> i32 {
        self.lat_e7
    }

    /// Longitude in 1e-7 degrees, east positive.
    #[must_use]
    pub const fn lon_e7(self) -> i32 {
        self.lon_e7
    }

    /// Latitude as decimal degrees with seven decimals.
    #[must_use]
    pub fn lat_text(self) -> String {
        degrees_text(self.lat_e7)
    }

    /// Longitude as decimal degrees with seven decimals.
    #[must_use]
    pub fn lon_text(self) -> String {
        degrees_text(self.lon_e7)
    }

    /// Whether it is the south or the north pole, whatever its longitude.
    #[must_use]
    pub const fn is_pole(self) -> bool {
        self.lat_e7.unsigned_abs() == 90 * DEGREE_E7.unsigned_abs()
    }

    /// The same position with the antimeridian written the other way round, 180 or −180; `None` elsewhere.
    #[must_use]
    pub const fn other_spelling(self) -> Option<Self> {
        if self.lon_e7.unsigned_abs() == 180 * DEGREE_E7.unsigned_abs() {
            Some(Self {
                lat_e7: self.lat_e7,
                lon_e7: -self.lon_e7,
            })
        } else {
            None
        }
    }

    /// The nearest multiples of `step_e7` (half up), kept within range; a step of 0 or 1 changes nothing.
    #[must_use]
    pub fn rounded(self, step_e7: u32) -> Self {
        let round = |value: i32, limit: i32| {
            let step = i64::from(step_e7.max(1));
            let nearest = (2 * i64::from(value) + step).div_euclid(2 * step) * step;
            let limit = i64::from(limit);
            // A multiple beyond the pole or the antimeridian is taken back by one step's remainder.
            i32::try_from(nearest.clamp(-limit, limit)).expect("clamped to ±180 degrees")
        };
        Self {
            lat_e7: round(self.lat_e7, 90 * DEGREE_E7),
            lon_e7: round(self.lon_e7, 180 * DEGREE_E7),
        }
    }
}

/// One coordinate's text in 1e-7 degrees, half up; at most ±214 degrees fit.
fn degrees_e7(text: &str) -> Result<i32, Refusal> {
    if text.len() > MAX_TEXT {
        return Err(Refusal::BadField);
    }
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, decimals) = match digits.split_once('.') {
        Some((_, "")) => return Err(Refusal::BadField),
        Some(parts) => parts,
        None => (digits, ""),
    };
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(decimals) {
        return Err(Refusal::BadField);
    }
    let whole = whole.trim_start_matches('0');
    if whole.len() > 3 {
        return Err(Refusal::OutOfRange);
    }
    let (kept, rest) = decimals.split_at(decimals.len().min(DECIMALS));
    let magnitude = whole
        .bytes()
        .chain(kept.bytes())
        .chain(std::iter::repeat_n(b'0', DECIMALS - kept.len()))
        .fold(0_i64, |value, digit| value * 10 + i64::from(digit - b'0'));
    // Half up is towards positive infinity: exactly half of a negative number goes to zero's side.
    let first = rest.bytes().next().unwrap_or(b'0');
    let beyond_half = rest.bytes().skip(1).any(|b| b != b'0');
    let up = first > b'5' || (first == b'5' && (!negative || beyond_half));
    let magnitude = magnitude + i64::from(up);
    i32::try_from(if negative { -magnitude } else { magnitude }).map_err(|_| Refusal::OutOfRange)
}

fn degrees_text(e7: i32) -> String {
    let sign = if e7 < 0 { "-" } else { "" };
    let magnitude = e7.unsigned_abs();
    let degree = DEGREE_E7.unsigned_abs();
    format!("{sign}{}.{:07}", magnitude / degree, magnitude % degree)
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.lat_text(), self.lon_text())
    }
}

impl fmt::Debug for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({self})")
    }
}

impl<'de> Deserialize<'de> for Point {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Wire {
            lat_e7: i32,
            lon_e7: i32,
        }
        let wire = Wire::deserialize(deserializer)?;
        Self::new(wire.lat_e7, wire.lon_e7).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_text_is_rounded_half_up() {
        fn check(text: &str, expected: Result<i32, Refusal>) {
            assert_eq!(degrees_e7(text), expected, "{text}");
        }
        check("35.8729082", Ok(358_729_082));
        check("35.87290825", Ok(358_729_083));
        check("35.872908249999999", Ok(358_729_082));
        check("-35.87290825", Ok(-358_729_082));
        check("-35.872908250000001", Ok(-358_729_083));
        check("-35.87290826", Ok(-358_729_083));
        check("-0.00000005", Ok(0));
        check("136", Ok(1_360_000_000));
        check("0180.0", Ok(1_800_000_000));
        check("136.78613386518577", Ok(1_367_861_339));
        for bad in [
            "", "-", ".", ".5", "5.", "+1", "1e1", "1 ", " 1", "1,5", "NaN", "--1", "１",
        ] {
            check(bad, Err(Refusal::BadField));
        }
        check("1000", Err(Refusal::OutOfRange));
        check("999", Err(Refusal::OutOfRange));
        check(&"1".repeat(41), Err(Refusal::BadField));
    }

    #[test]
    fn positions_stay_on_the_earth_and_print_as_they_are_read() {
        let hokuto = Point::from_decimal("35.8729082", "138.3897868").unwrap();
        assert_eq!(hokuto.to_string(), "35.8729082 138.3897868");
        let south_west = Point::from_decimal("-0.5", "-70.0000001").unwrap();
        assert_eq!(south_west.to_string(), "-0.5000000 -70.0000001");
        assert!(Point::from_decimal("90", "180").is_ok());
        assert_eq!(
            Point::from_decimal("90.0000001", "0"),
            Err(Refusal::OutOfRange)
        );
        assert_eq!(
            Point::from_decimal("0", "-180.0000001"),
            Err(Refusal::OutOfRange)
        );
        assert_eq!(Point::new(i32::MIN, 0), Err(Refusal::OutOfRange));
    }

    #[test]
    fn rounding_goes_to_the_nearest_step() {
        let rounded = |lat, lon| {
            let point = Point::new(lat, lon).unwrap().rounded(1000);
            (point.lat_e7(), point.lon_e7())
        };
        assert_eq!(
            rounded(358_729_082, 1_383_897_868),
            (358_729_000, 1_383_898_000)
        );
        assert_eq!(rounded(500, -500), (1000, 0));
        assert_eq!(
            rounded(900_000_000, -1_800_000_000),
            (900_000_000, -1_800_000_000)
        );
        let point = Point::new(7, -7).unwrap();
        assert_eq!(point.rounded(0), point);
        assert_eq!(point.rounded(1), point);
        assert_eq!(
            Point::new(900_000_000, 0)
                .unwrap()
                .rounded(700_000_000)
                .lat_e7(),
            700_000_000
        );
        assert_eq!(
            Point::new(-900_000_000, 0)
                .unwrap()
                .rounded(1_700_000_000)
                .lat_e7(),
            -900_000_000
        );
    }
}
