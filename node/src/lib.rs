//! The municipal node.

pub mod store;
