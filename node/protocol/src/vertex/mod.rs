//! Vertices: the batches of entries that a home signs. Two blocks: a header that is signed and whose
//! block id is the vertex id, and a body with the entries; `stub` is what a node keeps of a body that it pruned.

mod authority;
mod charters;
mod entry;
mod header;
mod known;
mod merkle;
mod receipt;
mod stub;
mod verified;

pub use authority::Authority;
pub use charters::Board;
pub use entry::{Booked, Cite, Entry, EntryCite, EntryHashes, EntrySignature, OwnCite};
pub(crate) use header::body_of;
pub use header::{
    Header, SignedHeader, decode_body, decode_stored_body, encode_body, entry_of_body,
};
pub use known::{Checked, Known, KnownBody};
pub use merkle::{inner_hash, merkle_path, merkle_paths, merkle_root, verify_path};
pub(crate) use receipt::MAX_AUTHORITY;
pub use receipt::{MAX_RECEIPT, Receipt, VerifiedReceipt};
pub use stub::{AnsweredStub, ClosedStub, EntryStub, SentStub, Stub};
pub(crate) use verified::amends;
pub use verified::{
    KeySource, VerifiedVertex, authority_of, verify_entry_signature, verify_header,
};

/// Most entries of a vertex: a receipt's path stays at 8 hashes.
pub const MAX_ENTRIES: usize = 256;
/// Longest body block in bytes.
pub const MAX_BODY: usize = 1 << 20;
/// Longest header block in bytes: a signature, 64 receiver homes and 16 parents.
pub const MAX_HEADER: usize = 12 * 1024;
/// Most parents of a vertex.
pub const MAX_PARENTS: usize = 16;
/// Most other homes that one vertex addresses.
pub const MAX_TO: usize = 64;
/// How far a parent may be ahead of its child, in milliseconds: ten minutes of clock difference.
pub const MAX_PARENT_AHEAD_MS: u64 = 10 * 60 * 1000;
