//! TopoJSON (the specification's version 1): arcs that geometries share, quantised or not.
//!
//! Owns decoding and its limit. An arc may be named any number of times, so a small file can say a great deal.

use std::collections::BTreeMap;

use ::geojson::JsonObject;
use city_protocol::place::Point;
use serde::Deserialize;

use super::{MAX_POINTS, Skipped, point_of};

/// The whole file.
#[derive(Deserialize)]
pub(super) struct Topology {
    #[serde(default)]
    transform: Option<Transform>,
    arcs: Vec<Vec<Vec<f64>>>,
    objects: BTreeMap<String, Geometry>,
}

/// Quantisation: a position is a whole number times `scale` plus `translate`.
#[derive(Deserialize)]
struct Transform {
    scale: [f64; 2],
    translate: [f64; 2],
}

/// A geometry object; a collection has more of them.
#[derive(Deserialize)]
struct Geometry {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    properties: Option<JsonObject>,
    #[serde(default)]
    arcs: Option<serde_json::Value>,
    #[serde(default)]
    geometries: Vec<Self>,
}

/// An area with its properties: polygons, each a list of rings, the outer one first.
pub(super) struct Area {
    pub(super) properties: JsonObject,
    pub(super) polygons: Result<Vec<Vec<Vec<Point>>>, Skipped>,
}

/// Polygons as their arcs.
type PolygonArcs = Vec<Vec<i64>>;

impl Topology {
    /// All geometries in the order of the file, objects by name. `None` if together they have more points than an index
    /// may have.
    pub(super) fn areas(self) -> Option<Vec<Area>> {
        // A position is read once, however often its arc is named.
        let arcs = absolute(self.arcs, self.transform.as_ref());
        let mut points = 0;
        let mut areas = Vec::new();
        let mut waiting: Vec<Geometry> = self.objects.into_values().rev().collect();
        while let Some(geometry) = waiting.pop() {
            if geometry.kind.as_deref() == Some("GeometryCollection") {
                waiting.extend(geometry.geometries.into_iter().rev());
                continue;
            }
            let polygons = match (geometry.kind.as_deref(), geometry.arcs) {
                (Some("Polygon"), Some(arcs)) => {
                    serde_json::from_value(arcs).map(|polygon: PolygonArcs| vec![polygon])
                }
                (Some("MultiPolygon"), Some(arcs)) => serde_json::from_value(arcs),
                (None | Some("Polygon" | "MultiPolygon"), _) => {
                    areas.push(Area::skipped(geometry.properties, Skipped::NoGeometry));
                    continue;
                }
                _ => {
                    areas.push(Area::skipped(geometry.properties, Skipped::NotAnArea));
                    continue;
                }
            };
            let polygons = match polygons {
                Ok(polygons) => joined(&polygons, &arcs, &mut points),
                Err(_) => Err(Skipped::Malformed),
            };
            if points > MAX_POINTS {
                return None;
            }
            areas.push(Area {
                properties: geometry.properties.unwrap_or_default(),
                polygons,
            });
        }
        Some(areas)
    }
}

impl Area {
    fn skipped(properties: Option<JsonObject>, why: Skipped) -> Self {
        Self {
            properties: properties.unwrap_or_default(),
            polygons: Err(why),
        }
    }
}

/// Arcs as positions; `None` for one with a position that is not on the Earth.
fn absolute(arcs: Vec<Vec<Vec<f64>>>, transform: Option<&Transform>) -> Vec<Option<Vec<Point>>> {
    let arc = |arc: Vec<Vec<f64>>| {
        let mut sum = [0.0; 2];
        let position = |position: Vec<f64>| {
            let [x, y, ..] = *position.as_slice() else {
                return None;
            };
            let Some(transform) = transform else {
                return point_of(x, y);
            };
            // Sums of whole numbers are exact; each product and sum is rounded once, by IEEE 754 everywhere the same.
            sum = [sum[0] + x, sum[1] + y];
            let place = |axis: usize| sum[axis] * transform.scale[axis] + transform.translate[axis];
            point_of(place(0), place(1))
        };
        arc.into_iter().map(position).collect()
    };
    arcs.into_iter().map(arc).collect()
}

/// Rings from the arcs they name: an arc begins where the one before it ends; `!i` is arc `i` backwards.
fn joined(
    polygons: &[PolygonArcs],
    arcs: &[Option<Vec<Point>>],
    points: &mut usize,
) -> Result<Vec<Vec<Vec<Point>>>, Skipped> {
    let mut ring = |names: &Vec<i64>| {
        let mut ring: Vec<Point> = Vec::new();
        for &name in names {
            let index = usize::try_from(if name < 0 { !name } else { name });
            let arc = index.ok().and_then(|index| arcs.get(index));
            let arc = arc.ok_or(Skipped::Malformed)?;
            let arc = arc.as_ref().ok_or(Skipped::BadCoordinate)?;
            // Counted before it is copied.
            *points += arc.len().max(1);
            if *points > MAX_POINTS {
                return Err(Skipped::Malformed);
            }
            ring.pop();
            if name < 0 {
                ring.extend(arc.iter().rev());
            } else {
                ring.extend(arc);
            }
        }
        Ok(ring)
    };
    polygons
        .iter()
        .map(|rings| rings.iter().map(&mut ring).collect())
        .collect()
}
