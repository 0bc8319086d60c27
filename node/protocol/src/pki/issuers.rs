//! Whether a list of revoked certificates is what a pinned root, or a CA under one, signed. Asked before a list counts
//! that came from somebody else; which certificates it then speaks about is decided in `crl`, path by path.

use x509_cert::Certificate;
use x509_cert::certificate::Rfc5280;
use x509_cert::crl::CertificateList;
use x509_cert::der::{Decode, Encode};
use x509_cert::spki::AlgorithmIdentifierOwned;

use super::algorithms::read_key_info;
use super::crl::{Crl, CrlRefusal};
use super::read;
use super::refusal::CertificateRefusal;
use super::verify::{MAX_INTERMEDIATES, Root};
use crate::amount::Timestamp;
use crate::region::Region;

/// The CAs that may speak for a region: the roots whose prefix covers it, and the intermediates that lead to them.
pub struct Issuers {
    /// Each with the CAs above it, the nearest first.
    known: Vec<(Certificate, Vec<usize>)>,
    /// What became of each intermediate, in the order in which they were given.
    refused: Vec<Option<CertificateRefusal>>,
}

impl Issuers {
    /// Those of these roots and intermediates, at a moment. An intermediate that leads to no root is none of them.
    #[must_use]
    pub fn new<B: AsRef<[u8]>>(
        roots: &[Root],
        region: &Region,
        intermediates: &[B],
        at: Timestamp,
    ) -> Self {
        let covering = roots.iter().filter(|root| root.prefix.covers(region));
        let good = covering.filter_map(|root| {
            let root = read::decode(&root.der).ok()?;
            let dated = read::check_dates(&root, at);
            dated.and_then(|()| read::check_issuer(&root, 0)).ok()?;
            Some((root, Vec::new()))
        });
        let mut issuers = Self {
            known: good.collect(),
            refused: vec![Some(CertificateRefusal::UnknownIssuer); intermediates.len()],
        };
        let mut left: Vec<usize> = (0..intermediates.len()).collect();
        // In each round those are found whose issuer was found before: the longest path has as many.
        for _ in 0..MAX_INTERMEDIATES {
            left.retain(|n| {
                let found = issuers.place(intermediates[*n].as_ref(), at);
                let refused = found.map(|ca| issuers.known.push(ca)).err();
                let stays = refused.is_some();
                issuers.refused[*n] = refused;
                stays
            });
        }
        issuers
    }

    /// Why an intermediate, by its place among those that were given, is none of them.
    #[must_use]
    pub fn refusal(&self, intermediate: usize) -> Option<CertificateRefusal> {
        self.refused.get(intermediate).copied().flatten()
    }

    /// A list, if one of these CAs signed it and may sign lists.
    ///
    /// # Errors
    /// [`CertificateRefusal::Crl`] of its form, [`CertificateRefusal::UnknownIssuer`], [`CertificateRefusal::KeyUsage`]
    /// and [`CertificateRefusal::CrlBadSignature`].
    pub fn list(&self, der: &[u8]) -> Result<Crl, CertificateRefusal> {
        let list = Crl::read(der)?;
        let malformed = |_| CertificateRefusal::Crl(CrlRefusal::Malformed);
        let read = CertificateList::<Rfc5280>::from_der(der).map_err(malformed)?;
        let tbs = read.tbs_cert_list.to_der().map_err(malformed)?;
        let mut refusal = CertificateRefusal::UnknownIssuer;
        for (issuer, _) in &self.known {
            if *issuer.tbs_certificate().subject() != read.tbs_cert_list.issuer {
                continue;
            }
            let algorithms = [&read.signature_algorithm, &read.tbs_cert_list.signature];
            match signed_by(issuer, &tbs, read.signature.as_bytes(), algorithms) {
                Ok(()) if read::signs_lists(issuer)? => return Ok(list),
                Ok(()) => refusal = CertificateRefusal::KeyUsage,
                Err(_) => refusal = CertificateRefusal::CrlBadSignature,
            }
        }
        Err(refusal)
    }

    /// Where an intermediate stands: itself, and the CAs above it.
    fn place(
        &self,
        der: &[u8],
        at: Timestamp,
    ) -> Result<(Certificate, Vec<usize>), CertificateRefusal> {
        let certificate = read::decode(der)?;
        read::check_dates(&certificate, at)?;
        read::check_issuer(&certificate, 0)?;
        let tbs = certificate.tbs_certificate();
        let bytes = tbs.to_der().map_err(|_| CertificateRefusal::Malformed)?;
        let algorithms = [certificate.signature_algorithm(), tbs.signature()];
        let mut refusal = CertificateRefusal::UnknownIssuer;
        for (n, (issuer, above)) in self.known.iter().enumerate() {
            if issuer.tbs_certificate().subject() != tbs.issuer() || tbs.issuer() == tbs.subject() {
                continue;
            }
            let chain: Vec<usize> = std::iter::once(n).chain(above.iter().copied()).collect();
            let signature = certificate.signature().as_bytes();
            let judged = signed_by(issuer, &bytes, signature, algorithms).and_then(|()| {
                // A list stands where a leaf would: this one is the first issuer above it.
                (1..)
                    .zip(&chain)
                    .try_for_each(|(below, ca)| read::check_issuer(&self.known[*ca].0, below))
            });
            match judged {
                Ok(()) => return Ok((certificate, chain)),
                Err(why) => refusal = why,
            }
        }
        Err(refusal)
    }
}

/// Whether an issuer's key signed these bytes, under its one algorithm.
fn signed_by(
    issuer: &Certificate,
    bytes: &[u8],
    signature: Option<&[u8]>,
    algorithms: [&AlgorithmIdentifierOwned; 2],
) -> Result<(), CertificateRefusal> {
    let info = issuer.tbs_certificate().subject_public_key_info();
    if algorithms.iter().any(|named| **named != info.algorithm) {
        return Err(CertificateRefusal::Algorithm);
    }
    let signature = signature.ok_or(CertificateRefusal::Malformed)?;
    read_key_info(info)?
        .verify_raw(bytes, signature)
        .map_err(|_| CertificateRefusal::BadSignature)
}
