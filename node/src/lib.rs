//! The municipal node.
