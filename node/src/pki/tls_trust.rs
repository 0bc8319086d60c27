//! Judges TLS client certificates: classical roots, their lists of revoked certificates, and our forms.
//!
//! Paths, signatures, dates and revocation are rustls-webpki's; beside it stands what it leaves out: the root's
//! own dates, keyUsage, whom the certificate names, and how old a list may be. A [`TlsClient`] exists only by
//! [`TlsTrust::judge`]: nothing can act for a certificate that was not judged.

use std::sync::Arc;
use std::time::Duration;

use city_protocol::amount::Timestamp;
use city_protocol::ids::Digest;
use city_protocol::pki::fingerprint;
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, DistinguishedName, RootCertStore};
use serde::Serialize;
use x509_cert::Certificate;
use x509_cert::crl::CertificateList;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};

use super::tls::provider;
use super::tls_client::TlsSubject;

/// How long a list of revoked certificates works past its nextUpdate (DESIGN §4), in milliseconds: 45 days.
pub const CRL_GRACE_MS: u64 = 45 * 24 * 60 * 60 * 1000;
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
    /// Its issuer's list of revoked certificates is older than the grace.
    #[error(
        "the issuer's list of revoked certificates is too old to admit anybody; the operator must install a newer one"
    )]
    ListTooOld,
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
            Self::ListTooOld => "crl-too-old",
            Self::Closed => "trust-store-closed",
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
            TlsRefusal::ListTooOld | TlsRefusal::Closed => Self::UnknownRevocationStatus,
        }
    }
}

/// Why a root or a list cannot be trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsTrustError {
    /// Not a CA's certificate.
    #[error("root certificate {0} is not a CA's X.509 certificate")]
    Root(usize),
    /// None, or too many.
    #[error("there are {0} TLS roots, not 1 to {MAX_TLS_ROOTS}")]
    Roots(usize),
    /// Not a list that can be used.
    #[error("the list is not an X.509 CRL that this software can use: {0}")]
    List(String),
    /// Its signature is not its issuer's.
    #[error("the list's signature is not its issuer's")]
    ListSignature,
}

/// A list of revoked certificates in DER with what is judged of it here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsList {
    der: Vec<u8>,
    issuer: Vec<u8>,
    this_update: Timestamp,
    next_update: Timestamp,
}

/// How old an issuer's list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListState {
    /// There is none: nothing is revoked, which is a warning.
    None,
    /// Before its nextUpdate.
    Current,
    /// Past it, within the grace.
    Stale,
    /// Past the grace: nobody is admitted.
    TooOld,
}

impl ListState {
    fn of(next_update: Option<Timestamp>, now: Timestamp) -> Self {
        match next_update {
            None => Self::None,
            Some(at) if now <= at => Self::Current,
            Some(at) if now.0 - at.0 <= CRL_GRACE_MS => Self::Stale,
            Some(_) => Self::TooOld,
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
    /// Its list.
    pub list: ListState,
    /// When its list should be followed by the next.
    pub next_update: Option<Timestamp>,
}

/// Classical roots and lists; unchanging.
#[derive(Debug, Default)]
pub struct TlsTrust {
    anchors: Vec<Anchor>,
    hints: Vec<DistinguishedName>,
    closed: bool,
}

/// One root with the lists that may speak under it. A verifier each, so that two roots of one name (a
/// roll-over) do not meet each other's lists.
#[derive(Debug)]
struct Anchor {
    verifier: Arc<dyn ClientCertVerifier>,
    fingerprint: Digest,
    not_before: Timestamp,
    not_after: Timestamp,
    next_update: Option<Timestamp>,
}

impl TlsTrust {
    /// A trust store of these roots and lists. Of several lists of one issuer the newest counts.
    ///
    /// # Errors
    /// [`TlsTrustError`] for a root; lists were judged by [`TlsList::read`].
    pub fn new(
        roots: &[CertificateDer<'static>],
        lists: &[TlsList],
    ) -> Result<Self, TlsTrustError> {
        if roots.is_empty() || roots.len() > MAX_TLS_ROOTS {
            return Err(TlsTrustError::Roots(roots.len()));
        }
        let read = roots
            .iter()
            .enumerate()
            .map(|(n, root)| Root::read(n, root));
        let read: Vec<Root> = read.collect::<Result<_, _>>()?;
        let names: Vec<&[u8]> = read.iter().map(|root| &root.subject[..]).collect();
        let mut anchors = Vec::new();
        let mut hints = Vec::new();
        for (n, root) in read.iter().enumerate() {
            let bad = || TlsTrustError::Root(n);
            let own = |list: &&TlsList| list.issuer == root.subject && root.signed(list);
            let own = lists.iter().filter(own).max_by_key(|list| list.this_update);
            // Intermediates' lists; which of them is signed rightly shows in the path.
            let others = newest(
                lists
                    .iter()
                    .filter(|list| !names.contains(&&list.issuer[..])),
            );
            let crls = own.into_iter().chain(others);
            let mut store = RootCertStore::empty();
            store.add(root.der.clone()).map_err(|_| bad())?;
            hints.extend(store.subjects());
            let verifier = WebPkiClientVerifier::builder_with_provider(store.into(), provider())
                .with_crls(crls.map(|list| list.der.clone().into()))
                // None at all is a warning and not a refusal; staleness is judged below.
                .allow_unknown_revocation_status()
                .build()
                .map_err(|_| bad())?;
            anchors.push(Anchor {
                verifier,
                fingerprint: fingerprint(&root.der),
                not_before: root.not_before,
                not_after: root.not_after,
                next_update: own.map(|list| list.next_update),
            });
        }
        Ok(Self {
            anchors,
            hints,
            closed: false,
        })
    }

    /// One that admits nobody: what is left when the trust store cannot be read.
    #[must_use]
    pub fn closed() -> Self {
        Self {
            closed: true,
            ..Self::default()
        }
    }

    /// Whose certificates a client may offer.
    pub(super) fn hints(&self) -> &[DistinguishedName] {
        &self.hints
    }

    /// The roots as they are shown.
    #[must_use]
    pub fn roots(&self, now: Timestamp) -> Vec<RootState> {
        let state = |anchor: &Anchor| RootState {
            fingerprint: anchor.fingerprint,
            not_after: anchor.not_after,
            list: ListState::of(anchor.next_update, now),
            next_update: anchor.next_update,
        };
        self.anchors.iter().map(state).collect()
    }

    /// Judges the certificates that a client sent, leaf first.
    ///
    /// # Errors
    /// [`TlsRefusal`] of the root that the path came furthest with.
    pub fn judge(
        &self,
        chain: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<TlsClient, TlsRefusal> {
        if self.closed {
            return Err(TlsRefusal::Closed);
        }
        let (leaf, intermediates) = chain.split_first().ok_or(TlsRefusal::Form)?;
        if chain.len() > MAX_CHAIN || chain.iter().any(|der| der.len() > MAX_CERTIFICATE) {
            return Err(TlsRefusal::Form);
        }
        let mut refusal = TlsRefusal::UnknownIssuer;
        for anchor in &self.anchors {
            match anchor.judge(leaf, intermediates, now) {
                Ok(()) => return client(leaf),
                // A root that did issue it says more than those that did not.
                Err(other) if refusal == TlsRefusal::UnknownIssuer => refusal = other,
                Err(_) => {}
            }
        }
        Err(refusal)
    }
}

impl Anchor {
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<(), TlsRefusal> {
        let at = UnixTime::since_unix_epoch(Duration::from_millis(now.0));
        self.verifier
            .verify_client_cert(leaf, intermediates, at)
            .map_err(|error| refusal(&error))?;
        // webpki takes a root's dates for its owner's business (RFC 5280 section 6.1 does, too).
        if now < self.not_before {
            return Err(TlsRefusal::NotYetValid);
        }
        if now.0 / 1000 > self.not_after.0 / 1000 {
            return Err(TlsRefusal::Expired);
        }
        if ListState::of(self.next_update, now) == ListState::TooOld {
            return Err(TlsRefusal::ListTooOld);
        }
        Ok(())
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

fn refusal(error: &rustls::Error) -> TlsRefusal {
    use CertificateError as E;
    match error {
        rustls::Error::InvalidCertificate(error) => match error {
            E::Revoked => TlsRefusal::Revoked,
            E::Expired | E::ExpiredContext { .. } => TlsRefusal::Expired,
            E::NotValidYet | E::NotValidYetContext { .. } => TlsRefusal::NotYetValid,
            E::UnknownIssuer | E::BadSignature => TlsRefusal::UnknownIssuer,
            _ => TlsRefusal::Form,
        },
        _ => TlsRefusal::Form,
    }
}

/// The newest list of each issuer.
fn newest<'l>(lists: impl Iterator<Item = &'l TlsList>) -> Vec<&'l TlsList> {
    let mut newest: Vec<&TlsList> = Vec::new();
    for list in lists {
        match newest.iter_mut().find(|known| known.issuer == list.issuer) {
            Some(known) if known.this_update < list.this_update => *known = list,
            Some(_) => {}
            None => newest.push(list),
        }
    }
    newest
}

struct Root {
    der: CertificateDer<'static>,
    subject: Vec<u8>,
    key: Vec<u8>,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl Root {
    fn read(n: usize, der: &CertificateDer<'static>) -> Result<Self, TlsTrustError> {
        let bad = |_| TlsTrustError::Root(n);
        let read = Certificate::from_der(der).map_err(bad)?;
        let tbs = read.tbs_certificate();
        let basic = tbs.get_extension::<BasicConstraints>().map_err(bad)?;
        if !basic.is_some_and(|(_, basic)| basic.ca) {
            return Err(TlsTrustError::Root(n));
        }
        let key = &tbs.subject_public_key_info().subject_public_key;
        Ok(Self {
            der: der.clone(),
            subject: tbs.subject().to_der().map_err(bad)?,
            key: key.as_bytes().ok_or(TlsTrustError::Root(n))?.to_vec(),
            not_before: moment(tbs.validity().not_before.to_unix_duration()),
            not_after: moment(tbs.validity().not_after.to_unix_duration()),
        })
    }

    /// Whether the list's signature is this root's; the algorithms are those that paths may use.
    fn signed(&self, list: &TlsList) -> bool {
        let Ok(read) = <CertificateList>::from_der(&list.der) else {
            return false;
        };
        let (Ok(signed), Some(signature)) =
            (read.tbs_cert_list.to_der(), read.signature.as_bytes())
        else {
            return false;
        };
        let Ok(named) = read.signature_algorithm.to_der() else {
            return false;
        };
        provider()
            .signature_verification_algorithms
            .all
            .iter()
            .filter(|alg| is_named(&named, **alg))
            .any(|alg| alg.verify_signature(&self.key, &signed, signature).is_ok())
    }
}

impl TlsList {
    /// Reads a list; `None` if it is not one of a classical issuer (its algorithm is not one of rustls').
    ///
    /// # Errors
    /// [`TlsTrustError::List`].
    pub fn read(der: &[u8]) -> Result<Option<Self>, TlsTrustError> {
        let bad = |error: &dyn std::fmt::Display| TlsTrustError::List(error.to_string());
        let read = <CertificateList>::from_der(der).map_err(|error| bad(&error))?;
        let named = read.signature_algorithm.to_der().map_err(|e| bad(&e))?;
        let known = provider().signature_verification_algorithms.all;
        if !known.iter().any(|alg| is_named(&named, *alg)) {
            return Ok(None);
        }
        // What webpki cannot use (delta lists, unknown critical extensions) is said now and not at a handshake.
        webpki::OwnedCertRevocationList::from_der(der).map_err(|error| bad(&error))?;
        let tbs = &read.tbs_cert_list;
        let next_update = tbs
            .next_update
            .ok_or_else(|| bad(&"it does not say when the next one comes (nextUpdate)"))?;
        Ok(Some(Self {
            der: der.to_vec(),
            issuer: tbs.issuer.to_der().map_err(|error| bad(&error))?,
            this_update: moment(tbs.this_update.to_unix_duration()),
            next_update: moment(next_update.to_unix_duration()),
        }))
    }

    /// Checks that the list is signed by the root that it names, if it names one of these.
    ///
    /// # Errors
    /// [`TlsTrustError::ListSignature`].
    pub fn check(&self, roots: &[CertificateDer<'static>]) -> Result<(), TlsTrustError> {
        let read = roots.iter().enumerate();
        let named = read
            .filter_map(|(n, root)| Root::read(n, root).ok())
            .filter(|root| root.subject == self.issuer);
        let mut named = named.peekable();
        if named.peek().is_none() || named.any(|root| root.signed(self)) {
            Ok(())
        } else {
            Err(TlsTrustError::ListSignature)
        }
    }
}

/// Whether the identifier (DER) names the algorithm; webpki leaves out the outer SEQUENCE's two bytes.
fn is_named(identifier: &[u8], algorithm: &dyn SignatureVerificationAlgorithm) -> bool {
    identifier.get(2..) == Some(algorithm.signature_alg_id().as_ref())
}

fn moment(since_1970: Duration) -> Timestamp {
    Timestamp(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
}
