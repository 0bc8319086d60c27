//! Judges paths of TLS client certificates under classical roots: by the same rules for issuers and lists as
//! people's and nodes' own certificates, but for the algorithms, which TLS brings, and the leaf, which is the
//! caller's matter.

use rustls_pki_types::SignatureVerificationAlgorithm;
use webpki::KeyUsage;

use super::crl::{Crls, RevocationPolicy};
use super::path::Search;
use super::read;
use super::refusal::CertificateRefusal;
use super::verify::check_issuers;
use crate::amount::Timestamp;

/// A path to judge.
#[derive(Clone, Copy, Debug)]
pub struct ClassicalPath<'a> {
    /// Trusted certificates in DER.
    pub roots: &'a [&'a [u8]],
    /// Others that may stand between, in any order.
    pub intermediates: &'a [Vec<u8>],
    /// The certificate in DER.
    pub leaf: &'a [u8],
    /// Revocation lists, asked as [`RevocationPolicy::ADMISSION`] has it.
    pub crls: &'a Crls,
    /// When.
    pub at: Timestamp,
}

impl ClassicalPath<'_> {
    /// Whether a path from a root to the leaf, which is one for TLS clients, holds under these algorithms.
    ///
    /// # Errors
    /// The [`CertificateRefusal`] of the path that came furthest.
    pub fn judge(
        &self,
        algorithms: &[&dyn SignatureVerificationAlgorithm],
    ) -> Result<(), CertificateRefusal> {
        for certificate in self.intermediates {
            read::decode(certificate)?;
        }
        read::decode(self.leaf)?;
        let search = Search {
            algorithms,
            roots: self.roots,
            intermediates: self.intermediates,
            leaf: self.leaf,
            at: self.at,
        };
        search.find(KeyUsage::client_auth(), |path, root| {
            check_issuers(path, self.roots[root], self.at)?;
            let policy = RevocationPolicy::ADMISSION;
            let signs = read::signs_lists(&read::decode(self.roots[root])?)?;
            let standing = self
                .crls
                .judge_below(signs, algorithms, path, self.at, policy);
            standing.map(drop)
        })
    }
}
