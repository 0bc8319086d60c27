//! Certificates: their forms, and the judgement whether one is admitted.
//!
//! Pure: time and roots are arguments; files, CRL stores and caches stand in the node. Paths are built
//! by rustls-webpki; what it does not look at is read with x509-cert over the path it verified.

pub mod algorithms;
mod classical;
mod crl;
pub mod foreign;
pub mod forms;
mod issuers;
mod path;
mod read;
mod refusal;
mod verify;

pub use classical::ClassicalPath;
pub use crl::{
    CRL_GRACE_MS, CertificateWarning, Crl, CrlRefusal, Crls, MAX_CRL_DER, MAX_CRL_ENTRIES,
    MAX_CRLS, MAX_CRLS_BYTES, RevocationPolicy, Standing, UnknownStatus,
};
pub use forms::{ClientRequest, Role};
pub use issuers::Issuers;
pub use refusal::CertificateRefusal;
pub use verify::{
    Admitted, ClientCertificate, MAX_CERTIFICATE_DER, MAX_INTERMEDIATES, MAX_ROOTS,
    NodeCertificate, Root, certified_key, certified_node, fingerprint, verify_client, verify_node,
};
