//! The node's configuration: one TOML file, overridden by `CITY_NODE_*`, read once into a type that
//! cannot be wrong. Index card:
//!
//! `keys` every key with its words · `model` the typed configuration · `read` file and environment → model, with
//! every mistake at once · `document` where each value stood · `values` how single values are read ·
//! `overrides` the environment · `render` model → commented file · `mistake` what can be wrong.

mod document;
pub mod keys;
mod limits;
mod mistake;
mod model;
mod overrides;
mod read;
mod render;
mod values;

pub use mistake::{ConfigError, Mistake, Origin};
pub use model::{
    Api, Checkpoint, Clock, Config, Gnss, Home, Keys, Log, LogLevel, MAX_PEERS, Network, Node,
    Peer, Place, Private, Retention, SURVEYED_RADIUS_M, Store, Terminal,
};
pub use overrides::Overrides;
pub use read::MAX_CONFIG_BYTES;
pub(crate) use values::{check_name, check_peer_address, point_of, rfc3339, spoken};
