//! What the fuzz targets check, one module a target: `run` takes the fuzzer's bytes, `seeds` gives inputs to
//! begin with. `edits` changes valid bytes, `memory` counts what is held.
//!
//! The node's store, its import of outlines and the forms of its secret files are its own source, wired by path, so that no target has to
//! build the network stack.
#![allow(clippy::missing_panics_doc, reason = "a panic is how a target speaks")]

pub mod answer;
pub mod car_segment;
pub mod certificate;
pub mod checkpoint;
pub mod crl;
pub mod edits;
pub mod envelope;
pub mod equivocation;
mod follower;
pub mod geojson;
pub mod gnss_framing;
pub mod hello;
mod issue;
pub mod keystore_file;
pub mod memory;
pub mod officers_body;
#[path = "../../../node/src/place/import/mod.rs"]
pub mod place_import;
pub mod receipt;
mod respelled;
pub mod sealed_box;
pub mod secrets;
#[path = "../../../node/src/store/mod.rs"]
pub mod store;
pub mod sync_frame;
mod town;
pub mod transfer_json;
pub mod vertex;

// The worlds of tests/protocol: homes, people, keys and certificates that are the same in every run.
#[path = "../../protocol/ca.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "a helper of other tests")]
mod ca;
#[path = "../../protocol/disk.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "a helper of other tests")]
mod disk;
#[path = "../../protocol/home.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "a helper of other tests")]
mod home;
#[path = "../../protocol/keys.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "a helper of other tests")]
mod keys;
#[path = "../../protocol/liar.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "a helper of other tests")]
mod liar;
#[path = "../../protocol/memo.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "a helper of other tests")]
mod memo;
#[path = "../../protocol/people.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "a helper of other tests")]
mod people;
#[path = "../../protocol/renewal.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "a helper of other tests")]
mod renewal;
#[path = "../../protocol/world.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "a helper of other tests")]
mod world;

/// The inputs to begin with, by target.
#[must_use]
pub fn seeds() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    vec![
        ("answer", answer::seeds()),
        ("car_segment", car_segment::seeds()),
        ("certificate", certificate::seeds()),
        ("checkpoint", checkpoint::seeds()),
        ("crl", crl::seeds()),
        ("envelope", envelope::seeds()),
        ("equivocation", equivocation::seeds()),
        ("geojson", geojson::seeds()),
        ("gnss_framing", gnss_framing::seeds()),
        ("hello", hello::seeds()),
        ("keystore_file", keystore_file::seeds()),
        ("nmea", gnss_framing::nmea_seeds()),
        ("officers_body", officers_body::seeds()),
        ("receipt", receipt::seeds()),
        ("sealed_box", sealed_box::seeds()),
        ("sync_frame", sync_frame::seeds()),
        ("transfer_json", transfer_json::seeds()),
        ("ubx", gnss_framing::ubx_seeds()),
        ("vertex", vertex::seeds()),
    ]
}
