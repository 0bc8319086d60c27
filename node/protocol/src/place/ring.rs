//! A closed line in canonical form, and the exact test of which side of it a point lies on.
//!
//! Canonical: no closing repeat, no repeated neighbours, the smallest point first, a fixed sense of rotation; so the
//! same outline has one digest whoever wrote it down. Polygons and municipalities stand in `boundary`.

use std::cmp::Ordering;
use std::sync::Arc;

use super::metric::Metric;
use super::point::Point;

/// Bytes of one vertex: latitude and longitude, 32 bits each, big-endian.
const VERTEX_BYTES: usize = 8;

/// Which side of a ring a point lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RingSide {
    Within,
    On,
    Without,
}

/// A closed line of at least three different points that encloses an area.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ring {
    points: Arc<[Point]>,
    low: Point,
    high: Point,
}

impl Ring {
    /// The ring through these points, with or without a closing repeat. `counter_clockwise` is the sense it is kept in:
    /// outer rings turn that way, holes the other (RFC 7946, 3.1.6). `None` if it encloses nothing.
    pub(super) fn new(mut points: Vec<Point>, counter_clockwise: bool) -> Option<Self> {
        points.dedup();
        while points.len() > 1 && points.first() == points.last() {
            points.pop();
        }
        let area = doubled_area(&points);
        if points.len() < 3 || area == 0 {
            return None;
        }
        if (area > 0) != counter_clockwise {
            points.reverse();
        }
        // A ring may pass through its smallest point more than once: the rotation that sorts first is the one.
        let start = least_rotation(&points);
        points.rotate_left(start);
        let bound = |of: fn(i32, i32) -> i32| {
            let lat = points.iter().map(|p| p.lat_e7()).reduce(of)?;
            let lon = points.iter().map(|p| p.lon_e7()).reduce(of)?;
            Point::new(lat, lon).ok()
        };
        let (low, high) = (bound(i32::min)?, bound(i32::max)?);
        Some(Self {
            points: points.into(),
            low,
            high,
        })
    }

    /// The points, without a closing repeat.
    #[must_use]
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// The south-western and north-eastern corner of the box around it.
    #[must_use]
    pub const fn bounds(&self) -> (Point, Point) {
        (self.low, self.high)
    }

    /// The points, shared.
    pub(super) fn shared(&self) -> Arc<[Point]> {
        Arc::clone(&self.points)
    }

    /// Its edges, the closing one last.
    pub(super) fn edges(&self) -> impl Iterator<Item = (Point, Point)> {
        let next = self.points.iter().cycle().skip(1);
        self.points.iter().copied().zip(next.copied())
    }

    fn box_contains(&self, point: Point) -> bool {
        (self.low.lat_e7()..=self.high.lat_e7()).contains(&point.lat_e7())
            && (self.low.lon_e7()..=self.high.lon_e7()).contains(&point.lon_e7())
    }

    /// Exact even-odd test: a ray to the east crosses an odd number of edges.
    pub(super) fn side(&self, point: Point) -> RingSide {
        if !self.box_contains(point) {
            return RingSide::Without;
        }
        let mut within = false;
        for (a, b) in self.edges() {
            let (low, high) = if a.lat_e7() <= b.lat_e7() {
                (a, b)
            } else {
                (b, a)
            };
            if point.lat_e7() < low.lat_e7() || point.lat_e7() > high.lat_e7() {
                continue;
            }
            let turn = orientation(low, high, point);
            if turn == 0 && is_between(a.lon_e7(), b.lon_e7(), point.lon_e7()) {
                return RingSide::On;
            }
            // Half-open in latitude, so that a vertex on the ray counts once; to the left of an edge that goes up, the
            // ray to the east crosses it.
            if point.lat_e7() < high.lat_e7() && turn > 0 {
                within = !within;
            }
        }
        if within {
            RingSide::Within
        } else {
            RingSide::Without
        }
    }

    /// The square of the distance to its nearest edge, millimetres, as far as it is below `best`; `best` otherwise.
    pub(super) fn nearest(&self, map: &Metric, best: u128) -> u128 {
        let corner = |point: Point| (i64::from(point.lat_e7()), i64::from(point.lon_e7()));
        if map.box_squared(corner(self.low), corner(self.high)) >= best {
            return best;
        }
        self.edges()
            .fold(best, |best, (a, b)| map.segment_squared(a, b, best))
    }

    /// The points as bytes, eight each.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.points.len() * VERTEX_BYTES);
        for point in self.points() {
            out.extend_from_slice(&point.lat_e7().to_be_bytes());
            out.extend_from_slice(&point.lon_e7().to_be_bytes());
        }
        out
    }

    /// Reads points; `None` if the bytes are not whole points on the Earth. Whether they are canonical is the caller's.
    pub(super) fn points_from_bytes(bytes: &[u8]) -> Option<Vec<Point>> {
        let (vertices, rest) = bytes.as_chunks::<VERTEX_BYTES>();
        let read = |v: &[u8; VERTEX_BYTES]| {
            let [a, b, c, d, e, f, g, h] = *v;
            Point::new(
                i32::from_be_bytes([a, b, c, d]),
                i32::from_be_bytes([e, f, g, h]),
            )
            .ok()
        };
        rest.is_empty()
            .then(|| vertices.iter().map(read).collect())?
    }
}

/// Where the rotation begins that sorts first, in linear time whatever repeats (the least of two candidates, compared as
/// far as they agree).
fn least_rotation(points: &[Point]) -> usize {
    let n = points.len();
    let (mut first, mut second, mut same) = (0, 1, 0);
    while first < n && second < n && same < n {
        match points[(first + same) % n].cmp(&points[(second + same) % n]) {
            Ordering::Equal => {
                same += 1;
                continue;
            }
            Ordering::Greater => first += same + 1,
            Ordering::Less => second += same + 1,
        }
        if first == second {
            second += 1;
        }
        same = 0;
    }
    first.min(second)
}

/// Twice the signed area in (1e-7 degrees)², positive if the points turn counter-clockwise (east to north).
fn doubled_area(points: &[Point]) -> i128 {
    let next = points.iter().cycle().skip(1);
    points.iter().zip(next).fold(0, |sum, (a, b)| {
        let wide = |value: i32| i128::from(value);
        sum + wide(a.lon_e7()) * wide(b.lat_e7()) - wide(b.lon_e7()) * wide(a.lat_e7())
    })
}

/// Positive if `p` lies to the left of the line from `a` to `b` (west of one that goes north), zero if on it. Exact: the
/// products need up to 65 bits.
pub(super) fn orientation(a: Point, b: Point, p: Point) -> i128 {
    let difference = |x: i32, y: i32| i128::from(x) - i128::from(y);
    difference(b.lon_e7(), a.lon_e7()) * difference(p.lat_e7(), a.lat_e7())
        - difference(b.lat_e7(), a.lat_e7()) * difference(p.lon_e7(), a.lon_e7())
}

pub(super) fn is_between(a: i32, b: i32, value: i32) -> bool {
    (a.min(b)..=a.max(b)).contains(&value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(pairs: &[(i32, i32)]) -> Vec<Point> {
        pairs
            .iter()
            .map(|&(lat, lon)| Point::new(lat, lon).unwrap())
            .collect()
    }

    #[test]
    fn the_least_rotation_is_the_least_of_all() {
        // Every sequence of up to seven of three points, by counting.
        for len in 1..=7_u32 {
            for number in 0..3_i32.pow(len) {
                let digits = (0..len).map(|place| number / 3_i32.pow(place) % 3);
                let ring: Vec<Point> = digits.map(|d| Point::new(d, 0).unwrap()).collect();
                let rotated = |start: usize| [&ring[start..], &ring[..start]].concat();
                let least = (0..ring.len()).map(rotated).min().unwrap();
                assert_eq!(rotated(least_rotation(&ring)), least, "{ring:?}");
            }
        }
        // A line that goes round and round is no slower.
        let again = points(&[(0, 0), (0, 5), (5, 5)]).repeat(300_000);
        assert_eq!(Ring::new(again.clone(), true).unwrap().points(), again);
    }

    #[test]
    fn one_outline_has_one_form() {
        let ring = Ring::new(points(&[(0, 0), (0, 9), (9, 9), (9, 0)]), true).unwrap();
        let same = [
            points(&[(9, 9), (9, 0), (0, 0), (0, 9), (9, 9)]),
            points(&[(9, 0), (9, 9), (9, 9), (0, 9), (0, 0), (0, 0)]),
        ];
        for other in same {
            assert_eq!(Ring::new(other, true).unwrap(), ring);
        }
        assert_eq!(
            Ring::points_from_bytes(&ring.to_bytes()).unwrap(),
            ring.points()
        );
        let hole = Ring::new(ring.points().to_vec(), false).unwrap();
        assert_ne!(hole, ring);
        assert_eq!(hole.points()[0], ring.points()[0]);
        // Passing twice through its smallest point, written from either pass.
        let twice = [(0, 0), (1, 5), (5, 5), (0, 0), (5, -5), (1, -5)];
        let turned = [(0, 0), (5, -5), (1, -5), (0, 0), (1, 5), (5, 5)];
        let forms = [twice, turned].map(|form| Ring::new(points(&form), true));
        assert_eq!(forms[0], forms[1]);
    }

    #[test]
    fn what_encloses_nothing_is_no_ring() {
        for nothing in [
            &[][..],
            &[(1, 1)],
            &[(1, 1), (2, 2), (1, 1)],
            &[(1, 1), (2, 2), (3, 3)],
            &[(5, 5); 4],
        ] {
            assert_eq!(Ring::new(points(nothing), true), None, "{nothing:?}");
        }
        assert_eq!(Ring::points_from_bytes(&[0; 7]), None);
        assert_eq!(
            Ring::points_from_bytes(&[0x7f; 8]),
            None,
            "not on the Earth"
        );
    }

    #[test]
    fn sides_are_exact() {
        use RingSide::{On, Within, Without};
        // A notch from above, a horizontal edge at a vertex's height, a vertex on the ray.
        let ring = Ring::new(
            points(&[(0, 0), (0, 10), (10, 10), (5, 5), (10, 0), (5, -5)]),
            true,
        )
        .unwrap();
        let check = |lat, lon, expected| {
            assert_eq!(
                ring.side(Point::new(lat, lon).unwrap()),
                expected,
                "{lat} {lon}"
            );
        };
        check(4, 5, Within);
        check(5, 4, Within);
        check(5, -4, Within);
        check(6, 5, Without);
        check(10, 5, Without);
        check(0, -3, Without);
        check(5, -6, Without);
        for (lat, lon) in [
            (0, 0),
            (0, 5),
            (5, 5),
            (10, 10),
            (7, 3),
            (7, 7),
            (1, -1),
            (5, -5),
            (5, 10),
        ] {
            check(lat, lon, On);
        }
        // One unit beside a line that crosses half the world: only exact arithmetic sees it.
        let wide = [
            (-900_000_000, -1_800_000_000),
            (-900_000_000, 1_800_000_000),
            (900_000_000, 1_800_000_000),
        ];
        let ring = Ring::new(points(&wide), true).unwrap();
        assert_eq!(ring.side(Point::new(0, 0).unwrap()), On);
        assert_eq!(ring.side(Point::new(0, 1).unwrap()), Within);
        assert_eq!(ring.side(Point::new(0, -1).unwrap()), Without);
        assert_eq!(ring.side(Point::new(1, 1).unwrap()), Without);
    }
}
