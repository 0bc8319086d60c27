//! Proof of Place: from what a receiver said to evidence that a municipality can book. Index card:
//!
//! `point` a position in fixed point · `metric` distances in integers · `boundary` municipalities' outlines and their
//! file form · `locate` which municipality, how far from its border · `evidence` grades and reasons · `policy` what a
//! municipality asks · `observe` the window of samples · `judge` with its `checks` samples, outlines and policy → verdict · `proof` the
//! body of a `place` entry. Receivers and GeoJSON are read elsewhere; the clock is an argument.

pub mod boundary;
mod checks;
pub mod evidence;
pub mod judge;
pub mod locate;
pub mod metric;
pub mod observe;
pub mod point;
pub mod policy;
pub mod proof;
mod ring;

pub use boundary::{BoundaryIndex, BuildReport, Municipality, Polygon, Problem, SourcePart};
pub use evidence::{Grade, Reason, ReasonCode};
pub use judge::{Figures, Verdict, judge};
pub use locate::{Location, Side};
pub use observe::{FixMode, Observation, Quality, Sample};
pub use point::Point;
pub use policy::PlacePolicy;
pub use proof::{Binding, FRESH_MS, PlaceProof, Subject};
pub use ring::Ring;
