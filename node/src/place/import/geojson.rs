//! GeoJSON (RFC 7946) and TopoJSON: one feature at a time, so that a file's features are never all in memory.

use std::borrow::Cow;
use std::path::Path;

use ::geojson::{Feature, GeometryValue, Position};
use city_protocol::place::{Point, SourcePart};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::bounded::{Budget, List, read as read_within};
use super::topojson::{Topology, TopologyError};
use super::{Collector, ImportError, Skipped, point_of};

/// Most features of a file. N03 of all Japan has some 125,000 polygons, each a feature.
const MAX_FEATURES: usize = 1_000_000;
/// Longest feature, bytes: it is held as numbers, which take up to sixteen times as much. N03's longest has some 5 MB.
const MAX_FEATURE_BYTES: usize = 32 << 20;

/// As much of a file as says what it is; features stay text.
#[derive(Deserialize)]
struct File<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default)]
    credit: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    features: Option<&'a RawValue>,
}

/// Reads a file's features; a byte order mark before them is no error.
pub(super) fn read(
    collector: &mut Collector<'_>,
    path: &Path,
    text: &[u8],
) -> Result<(), ImportError> {
    let failed = |source| ImportError::NotGeoJson {
        path: path.into(),
        source,
    };
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let file: File<'_> = serde_json::from_slice(text).map_err(failed)?;
    let too_much = |what, limit| ImportError::TooMuch {
        path: path.into(),
        what,
        limit,
    };
    let credit = file.credit.map(Cow::into_owned);
    match &*file.kind {
        "FeatureCollection" => {
            let budget = Budget::new(MAX_FEATURES);
            let features = file.features.map_or("[]", RawValue::get);
            let features = read_within(features, List::<&RawValue>::within(&budget));
            let features = features.map_err(|error| match budget.is_spent() {
                true => too_much("features", MAX_FEATURES),
                false => failed(error),
            })?;
            collector.report.features += features.len();
            for (number, feature) in features.into_iter().map(RawValue::get).enumerate() {
                if feature.len() > MAX_FEATURE_BYTES {
                    collector.report.skip(path, number, Skipped::TooLarge);
                } else {
                    take(collector, path, number, serde_json::from_str(feature));
                }
            }
        }
        "Topology" => {
            let topology: Topology<'_> = serde_json::from_slice(text).map_err(failed)?;
            let mut number = 0;
            let areas = topology.areas(&mut |area| {
                let added = collector.names(&area.properties).and_then(|names| {
                    let polygons = area.polygons?;
                    add(collector, names, polygons)
                });
                if let Err(reason) = added {
                    collector.report.skip(path, number, reason);
                }
                number += 1;
            });
            areas.map_err(|error| match error {
                TopologyError::Json(error) => failed(error),
                TopologyError::TooMuch { what, limit } => too_much(what, limit),
                TopologyError::TooManyPoints => ImportError::IndexTooLarge,
            })?;
            collector.report.features += number;
        }
        _ if text.len() > MAX_FEATURE_BYTES => {
            return Err(too_much("bytes in one feature", MAX_FEATURE_BYTES));
        }
        "Feature" => {
            take(collector, path, 0, serde_json::from_slice(text));
            collector.report.features += 1;
        }
        _ => {
            let geometry: geojson::Geometry = serde_json::from_slice(text).map_err(failed)?;
            take(collector, path, 0, Ok(Feature::from(geometry)));
            collector.report.features += 1;
        }
    }
    collector.credits.extend(credit);
    collector.report.files += 1;
    Ok(())
}

/// Takes one feature in, or reports why not.
fn take(
    collector: &mut Collector<'_>,
    path: &Path,
    number: usize,
    feature: serde_json::Result<Feature>,
) {
    let added = feature
        .map_err(|_| Skipped::Malformed)
        .and_then(|feature| add_feature(collector, feature));
    if let Err(reason) = added {
        collector.report.skip(path, number, reason);
    }
}

fn add_feature(collector: &mut Collector<'_>, feature: Feature) -> Result<(), Skipped> {
    let names = collector.names(&feature.properties.unwrap_or_default())?;
    let polygons = match feature.geometry.ok_or(Skipped::NoGeometry)?.value {
        GeometryValue::Polygon { coordinates } => vec![coordinates],
        GeometryValue::MultiPolygon { coordinates } => coordinates,
        _ => return Err(Skipped::NotAnArea),
    };
    let point = |position: &Position| match *position.as_slice() {
        [lon, lat, ..] => point_of(lon, lat),
        _ => None,
    };
    let ring = |ring: &Vec<Position>| ring.iter().map(point).collect::<Option<Vec<_>>>();
    let polygons: Option<Vec<Vec<Vec<Point>>>> = polygons
        .iter()
        .map(|rings| rings.iter().map(ring).collect())
        .collect();
    add(collector, names, polygons.ok_or(Skipped::BadCoordinate)?)
}

fn add(
    collector: &mut Collector<'_>,
    (code, name): (String, String),
    polygons: Vec<Vec<Vec<Point>>>,
) -> Result<(), Skipped> {
    for rings in polygons {
        collector.push(SourcePart {
            code: code.clone(),
            name: name.clone(),
            rings,
        })?;
    }
    Ok(())
}
