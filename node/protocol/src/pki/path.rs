//! Builds paths with rustls-webpki and asks, for each that it verified, what it does not look at.

use std::cell::Cell;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use webpki::{
    EndEntityCert, Error, ExtendedKeyUsageValidator, KeyPurposeIdIter, VerifiedPath,
    anchor_from_trusted_cert,
};

use super::refusal::CertificateRefusal;
use crate::amount::Timestamp;

/// From where to where a path is looked for, and when.
pub(super) struct Search<'a> {
    pub(super) algorithms: &'a [&'a dyn SignatureVerificationAlgorithm],
    pub(super) roots: &'a [&'a [u8]],
    pub(super) intermediates: &'a [Vec<u8>],
    pub(super) leaf: &'a [u8],
    pub(super) at: Timestamp,
}

impl Search<'_> {
    /// The first path of which webpki and `judge` both approve; `judge` is told which root anchors it.
    ///
    /// # Errors
    /// The refusal of the first path that came as far as `judge`, else webpki's. Clients often send the root along,
    /// and the path through it twice comes after the one that is meant.
    pub(super) fn find<T>(
        &self,
        usage: impl ExtendedKeyUsageValidator,
        judge: impl Fn(&VerifiedPath<'_>, usize) -> Result<T, CertificateRefusal>,
    ) -> Result<T, CertificateRefusal> {
        let roots: Vec<_> = self.roots.iter().map(|root| der(root)).collect();
        // A root that webpki cannot read anchors nothing; the others still do.
        let (indices, anchors): (Vec<usize>, Vec<TrustAnchor<'_>>) = roots
            .iter()
            .enumerate()
            .filter_map(|(index, der)| Some((index, anchor_from_trusted_cert(der).ok()?)))
            .unzip();
        let intermediates: Vec<_> = self.intermediates.iter().map(|one| der(one)).collect();
        let leaf = der(self.leaf);
        let leaf = EndEntityCert::try_from(&leaf)?;

        // webpki goes on to the next candidate when this refuses, and can carry only its own errors.
        let verdict = Cell::new(None);
        let asked = |path: &VerifiedPath<'_>| {
            let index = anchors
                .iter()
                .zip(&indices)
                .find_map(|(anchor, index)| std::ptr::eq(anchor, path.anchor()).then_some(*index))
                .ok_or(Error::UnknownIssuer)?;
            let judged = judge(path, index);
            let answer = judged
                .as_ref()
                .map(|_| ())
                .map_err(|_| Error::UnknownIssuer);
            verdict.set(match (verdict.take(), judged) {
                (Some(Err(first)), Err(_)) => Some(Err(first)),
                (_, judged) => Some(judged),
            });
            answer
        };
        let found = leaf.verify_for_usage(
            self.algorithms,
            &anchors,
            &intermediates,
            UnixTime::since_unix_epoch(Duration::from_millis(self.at.0)),
            usage,
            // Lists are asked by `judge`, one by one: see `Crls::judge`.
            None,
            Some(&asked),
        );
        match (found, verdict.into_inner()) {
            (_, Some(verdict)) => verdict,
            (Err(error), None) => Err(error.into()),
            (Ok(_), None) => Err(CertificateRefusal::UnknownIssuer),
        }
    }
}

/// Takes every extended key usage.
pub(super) struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, mut usages: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        usages.try_for_each(|usage| usage.map(|_| ()))
    }
}

fn der(bytes: &[u8]) -> CertificateDer<'_> {
    CertificateDer::from(bytes)
}
