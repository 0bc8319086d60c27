//! Proof of Place: from what a receiver said to evidence that a municipality can book. Index card:
//!
//! `point` a position in fixed point · `metric` distances in integers · `parts` a source's heap of rings · `boundary` municipalities'
//! outlines and their file form · `grid` its quick index, derived · `locate` which municipality, how far from its border · `evidence` grades and reasons · `policy` what a
//! municipality asks · `satellite` signals and systems · `observe` the window of samples · `judge` samples, outlines and policy →
//! verdict, by `checks` of what the receiver says of itself, `checks_time`, `checks_motion` and `checks_signal` · `proof` the
//! body of a `place` entry · `signed` the same from a terminal. Receivers and GeoJSON are read elsewhere; the clock is an argument.

pub mod boundary;
mod checks;
mod checks_motion;
mod checks_signal;
mod checks_time;
pub mod evidence;
mod grid;
pub mod judge;
pub mod locate;
pub mod metric;
pub mod observe;
mod parts;
pub mod point;
pub mod policy;
pub mod proof;
mod ring;
pub mod satellite;
mod signed;

pub use boundary::{BoundaryIndex, BuildReport, Municipality, Polygon, Problem, SourcePart};
pub use evidence::{Grade, Reason, ReasonCode};
pub use judge::{Claim, Figures, Site, Survey, Verdict, judge, judge_claim};
pub use locate::{Location, Side};
pub use observe::{FixMode, Jamming, Observation, Quality, Sample, Spoofing};
pub use point::Point;
pub use policy::PlacePolicy;
pub use proof::{Binding, FRESH_MS, PlaceProof, Subject};
pub use ring::Ring;
pub use satellite::{Cn0, SeenSatellite, System};
pub use signed::SignedPlace;
