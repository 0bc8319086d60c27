//! The whole store in a real directory: which index is believed, who may open it, a disk that is full.
