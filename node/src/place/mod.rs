//! Places, as far as the node does them. Index card:
//!
//! `import` GeoJSON → the protocol's boundary index · `report` what an import kept and skipped · `outlines` coarse
//! outlines and standpoints of the demo. Grades, checks and proofs stand in `city_protocol::place`.

pub mod antenna;
pub mod import;
pub mod outlines;
mod report;
