//! The demo's world: coarse outlines of three cities of 石川県, drawn by hand, and where its receivers stand.
//!
//! Not official and good for no decision. The file goes through the same importer as every other.

use city_protocol::place::{BoundaryIndex, Point};

use super::import::{ImportOptions, import_text};

/// The file, in the binary so that the demo needs nothing beside it.
const OUTLINES: &str = include_str!("demo-outlines.geojson");

/// A city of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DemoCity {
    /// Its region, `Asia/JP/17/…`.
    pub region: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Where its receiver stands: latitude near the city hall, decimal degrees.
    pub lat: &'static str,
    /// Longitude, decimal degrees.
    pub lon: &'static str,
}

/// The demo's cities.
pub const DEMO_CITIES: [DemoCity; 3] = [
    DemoCity {
        region: "Asia/JP/17/17201",
        name: "金沢市",
        lat: "36.5613",
        lon: "136.6562",
    },
    DemoCity {
        region: "Asia/JP/17/17203",
        name: "小松市",
        lat: "36.4083",
        lon: "136.4455",
    },
    DemoCity {
        region: "Asia/JP/17/17210",
        name: "白山市",
        lat: "36.5144",
        lon: "136.5656",
    },
];

impl DemoCity {
    /// Where its receiver stands.
    ///
    /// # Panics
    /// Never: a test reads all of them.
    #[must_use]
    pub fn point(&self) -> Point {
        Point::from_decimal(self.lat, self.lon).expect("a test reads all of them")
    }
}

/// The demo's boundary index.
///
/// # Panics
/// Never: the file is part of the program and a test imports it.
#[must_use]
pub fn demo_boundary() -> BoundaryIndex {
    import_text(
        "demo-outlines.geojson",
        OUTLINES.as_bytes(),
        &ImportOptions::default(),
    )
    .expect("the demo's outlines are part of the program")
    .index
}

#[cfg(test)]
mod tests {
    use super::*;
    use city_protocol::place::Side;
    use city_protocol::region::Region;

    #[test]
    fn every_receiver_of_the_demo_stands_in_its_city() {
        let map = demo_boundary();
        assert!(map.credit().contains("not official"));
        assert_eq!(map.municipalities().len(), DEMO_CITIES.len());
        for city in DEMO_CITIES {
            let region: Region = city.region.parse().unwrap();
            let location = map.locate(city.point(), 500);
            assert_eq!(
                (location.code, location.name),
                (Some(region.municipality()), Some(city.name))
            );
            assert_eq!(
                location.side,
                Side::Inside,
                "{city:?} at least 500 m from the border"
            );
        }
    }

    #[test]
    fn the_outlines_share_edges_and_do_not_overlap() {
        let map = demo_boundary();
        let mut shared = 0;
        for (lat, lon) in (0..70).flat_map(|lat| (0..60).map(move |lon| (lat, lon))) {
            // Odd offsets keep the probes off the outlines, whose corners are multiples of 0.005 degrees.
            let probe =
                Point::new(360_000_123 + lat * 100_000, 1_363_000_457 + lon * 100_000).unwrap();
            let holders = map
                .municipalities()
                .iter()
                .filter(|m| m.contains(probe))
                .count();
            assert!(holders <= 1, "{probe} lies in {holders} cities");
        }
        for city in map.municipalities() {
            let others = map
                .municipalities()
                .iter()
                .filter(|other| other.code != city.code);
            let corners = city.polygons[0].outer.points();
            for &corner in corners {
                for other in others.clone().filter(|other| other.contains(corner)) {
                    let distance = map.border_distance_m(&other.code, corner);
                    assert_eq!(
                        distance,
                        Some(0),
                        "{corner} of {} lies inside {}",
                        city.code,
                        other.code
                    );
                    shared += 1;
                }
            }
        }
        assert_eq!(
            shared, 26,
            "the corners of two shared borders, counted from both sides"
        );
    }
}
