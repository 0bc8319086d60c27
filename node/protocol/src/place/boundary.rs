//! The outlines of municipalities and their file form: deterministic DAG-CBOR, built once from somebody's rings.
//!
//! Owns the canonical form and its limits. Which municipality a point lies in stands in `locate`; GeoJSON and other
//! source formats are read by the node.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::grid::Grid;
use super::point::Point;
use super::ring::Ring;
use crate::codec;
use crate::ids::Digest;
use crate::refusal::Refusal;

/// Version of the file form.
const VERSION: u64 = 1;
/// Largest index, bytes: un-simplified N03 of all Japan has some ten million vertices of eight bytes.
pub const MAX_INDEX_BYTES: usize = 128 << 20;
/// Most municipalities: France, the country with the most, has 35,000.
pub const MAX_MUNICIPALITIES: usize = 50_000;
/// Longest code, characters: what one level of a region may have.
const MAX_CODE: usize = 24;
/// Longest name, bytes: the longest official names have below 100 in UTF-8.
const MAX_NAME: usize = 256;
/// Longest credit line, bytes: several sources' lines joined.
const MAX_CREDIT: usize = 2048;
/// Most problems that a report spells out; more are counted. Enough to see a pattern, too few to fill a log.
const MAX_PROBLEMS: usize = 1000;

/// A municipality's outline: polygons that may have holes and may touch each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Municipality {
    /// Its code, such as `17201`.
    pub code: String,
    /// Its name, such as `金沢市`; may be empty.
    pub name: String,
    /// Its parts in canonical order, at least one.
    pub polygons: Vec<Polygon>,
}

/// An area within an outer ring and outside its holes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Polygon {
    /// The outer ring, counter-clockwise.
    pub outer: Ring,
    /// The holes, clockwise, in canonical order.
    pub holes: Vec<Ring>,
}

/// One part as a source gives it; several parts of one code make one municipality.
#[derive(Clone, Debug)]
pub struct SourcePart {
    /// The municipality's code.
    pub code: String,
    /// The municipality's name; the first one that is not empty is taken.
    pub name: String,
    /// Rings, the outer one first, with or without a closing repeat, turning either way.
    pub rings: Vec<Vec<Point>>,
}

/// What building kept and what it left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BuildReport {
    /// Municipalities kept.
    pub municipalities: usize,
    /// Polygons kept.
    pub polygons: usize,
    /// Vertices kept.
    pub vertices: usize,
    /// What was left out, in the order it was met; at most 1,000 lines.
    pub problems: Vec<Problem>,
    /// How many more problems there were.
    pub more_problems: usize,
}

/// Something that building left out. Nothing of it is fatal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The code it belongs to, cut to a code's length.
    pub code: String,
    /// What was left out.
    pub what: Omission,
}

/// Kinds of omissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Omission {
    /// An outer ring without area: its polygon is left out, holes and all.
    DegenerateOuterRing,
    /// A hole without area: only the hole is left out.
    DegenerateHole,
    /// The same polygon a second time.
    RepeatedPolygon,
    /// A code that is empty, too long or not plain: its part is left out.
    BadCode,
    /// Another name for the same code: the first is kept.
    OtherName,
    /// A name that is too long: it is cut.
    LongName,
    /// Beyond the limit of municipalities: its part is left out.
    TooMany,
}

impl BuildReport {
    fn note(&mut self, code: &str, what: Omission) {
        if self.problems.len() < MAX_PROBLEMS {
            let code = code.chars().take(MAX_CODE).collect();
            self.problems.push(Problem { code, what });
        } else {
            self.more_problems += 1;
        }
    }
}

/// The outlines of a set of municipalities, sorted by code, with the source's credit line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundaryIndex {
    credit: String,
    municipalities: Vec<Municipality>,
    bytes: usize,
    digest: Digest,
    /// Boxed, for an index is moved about as a value.
    grid: Box<Grid>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    v: u64,
    credit: String,
    municipalities: Vec<WireMunicipality>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireMunicipality {
    code: String,
    name: String,
    /// Each a list of rings, the outer one first; a ring is 8 bytes a vertex.
    polygons: Vec<Vec<ByteBuf>>,
}

impl BoundaryIndex {
    /// Builds the index; the order of parts, and how rings are turned or closed, make no difference.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`] if it would be longer than [`MAX_INDEX_BYTES`] or the credit line than 2,048 bytes.
    pub fn build(
        credit: &str,
        parts: impl IntoIterator<Item = SourcePart>,
    ) -> Result<(Self, BuildReport), Refusal> {
        if credit.len() > MAX_CREDIT {
            return Err(Refusal::TooLarge);
        }
        let mut report = BuildReport::default();
        let mut by_code: BTreeMap<String, Municipality> = BTreeMap::new();
        for part in parts {
            add(&mut by_code, part, &mut report);
        }
        let mut municipalities: Vec<_> = by_code.into_values().collect();
        for municipality in &mut municipalities {
            municipality.polygons.sort_unstable();
            let before = municipality.polygons.len();
            municipality.polygons.dedup();
            for _ in municipality.polygons.len()..before {
                report.note(&municipality.code, Omission::RepeatedPolygon);
            }
        }
        let polygons = || municipalities.iter().flat_map(|m| &m.polygons);
        report.municipalities = municipalities.len();
        report.polygons = polygons().count();
        report.vertices = polygons()
            .flat_map(Polygon::rings)
            .map(|ring| ring.points().len())
            .sum();
        let bytes = encode(credit, &municipalities);
        if bytes.len() > MAX_INDEX_BYTES {
            return Err(Refusal::TooLarge);
        }
        let index = Self {
            credit: credit.into(),
            bytes: bytes.len(),
            digest: Digest::of(&[&bytes]),
            grid: Box::new(Grid::build(&municipalities)),
            municipalities,
        };
        Ok((index, report))
    }

    /// The file form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(&self.credit, &self.municipalities)
    }

    /// Reads the file form and takes only what [`BoundaryIndex::encode`] would have written.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`], [`Refusal::BadCbor`] or [`Refusal::UnknownVersion`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        let wire: Wire = codec::decode(bytes, MAX_INDEX_BYTES)?;
        if wire.v != VERSION {
            return Err(Refusal::UnknownVersion);
        }
        let mut parts = Vec::new();
        for municipality in wire.municipalities {
            // Each part has both: a long name of many parts would be many copies of it.
            if municipality.code.len() > MAX_CODE || municipality.name.len() > MAX_NAME {
                return Err(Refusal::BadCbor);
            }
            for rings in municipality.polygons {
                let rings: Option<_> = rings.iter().map(|r| Ring::points_from_bytes(r)).collect();
                parts.push(SourcePart {
                    code: municipality.code.clone(),
                    name: municipality.name.clone(),
                    rings: rings.ok_or(Refusal::BadCbor)?,
                });
            }
        }
        // Building again shows at once whether everything was in its one form.
        let (index, _) = Self::build(&wire.credit, parts)?;
        if index.digest == Digest::of(&[bytes]) {
            Ok(index)
        } else {
            Err(Refusal::BadCbor)
        }
    }

    /// SHA-256 of the file form: what a proof names.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// Length of the file form, bytes.
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        self.bytes
    }

    /// The line by which the source wants to be named.
    #[must_use]
    pub fn credit(&self) -> &str {
        &self.credit
    }

    /// All municipalities, sorted by code.
    #[must_use]
    pub fn municipalities(&self) -> &[Municipality] {
        &self.municipalities
    }

    /// Bytes that the index takes in memory, names and the heap's own needs left out.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let polygon = |polygon: &Polygon| {
            let points: usize = polygon.rings().map(|ring| size_of_val(ring.points())).sum();
            points + size_of_val(&polygon.holes[..]) + size_of::<Polygon>()
        };
        let polygons = self.municipalities.iter().flat_map(|m| &m.polygons);
        size_of_val(&self.municipalities[..])
            + polygons.map(polygon).sum::<usize>()
            + self.grid.heap_bytes()
    }

    /// What finds the municipality of a point.
    pub(super) const fn grid(&self) -> &Grid {
        &self.grid
    }

    /// The municipality of this code.
    #[must_use]
    pub fn municipality(&self, code: &str) -> Option<&Municipality> {
        let at = self
            .municipalities
            .binary_search_by(|m| m.code.as_str().cmp(code));
        at.ok().map(|at| &self.municipalities[at])
    }
}

impl Polygon {
    /// Its rings, the outer one first.
    pub(super) fn rings(&self) -> impl Iterator<Item = &Ring> + Clone {
        std::iter::once(&self.outer).chain(&self.holes)
    }
}

fn encode(credit: &str, municipalities: &[Municipality]) -> Vec<u8> {
    let polygon = |polygon: &Polygon| {
        let bytes = |ring: &Ring| ByteBuf::from(ring.to_bytes());
        polygon.rings().map(bytes).collect()
    };
    let municipality = |m: &Municipality| WireMunicipality {
        code: m.code.clone(),
        name: m.name.clone(),
        polygons: m.polygons.iter().map(polygon).collect(),
    };
    codec::encode(&Wire {
        v: VERSION,
        credit: credit.into(),
        municipalities: municipalities.iter().map(municipality).collect(),
    })
}

fn add(by_code: &mut BTreeMap<String, Municipality>, part: SourcePart, report: &mut BuildReport) {
    let SourcePart { code, name, rings } = part;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    if code.is_empty() || code.len() > MAX_CODE || !code.bytes().all(plain) {
        return report.note(&code, Omission::BadCode);
    }
    if by_code.len() >= MAX_MUNICIPALITIES && !by_code.contains_key(&code) {
        return report.note(&code, Omission::TooMany);
    }
    let mut rings = rings.into_iter();
    let Some(outer) = rings.next().and_then(|points| Ring::new(points, true)) else {
        return report.note(&code, Omission::DegenerateOuterRing);
    };
    let mut holes = Vec::new();
    for points in rings {
        match Ring::new(points, false) {
            Some(hole) => holes.push(hole),
            None => report.note(&code, Omission::DegenerateHole),
        }
    }
    holes.sort_unstable();
    holes.dedup();
    let end = name.floor_char_boundary(MAX_NAME);
    if end < name.len() {
        report.note(&code, Omission::LongName);
    }
    let name = &name[..end];
    let municipality = by_code.entry(code).or_insert_with_key(|code| Municipality {
        code: code.clone(),
        name: String::new(),
        polygons: Vec::new(),
    });
    if municipality.name.is_empty() {
        municipality.name = name.into();
    } else if !name.is_empty() && municipality.name != name {
        report.note(&municipality.code, Omission::OtherName);
    }
    municipality.polygons.push(Polygon { outer, holes });
}

#[cfg(test)]
#[path = "boundary_tests.rs"]
mod tests;
