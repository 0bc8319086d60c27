//! TopoJSON (the specification's version 1): arcs that geometries share, quantised or not.
//!
//! Owns decoding and its limits. An arc may be named any number of times, so a small file can say a great deal; and lists of
//! nearly nothing take more memory than text. So all things are counted as they are met, and of geometries one is in memory.

use std::collections::BTreeMap;
use std::fmt;

use ::geojson::JsonObject;
use city_protocol::place::Point;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::bounded::{Budget, Each, List, read};
use super::{MAX_POINTS, Skipped, point_of};

/// Most arcs, positions, geometries, rings and names of arcs of a file, all together: more positions do not fit an index. Each
/// takes at most 32 bytes, so all of them half a gigabyte.
const MAX_THINGS: usize = MAX_POINTS;
/// What an object counts for: its name stands beside it.
const OBJECT: usize = 4;
/// Deepest collection in collections: each level reads its text once more. Files have one, or two.
const MAX_DEPTH: usize = 16;
/// Longest properties of a geometry, bytes: N03's have 200.
const MAX_PROPERTIES: usize = 1 << 20;

/// The whole file; what is long stays text.
#[derive(Deserialize)]
pub(super) struct Topology<'a> {
    #[serde(default)]
    transform: Option<Transform>,
    #[serde(borrow)]
    arcs: &'a RawValue,
    #[serde(borrow)]
    objects: &'a RawValue,
}

/// Quantisation: a position is a whole number times `scale` plus `translate`.
#[derive(Deserialize)]
struct Transform {
    scale: [f64; 2],
    translate: [f64; 2],
}

/// A geometry object; a collection has more of them.
#[derive(Deserialize)]
struct Geometry<'a> {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default, borrow)]
    properties: Option<&'a RawValue>,
    #[serde(default, borrow)]
    arcs: Option<&'a RawValue>,
    #[serde(default, borrow)]
    geometries: Option<&'a RawValue>,
}

/// An area with its properties: polygons, each a list of rings, the outer one first.
pub(super) struct Area {
    pub(super) properties: JsonObject,
    pub(super) polygons: Result<Polygons, Skipped>,
}

/// Why a topology is not read to its end.
#[derive(Debug)]
pub(super) enum TopologyError {
    /// It is none.
    Json(serde_json::Error),
    /// There is more in it than is taken of a file.
    TooMuch {
        /// What.
        what: &'static str,
        /// How much is taken.
        limit: usize,
    },
    /// Its outlines have more points than an index may have.
    TooManyPoints,
}

/// An arc; none if one of its positions is not on the Earth.
type Arc = Option<Vec<Point>>;
/// Polygons, each a list of rings.
type Polygons = Vec<Vec<Vec<Point>>>;
/// Polygons as the names of their arcs.
type PolygonArcs = Vec<Vec<i64>>;

impl Topology<'_> {
    /// Hands out all geometries in the order of the file, objects by name.
    ///
    /// # Errors
    /// [`TopologyError`]; what was handed out before stands.
    pub(super) fn areas(self, take: &mut dyn FnMut(Area)) -> Result<(), TopologyError> {
        self.areas_within(MAX_THINGS, take)
    }

    fn areas_within(self, limit: usize, take: &mut dyn FnMut(Area)) -> Result<(), TopologyError> {
        let budget = Budget::new(limit);
        let told = |error| {
            if budget.is_spent() {
                TopologyError::TooMuch {
                    what: "arcs, positions, geometries and rings",
                    limit,
                }
            } else {
                TopologyError::Json(error)
            }
        };
        let transform = self.transform.as_ref();
        let arc = || ArcSeed {
            budget: &budget,
            transform,
        };
        let arcs = Each {
            budget: &budget,
            element: arc,
        };
        // A position is read once, however often its arc is named.
        let arcs = read(self.arcs.get(), arcs).map_err(told)?;
        let objects = read(self.objects.get(), Objects(&budget)).map_err(told)?;
        let mut walk = Walk {
            arcs: &arcs,
            budget: &budget,
            points: 0,
            take,
        };
        for geometry in objects.into_values() {
            match walk.geometry(geometry, 0) {
                Err(TopologyError::Json(error)) => return Err(told(error)),
                other => other?,
            }
        }
        Ok(())
    }
}

/// The way through the geometries.
struct Walk<'a> {
    arcs: &'a [Arc],
    budget: &'a Budget,
    /// Points handed out so far.
    points: usize,
    take: &'a mut dyn FnMut(Area),
}

impl Walk<'_> {
    fn geometry(&mut self, text: &RawValue, depth: usize) -> Result<(), TopologyError> {
        let json = TopologyError::Json;
        let geometry: Geometry<'_> = serde_json::from_str(text.get()).map_err(json)?;
        if geometry.kind.as_deref() == Some("GeometryCollection") {
            if depth == MAX_DEPTH {
                return Err(TopologyError::TooMuch {
                    what: "collections in each other",
                    limit: MAX_DEPTH,
                });
            }
            let members = geometry.geometries.map(RawValue::get);
            let members = members.map(|text| read(text, List::<&RawValue>::within(self.budget)));
            for member in members.transpose().map_err(json)?.unwrap_or_default() {
                self.geometry(member, depth + 1)?;
            }
            return Ok(());
        }
        let properties = geometry.properties.map(RawValue::get);
        let properties = match properties {
            Some(text) if text.len() > MAX_PROPERTIES => Err(Skipped::TooLarge),
            Some(text) => serde_json::from_str(text).map_err(|_| Skipped::Malformed),
            None => Ok(JsonObject::new()),
        };
        let (properties, polygons) = match properties {
            Ok(properties) => (properties, self.polygons(&geometry)?),
            Err(why) => (JsonObject::new(), Err(why)),
        };
        if self.points > MAX_POINTS {
            return Err(TopologyError::TooManyPoints);
        }
        (self.take)(Area {
            properties,
            polygons,
        });
        Ok(())
    }

    fn polygons(
        &mut self,
        geometry: &Geometry<'_>,
    ) -> Result<Result<Polygons, Skipped>, TopologyError> {
        let names = || {
            let ring = || List::<i64>::within(self.budget);
            Each {
                budget: self.budget,
                element: ring,
            }
        };
        let polygons = match (geometry.kind.as_deref(), geometry.arcs.map(RawValue::get)) {
            (Some("Polygon"), Some(arcs)) => read(arcs, names()).map(|polygon| vec![polygon]),
            (Some("MultiPolygon"), Some(arcs)) => {
                let all = Each {
                    budget: self.budget,
                    element: names,
                };
                read(arcs, all)
            }
            (None | Some("Polygon" | "MultiPolygon"), _) => return Ok(Err(Skipped::NoGeometry)),
            _ => return Ok(Err(Skipped::NotAnArea)),
        };
        match polygons {
            Ok(polygons) => Ok(joined(&polygons, self.arcs, &mut self.points)),
            Err(error) if self.budget.is_spent() => Err(TopologyError::Json(error)),
            Err(_) => Ok(Err(Skipped::Malformed)),
        }
    }
}

/// The objects by their names; the last of one name counts.
struct Objects<'b>(&'b Budget);

impl<'de> DeserializeSeed<'de> for Objects<'_> {
    type Value = BTreeMap<String, &'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Objects<'_> {
    type Value = BTreeMap<String, &'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("objects by their names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut all = BTreeMap::new();
        while let Some((name, geometry)) = map.next_entry()? {
            self.0.take::<A::Error>(OBJECT)?;
            all.insert(name, geometry);
        }
        Ok(all)
    }
}

/// One arc, its positions counted.
struct ArcSeed<'a> {
    budget: &'a Budget,
    transform: Option<&'a Transform>,
}

impl<'de> DeserializeSeed<'de> for ArcSeed<'_> {
    type Value = Arc;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Arc, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ArcSeed<'_> {
    type Value = Arc;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an arc: a list of positions")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Arc, A::Error> {
        let mut sum = [0.0; 2];
        let mut arc = Some(Vec::new());
        while let Some(Position(position)) = seq.next_element()? {
            self.budget.take::<A::Error>(1)?;
            let point = position.and_then(|[x, y]| match self.transform {
                None => point_of(x, y),
                Some(transform) => {
                    // Sums of whole numbers are exact; each product and sum is rounded once, by IEEE 754 everywhere the
                    // same.
                    sum = [sum[0] + x, sum[1] + y];
                    let place =
                        |axis: usize| sum[axis] * transform.scale[axis] + transform.translate[axis];
                    point_of(place(0), place(1))
                }
            });
            arc = arc.zip(point).map(|(mut points, point): (Vec<_>, _)| {
                points.push(point);
                points
            });
        }
        Ok(arc)
    }
}

/// A position's first two numbers; none if it has fewer.
struct Position(Option<[f64; 2]>);

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Numbers;

        impl<'de> Visitor<'de> for Numbers {
            type Value = Position;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a position: a list of numbers")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Position, A::Error> {
                let (Some(x), Some(y)) = (seq.next_element()?, seq.next_element()?) else {
                    return Ok(Position(None));
                };
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Position(Some([x, y])))
            }
        }
        deserializer.deserialize_seq(Numbers)
    }
}

/// Rings from the arcs they name: an arc begins where the one before it ends; `!i` is arc `i` backwards.
fn joined(polygons: &[PolygonArcs], arcs: &[Arc], points: &mut usize) -> Result<Polygons, Skipped> {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What a file comes to within so many things: the number of its areas, or what there is too much of.
    fn within(limit: usize, text: &str) -> Result<usize, &'static str> {
        let topology: Topology<'_> = serde_json::from_str(text).unwrap();
        let mut areas = 0;
        match topology.areas_within(limit, &mut |_| areas += 1) {
            Ok(()) => Ok(areas),
            Err(TopologyError::TooMuch { what, .. }) => Err(what),
            Err(TopologyError::Json(error)) => panic!("{error}"),
            Err(TopologyError::TooManyPoints) => Err("points"),
        }
    }

    #[test]
    fn every_thing_of_a_file_counts_before_it_is_held() {
        let things = Err("arcs, positions, geometries and rings");
        let file = |arcs: &str, objects: &str| {
            format!(r#"{{"type":"Topology","arcs":{arcs},"objects":{objects}}}"#)
        };
        let polygon = r#"{"a":{"type":"Polygon","arcs":[[0,0,0],[0]]}}"#;
        let arc = "[[[1,2],[3,4],[5,6]]]";
        // An arc and its three positions, an object, two rings and the four names in them.
        let text = file(arc, polygon);
        assert_eq!(within(4 + 4 + 6, &text), Ok(1));
        assert_eq!(within(4 + 4 + 5, &text), things);
        assert_eq!(within(4 + 3, &text), things);
        assert_eq!(within(3, &text), things);
        assert_eq!(within(3, &file("[[],[],[],[]]", "{}")), things);
        assert_eq!(within(2, &file("[[[],[],[]]]", "{}")), things);
        let members = r#"{"a":{"type":"GeometryCollection","geometries":[{},{},{}]}}"#;
        assert_eq!(within(4 + 3, &file("[]", members)), Ok(3));
        assert_eq!(within(4 + 2, &file("[]", members)), things);
        let many = r#"{"a":{"type":"MultiPolygon","arcs":[[],[],[]]}}"#;
        assert_eq!(within(4 + 3, &file("[]", many)), Ok(1));
        assert_eq!(within(4 + 2, &file("[]", many)), things);
    }

    #[test]
    fn collections_in_collections_have_an_end() {
        let nested = |depth: usize| {
            let open = r#"{"type":"GeometryCollection","geometries":["#.repeat(depth);
            let close = "]}".repeat(depth);
            let inner = format!(r#"{open}{{"type":"Polygon"}}{close}"#);
            format!(r#"{{"arcs":[],"objects":{{"a":{inner}}}}}"#)
        };
        assert_eq!(within(100, &nested(MAX_DEPTH)), Ok(1));
        let deep = Err("collections in each other");
        assert_eq!(within(100, &nested(MAX_DEPTH + 1)), deep);
        assert_eq!(within(100_000, &nested(100_000)), deep);
    }

    #[test]
    fn a_geometry_with_a_book_beside_it_is_skipped() {
        let text = |bytes: usize| {
            let book = "a".repeat(bytes);
            format!(r#"{{"arcs":[],"objects":{{"a":{{"properties":{{"b":"{book}"}}}}}}}}"#)
        };
        let why = |text: &str| {
            let topology: Topology<'_> = serde_json::from_str(text).unwrap();
            let mut why = None;
            let mut take = |area: Area| why = area.polygons.err();
            topology.areas(&mut take).unwrap();
            why
        };
        assert_eq!(why(&text(1000)), Some(Skipped::NoGeometry));
        assert_eq!(why(&text(MAX_PROPERTIES)), Some(Skipped::TooLarge));
    }
}
