//! What an import read, kept and skipped: for people and for `--json`. The reading itself stands in `import`.

use std::path::{Path, PathBuf};

use city_protocol::place::BuildReport;
use serde::Serialize;

/// Most skipped features that a report spells out; more are counted.
const MAX_SKIPPED: usize = 1_000;

/// What was read, kept and skipped.
#[derive(Debug, Default, Serialize)]
pub struct ImportReport {
    /// Files read.
    pub files: usize,
    /// Features in them.
    pub features: usize,
    /// Files of a directory that could not be read, with the reason.
    pub unread: Vec<(PathBuf, String)>,
    /// Features that were skipped; at most 1,000.
    pub skipped: Vec<SkippedFeature>,
    /// How many more features were skipped.
    pub more_skipped: usize,
    /// What building the index kept and left out.
    pub build: BuildReport,
}

/// A feature that was skipped.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct SkippedFeature {
    /// Its file.
    pub file: PathBuf,
    /// Its place in the file, from 0.
    pub feature: usize,
    /// Why.
    pub reason: Skipped,
}

/// Why a feature was skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Skipped {
    /// No code: in N03 so-called unassigned land (所属未定地).
    NoCode,
    /// No geometry.
    NoGeometry,
    /// A geometry that is not a Polygon or MultiPolygon.
    NotAnArea,
    /// A coordinate that is not on the Earth.
    BadCoordinate,
    /// Not a feature, or one that names an arc that is not there.
    Malformed,
    /// A hole that lies in none of the feature's outer rings: the rest of the feature is kept.
    HoleOutside,
    /// Longer than one feature, or its properties, may be.
    TooLarge,
    /// More points than an index holds: the import fails.
    TooMany,
}

impl ImportReport {
    /// Notes a skipped feature.
    pub(super) fn skip(&mut self, file: &Path, feature: usize, reason: Skipped) {
        if self.skipped.len() < MAX_SKIPPED {
            let file = file.into();
            self.skipped.push(SkippedFeature {
                file,
                feature,
                reason,
            });
        } else {
            self.more_skipped += 1;
        }
    }
}
