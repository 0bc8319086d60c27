//! Which municipality a point lies in, over whole Japan, beside an R*-tree of boxes and floating-point polygons.
//! `cargo bench -p city-node --bench locate`
//!
//! Both sides answer the same points in the same run: towns, points spread over the land's box, and points a few metres
//! from borders. `rstar` holds the polygons' boxes and asks `geo` whether a polygon covers the point; ours asks the grid.
//! Where the two differ is counted and shown: they may, only where floating point does not see a border exactly.
//! Needs the recorded outlines in `../shared/data` or `CITY_NODE_TEST_DATA`.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use city_node::place::import::{ImportOptions, import};
use city_protocol::place::{BoundaryIndex, Point};
use geo::{Coord, Covers, LineString, Polygon};
use rstar::RTree;
use rstar::primitives::{GeomWithData, Rectangle};

use common::limits::median;
use common::options::Options;
use common::table::{Bar, Table};

/// Points of each kind.
const POINTS: usize = 100_000;
/// Runs, of which the median counts.
const RUNS: usize = 7;

/// The system's allocator, counting what is held.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is the system's own; only sizes are added up beside it.
#[expect(unsafe_code, reason = "counting what is held takes an allocator")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is the system's.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A polygon's box, the municipality's place in the index, and the polygon.
type Boxed = GeomWithData<Rectangle<[f64; 2]>, (usize, Polygon<f64>)>;

fn main() {
    let options = Options::read();
    let Some(data) = data() else { return };
    let files = import(
        &[data.join("boundaries/jp_s0010")],
        &ImportOptions::default(),
    );
    let bytes = files.expect("the outlines of Japan").index.encode();
    let mut table = Table::new(
        "locate",
        options,
        "whole Japan, N03 at 1 %, against rstar + geo on the same points in the same run",
    );
    let before = HELD.load(Ordering::Relaxed);
    let index = BoundaryIndex::decode(&bytes).expect("our own file");
    let held = HELD.load(Ordering::Relaxed) - before;
    let mut opening: Vec<f64> = (0..options.size(RUNS, 1))
        .map(|_| {
            let begun = Instant::now();
            let index = BoundaryIndex::decode(black_box(&bytes)).expect("our own file");
            let taken = begun.elapsed();
            drop(index);
            milliseconds(taken)
        })
        .collect();
    table.row("index file", megabytes(bytes.len()), "MB", Bar::None);
    table.row("index in memory", megabytes(held), "MB", Bar::AtMost(30.0));
    table.row("opening it", median(&mut opening), "ms", Bar::AtMost(50.0));

    let before = HELD.load(Ordering::Relaxed);
    let tree = tree(&index);
    let held = HELD.load(Ordering::Relaxed) - before;
    table.row("rstar + geo in memory", megabytes(held), "MB", Bar::None);
    let count = options.size(POINTS, 1000);
    let mut disagreements = 0;
    for (what, points) in [
        ("towns", towns(&data, count)),
        ("anywhere in the box", anywhere(&index, count)),
        ("near borders", near_borders(&index, count)),
    ] {
        disagreements += compare(&mut table, options, what, &points, &index, &tree);
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of at most 300,000")]
    table.row(
        "different answers",
        disagreements as f64,
        "",
        Bar::AtMost(0.0),
    );
    table.end();
}

/// One kind of points; returns how many of them are answered differently.
fn compare(
    table: &mut Table,
    options: Options,
    what: &str,
    points: &[Point],
    index: &BoundaryIndex,
    tree: &RTree<Boxed>,
) -> usize {
    let degrees: Vec<Coord<f64>> = points.iter().map(|&point| coord(point)).collect();
    let ours = |points: &[Point]| -> Vec<Option<&str>> {
        points
            .iter()
            .map(|&point| index.owner(point).map(|m| m.code.as_str()))
            .collect()
    };
    let theirs = |points: &[Coord<f64>]| -> Vec<Option<&str>> {
        let code = |number: usize| index.municipalities()[number].code.as_str();
        points
            .iter()
            .map(|&point| owner(tree, point).map(code))
            .collect()
    };
    let mut times = [const { Vec::new() }; 3];
    let mut ratios = Vec::new();
    for _ in 0..options.size(RUNS, 1) {
        let our_time = timed(points.len(), || drop(black_box(ours(black_box(points)))));
        let their_time = timed(points.len(), || {
            drop(black_box(theirs(black_box(&degrees))));
        });
        let whole = timed(points.len(), || {
            for &point in black_box(points) {
                black_box(index.locate(point, 10));
            }
        });
        ratios.push(their_time / our_time);
        for (times, time) in times.iter_mut().zip([our_time, their_time, whole]) {
            times.push(time);
        }
    }
    let [our_times, their_times, whole] = &mut times;
    table.row(&format!("{what}: grid"), median(our_times), "ns", Bar::None);
    table.row(
        &format!("{what}: rstar + geo"),
        median(their_times),
        "ns",
        Bar::None,
    );
    table.ratio(
        &format!("{what}: rstar + geo / grid"),
        &mut ratios,
        Bar::AtLeast(10.0),
    );
    table.row(
        &format!("{what}: locate, distance to the border too"),
        median(whole),
        "ns",
        Bar::None,
    );
    let pairs = ours(points).into_iter().zip(theirs(&degrees));
    let different = points
        .iter()
        .zip(pairs)
        .filter(|(_, (ours, theirs))| ours != theirs);
    different
        .inspect(|(point, (ours, theirs))| eprintln!("  {point}: {ours:?}, rstar + geo {theirs:?}"))
        .count()
}

/// The lowest municipality whose polygon covers the point, its border included.
fn owner(tree: &RTree<Boxed>, point: Coord<f64>) -> Option<usize> {
    tree.locate_all_at_point([point.x, point.y])
        .filter(|boxed| boxed.data.1.covers(&point))
        .map(|boxed| boxed.data.0)
        .min()
}

fn tree(index: &BoundaryIndex) -> RTree<Boxed> {
    let line = |ring: &city_protocol::place::Ring| -> LineString<f64> {
        ring.points().iter().map(|&point| coord(point)).collect()
    };
    let municipalities = index.municipalities().iter().enumerate();
    let boxes = municipalities.flat_map(|(number, municipality)| {
        municipality.polygons.iter().map(move |polygon| {
            let (low, high) = polygon.outer.bounds();
            let [low, high] = [low, high].map(coord);
            let holes = polygon.holes.iter().map(line).collect();
            let shape = Polygon::new(line(&polygon.outer), holes);
            GeomWithData::new(
                Rectangle::from_corners([low.x, low.y], [high.x, high.y]),
                (number, shape),
            )
        })
    });
    RTree::bulk_load(boxes.collect())
}

/// Whole numbers of 1e-7 degrees: exact in f64, so both sides see the same corners.
fn coord(point: Point) -> Coord<f64> {
    Coord {
        x: f64::from(point.lon_e7()),
        y: f64::from(point.lat_e7()),
    }
}

/// The towns of the table, over and over.
fn towns(data: &Path, count: usize) -> Vec<Point> {
    let path = data.join("points/jp_towns_dev.csv");
    let table = std::fs::read_to_string(path).expect("the table of towns");
    let towns: Vec<Point> = table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            Point::from_decimal(fields[5], fields[6]).ok()
        })
        .collect();
    // A step that has no divisor in common with their number: no point follows its neighbour.
    (0..count).map(|i| towns[i * 7919 % towns.len()]).collect()
}

/// Points spread evenly over the box around all outlines; most of them lie in the sea.
fn anywhere(index: &BoundaryIndex, count: usize) -> Vec<Point> {
    let bounds = index
        .municipalities()
        .iter()
        .flat_map(|m| &m.polygons)
        .map(|p| p.outer.bounds());
    let (low, high) = bounds
        .map(|(low, high)| {
            let pair = |p: Point| (i64::from(p.lat_e7()), i64::from(p.lon_e7()));
            (pair(low), pair(high))
        })
        .reduce(|a, b| {
            let (south, west) = (a.0.0.min(b.0.0), a.0.1.min(b.0.1));
            ((south, west), (a.1.0.max(b.1.0), a.1.1.max(b.1.1)))
        })
        .expect("Japan has outlines");
    let mut random = Random(1);
    let mut between = |low: i64, high: i64| {
        i32::try_from(low + random.below(high - low)).expect("between two positions")
    };
    (0..count)
        .map(|_| Point::new(between(low.0, high.0), between(low.1, high.1)).expect("in the box"))
        .collect()
}

/// Points up to 20 m from the middle of an edge.
fn near_borders(index: &BoundaryIndex, count: usize) -> Vec<Point> {
    let polygons = index.municipalities().iter().flat_map(|m| &m.polygons);
    let corners: Vec<(Point, Point)> = polygons
        .flat_map(|polygon| {
            let points = polygon.outer.points();
            points.iter().copied().zip(points.iter().copied().skip(1))
        })
        .collect();
    let mut random = Random(2);
    let total = i64::try_from(corners.len()).expect("a count");
    (0..count)
        .map(|_| {
            let at = usize::try_from(random.below(total)).expect("not negative");
            let (a, b) = corners[at];
            let mut near = |a: i32, b: i32| {
                let off = i32::try_from(random.below(3600) - 1800).expect("small");
                i32::midpoint(a, b) + off
            };
            Point::new(near(a.lat_e7(), b.lat_e7()), near(a.lon_e7(), b.lon_e7())).expect("Japan")
        })
        .collect()
}

/// SplitMix64: the same points in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let positive = i64::try_from((mixed ^ (mixed >> 31)) >> 1).expect("63 bits");
        positive % end
    }
}

/// Nanoseconds a point.
fn timed(points: usize, work: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    work();
    #[expect(clippy::cast_precision_loss, reason = "at most 100,000")]
    let points = points as f64;
    begun.elapsed().as_secs_f64() * 1e9 / points
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}

fn data() -> Option<PathBuf> {
    let given = std::env::var_os("CITY_NODE_TEST_DATA").map(PathBuf::from);
    let folder =
        given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"));
    let there = folder.is_dir();
    if !there {
        println!("skipped: no ../shared/data");
    }
    there.then_some(folder)
}
