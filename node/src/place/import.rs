//! GeoJSON → boundary index: N03 attributes (国土数値情報 行政区域) or any other code and name property.
//!
//! Owns reading and its limits. Broken features are reported and skipped, never fatal; the canonical form is the
//! protocol's. TopoJSON and Shapefile are not read.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use city_protocol::place::{BoundaryIndex, Point, SourcePart};
use geojson::{Feature, GeoJson, GeometryValue, JsonObject, JsonValue, Position};

pub use super::report::{ImportReport, Skipped, SkippedFeature};

/// Largest file, bytes. The largest of N03's prefectures (北海道, un-simplified) has some 100 MB.
pub const MAX_FILE_BYTES: u64 = 256 << 20;
/// Most files of one import: one per municipality of Japan, and some.
pub const MAX_FILES: usize = 4_000;
/// N03's property of the code.
const N03_CODE: &str = "N03_007";
/// N03's properties of the name: county or designated city, then municipality or ward.
const N03_NAMES: [&str; 2] = ["N03_003", "N03_004"];
/// The line that MLIT asks for when N03 has been processed.
pub const N03_CREDIT: &str = "「国土数値情報（行政区域データ）」（国土交通省）を加工して作成";

/// How to read a source that is not N03, and how to name it.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Property with the municipality's code instead of N03's.
    pub code_property: Option<String>,
    /// Property with the municipality's name instead of N03's.
    pub name_property: Option<String>,
    /// Credit line instead of the files' own `credit` members and N03's.
    pub credit: Option<String>,
}

/// A boundary index and how it came about.
#[derive(Debug)]
pub struct Import {
    /// The index.
    pub index: BoundaryIndex,
    /// What was read, kept and skipped.
    pub report: ImportReport,
}

/// Why an import failed.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file or directory could not be read.
    #[error("{}: cannot be read ({source}); check the path and its permissions", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is too large.
    #[error(
        "{}: larger than {} MiB; import it in parts (one file per prefecture) or simplify it",
        path.display(), MAX_FILE_BYTES >> 20
    )]
    FileTooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A file is not GeoJSON.
    #[error(
        "{}: not GeoJSON ({source}); convert TopoJSON or Shapefile first, for example with `ogr2ogr -f GeoJSON`",
        path.display()
    )]
    NotGeoJson {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// No files, or too many.
    #[error("{found} files with .geojson or .json found; an import takes 1 to {MAX_FILES}")]
    FileCount {
        /// How many.
        found: usize,
    },
    /// Nothing that could be kept.
    #[error(
        "no feature with an area has the property {property}; \
         name the one that holds the municipality's code with --code-property"
    )]
    Nothing {
        /// The property looked for.
        property: String,
    },
    /// The index or its credit line would be too large.
    #[error(
        "the index would be larger than its limit; import fewer municipalities, simplified outlines or a shorter credit line"
    )]
    IndexTooLarge,
}

/// Imports files, and the `.geojson` and `.json` files of directories (not of directories in them), in order of name.
///
/// A named file that is not GeoJSON is an error; one that a directory happens to hold is reported.
///
/// # Errors
/// [`ImportError`], which names the file and the remedy.
pub fn import<P: AsRef<Path>>(paths: &[P], options: &ImportOptions) -> Result<Import, ImportError> {
    let mut files = Vec::new();
    for path in paths {
        let path = path.as_ref();
        if path.is_dir() {
            files.extend(files_of(path)?.into_iter().map(|file| (file, false)));
        } else {
            files.push((path.to_path_buf(), true));
        }
    }
    if !(1..=MAX_FILES).contains(&files.len()) {
        return Err(ImportError::FileCount { found: files.len() });
    }
    let mut reader = Reader::new(options);
    for (path, named) in files {
        match reader.read_file(&path) {
            Err(error @ ImportError::NotGeoJson { .. }) if !named => {
                reader.report.unread.push((path, error.to_string()));
            }
            read => read?,
        }
    }
    reader.finish()
}

/// Imports GeoJSON that is already in memory; `name` stands in for the file's in report and errors.
///
/// # Errors
/// [`ImportError`].
pub fn import_text(
    name: &str,
    text: &[u8],
    options: &ImportOptions,
) -> Result<Import, ImportError> {
    let mut reader = Reader::new(options);
    reader.read(Path::new(name), text)?;
    reader.finish()
}

fn files_of(directory: &Path) -> Result<Vec<PathBuf>, ImportError> {
    let failed = |source| ImportError::Read {
        path: directory.into(),
        source,
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let extension = path
            .extension()
            .and_then(|e| e.to_str())
            .unwrap_or_default();
        if matches!(extension, "geojson" | "json") && path.is_file() {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Collects parts from files, one after the other.
struct Reader<'a> {
    options: &'a ImportOptions,
    parts: Vec<SourcePart>,
    credits: BTreeSet<String>,
    report: ImportReport,
}

impl<'a> Reader<'a> {
    fn new(options: &'a ImportOptions) -> Self {
        Self {
            options,
            parts: Vec::new(),
            credits: BTreeSet::new(),
            report: ImportReport::default(),
        }
    }

    fn code_property(&self) -> &'a str {
        self.options.code_property.as_deref().unwrap_or(N03_CODE)
    }

    fn read_file(&mut self, path: &Path) -> Result<(), ImportError> {
        let failed = |source| ImportError::Read {
            path: path.into(),
            source,
        };
        let file = File::open(path).map_err(failed)?;
        let too_large = || ImportError::FileTooLarge { path: path.into() };
        if file.metadata().map_err(failed)?.len() > MAX_FILE_BYTES {
            return Err(too_large());
        }
        // A file may grow while it is read: one byte more than allowed shows it.
        let mut text = Vec::new();
        let mut limited = file.take(MAX_FILE_BYTES + 1);
        limited.read_to_end(&mut text).map_err(failed)?;
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(too_large());
        }
        self.read(path, &text)
    }

    fn read(&mut self, path: &Path, text: &[u8]) -> Result<(), ImportError> {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let parsed: GeoJson =
            serde_json::from_slice(text).map_err(|source| ImportError::NotGeoJson {
                path: path.into(),
                source,
            })?;
        let features = match parsed {
            GeoJson::FeatureCollection(collection) => {
                let credit = collection
                    .foreign_members
                    .as_ref()
                    .and_then(|members| members.get("credit"));
                self.credits
                    .extend(credit.and_then(JsonValue::as_str).map(String::from));
                collection.features
            }
            GeoJson::Feature(feature) => vec![feature],
            GeoJson::Geometry(geometry) => vec![Feature::from(geometry)],
        };
        self.report.files += 1;
        self.report.features += features.len();
        for (number, feature) in features.into_iter().enumerate() {
            if let Err(reason) = self.add(feature) {
                self.report.skip(path, number, reason);
            }
        }
        Ok(())
    }

    fn add(&mut self, feature: Feature) -> Result<(), Skipped> {
        let properties = feature.properties.unwrap_or_default();
        let code = text_of(&properties, self.code_property()).ok_or(Skipped::NoCode)?;
        let name = match &self.options.name_property {
            Some(property) => text_of(&properties, property).unwrap_or_default(),
            None => N03_NAMES
                .iter()
                .filter_map(|name| text_of(&properties, name))
                .collect(),
        };
        let polygons = match feature.geometry.ok_or(Skipped::NoGeometry)?.value {
            GeometryValue::Polygon { coordinates } => vec![coordinates],
            GeometryValue::MultiPolygon { coordinates } => coordinates,
            _ => return Err(Skipped::NotAnArea),
        };
        let ring = |ring: &Vec<Position>| ring.iter().map(point_of).collect::<Option<Vec<_>>>();
        let read: Option<Vec<Vec<Vec<Point>>>> = polygons
            .iter()
            .map(|rings| rings.iter().map(ring).collect())
            .collect();
        for rings in read.ok_or(Skipped::BadCoordinate)? {
            self.parts.push(SourcePart {
                code: code.clone(),
                name: name.clone(),
                rings,
            });
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Import, ImportError> {
        if self.credits.is_empty() && self.options.code_property.is_none() {
            self.credits.insert(N03_CREDIT.into());
        }
        let own = self
            .credits
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(" / ");
        let credit = self.options.credit.clone().unwrap_or(own);
        let property = self.code_property().to_owned();
        let (index, build) =
            BoundaryIndex::build(&credit, self.parts).map_err(|_| ImportError::IndexTooLarge)?;
        if index.municipalities().is_empty() {
            return Err(ImportError::Nothing { property });
        }
        self.report.build = build;
        Ok(Import {
            index,
            report: self.report,
        })
    }
}

/// A property as text: a string that is not blank, or a whole number.
fn text_of(properties: &JsonObject, key: &str) -> Option<String> {
    match properties.get(key)? {
        JsonValue::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        JsonValue::Number(number) => number.as_u64().map(|number| number.to_string()),
        _ => None,
    }
}

/// A position, longitude first (RFC 7946, 3.1.1). The shortest text that reads back as the same f64 is what the file
/// said; from there on it is integers.
fn point_of(position: &Position) -> Option<Point> {
    let [lon, lat, ..] = *position.as_slice() else {
        return None;
    };
    Point::from_decimal(&lat.to_string(), &lon.to_string()).ok()
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
