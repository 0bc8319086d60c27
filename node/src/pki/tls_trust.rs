//! Judges TLS client certificates: classical roots, lists of revoked certificates, and our forms.
//!
//! Paths, issuers and revocation are `city_protocol::pki`'s matter; beside them stands what our forms ask of a
//! leaf: its keyUsage, and whom it names. A [`TlsClient`] exists only by [`TlsTrust::judge`]: nothing can act for a
//! certificate that was not judged.

use std::sync::Arc;
use std::time::Duration;

use city_protocol::amount::Timestamp;
use city_protocol::ids::Digest;
use city_protocol::pki::{CRL_GRACE_MS, CertificateRefusal, ClassicalPath, Crls, fingerprint};
use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, DistinguishedName};
use serde::{Deserialize, Serialize};
use webpki::anchor_from_trusted_cert;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};

use super::tls::provider;
use super::tls_client::TlsSubject;

/// Most classical roots at once: two of a CA's for roll-over, for each of some neighbours.
pub const MAX_TLS_ROOTS: usize = 16;
/// Most certificates that a client may send: a leaf and intermediates.
const MAX_CHAIN: usize = 5;
/// Largest certificate of a client in bytes: P-256 leaves have about 600, RSA ones 2,000.
const MAX_CERTIFICATE: usize = 8 * 1024;

/// Whom a judged client certificate speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsClient {
    /// The account or operator.
    pub subject: TlsSubject,
    /// SHA-256 of the certificate's DER.
    pub fingerprint: Digest,
    /// Last second of the certificate.
    pub not_after: Timestamp,
}

/// Why a TLS client certificate is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsRefusal {
    /// A list names it.
    #[error("the certificate was revoked; ask the municipality for a new one")]
    Revoked,
    /// It, or its root, has ended.
    #[error("the certificate or its issuer has expired; ask the municipality for a new one")]
    Expired,
    /// It, or its root, has not begun.
    #[error("the certificate or its issuer is not yet valid; check the clocks")]
    NotYetValid,
    /// Nobody trusted here issued it.
    #[error("no trusted authority issued the certificate")]
    UnknownIssuer,
    /// It is not one for clients of a node: its form, usage or names.
    #[error(
        "the certificate is not one for this use; ask the municipality for a TLS client certificate"
    )]
    Form,
    /// Its issuer's list of revoked certificates is past its grace.
    #[error(
        "the issuer's list of revoked certificates is too old to admit anybody; the operator must install a newer one"
    )]
    ListExpired,
    /// The trust store could not be read when the node started.
    #[error(
        "the node's trust store could not be read; its operator must look at `city-node status`"
    )]
    Closed,
}

impl TlsRefusal {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Revoked => "certificate-revoked",
            Self::Expired => "certificate-expired",
            Self::NotYetValid => "certificate-not-yet-valid",
            Self::UnknownIssuer => "certificate-unknown-issuer",
            Self::Form => "certificate-form",
            Self::ListExpired => "crl-expired",
            Self::Closed => "trust-store-closed",
        }
    }
}

impl TlsRefusal {
    /// The stable code of what a handshake was refused for.
    #[must_use]
    pub const fn code_of(why: &CertificateError) -> &'static str {
        match why {
            CertificateError::Revoked => Self::Revoked.code(),
            CertificateError::Expired => Self::Expired.code(),
            CertificateError::NotValidYet => Self::NotYetValid.code(),
            CertificateError::UnknownIssuer => Self::UnknownIssuer.code(),
            CertificateError::UnknownRevocationStatus => Self::ListExpired.code(),
            _ => Self::Form.code(),
        }
    }
}

impl From<TlsRefusal> for CertificateError {
    /// What the alert says (RFC 8446 section 6.2).
    fn from(refusal: TlsRefusal) -> Self {
        match refusal {
            TlsRefusal::Revoked => Self::Revoked,
            TlsRefusal::Expired => Self::Expired,
            TlsRefusal::NotYetValid => Self::NotValidYet,
            TlsRefusal::UnknownIssuer => Self::UnknownIssuer,
            TlsRefusal::Form => Self::InvalidPurpose,
            TlsRefusal::ListExpired | TlsRefusal::Closed => Self::UnknownRevocationStatus,
        }
    }
}

impl From<CertificateRefusal> for TlsRefusal {
    fn from(refusal: CertificateRefusal) -> Self {
        use CertificateRefusal as R;
        match refusal {
            R::Expired => Self::Expired,
            R::NotYetValid => Self::NotYetValid,
            R::UnknownIssuer | R::BadSignature => Self::UnknownIssuer,
            R::Revoked => Self::Revoked,
            R::CrlExpired => Self::ListExpired,
            _ => Self::Form,
        }
    }
}

/// Why roots cannot be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsTrustError {
    /// Not a CA's certificate.
    #[error("certificate {0} is not a CA's X.509 certificate")]
    Root(usize),
    /// None, or too many.
    #[error("there are {0} TLS roots, not 1 to {MAX_TLS_ROOTS}")]
    Roots(usize),
}

/// How old an issuer's list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListState {
    /// There is none: nothing is revoked, which is a warning.
    None,
    /// Before its nextUpdate.
    Current,
    /// Past it, within the grace.
    Stale,
    /// Past the grace: nobody is admitted.
    Expired,
}

impl ListState {
    fn of(next_update: Option<Timestamp>, now: Timestamp) -> Self {
        match next_update {
            None => Self::None,
            Some(at) if now < at => Self::Current,
            Some(at) if now < at.plus_ms(CRL_GRACE_MS) => Self::Stale,
            Some(_) => Self::Expired,
        }
    }
}

/// A root as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootState {
    /// SHA-256 of the DER.
    pub fingerprint: Digest,
    /// Last second.
    pub not_after: Timestamp,
    /// The newest list in its name.
    pub list: ListState,
}

impl RootState {
    /// A root (DER) and what there is of lists in its name; `None` if it is not a certificate.
    pub(super) fn of(root: &[u8], crls: &Crls, now: Timestamp) -> Option<Self> {
        let der = CertificateDer::from(root);
        let anchor = anchor_from_trusted_cert(&der).ok()?;
        let read = Certificate::from_der(root).ok()?;
        let of_root = crls
            .iter()
            .filter(|crl| crl.issuer() == &anchor.subject[..]);
        let newest = of_root.max_by_key(|crl| crl.this_update());
        Some(Self {
            fingerprint: fingerprint(root),
            not_after: moment(
                read.tbs_certificate()
                    .validity()
                    .not_after
                    .to_unix_duration(),
            ),
            list: ListState::of(newest.map(|crl| crl.next_update()), now),
        })
    }
}

/// Classical roots, and the lists that are asked; unchanging.
#[derive(Debug)]
pub struct TlsTrust {
    roots: Vec<Root>,
    crls: Arc<Crls>,
    hints: Vec<DistinguishedName>,
}

#[derive(Debug)]
struct Root {
    der: CertificateDer<'static>,
    /// Its name without the outer SEQUENCE, as webpki has names.
    subject: Vec<u8>,
}

impl TlsTrust {
    /// A trust store of these roots and lists.
    ///
    /// # Errors
    /// [`TlsTrustError`].
    pub fn new(roots: &[CertificateDer<'static>], crls: Arc<Crls>) -> Result<Self, TlsTrustError> {
        if roots.is_empty() || roots.len() > MAX_TLS_ROOTS {
            return Err(TlsTrustError::Roots(roots.len()));
        }
        let roots = roots.iter().enumerate();
        let roots: Vec<Root> = roots
            .map(|(n, der)| Root::read(der).ok_or(TlsTrustError::Root(n)))
            .collect::<Result<_, _>>()?;
        let hints = roots
            .iter()
            .map(|root| DistinguishedName::in_sequence(&root.subject));
        Ok(Self {
            hints: hints.collect(),
            roots,
            crls,
        })
    }

    /// One that admits nobody: what is left when the trust store cannot be read.
    #[must_use]
    pub fn closed() -> Self {
        Self {
            roots: Vec::new(),
            crls: Arc::default(),
            hints: Vec::new(),
        }
    }

    /// Whose certificates a client may offer.
    pub(super) fn hints(&self) -> &[DistinguishedName] {
        &self.hints
    }

    /// The roots as they are shown.
    pub(super) fn states(&self, now: Timestamp) -> impl Iterator<Item = RootState> + '_ {
        let roots = self.roots.iter();
        roots.filter_map(move |root| RootState::of(&root.der, &self.crls, now))
    }

    /// Judges the certificates that a client sent, leaf first.
    ///
    /// # Errors
    /// [`TlsRefusal`] of the path that came furthest.
    pub fn judge(
        &self,
        chain: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<TlsClient, TlsRefusal> {
        if self.roots.is_empty() {
            return Err(TlsRefusal::Closed);
        }
        let (leaf, intermediates) = chain.split_first().ok_or(TlsRefusal::Form)?;
        if chain.len() > MAX_CHAIN || chain.iter().any(|der| der.len() > MAX_CERTIFICATE) {
            return Err(TlsRefusal::Form);
        }
        let roots: Vec<&[u8]> = self.roots.iter().map(|root| root.der.as_ref()).collect();
        let intermediates: Vec<Vec<u8>> = intermediates.iter().map(|der| der.to_vec()).collect();
        let path = ClassicalPath {
            roots: &roots,
            intermediates: &intermediates,
            leaf,
            crls: &self.crls,
            at: now,
        };
        path.judge(provider().signature_verification_algorithms.all)?;
        client(leaf)
    }
}

/// What our forms ask of a leaf whose path holds.
fn client(leaf: &CertificateDer<'_>) -> Result<TlsClient, TlsRefusal> {
    let form = |_| TlsRefusal::Form;
    let read = Certificate::from_der(leaf).map_err(form)?;
    let tbs = read.tbs_certificate();
    let basic = tbs.get_extension::<BasicConstraints>().map_err(form)?;
    let usage = tbs.get_extension::<KeyUsage>().map_err(form)?;
    let signs = usage.is_some_and(|(_, usage)| {
        usage.digital_signature() && !usage.key_cert_sign() && !usage.crl_sign()
    });
    if basic.is_some_and(|(_, basic)| basic.ca) || !signs {
        return Err(TlsRefusal::Form);
    }
    Ok(TlsClient {
        subject: TlsSubject::read(tbs).ok_or(TlsRefusal::Form)?,
        fingerprint: fingerprint(leaf),
        not_after: moment(tbs.validity().not_after.to_unix_duration()),
    })
}

impl Root {
    /// `None` unless it is a CA's certificate that webpki can use.
    fn read(der: &CertificateDer<'static>) -> Option<Self> {
        let read = Certificate::from_der(der).ok()?;
        let tbs = read.tbs_certificate();
        let basic = tbs.get_extension::<BasicConstraints>().ok()?;
        let (_, basic) = basic?;
        let anchor = anchor_from_trusted_cert(der).ok()?;
        basic.ca.then(|| Self {
            der: der.clone(),
            subject: anchor.subject.to_vec(),
        })
    }
}

fn moment(since_1970: Duration) -> Timestamp {
    Timestamp(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
}
