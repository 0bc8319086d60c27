//! Outer rings and holes that a source gives in one heap, as Shapefiles do: each hole to the outer ring it lies in.

use super::boundary::SourcePart;
use super::point::Point;
use super::ring::{Ring, RingSide};

/// Edges that sorting one feature's holes looks at, at most: some seconds. The largest real feature needs a thousandth.
const MAX_WORK: usize = 1 << 30;

impl SourcePart {
    /// Parts of one municipality, one for each outer ring, and how many holes lie in none of them. A hole that lies in
    /// several outer rings belongs to the innermost; one that only touches belongs to none.
    #[must_use]
    pub fn sorted(
        code: &str,
        name: &str,
        outers: Vec<Vec<Point>>,
        holes: Vec<Vec<Point>>,
    ) -> (Vec<Self>, usize) {
        let part = |outer: Vec<Point>| Self {
            code: code.into(),
            name: name.into(),
            rings: vec![outer],
        };
        // Rings without area hold nothing; building reports them.
        let rings: Vec<_> = outers
            .iter()
            .map(|points| Ring::new(points.clone(), true))
            .collect();
        let mut parts: Vec<_> = outers.into_iter().map(part).collect();
        let mut left = 0;
        let mut work = 0;
        for hole in holes {
            let around = rings.iter().enumerate().filter_map(|(at, ring)| {
                let ring = ring.as_ref()?;
                lies_in(&hole, ring, &mut work).then(|| (box_size(ring), at))
            });
            match around.min() {
                Some((_, at)) => parts[at].rings.push(hole),
                None => left += 1,
            }
        }
        (parts, left)
    }
}

/// Whether a hole lies in a ring, by its corners: one at least within, none without. Beyond [`MAX_WORK`] none does.
fn lies_in(hole: &[Point], ring: &Ring, work: &mut usize) -> bool {
    let mut within = false;
    for &corner in hole {
        *work += ring.points().len();
        if *work > MAX_WORK {
            return false;
        }
        match ring.side(corner) {
            RingSide::Without => return false,
            RingSide::Within => within = true,
            RingSide::On => {}
        }
    }
    within
}

/// The area of a ring's box: of two rings around one hole, the inner one's is smaller.
fn box_size(ring: &Ring) -> u64 {
    let (low, high) = ring.bounds();
    u64::from(low.lat_e7().abs_diff(high.lat_e7()))
        * u64::from(low.lon_e7().abs_diff(high.lon_e7()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(south: i32, west: i32, size: i32) -> Vec<Point> {
        let at = |lat, lon| Point::new(lat, lon).unwrap();
        vec![
            at(south, west),
            at(south, west + size),
            at(south + size, west + size),
            at(south + size, west),
        ]
    }

    #[test]
    fn a_hole_goes_to_the_innermost_ring_around_it() {
        // Land with a lake, in it an island with a pond; a second land; a hole in the sea.
        let outers = vec![square(0, 0, 90), square(30, 30, 30), square(0, 100, 90)];
        let holes = vec![
            square(40, 40, 10),
            square(20, 20, 50),
            square(10, 110, 5),
            square(200, 0, 5),
            square(0, 90, 10),
        ];
        let (parts, left) = SourcePart::sorted("1", "町", outers, holes.clone());
        let held: Vec<_> = parts.iter().map(|part| part.rings[1..].to_vec()).collect();
        assert_eq!(
            held,
            [
                vec![holes[1].clone()],
                vec![holes[0].clone()],
                vec![holes[2].clone()]
            ]
        );
        assert_eq!(left, 2, "the hole in the sea and the one beside");
    }
}
