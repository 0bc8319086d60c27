//! A municipality's outline for the eye: thinned to what a screen can show.
//!
//! For drawing only. Where a point lies is asked of the boundary index itself.

use city_protocol::place::{Municipality, Point};
use serde::{Deserialize, Serialize};

/// Most points of an outline: finer than any terminal's dots, and 150 kB of JSON.
pub const MAX_POINTS: usize = 6000;

/// Steps of the longer side of an outline at first: a terminal of 250 columns has 500 dots.
const STEPS: i32 = 1024;

/// A municipality's rings, latitude and longitude in 1e-7 degrees, without a closing repeat. Islands that are too small to be
/// seen are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outline {
    /// The municipality's code.
    pub code: String,
    /// Its name; may be empty.
    pub name: String,
    /// Its rings, outer ones and holes; at most [`MAX_POINTS`] points.
    pub rings: Vec<Vec<(i32, i32)>>,
}

impl Outline {
    /// The outline of this municipality.
    #[must_use]
    pub fn of(municipality: &Municipality) -> Self {
        let mut step = (extent(municipality) / STEPS).max(1);
        let mut rings = thinned(municipality, step);
        while rings.iter().map(Vec::len).sum::<usize>() > MAX_POINTS && step < i32::MAX {
            step = step.saturating_mul(2);
            rings = thinned(municipality, step);
        }
        let mut room = MAX_POINTS;
        rings.retain(|ring| {
            let fits = ring.len() <= room;
            room -= if fits { ring.len() } else { 0 };
            fits
        });
        Self {
            code: municipality.code.clone(),
            name: municipality.name.clone(),
            rings,
        }
    }
}

/// The longer side of the rectangle around it, 1e-7 degrees; the shorter way round where it lies on both sides of 180°.
fn extent(municipality: &Municipality) -> i32 {
    const HALF: i64 = 1_800_000_000;
    let bounds = || municipality.polygons.iter().map(|p| p.outer.bounds());
    let side = |axis: fn(Point) -> i32| {
        let low = bounds().map(|(low, _)| axis(low)).min().unwrap_or(0);
        let high = bounds().map(|(_, high)| axis(high)).max().unwrap_or(0);
        i64::from(high) - i64::from(low)
    };
    let (tall, wide) = (side(Point::lat_e7), side(Point::lon_e7));
    let wide = if wide > HALF { 2 * HALF - wide } else { wide };
    i32::try_from(tall.max(wide)).unwrap_or(i32::MAX)
}

/// Of points in a row in one cell of this size the first is kept; a ring that is left without an area goes.
fn thinned(municipality: &Municipality, step: i32) -> Vec<Vec<(i32, i32)>> {
    let polygons = municipality.polygons.iter();
    let rings = polygons.flat_map(|p| std::iter::once(&p.outer).chain(&p.holes));
    let thin = rings.map(|ring| {
        let mut points: Vec<_> = ring
            .points()
            .iter()
            .map(|p| (p.lat_e7(), p.lon_e7()))
            .collect();
        points.dedup_by_key(|&mut (lat, lon)| (lat.div_euclid(step), lon.div_euclid(step)));
        points
    });
    thin.filter(|points| points.len() > 2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::outlines::{DEMO_CITIES, demo_boundary};
    use city_protocol::place::BoundaryIndex;
    use city_protocol::place::boundary::SourcePart;

    #[test]
    fn a_coarse_outline_is_kept_whole() {
        let map = demo_boundary();
        let code = DEMO_CITIES[0].region.rsplit('/').next().unwrap();
        let city = map.municipality(code).unwrap();
        let outline = Outline::of(city);
        assert_eq!((&*outline.code, &*outline.name), (code, "金沢市"));
        let corners = city.polygons[0].outer.points();
        assert_eq!(outline.rings[0].len(), corners.len());
        let read: Outline =
            serde_json::from_str(&serde_json::to_string(&outline).unwrap()).unwrap();
        assert_eq!(read, outline);
    }

    #[test]
    fn a_fine_outline_is_thinned_and_its_specks_go() {
        // A circle of 100,000 points and an island of a metre beside it.
        let round = |at: (f64, f64), radius: f64, count: u32| -> Vec<Point> {
            let corner = |n: u32| {
                let turn = std::f64::consts::TAU * f64::from(n) / f64::from(count);
                let (lat, lon) = (at.0 + radius * turn.sin(), at.1 + radius * turn.cos());
                Point::from_decimal(&format!("{lat:.7}"), &format!("{lon:.7}")).unwrap()
            };
            (0..count).map(corner).collect()
        };
        let part = |rings| SourcePart {
            code: "17201".into(),
            name: "金沢市".into(),
            rings: vec![rings],
        };
        let parts = [
            part(round((36.5, 136.6), 0.2, 100_000)),
            part(round((36.9, 136.6), 0.000_01, 8)),
        ];
        let (index, _) = BoundaryIndex::build("", parts).unwrap();
        let outline = Outline::of(index.municipality("17201").unwrap());
        assert_eq!(outline.rings.len(), 1, "the speck is gone");
        let points = outline.rings[0].len();
        assert!((1000..=MAX_POINTS).contains(&points), "{points}");
    }
}
