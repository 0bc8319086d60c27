//! Outlines as others publish them, GeoJSON and TopoJSON: whatever is imported has one form that reads back, and the grid
//! over it says of every corner and of points beside what asking each municipality in turn says.

use arbitrary::{Arbitrary, Unstructured};
use city_protocol::place::{BoundaryIndex, Point};

use crate::edits::{Edit, Input, apply};
use crate::memory;
use crate::place_import::{ImportOptions, import_text};

/// What an import may hold: TopoJSON names an arc as often as it likes, up to the points of the largest index, each of
/// them some ten times; pages of the grid besides.
const MEMORY: usize = 1 << 30;
/// Most corners that are asked about: each asks all municipalities.
const MAX_ASKED: usize = 400;

/// An outline on few small numbers: edges are shared, cross each other and lie on cells' borders.
#[derive(Arbitrary, Debug)]
struct Part {
    code: u8,
    rings: Vec<Vec<(i8, i8)>>,
}

/// Runs the target.
pub fn run(data: &[u8]) {
    match Input::of(data) {
        Some(Input::Raw(bytes)) => check(bytes),
        Some(Input::Story(story)) => drop(tell(story)),
        None => {}
    }
}

/// Inputs to begin with.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    SEEDS
        .iter()
        .map(|text| Input::raw(text.as_bytes()))
        .collect()
}

const SEEDS: [&str; 4] = [
    r#"{"type":"FeatureCollection","credit":"x","features":[{"type":"Feature","properties":{"N03_004":"a","N03_007":"17201"},"geometry":{"type":"Polygon","coordinates":[[[0,0],[9,0],[9,9],[0,9],[0,0]],[[3,3],[3,6],[6,6],[3,3]]]}}]}"#,
    r#"{"type":"Feature","properties":{"N03_007":5},"geometry":{"type":"MultiPolygon","coordinates":[[[[179,0],[180,0],[180,1],[179,0]]],[[[-180,0],[-179,1],[-180,1],[-180,0]]]]}}"#,
    r#"{"type":"Topology","transform":{"scale":[0.5,0.25],"translate":[10,-90]},"arcs":[[[0,0],[9,0],[0,9]],[[9,9],[-9,0],[0,-9]]],"objects":{"a":{"type":"GeometryCollection","geometries":[{"type":"Polygon","properties":{"N03_007":"1"},"arcs":[[0,1]]},{"type":"MultiPolygon","properties":{"N03_007":"2"},"arcs":[[[-1,-2]]]}]}}}"#,
    r#"{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1],[0,0]]]}"#,
];

fn tell(mut story: Unstructured<'_>) -> arbitrary::Result<()> {
    if story.arbitrary()? {
        let mut text = story.choose(&SEEDS)?.as_bytes().to_vec();
        apply(&mut text, &story.arbitrary::<Vec<Edit>>()?);
        check(&text);
        return Ok(());
    }
    let parts: Vec<Part> = story.arbitrary()?;
    // Steps of a few units up to some degrees.
    let step = f64::from(1_u32 << (story.arbitrary::<u8>()? % 22)) / 1e7;
    let features = parts.iter().map(|part| {
        let ring = |ring: &Vec<(i8, i8)>| {
            let position = |&(x, y): &(i8, i8)| [f64::from(x) * step, f64::from(y) * step];
            ring.iter().map(position).collect::<Vec<_>>()
        };
        let rings: Vec<_> = part.rings.iter().map(ring).collect();
        serde_json::json!({
            "type": "Feature",
            "properties": { "N03_007": part.code % 8 },
            "geometry": { "type": "Polygon", "coordinates": rings },
        })
    });
    let features: Vec<_> = features.collect();
    let text = serde_json::json!({ "type": "FeatureCollection", "features": features });
    check(text.to_string().as_bytes());
    Ok(())
}

fn check(text: &[u8]) {
    let options = ImportOptions::default();
    let imported = memory::within(MEMORY, || import_text("fuzz", text, &options));
    let Ok(imported) = imported else { return };
    let index = imported.index;
    let read = BoundaryIndex::decode(&index.encode()).expect("its own form");
    assert_eq!(read, index);
    let rings = index.municipalities().iter().flat_map(|m| &m.polygons);
    let rings = rings.flat_map(|polygon| std::iter::once(&polygon.outer).chain(&polygon.holes));
    let corners: Vec<Point> = rings
        .flat_map(|ring| ring.points())
        .copied()
        .take(MAX_ASKED)
        .collect();
    for pair in corners.windows(2) {
        let (a, b) = (pair[0], pair[1]);
        ask(&index, a.lat_e7(), a.lon_e7());
        ask(&index, a.lat_e7() - 1, a.lon_e7() + 1);
        let (lat, lon) = (
            i32::midpoint(a.lat_e7(), b.lat_e7()),
            i32::midpoint(a.lon_e7(), b.lon_e7()),
        );
        ask(&index, lat, lon);
        // First and last numbers of a cell, whatever its size up to here.
        ask(&index, lat & !0xfff, lon | 0xfff);
        ask(&index, lat | 0xffff, lon & !0xffff);
    }
}

fn ask(index: &BoundaryIndex, lat: i32, lon: i32) {
    let Ok(point) = Point::new(lat, lon) else {
        return;
    };
    // There several spellings are one point.
    if point.is_pole() || point.other_spelling().is_some() {
        return;
    }
    let found = index.owner(point);
    let slow = index.municipalities().iter().find(|m| m.contains(point));
    assert_eq!(found.map(|m| &m.code), slow.map(|m| &m.code), "{point}");
    let location = index.locate(point, 0);
    assert_eq!(location.code, slow.map(|m| m.code.as_str()));
    if let Some(code) = location.code {
        assert_eq!(
            Some(location.distance_m),
            index.border_distance_m(code, point)
        );
    }
}
