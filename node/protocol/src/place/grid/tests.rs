//! The grid beside the slow answer that needs none: every municipality asked in turn, every edge measured.

use proptest::prelude::*;

use super::super::boundary::{BoundaryIndex, SourcePart};
use super::super::metric::Metric;
use super::seeded::runner;
use super::*;

/// Latitude and longitude.
type Pair = (i32, i32);
/// Codes with their rings, the outer one first.
type Parts = Vec<(u32, Vec<Vec<Pair>>)>;
/// Parts, where on the Earth, size of the cells, points near and far, and whether at the antimeridian.
type Case = (Parts, usize, u32, Vec<Pair>, Vec<Pair>, bool);

fn at((lat, lon): Pair) -> Point {
    Point::new(lat, lon).unwrap()
}

fn index(parts: &[(u32, Vec<Vec<Pair>>)]) -> BoundaryIndex {
    let ring = |ring: &Vec<Pair>| ring.iter().map(|&pair| at(pair)).collect();
    let part = |(code, rings): &(u32, Vec<Vec<Pair>>)| SourcePart {
        code: format!("{code:03}"),
        name: String::new(),
        rings: rings.iter().map(ring).collect(),
    };
    BoundaryIndex::build("", parts.iter().map(part)).unwrap().0
}

/// The lowest code that contains the point as it is written.
fn slow_owner(index: &BoundaryIndex, point: Point) -> Option<usize> {
    index
        .municipalities()
        .iter()
        .position(|m| m.contains(point))
}

/// The nearest of all edges, or of one municipality's.
fn slow_distance_mm(index: &BoundaryIndex, only: Option<usize>, point: Point) -> u64 {
    let municipalities = index.municipalities().iter().enumerate();
    let rings = municipalities
        .filter(|(number, _)| only.is_none_or(|only| only == *number))
        .flat_map(|(_, m)| m.polygons.iter().flat_map(|polygon| polygon.rings()));
    let edges: Vec<_> = rings.flat_map(|ring| ring.edges()).collect();
    let maps = Metric::all_around(point);
    let distances = maps
        .iter()
        .flat_map(|map| edges.iter().map(|&(a, b)| map.to_segment_mm(a, b)));
    distances.min().unwrap_or(u64::MAX)
}

fn fast_distance_mm(grid: &Grid, only: Option<usize>, point: Point) -> u64 {
    let maps = Metric::all_around(point);
    let nearest = |best, map| grid.nearest(map, only, best);
    super::super::metric::millimetres_of(maps.iter().fold(u128::MAX, nearest))
}

fn grid_with(shift: u32, index: &BoundaryIndex) -> Grid {
    let polygons = index.municipalities().iter().flat_map(|m| &m.polygons);
    let frame = Frame::with_shift(shift, polygons.flat_map(|polygon| polygon.rings()));
    Grid::on(frame, index.municipalities())
}

/// Rings on few small numbers: they cross themselves, share edges and corners, lie on cells' borders and pass exactly
/// through reference points. Holes lie anywhere.
fn crooked(size: i32) -> impl Strategy<Value = Parts> {
    let ring = prop::collection::vec((0..size, 0..size), 3..8);
    let part = (0..4_u32, prop::collection::vec(ring, 1..4));
    prop::collection::vec(part, 1..7)
}

#[test]
fn every_point_has_the_slow_answer_whatever_the_outlines() {
    const SIZE: i32 = 34;
    let strategy = (crooked(SIZE), 0..=5_u32, (-40..=0_i32, -40..=0_i32));
    let check = |(mut parts, shift, (south, west)): (Parts, u32, Pair)| {
        for pair in parts.iter_mut().flat_map(|(_, rings)| rings).flatten() {
            *pair = (pair.0 + south, pair.1 + west);
        }
        let index = index(&parts);
        let grid = grid_with(shift, &index);
        for (lat, lon) in (-2..SIZE + 2).flat_map(|lat| (-2..SIZE + 2).map(move |lon| (lat, lon))) {
            let point = at((lat + south, lon + west));
            let owner = grid.owner(point);
            prop_assert_eq!(owner, slow_owner(&index, point), "{} {}", lat, lon);
            prop_assert_eq!(index.grid().owner(point), owner);
        }
        Ok(())
    };
    runner(400).run(&strategy, check).unwrap();
}

#[test]
fn the_nearest_edge_is_the_one_that_measuring_all_of_them_finds() {
    const SIZE: i32 = 3_000_000;
    let places = [
        0,
        350_000_000,
        -700_000_000,
        900_000_000 - SIZE,
        -900_000_000,
    ];
    let probe = (-SIZE..2 * SIZE, -SIZE..2 * SIZE);
    let probes = prop::collection::vec(probe, 24);
    let far = prop::collection::vec(
        (-900_000_000..=900_000_000, -1_800_000_000..=1_800_000_000),
        4,
    );
    let strategy = (
        crooked(SIZE),
        0..places.len(),
        12..=22_u32,
        probes,
        far,
        any::<bool>(),
    );
    let check = |(mut parts, place, shift, probes, far, at_the_antimeridian): Case| {
        let (south, west) = if at_the_antimeridian {
            (places[place], 1_800_000_000 - SIZE)
        } else {
            (places[place], -1_799_000_000)
        };
        for pair in parts.iter_mut().flat_map(|(_, rings)| rings).flatten() {
            *pair = (pair.0 + south, pair.1 + west);
        }
        let index = index(&parts);
        let grid = grid_with(shift, &index);
        let near = probes
            .iter()
            .map(|&(lat, lon)| (lat + south, lon.saturating_add(west)));
        let corners = parts.iter().flat_map(|(_, rings)| rings).flatten().take(8);
        for (lat, lon) in near.chain(far).chain(corners.copied()) {
            // Beyond the antimeridian the numbers go on from the other side.
            let lon = (i64::from(lon) + 1_800_000_000).rem_euclid(3_600_000_000) - 1_800_000_000;
            let lon = i32::try_from(lon).unwrap();
            let Ok(point) = Point::new(lat, lon) else {
                continue;
            };
            let first = (!index.municipalities().is_empty()).then_some(0);
            for only in [None, slow_owner(&index, point), first] {
                let expected = slow_distance_mm(&index, only, point);
                prop_assert_eq!(fast_distance_mm(&grid, only, point), expected, "{}", point);
                prop_assert_eq!(fast_distance_mm(index.grid(), only, point), expected);
                if let Some(only) = only {
                    let m = &index.municipalities()[only];
                    let metres = u32::try_from(expected / 1000).unwrap();
                    prop_assert_eq!(index.border_distance_m(&m.code, point), Some(metres));
                }
            }
        }
        Ok(())
    };
    runner(150).run(&strategy, check).unwrap();
}

#[test]
fn edges_through_reference_points_and_along_borders_of_cells_do_not_mislead() {
    // Cells of 2^4. The first ring passes exactly half a unit beyond (15, 15) in both diagonals; the second has all its
    // edges on cells' first and last numbers.
    let parts = [
        (1, vec![vec![(5, 5), (26, 26), (26, 5), (5, 26)]]),
        (2, vec![vec![(15, 15), (15, 32), (32, 32), (32, 15)]]),
        (
            3,
            vec![
                vec![(0, 16), (47, 16), (47, 31), (0, 31)],
                vec![(16, 16), (16, 31), (31, 31), (31, 16)],
            ],
        ),
    ];
    let index = index(&parts);
    for shift in 0..=6 {
        let grid = grid_with(shift, &index);
        for point in (-1..50).flat_map(|lat| (-1..50).map(move |lon| at((lat, lon)))) {
            assert_eq!(
                grid.owner(point),
                slow_owner(&index, point),
                "{point} 2^{shift}"
            );
        }
    }
}

#[test]
fn the_antimeridian_is_one_line_and_a_pole_one_point() {
    let (edge, pole) = (1_800_000_000, 900_000_000);
    let degree = 10_000_000;
    let parts = [
        // An island cut at the antimeridian, as RFC 7946 asks; its neighbour only west of it; two caps.
        (
            3,
            vec![vec![
                (0, edge - degree),
                (0, edge),
                (degree, edge),
                (degree, edge - degree),
            ]],
        ),
        (
            3,
            vec![vec![
                (0, -edge),
                (0, -edge + degree),
                (degree, -edge + degree),
                (degree, -edge),
            ]],
        ),
        (
            2,
            vec![vec![
                (degree, edge - degree),
                (degree, edge),
                (2 * degree, edge),
            ]],
        ),
        (
            5,
            vec![vec![
                (pole - degree, -edge),
                (pole - degree, edge),
                (pole, edge),
                (pole, -edge),
            ]],
        ),
        (
            4,
            vec![vec![
                (pole - degree, 0),
                (pole - degree, degree),
                (pole, degree),
            ]],
        ),
        (
            6,
            vec![vec![
                (-pole, 7),
                (degree - pole, degree),
                (degree - pole, 0),
            ]],
        ),
    ];
    let index = index(&parts);
    let code = |lat, lon| index.owner(at((lat, lon))).map(|m| m.code.clone());
    for lon in [edge, -edge] {
        assert_eq!(code(degree / 2, lon).as_deref(), Some("003"));
        assert_eq!(
            code(degree, lon).as_deref(),
            Some("002"),
            "the lower of two"
        );
        assert_eq!(code(3 * degree / 2, lon).as_deref(), Some("002"));
        assert_eq!(code(3 * degree, lon), None);
    }
    for lon in [-edge, -degree, 0, 1, degree, edge] {
        assert_eq!(code(pole, lon).as_deref(), Some("004"), "{lon}");
        assert_eq!(code(-pole, lon).as_deref(), Some("006"), "{lon}");
        assert_eq!(index.locate(at((pole, lon)), 0).distance_m, 0);
    }
    assert_eq!(code(pole - 1, -degree).as_deref(), Some("005"));
    // A tenth of a degree east of the antimeridian the western neighbour is 11 km away, not once round the world.
    let near = index.locate(at((3 * degree / 2, -edge + degree / 10)), 0);
    assert_eq!((near.code, near.distance_m), (None, 11_115));
}

#[test]
fn an_index_of_nothing_and_one_of_the_whole_world() {
    let nothing = index(&[]);
    assert_eq!(nothing.owner(at((0, 0))), None);
    assert_eq!(fast_distance_mm(nothing.grid(), None, at((0, 0))), u64::MAX);
    let (edge, pole) = (1_800_000_000, 900_000_000);
    let world = index(&[(
        1,
        vec![vec![
            (-pole, -edge),
            (-pole, edge),
            (pole, edge),
            (pole, -edge),
        ]],
    )]);
    for pair in [
        (0, 0),
        (pole, edge),
        (-pole, -edge),
        (pole, -edge),
        (123, -edge),
        (-5, edge),
    ] {
        assert!(world.owner(at(pair)).is_some(), "{pair:?}");
    }
    // Many long edges: cells stay few, whatever a file says.
    let fan = (0..2000).flat_map(|i| [(-pole + i, -edge), (pole - i, edge - 1)]);
    let fan = index(&[(1, vec![fan.collect()])]);
    assert!(
        fan.grid().heap_bytes() < 4 << 20,
        "{}",
        fan.grid().heap_bytes()
    );
    for pair in [
        (0, 0),
        (1_000, 7),
        (-pole + 100, -edge),
        (pole - 100, edge - 1),
    ] {
        assert_eq!(
            fan.grid().owner(at(pair)),
            slow_owner(&fan, at(pair)),
            "{pair:?}"
        );
    }
}
