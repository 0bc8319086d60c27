//! Places, as far as the node does them. Index card:
//!
//! `import` GeoJSON, TopoJSON, Shapefiles → the protocol's boundary index, and what was skipped · `outline` one of
//! them for the eye · `outlines` coarse outlines and standpoints of the demo · `antenna` the receiver and its verdict now · `sample` the drivers' epochs in the core's
//! words · `latch` indicated spoofing over restarts · `replay` a capture judged epoch by epoch · `proof_file` a proof of place as a file · `survey` positions averaged to the antenna's
//! point. Grades, checks and proofs stand in `city_protocol::place`.

pub mod antenna;
pub mod import;
pub mod latch;
pub mod outline;
pub mod outlines;
pub mod proof_file;
pub mod replay;
mod sample;
pub mod survey;
