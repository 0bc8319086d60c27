//! The issuing side of certificates, and TLS: what a municipal CA signs and how nodes use it.
//!
//! Whether a certificate is admitted is judged in `city_protocol::pki`; here are the CA's directory,
//! its post-quantum and classical roots, and rustls configurations. CRLs and caches will stand here.

pub mod authority;
pub mod ca_keys;
pub mod case;
pub mod clients;
pub mod door;
pub mod issue;
pub mod list_marks;
pub mod log_lists;
pub mod own_lists;
pub mod register;
pub mod reload;
pub mod revocation;
mod signer;
pub mod tls;
pub mod tls_client;
pub mod tls_trust;
pub mod trust_store;

#[cfg(test)]
mod tests;

pub use authority::{Authority, AuthorityError};
pub use ca_keys::CaLock;
pub use clients::{ClientRefusal, Clients, ShownCertificate};
pub use door::{Door, DoorKind};
pub use issue::{IssueError, Issuer, NodeRequest, Validity};
pub use reload::{DoorFiles, DoorKeeper, DoorTerms, DoorWatch, Doors};
pub use tls::{TlsAuthority, TlsError, TlsIdentity};
pub use tls_client::{OperatorName, TlsSubject};
pub use tls_trust::{TlsClient, TlsRefusal, TlsTrust};
pub use trust_store::{TrustFiles, TrustStore, read_crls};

pub use city_protocol::pki::ClientRequest;
