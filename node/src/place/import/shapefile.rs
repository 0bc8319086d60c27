//! ESRI Shapefile: `.shp` with its `.dbf`, whose text is in the encoding that `.cpg` or the `.dbf` names.
//!
//! The crate reads the formats; what is theirs to get wrong, projections and heaps of rings, is dealt with here.

use std::fs::{self, File};
use std::io::{self, BufReader, Read as _};
use std::path::Path;

use ::geojson::{JsonObject, JsonValue};
use ::shapefile::dbase::encoding::DynEncoding;
use ::shapefile::dbase::{FieldValue, Record};
use ::shapefile::record::traits::HasXY;
use ::shapefile::{PolygonRing, Reader, Shape, ShapeReader, dbase};
use city_protocol::place::{Point, SourcePart};

use super::{Collector, ImportError, MAX_FILE_BYTES, MAX_POINTS, Skipped, point_of, shapes};

/// Longest description of a coordinate system that is looked at, bytes: the usual ones have a few hundred.
const MAX_PRJ: u64 = 4096;
/// Name of an encoding.
const SHIFT_JIS: &str = "SHIFT_JIS";

/// Reads a Shapefile's features.
pub(super) fn read(collector: &mut Collector<'_>, path: &Path) -> Result<(), ImportError> {
    let failed = |why: String| ImportError::NotShapefile {
        path: path.into(),
        why,
    };
    if is_projected(path) {
        return Err(failed(
            "its .prj names a projection; coordinates must be degrees".into(),
        ));
    }
    shapes::check(path).map_err(failed)?;
    let mut reader = open(path).map_err(|error| failed(error.to_string()))?;
    for (number, feature) in reader.iter_shapes_and_records().enumerate() {
        let (shape, record) = feature.map_err(|error| failed(error.to_string()))?;
        if let Err(reason) = add(collector, &shape, record) {
            collector.report.skip(path, number, reason);
        }
        collector.report.features += 1;
        if collector.points > MAX_POINTS {
            return Err(ImportError::IndexTooLarge);
        }
    }
    collector.report.files += 1;
    Ok(())
}

type Files = Reader<BufReader<File>, BufReader<File>>;

fn open(path: &Path) -> Result<Files, ::shapefile::Error> {
    let table = path.with_extension("dbf");
    if path.with_extension("cpg").is_file() || !is_old_japanese(&table)? {
        return Reader::from_path(path);
    }
    let encoding = DynEncoding::from_name(SHIFT_JIS).expect("its own name for it");
    let table = dbase::ReaderBuilder::new()
        .with_encoding(encoding)
        .open(table)?;
    Ok(Reader::new(ShapeReader::from_path(path)?, table))
}

/// Whether a table that does not name its encoding is not UTF-8: 国土数値情報's older ones are Shift_JIS without a word.
fn is_old_japanese(table: &Path) -> io::Result<bool> {
    let mut bytes = Vec::new();
    let file = File::open(table)?;
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
    let header = bytes
        .get(8..10)
        .map(|len| usize::from(u16::from_le_bytes([len[0], len[1]])));
    let records = header
        .and_then(|header| bytes.get(header..))
        .unwrap_or_default();
    // Byte 29 names a code page; 0 is none.
    Ok(bytes.get(29) == Some(&0) && std::str::from_utf8(records).is_err())
}

/// The size of all files that belong together, bytes.
pub(super) fn size(path: &Path) -> u64 {
    let size = |extension| fs::metadata(path.with_extension(extension)).map_or(0, |m| m.len());
    // The one that was named, however it is spelled.
    let shapes = fs::metadata(path).map_or(0, |m| m.len());
    shapes + size("shx") + size("dbf")
}

fn is_projected(path: &Path) -> bool {
    let mut text = Vec::new();
    let read = File::open(path.with_extension("prj"))
        .and_then(|file| file.take(MAX_PRJ).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text)
        .trim_start()
        .to_ascii_uppercase();
    read.is_ok() && (text.starts_with("PROJCS") || text.starts_with("PROJCRS"))
}

fn add(collector: &mut Collector<'_>, shape: &Shape, record: Record) -> Result<(), Skipped> {
    let (code, name) = collector.names(&properties(record))?;
    let (outers, holes) = match shape {
        Shape::Polygon(polygon) => rings(polygon.rings()),
        Shape::PolygonM(polygon) => rings(polygon.rings()),
        Shape::PolygonZ(polygon) => rings(polygon.rings()),
        Shape::NullShape => return Err(Skipped::NoGeometry),
        _ => return Err(Skipped::NotAnArea),
    }
    .ok_or(Skipped::BadCoordinate)?;
    let (parts, left) = SourcePart::sorted(&code, &name, outers, holes);
    for part in parts {
        collector.push(part)?;
    }
    if left > 0 {
        return Err(Skipped::HoleOutside);
    }
    Ok(())
}

type Rings = Vec<Vec<Point>>;

/// Outer rings and holes; the format tells them by the way they turn.
fn rings<P: HasXY>(rings: &[PolygonRing<P>]) -> Option<(Rings, Rings)> {
    let (mut outers, mut holes) = (Vec::new(), Vec::new());
    for ring in rings {
        let list = match ring {
            PolygonRing::Outer(_) => &mut outers,
            PolygonRing::Inner(_) => &mut holes,
        };
        let points = ring.points().iter().map(|p| point_of(p.x(), p.y()));
        list.push(points.collect::<Option<Vec<_>>>()?);
    }
    Some((outers, holes))
}

/// What the `.dbf` says of a feature: texts and whole numbers.
fn properties(record: Record) -> JsonObject {
    let value = |value| match value {
        FieldValue::Character(Some(text)) | FieldValue::Memo(text) => Some(JsonValue::from(text)),
        FieldValue::Integer(number) => Some(JsonValue::from(number)),
        // 2^53: whole numbers beyond are no longer exact.
        FieldValue::Numeric(Some(number)) | FieldValue::Double(number)
            if number.fract() == 0.0 && (0.0..9_007_199_254_740_992.0).contains(&number) =>
        {
            serde_json::from_str(&number.to_string()).ok()
        }
        _ => None,
    };
    let fields = record.into_iter();
    fields
        .filter_map(|(name, field)| Some((name, value(field)?)))
        .collect()
}
