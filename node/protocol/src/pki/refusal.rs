//! Every reason for which a certificate is not admitted, with its stable code.

use super::crl::CrlRefusal;
use crate::refusal::Refusal;

/// Why a certificate or its path was refused. [`CertificateRefusal::code`] is stable; the text is for
/// people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateRefusal {
    /// Not DER of an X.509 v3 certificate, or not in its one spelling (RFC 5280 section 4.1).
    #[error("not a DER-encoded X.509 v3 certificate")]
    Malformed,
    /// Larger, or with more intermediates or roots, than the limits.
    #[error("the certificate or its chain is larger than the limit")]
    TooLarge,
    /// A key or signature algorithm that this network does not use, or a key of the wrong length.
    #[error("the certificate uses a key or signature algorithm that is not admitted")]
    Algorithm,
    /// A signature of the path does not verify.
    #[error("a signature of the certificate's path does not verify")]
    BadSignature,
    /// No path leads to a trusted root.
    #[error("no path leads to a trusted root; pass the intermediates or trust the root")]
    UnknownIssuer,
    /// A certificate of the path is past its notAfter.
    #[error("the certificate or one of its issuers has expired")]
    Expired,
    /// A certificate of the path is before its notBefore.
    #[error("the certificate or one of its issuers is not yet valid; check the clock")]
    NotYetValid,
    /// keyUsage or extKeyUsage do not allow this use (RFC 5280 sections 4.2.1.3 and 4.2.1.12).
    #[error("the key usage of the certificate or of an issuer does not allow this use")]
    KeyUsage,
    /// An issuer is not a CA (RFC 5280 section 4.2.1.9).
    #[error("an issuer in the path is not a CA")]
    NotCa,
    /// A CA certificate stands where a node's or person's certificate is expected.
    #[error("a CA certificate cannot stand for a node or a person")]
    IsCa,
    /// More intermediates than an issuer's pathLenConstraint allows (RFC 5280 section 4.2.1.9).
    #[error("the path is longer than an issuer allows")]
    PathLen,
    /// A critical extension that this software does not process (RFC 5280 section 4.2).
    #[error("a critical extension that this software does not process")]
    CriticalExtension,
    /// The subject is not exactly one common name of the expected form.
    #[error("the subject is not exactly one common name of the expected form")]
    Name,
    /// The subject alternative names are not of the expected form.
    #[error("the subject alternative names are not of the expected form")]
    AlternativeName,
    /// The root that anchors the path does not speak for the region.
    #[error("the root is not trusted for this region")]
    Region,
    /// A name that a CA above it excludes, or does not permit (RFC 5280 section 4.2.1.10).
    #[error("a name in the certificate is outside what a CA above it permits")]
    NameConstraint,
    /// The certificate is not for the name that was asked for.
    #[error("the certificate is not for this name")]
    NameMismatch,
    /// A serial number that is not positive or has more than 20 octets (RFC 5280 section 4.1.2.2).
    #[error("the serial number is not positive or is too long")]
    Serial,
    /// An extension is missing, repeated, misplaced, empty or of the wrong criticality.
    #[error("an extension is missing, repeated, misplaced, empty or of the wrong criticality")]
    Extension,
    /// A key that is too short for anybody to rely on it.
    #[error("the certificate's key is too weak")]
    WeakKey,
    /// A list of its issuer names a certificate of the path (RFC 5280 section 6.3).
    #[error("the certificate or one of its issuers is revoked")]
    Revoked,
    /// A list is past its nextUpdate and the grace.
    #[error("the CA's revocation list is out of date for too long; get a new one from the CA")]
    CrlExpired,
    /// The only lists of an issuer are dated in the future, and one is required.
    #[error("the CA's revocation list is dated in the future; check the clock")]
    CrlNotYetValid,
    /// The only lists of an issuer's name have another signature, and one is required.
    #[error("the revocation list is not signed by the issuer of the certificate")]
    CrlBadSignature,
    /// There is no list of an issuer, and one is required.
    #[error("there is no revocation list for a certificate of the path")]
    CrlNone,
    /// The only list that there is cannot be used, and one is required.
    #[error(transparent)]
    Crl(#[from] CrlRefusal),
}

impl CertificateRefusal {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "cert-malformed",
            Self::TooLarge => "cert-too-large",
            Self::Algorithm => "cert-algorithm",
            Self::BadSignature => "cert-bad-signature",
            Self::UnknownIssuer => "cert-unknown-issuer",
            Self::Expired => "cert-expired",
            Self::NotYetValid => "cert-not-yet-valid",
            Self::KeyUsage => "cert-key-usage",
            Self::NotCa => "cert-not-ca",
            Self::IsCa => "cert-is-ca",
            Self::PathLen => "cert-path-len",
            Self::CriticalExtension => "cert-critical-extension",
            Self::Name => "cert-name",
            Self::AlternativeName => "cert-san",
            Self::Region => "cert-region",
            Self::NameConstraint => "cert-name-constraint",
            Self::NameMismatch => "cert-name-mismatch",
            Self::Serial => "cert-serial",
            Self::Extension => "cert-extension",
            Self::WeakKey => "cert-weak-key",
            Self::Revoked => "cert-revoked",
            Self::CrlExpired => "crl-expired",
            Self::CrlNotYetValid => "crl-not-yet-valid",
            Self::CrlBadSignature => "crl-bad-signature",
            Self::CrlNone => "crl-none",
            Self::Crl(refusal) => refusal.code(),
        }
    }
}

impl From<CertificateRefusal> for Refusal {
    fn from(_: CertificateRefusal) -> Self {
        Self::BadCertificate
    }
}

impl From<webpki::Error> for CertificateRefusal {
    fn from(error: webpki::Error) -> Self {
        use webpki::Error as E;
        match error {
            E::CertExpired { .. } => Self::Expired,
            E::CertNotValidYet { .. } => Self::NotYetValid,
            E::InvalidSignatureForPublicKey => Self::BadSignature,
            E::UnknownIssuer => Self::UnknownIssuer,
            E::EndEntityUsedAsCa => Self::NotCa,
            E::CaUsedAsEndEntity => Self::IsCa,
            E::PathLenConstraintViolated => Self::PathLen,
            E::UnsupportedCriticalExtension => Self::CriticalExtension,
            E::RequiredEkuNotFoundContext(_) | E::EmptyEkuExtension => Self::KeyUsage,
            E::SignatureAlgorithmMismatch
            | E::UnsupportedSignatureAlgorithmContext(_)
            | E::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => Self::Algorithm,
            E::NameConstraintViolation => Self::NameConstraint,
            E::CertNotValidForName(_) => Self::NameMismatch,
            E::MaximumPathDepthExceeded
            | E::MaximumPathBuildCallsExceeded
            | E::MaximumSignatureChecksExceeded
            | E::MaximumNameConstraintComparisonsExceeded => Self::TooLarge,
            // What is left are ways of not being well-formed; lists are asked elsewhere (`crl`).
            _ => Self::Malformed,
        }
    }
}
