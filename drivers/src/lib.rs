//! Devices of the municipal node.
