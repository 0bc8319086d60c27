//! Distances on the ground in integers: a flat map around one latitude, millimetres.
//!
//! Owns the cosine table. Nothing here uses floating point, so every machine gets the same figure. The Earth is a
//! sphere of 6 371 008.8 m: within 0.6 % of the ellipsoid; the flat map adds less than 1 % up to 50 km.

use super::point::{DEGREE_E7, Point};

/// Cosine of whole degrees 0…90, times 2^30, rounded. Between them it is interpolated (error below 4e-5).
const COSINE_Q30: [i64; 91] = [
    1073741824, 1073578288, 1073087729, 1072270298, 1071126243, 1069655912, 1067859754, 1065738315,
    1063292242, 1060522280, 1057429273, 1054014162, 1050277989, 1046221891, 1041847103, 1037154959,
    1032146887, 1026824413, 1021189159, 1015242840, 1008987269, 1002424350, 995556083, 988384560,
    980911966, 973140576, 965072759, 956710970, 948057759, 939115760, 929887697, 920376381,
    910584710, 900515665, 890172315, 879557810, 868675383, 857528349, 846120104, 834454122,
    822533958, 810363241, 797945680, 785285058, 772385229, 759250125, 745883746, 732290163,
    718473518, 704438018, 690187940, 675727625, 661061475, 646193961, 631129609, 615873009,
    600428808, 584801711, 568996477, 553017922, 536870912, 520560366, 504091252, 487468587,
    470697435, 453782903, 436730145, 419544355, 402230767, 384794656, 367241333, 349576144,
    331804471, 313931728, 295963357, 277904834, 259761657, 241539355, 223243478, 204879599,
    186453311, 167970228, 149435979, 130856211, 112236583, 93582766, 74900443, 56195305, 37473049,
    18739379, 0,
];

/// Millimetres of 1e-7 degrees along a meridian, times 2^20: π × 6 371 008.8 m / 180 = 111 195.080 m a degree.
const NORTH_Q20: i64 = (11_119_508 << 20) / 1_000_000;

/// Millimetres of a difference in 1e-7 degrees, rounded; |difference| ≤ 7.2e9 and the scale ≤ 1.2e7 stay below 2^57.
const fn millimetres(difference_e7: i64, scale_q20: i64) -> i64 {
    (difference_e7 * scale_q20 + (1 << 19)) >> 20
}

/// The scale of a parallel.
fn east_q20(lat_e7: i32) -> i64 {
    // 2^30 × 2^24.
    (cosine_q30(lat_e7) * NORTH_Q20) >> 30
}

/// Cosine of a latitude in 1e-7 degrees, times 2^30.
fn cosine_q30(lat_e7: i32) -> i64 {
    let magnitude = lat_e7.unsigned_abs().min(90 * DEGREE_E7.unsigned_abs());
    let degree = DEGREE_E7.unsigned_abs();
    let whole = usize::try_from(magnitude / degree).expect("at most 90");
    let part = i64::from(magnitude % degree);
    let low = COSINE_Q30[whole];
    let high = COSINE_Q30[(whole + 1).min(90)];
    low + (high - low) * part / i64::from(DEGREE_E7)
}

/// One turn in 1e-7 degrees.
const TURN_E7: i64 = 360 * DEGREE_E7 as i64;
/// What rounding may add to one coordinate of a nearest point, millimetres: half for each end of the segment, one for
/// the foot, half for the box; rounded up.
const ROUNDING_MM: i64 = 4;

/// A flat map around one position, which is its origin.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    lat_e7: i64,
    /// May be a turn beyond the antimeridian.
    lon_e7: i64,
    east_q20: i64,
}

impl Metric {
    /// The map around this position.
    #[must_use]
    pub fn around(origin: Point) -> Self {
        Self {
            lat_e7: i64::from(origin.lat_e7()),
            lon_e7: i64::from(origin.lon_e7()),
            east_q20: east_q20(origin.lat_e7()),
        }
    }

    /// The maps around this position and around the same, a turn west and a turn east: what lies just beyond the
    /// antimeridian is near on one of them.
    #[must_use]
    pub fn all_around(origin: Point) -> [Self; 3] {
        let map = Self::around(origin);
        [0, -TURN_E7, TURN_E7].map(|turn| Self {
            lon_e7: map.lon_e7 + turn,
            ..map
        })
    }

    /// The origin, 1e-7 degrees; the longitude may be a turn beyond the antimeridian.
    pub(super) const fn origin_e7(&self) -> (i64, i64) {
        (self.lat_e7, self.lon_e7)
    }

    /// Millimetres east and north of the origin.
    fn place(&self, point: Point) -> (i64, i64) {
        let north = i64::from(point.lat_e7()) - self.lat_e7;
        let east = i64::from(point.lon_e7()) - self.lon_e7;
        (
            millimetres(east, self.east_q20),
            millimetres(north, NORTH_Q20),
        )
    }

    /// Distance from the origin to the straight line from `a` to `b`, millimetres.
    #[must_use]
    pub fn to_segment_mm(&self, a: Point, b: Point) -> u64 {
        millimetres_of(self.segment_squared(a, b, u128::MAX))
    }

    /// The square of that distance if it is below `best`, else `best`.
    pub(super) fn segment_squared(&self, a: Point, b: Point, best: u128) -> u128 {
        let (ax, ay) = self.place(a);
        let (bx, by) = self.place(b);
        if squared_at_least([ax.min(bx), ay.min(by)], [ax.max(bx), ay.max(by)]) >= best {
            return best;
        }
        let (dx, dy) = (i128::from(bx - ax), i128::from(by - ay));
        let length_squared = dx * dx + dy * dy;
        let along = -(i128::from(ax) * dx + i128::from(ay) * dy);
        // Where the foot of the perpendicular falls; coordinates ≤ 8.1e10 mm, so products stay below 1e34.
        let (x, y) = if length_squared == 0 || along <= 0 {
            (i128::from(ax), i128::from(ay))
        } else if along >= length_squared {
            (i128::from(bx), i128::from(by))
        } else {
            (
                i128::from(ax) + dx * along / length_squared,
                i128::from(ay) + dy * along / length_squared,
            )
        };
        best.min(squared(x, y))
    }

    /// At most the square of the distance that [`Metric::segment_squared`] gives for any edge's part in this box; its
    /// corners are latitude and longitude, 1e-7 degrees.
    pub(super) fn box_squared(&self, low: (i64, i64), high: (i64, i64)) -> u128 {
        let east = |lon: i64| millimetres(lon - self.lon_e7, self.east_q20);
        let north = |lat: i64| millimetres(lat - self.lat_e7, NORTH_Q20);
        squared_at_least([east(low.1), north(low.0)], [east(high.1), north(high.0)])
    }

    /// Distance from the origin to a position, millimetres.
    #[must_use]
    pub fn to_point_mm(&self, point: Point) -> u64 {
        let (x, y) = self.place(point);
        root(i128::from(x), i128::from(y))
    }
}

/// The square of the distance to a box, less all rounding.
fn squared_at_least(low: [i64; 2], high: [i64; 2]) -> u128 {
    let [x, y] = [0, 1].map(|axis| {
        let apart = low[axis].max(-high[axis]) - ROUNDING_MM;
        apart.max(0).unsigned_abs()
    });
    u128::from(x) * u128::from(x) + u128::from(y) * u128::from(y)
}

const fn squared(x: i128, y: i128) -> u128 {
    (x * x + y * y).unsigned_abs()
}

/// The distance of this square, rounded down; the largest number if it is none.
pub(super) fn millimetres_of(squared: u128) -> u64 {
    u64::try_from(squared.isqrt()).expect("the root of less than 2^128 fits 64 bits")
}

fn root(x: i128, y: i128) -> u64 {
    millimetres_of(squared(x, y))
}

/// Distance between two positions, millimetres; the shorter way round the antimeridian.
#[must_use]
pub fn distance_mm(a: Point, b: Point) -> u64 {
    let east = i64::from(b.lon_e7()) - i64::from(a.lon_e7());
    let east = (east + TURN_E7 / 2).rem_euclid(TURN_E7) - TURN_E7 / 2;
    let middle = i64::midpoint(i64::from(a.lat_e7()), i64::from(b.lat_e7()));
    let scale = east_q20(i32::try_from(middle).expect("between two latitudes"));
    let north = i64::from(b.lat_e7()) - i64::from(a.lat_e7());
    root(
        i128::from(millimetres(east, scale)),
        i128::from(millimetres(north, NORTH_Q20)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(lat: &str, lon: &str) -> Point {
        Point::from_decimal(lat, lon).unwrap()
    }

    #[test]
    fn the_cosine_is_close_to_the_real_one() {
        for tenth in 0..=900_i32 {
            let exact = (f64::from(tenth) / 10.0).to_radians().cos();
            #[expect(clippy::cast_precision_loss, reason = "2^30 is exact in f64")]
            let ours = cosine_q30(-tenth * 1_000_000) as f64 / 1_073_741_824.0;
            assert!((ours - exact).abs() < 4e-5, "{tenth}: {ours} {exact}");
        }
    }

    #[test]
    fn known_distances() {
        // 金沢 and 東京 stations: 295 km by great circle.
        let km = distance_mm(at("36.5780", "136.6480"), at("35.6812", "139.7671")) / 1_000_000;
        assert!((294..=298).contains(&km), "{km}");
        assert_eq!(distance_mm(at("0", "0"), at("1", "0")), 111_195_078);
        assert_eq!(
            distance_mm(at("10", "179.9999999"), at("10", "-179.9999999")),
            22
        );
        assert_eq!(distance_mm(at("90", "0"), at("90", "120")), 0);
    }

    #[test]
    fn the_nearest_part_of_a_segment_counts() {
        let map = Metric::around(at("0", "0"));
        let side = map.to_segment_mm(at("-1", "0.0001"), at("1", "0.0001"));
        assert_eq!(side, 11_120, "beside it");
        let end = map.to_segment_mm(at("0.0003", "0.0004"), at("1", "1"));
        assert_eq!(end, 55_597, "before its beginning");
        assert_eq!(end, map.to_segment_mm(at("1", "1"), at("0.0003", "0.0004")));
        assert_eq!(map.to_segment_mm(at("0", "-1"), at("0", "1")), 0);
        let one = at("0.0003", "0.0004");
        assert_eq!(map.to_segment_mm(one, one), map.to_point_mm(one));
        // The whole world does not overflow.
        let far =
            Metric::around(at("-90", "-180")).to_segment_mm(at("90", "180"), at("-89", "180"));
        assert!(far < 30_000_000_000);
        let equator = Metric::around(at("0", "-180")).to_point_mm(at("0", "180"));
        assert!((40_029_000_000..40_031_000_000).contains(&equator));
    }
}
