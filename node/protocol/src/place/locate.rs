//! Which municipality a point lies in, and how far it is from the border.
//!
//! Exact for the verdict, integers for the distance: the same answer on every machine. The grid finds both; what it
//! must find stands here as `Municipality::contains` and in the tests.

use serde::{Deserialize, Serialize};

use super::boundary::{BoundaryIndex, Municipality, Polygon};
use super::metric::{Metric, millimetres_of};
use super::point::Point;
use super::ring::RingSide;

/// Where a point lies against a municipality's border.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// Inside, and farther from the border than the accuracy.
    Inside,
    /// Inside or on the border, but no farther from it than the accuracy.
    Border,
    /// In no municipality of the index.
    Outside,
}

/// The answer of [`BoundaryIndex::locate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location<'a> {
    /// Code of the municipality.
    pub code: Option<&'a str>,
    /// Name of the municipality.
    pub name: Option<&'a str>,
    /// Inside, near the border, or outside.
    pub side: Side,
    /// Metres to the nearest border, rounded down: of this municipality, or outside of the nearest one. The largest
    /// number if the index is empty. Borders between parts of one municipality count as borders.
    pub distance_m: u32,
}

impl BoundaryIndex {
    /// The one municipality of a point: the lowest code of those that contain it, their borders included. Longitude 180
    /// is −180, and a pole has one municipality whatever its longitude.
    #[must_use]
    pub fn owner(&self, point: Point) -> Option<&Municipality> {
        let owner = self.grid().owner(point)?;
        Some(&self.municipalities()[owner])
    }

    /// The one municipality of a point, as [`BoundaryIndex::owner`], and how far its border is. `accuracy_m` decides
    /// between `Inside` and `Border`.
    #[must_use]
    pub fn locate(&self, point: Point, accuracy_m: u32) -> Location<'_> {
        let owner = self.grid().owner(point);
        let maps = Metric::all_around(point);
        let nearest = |best, map| self.grid().nearest(map, owner, best);
        let distance = millimetres_of(maps.iter().fold(u128::MAX, nearest));
        let municipality = owner.map(|owner| &self.municipalities()[owner]);
        Location {
            code: municipality.map(|owner| owner.code.as_str()),
            name: municipality.map(|owner| owner.name.as_str()),
            side: match municipality {
                None => Side::Outside,
                Some(_) if distance <= u64::from(accuracy_m) * 1000 => Side::Border,
                Some(_) => Side::Inside,
            },
            distance_m: metres(distance),
        }
    }

    /// Metres from a point to the border of one municipality, rounded down, on either side of it; `None` for an unknown code.
    #[must_use]
    pub fn border_distance_m(&self, code: &str, point: Point) -> Option<u32> {
        let municipality = self.municipality(code)?;
        Some(metres(municipality.border_distance_mm(point)))
    }
}

impl Municipality {
    /// Whether the point lies inside or on the border.
    #[must_use]
    pub fn contains(&self, point: Point) -> bool {
        self.polygons.iter().any(|polygon| polygon.contains(point))
    }

    /// Distance to its nearest border, millimetres; the shorter way round the antimeridian.
    fn border_distance_mm(&self, point: Point) -> u64 {
        let maps = Metric::all_around(point);
        let rings = || self.polygons.iter().flat_map(Polygon::rings);
        let nearest = maps.iter().fold(u128::MAX, |best, map| {
            rings().fold(best, |best, ring| ring.nearest(map, best))
        });
        millimetres_of(nearest)
    }
}

impl Polygon {
    /// Whether the point lies inside or on the border; a hole's border belongs to the polygon.
    #[must_use]
    pub fn contains(&self, point: Point) -> bool {
        match self.outer.side(point) {
            RingSide::Without => false,
            RingSide::On => true,
            RingSide::Within => self
                .holes
                .iter()
                .all(|hole| hole.side(point) != RingSide::Within),
        }
    }
}

fn metres(mm: u64) -> u32 {
    u32::try_from(mm / 1000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::boundary::SourcePart;
    use super::super::grid::seeded::runner;
    use super::*;
    use proptest::prelude::*;

    /// Latitude and longitude.
    type Pair = (i32, i32);
    /// A code and its rings.
    type Outline<'a> = (&'a str, &'a [&'a [Pair]]);

    fn index(parts: &[Outline<'_>]) -> BoundaryIndex {
        let ring = |ring: &&[Pair]| {
            ring.iter()
                .map(|&(lat, lon)| Point::new(lat, lon).unwrap())
                .collect()
        };
        let part = |&(code, rings): &Outline<'_>| SourcePart {
            code: code.into(),
            name: String::new(),
            rings: rings.iter().map(ring).collect(),
        };
        let (index, report) = BoundaryIndex::build("", parts.iter().map(part)).unwrap();
        assert!(report.problems.is_empty());
        index
    }

    fn at(lat: i32, lon: i32) -> Point {
        Point::new(lat, lon).unwrap()
    }

    #[test]
    fn enclaves_exclaves_and_islands() {
        // Town 2 fills the hole of 1, has an island in the sea, and 1 has an exclave inside 2.
        let map = index(&[
            (
                "1",
                &[
                    &[(0, 0), (0, 90), (90, 90), (90, 0)],
                    &[(30, 30), (30, 60), (60, 60), (60, 30)],
                ],
            ),
            ("1", &[&[(40, 40), (40, 50), (50, 50), (50, 40)]]),
            (
                "2",
                &[
                    &[(30, 30), (30, 60), (60, 60), (60, 30)],
                    &[(40, 40), (40, 50), (50, 50), (50, 40)],
                ],
            ),
            ("2", &[&[(200, 0), (200, 9), (209, 0)]]),
        ]);
        let check =
            |lat, lon, code| assert_eq!(map.locate(at(lat, lon), 0).code, code, "{lat} {lon}");
        check(10, 10, Some("1"));
        check(35, 35, Some("2"));
        check(45, 45, Some("1"));
        check(201, 1, Some("2"));
        check(100, 100, None);
        // Borders belong to the lower code, to the sea they belong to nobody else.
        check(30, 45, Some("1"));
        check(40, 45, Some("1"));
        check(0, 0, Some("1"));
        check(200, 5, Some("2"));
        check(205, 4, Some("2"));
        check(205, 5, None);
    }

    #[test]
    fn accuracy_decides_what_is_near_the_border() {
        let size = 1_000_000;
        let map = index(&[("1", &[&[(0, 0), (0, size), (size, size), (size, 0)]])]);
        let check = |lat, lon, accuracy, side, distance| {
            let location = map.locate(at(lat, lon), accuracy);
            assert_eq!(
                (location.side, location.distance_m),
                (side, distance),
                "{lat} {lon} {accuracy}"
            );
        };
        check(500_000, 100_000, 0, Side::Inside, 1111);
        check(500_000, 100_000, 1111, Side::Inside, 1111);
        check(500_000, 100_000, 1112, Side::Border, 1111);
        check(500_000, 0, 0, Side::Border, 0);
        check(500_000, -100_000, 5000, Side::Outside, 1111);
        check(-300_000, -400_000, 0, Side::Outside, 5559);
        assert_eq!(
            map.border_distance_m("1", at(500_000, -100_000)),
            Some(1111)
        );
        assert_eq!(map.border_distance_m("2", at(0, 0)), None);
        let (nothing, _) = BoundaryIndex::build("", []).unwrap();
        assert_eq!(nothing.locate(at(0, 0), 0).distance_m, u32::MAX);
    }

    /// A grid of crooked quadrilaterals that share edges and fill a rectangle but for its crooked rim.
    fn crooked_grid(corners: &[Pair], columns: usize) -> BoundaryIndex {
        let rows = corners.len() / columns;
        let mut parts = Vec::new();
        for (row, column) in (0..rows - 1).flat_map(|r| (0..columns - 1).map(move |c| (r, c))) {
            let corner = |r: usize, c: usize| corners[r * columns + c];
            let ring = [
                corner(row, column),
                corner(row, column + 1),
                corner(row + 1, column + 1),
                corner(row + 1, column),
            ];
            parts.push(SourcePart {
                code: format!("{:03}", row * columns + column),
                name: String::new(),
                rings: vec![ring.iter().map(|&(lat, lon)| at(lat, lon)).collect()],
            });
        }
        BoundaryIndex::build("", parts).unwrap().0
    }

    /// Winding number, written without a look at the even-odd test: the sum of the quarter turns around the point.
    fn reference_winding(ring: &[Point], point: Point) -> Option<i32> {
        let vector = |p: Point| {
            let part = |a: i32, b: i32| i128::from(a) - i128::from(b);
            (
                part(p.lon_e7(), point.lon_e7()),
                part(p.lat_e7(), point.lat_e7()),
            )
        };
        let quarter = |(x, y): (i128, i128)| match (x > 0, y > 0) {
            (true, _) if y >= 0 => 0,
            (_, true) => 1,
            _ if x < 0 => 2,
            _ => 3,
        };
        let mut turns = 0;
        for (i, &a) in ring.iter().enumerate() {
            let (a, b) = (vector(a), vector(ring[(i + 1) % ring.len()]));
            let cross = a.0 * b.1 - a.1 * b.0;
            let dot = a.0 * b.0 + a.1 * b.1;
            if cross == 0 && dot <= 0 {
                return None;
            }
            turns += match (quarter(b) - quarter(a) + 4) % 4 {
                1 => 1,
                3 => -1,
                2 if cross > 0 => 2,
                2 => -2,
                _ => 0,
            };
        }
        Some(turns / 4)
    }

    #[test]
    fn every_point_has_at_most_one_municipality_and_no_gap_opens_between_neighbours() {
        const COLUMNS: usize = 6;
        const STEP: i32 = 1000;
        // Jitter below half a step keeps every quadrilateral simple.
        let jitter = prop::collection::vec((-400..=400, -400..=400), COLUMNS * COLUMNS);
        let probe = (0..5 * STEP, 0..5 * STEP);
        let strategy = (jitter, prop::collection::vec(probe, 64), -80..80_i32);
        let check = |(jitter, probes, degree): (Vec<Pair>, Vec<Pair>, i32)| {
            let shift = degree * 10_000_000;
            let corners: Vec<Pair> = (0_i32..)
                .zip(&jitter)
                .map(|(i, (a, b))| (shift + i / 6 * STEP + a, shift + i % 6 * STEP + b))
                .collect();
            let map = crooked_grid(&corners, COLUMNS);
            // Random points, all corners, and the points in the middle of edges that are exact.
            let middles = corners
                .windows(2)
                .filter(|w| (w[0].0 + w[1].0) % 2 == 0 && (w[0].1 + w[1].1) % 2 == 0);
            let points = probes
                .iter()
                .map(|&(lat, lon)| (shift + lat, shift + lon))
                .chain(corners.iter().copied())
                .chain(
                    middles.map(|w| (i32::midpoint(w[0].0, w[1].0), i32::midpoint(w[0].1, w[1].1))),
                );
            for (lat, lon) in points {
                let point = at(lat, lon);
                let sides: Vec<_> = map
                    .municipalities()
                    .iter()
                    .map(|m| {
                        (
                            m.code.as_str(),
                            reference_winding(m.polygons[0].outer.points(), point),
                        )
                    })
                    .collect();
                let within = sides
                    .iter()
                    .filter(|(_, turns)| turns.is_some_and(|t| t != 0))
                    .count();
                prop_assert!(within <= 1, "{point} lies within {within}");
                let expected = sides
                    .iter()
                    .find(|(_, turns)| turns.is_none_or(|t| t != 0))
                    .map(|(code, _)| *code);
                prop_assert_eq!(map.locate(point, 0).code, expected, "{}", point);
                let deep = |v: i32| (STEP..4 * STEP).contains(&(v - shift));
                if deep(lat) && deep(lon) {
                    prop_assert!(expected.is_some(), "{point} fell into a gap");
                }
            }
            Ok(())
        };
        runner(60).run(&strategy, check).unwrap();
    }
}
