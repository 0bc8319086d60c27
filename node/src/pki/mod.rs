//! The issuing side of certificates, and TLS: what a municipal CA signs and how nodes use it.
//!
//! Whether a certificate is admitted is judged in `city_protocol::pki`; here are the CA's directory,
//! its post-quantum and classical roots, and rustls configurations. CRLs and caches will stand here.

pub mod authority;
pub mod issue;
pub mod revocation;
mod signer;
pub mod tls;

#[cfg(test)]
mod tests;

pub use authority::{Authority, AuthorityError};
pub use issue::{ClientRequest, IssueError, Issuer, NodeRequest, Validity};
pub use tls::{TlsAuthority, TlsError, TlsIdentity};
