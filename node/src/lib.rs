//! The municipal node.
pub mod net;
