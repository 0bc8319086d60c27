//! Messages between nodes that a transport key signs ([`SignedData`]). So far one kind: the
//! announcement of a node certificate, which `hello` carries. Ledger and KEM keys are taken only from
//! the certificate in it, never from the signature around it.

mod signed_data;

pub use signed_data::{
    KeyAnnouncement, MAX_SIGNED_DATA, PeerId, SIGNED_DATA_LIFETIME_MS, SignedData, TransportSigner,
};
