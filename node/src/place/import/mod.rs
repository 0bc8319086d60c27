//! Outlines as others publish them → boundary index: N03 attributes (国土数値情報 行政区域) or any other code and name
//! property, in GeoJSON, TopoJSON and Shapefiles.
//!
//! Owns which files are read, and their limits. Broken features are reported and skipped, never fatal; the canonical form
//! is the protocol's. `geojson`, `topojson`, `shapefile` the formats, `bounded` and `shapes` what of a hostile file is taken · `report` what was read, kept and skipped.

mod bounded;
mod geojson;
mod report;
mod shapefile;
mod shapes;
mod topojson;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ::geojson::{JsonObject, JsonValue};
use city_protocol::place::boundary::MAX_INDEX_BYTES;
use city_protocol::place::{BoundaryIndex, Point, SourcePart};

pub use report::{ImportReport, Skipped, SkippedFeature};

/// Largest file, bytes. The largest of N03's prefectures (北海道, un-simplified) has some 100 MB.
pub const MAX_FILE_BYTES: u64 = 256 << 20;
/// Most files of one import: one per municipality of Japan, and some.
pub const MAX_FILES: usize = 4_000;
/// Most points: more do not fit an index.
const MAX_POINTS: usize = MAX_INDEX_BYTES / 8;
/// Most bytes of a code or name that are carried along: four times what an index keeps of a name.
const MAX_NAME: usize = 1024;
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
    /// A file is not GeoJSON or TopoJSON.
    #[error(
        "{}: not GeoJSON or TopoJSON ({source}); convert it first, for example with `ogr2ogr -f GeoJSON`",
        path.display()
    )]
    NotGeoJson {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A file is not a Shapefile that can be used.
    #[error(
        "{}: cannot be read as a Shapefile ({why}); its .dbf must stand beside it, and coordinates must be degrees \
         (`ogr2ogr -t_srs EPSG:4326`)",
        path.display()
    )]
    NotShapefile {
        /// The `.shp` file.
        path: PathBuf,
        /// What is wrong with it or with its `.dbf`.
        why: String,
    },
    /// There is more in a file than is taken of one.
    #[error(
        "{}: more than {limit} {what}; import it in parts (one file per prefecture) or simplify it", path.display()
    )]
    TooMuch {
        /// The file.
        path: PathBuf,
        /// What there is too much of.
        what: &'static str,
        /// How much is taken.
        limit: usize,
    },
    /// No files, or too many.
    #[error(
        "{found} files with .geojson, .topojson, .json or .shp found; an import takes 1 to {MAX_FILES}"
    )]
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

/// Imports files, and the `.geojson`, `.topojson`, `.json` and `.shp` files of directories (not of directories in them),
/// in order of name.
///
/// A named file that cannot be read is an error; one that a directory happens to hold is reported.
///
/// # Errors
/// [`ImportError`], which names the file and the remedy.
pub fn import<P: AsRef<Path>>(paths: &[P], options: &ImportOptions) -> Result<Import, ImportError> {
    import_watched(paths, options, |_, _| {})
}

/// As [`import`]; `watch` is told after each file how many bytes of how many are read.
///
/// # Errors
/// [`ImportError`], which names the file and the remedy.
pub fn import_watched<P: AsRef<Path>>(
    paths: &[P],
    options: &ImportOptions,
    mut watch: impl FnMut(u64, u64),
) -> Result<Import, ImportError> {
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
    let total = files.iter().map(|(path, _)| size(path)).sum();
    let mut collector = Collector::new(options);
    let mut done = 0;
    for (path, named) in files {
        done += size(&path);
        let before = collector.standing();
        match collector.read_file(&path) {
            Err(
                error @ (ImportError::NotGeoJson { .. }
                | ImportError::NotShapefile { .. }
                | ImportError::TooMuch { .. }),
            ) if !named => {
                collector.forget_after(before);
                collector.report.unread.push((path, error.to_string()));
            }
            read => read?,
        }
        watch(done, total);
    }
    collector.finish()
}

/// Imports GeoJSON or TopoJSON that is already in memory; `name` stands in for the file's in report and errors.
///
/// # Errors
/// [`ImportError`].
pub fn import_text(
    name: &str,
    text: &[u8],
    options: &ImportOptions,
) -> Result<Import, ImportError> {
    let mut collector = Collector::new(options);
    geojson::read(&mut collector, Path::new(name), text)?;
    collector.finish()
}

fn extension(path: &Path) -> String {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.unwrap_or_default().to_ascii_lowercase()
}

/// Whether a file's name says that it can be imported.
#[must_use]
pub fn is_source(path: &Path) -> bool {
    matches!(&*extension(path), "geojson" | "topojson" | "json" | "shp")
}

fn size(path: &Path) -> u64 {
    if extension(path) == "shp" {
        return shapefile::size(path);
    }
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn files_of(directory: &Path) -> Result<Vec<PathBuf>, ImportError> {
    let failed = |source| ImportError::Read {
        path: directory.into(),
        source,
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if is_source(&path) && path.is_file() {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Collects parts from files, one after the other.
struct Collector<'a> {
    options: &'a ImportOptions,
    parts: Vec<SourcePart>,
    points: usize,
    credits: BTreeSet<String>,
    report: ImportReport,
}

impl<'a> Collector<'a> {
    fn new(options: &'a ImportOptions) -> Self {
        Self {
            options,
            parts: Vec::new(),
            points: 0,
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
        let too_large = || ImportError::FileTooLarge { path: path.into() };
        let file = File::open(path).map_err(failed)?;
        if size(path) > MAX_FILE_BYTES {
            return Err(too_large());
        }
        if extension(path) == "shp" {
            return shapefile::read(self, path);
        }
        // A file may grow while it is read: one byte more than allowed shows it.
        let mut text = Vec::new();
        let mut limited = file.take(MAX_FILE_BYTES + 1);
        limited.read_to_end(&mut text).map_err(failed)?;
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(too_large());
        }
        geojson::read(self, path, &text)
    }

    /// How much was taken in so far.
    fn standing(&self) -> (usize, usize, usize) {
        (self.parts.len(), self.points, self.report.features)
    }

    /// Leaves out what a file gave before it turned out to be damaged: nothing of it is kept.
    fn forget_after(&mut self, (parts, points, features): (usize, usize, usize)) {
        self.parts.truncate(parts);
        self.points = points;
        self.report.features = features;
    }

    /// A feature's code and name.
    fn names(&self, properties: &JsonObject) -> Result<(String, String), Skipped> {
        let code = text_of(properties, self.code_property()).ok_or(Skipped::NoCode)?;
        let name = match &self.options.name_property {
            Some(property) => text_of(properties, property).unwrap_or_default(),
            None => N03_NAMES
                .iter()
                .filter_map(|name| text_of(properties, name))
                .collect(),
        };
        // Each part has both. What is longer than an index keeps is still too long for it, and is reported.
        let cut = |text: String| text[..text.floor_char_boundary(MAX_NAME)].to_owned();
        Ok((cut(code), cut(name)))
    }

    /// Takes a part in, as long as all together fit an index.
    fn push(&mut self, part: SourcePart) -> Result<(), Skipped> {
        // A part without points is one thing more to hold, too.
        self.points += part.rings.iter().map(Vec::len).sum::<usize>().max(1);
        if self.points > MAX_POINTS {
            return Err(Skipped::TooMany);
        }
        self.parts.push(part);
        Ok(())
    }

    fn finish(mut self) -> Result<Import, ImportError> {
        if self.points > MAX_POINTS {
            return Err(ImportError::IndexTooLarge);
        }
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

/// A position, longitude first as all three formats have it. The shortest text that reads back as the same f64 is what
/// the file said; from there on it is integers.
fn point_of(lon: f64, lat: f64) -> Option<Point> {
    Point::from_decimal(&lat.to_string(), &lon.to_string()).ok()
}

#[cfg(test)]
mod tests;
