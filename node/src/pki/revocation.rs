//! Issues revocation lists (RFC 5280 section 5), post-quantum and classical. What stands on them and under
//! which number is the ledger's of the CA (`store`); how nodes judge by them is `city_protocol::pki`.

use std::fmt;
use std::str::FromStr;

use city_protocol::amount::Timestamp;
use city_protocol::pki::algorithms::identifier;
use city_protocol::pki::forms::key_identifier;
use serde::{Deserialize, Serialize};
use signature::Signer;
use x509_cert::Certificate;
use x509_cert::certificate::{Rfc5280, Version};
use x509_cert::crl::{CertificateList, RevokedCert, TbsCertList};
use x509_cert::der::asn1::{BitString, OctetString, Uint};
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, CrlNumber, CrlReason};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::AlgorithmIdentifierOwned;

use super::issue::{IssueError, Issuer, Validity, extension, time};
use super::signer::CertificateSigner;
use super::tls::TlsAuthority;

/// Why a certificate is revoked (RFC 5280 section 5.3.1), of which those that end it for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Nothing is said.
    Unspecified,
    /// The key is known to somebody else, or may be.
    KeyCompromise,
    /// The key of the CA itself is.
    CaCompromise,
    /// The person moved away, or the name changed.
    AffiliationChanged,
    /// Another certificate took its place.
    Superseded,
    /// The box or the account is no longer used.
    CessationOfOperation,
    /// What it allowed is taken away.
    PrivilegeWithdrawn,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::CaCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::PrivilegeWithdrawn,
    ];

    /// Its name on the command line and in the ledger.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "key-compromise",
            Self::CaCompromise => "ca-compromise",
            Self::AffiliationChanged => "affiliation-changed",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation-of-operation",
            Self::PrivilegeWithdrawn => "privilege-withdrawn",
        }
    }

    /// RFC 5280: "should be absent instead of using the unspecified (0) reasonCode value".
    const fn x509(self) -> Option<CrlReason> {
        match self {
            Self::Unspecified => None,
            Self::KeyCompromise => Some(CrlReason::KeyCompromise),
            Self::CaCompromise => Some(CrlReason::CaCompromise),
            Self::AffiliationChanged => Some(CrlReason::AffiliationChanged),
            Self::Superseded => Some(CrlReason::Superseded),
            Self::CessationOfOperation => Some(CrlReason::CessationOfOperation),
            Self::PrivilegeWithdrawn => Some(CrlReason::PrivilegeWithdrawn),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Reason {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|reason| reason.name() == text);
        known.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("{text:?} is not a reason; one of {names}")
        })
    }
}

/// One line of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// The serial number, big-endian, as the certificate has it.
    pub serial: Vec<u8>,
    /// When it was revoked.
    pub at: Timestamp,
    /// Why.
    pub reason: Reason,
}

/// What a list is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListRequest<'a> {
    /// Higher than that of every earlier list of this issuer.
    pub number: u64,
    /// thisUpdate to nextUpdate.
    pub dates: Validity,
    /// What is revoked.
    pub revoked: &'a [Revocation],
}

impl Issuer<'_> {
    /// Issues a revocation list in DER.
    ///
    /// # Errors
    /// An [`IssueError`].
    pub fn crl(&self, request: &ListRequest<'_>) -> Result<Vec<u8>, IssueError> {
        let key = self.key.public();
        let issuer = ListIssuer {
            name: self.subject.clone(),
            key_identifier: &key_identifier(key),
            algorithm: identifier(key.algorithm()),
        };
        issuer.list(request, |message| {
            let signature = CertificateSigner(self.key).try_sign(message);
            signature
                .map(|signature| signature.as_bytes().to_vec())
                .map_err(|_| IssueError::IssuerKey)
        })
    }
}

impl TlsAuthority {
    /// Issues the classical root's revocation list in DER.
    ///
    /// # Errors
    /// An [`IssueError`].
    pub fn crl(&self, request: &ListRequest<'_>) -> Result<Vec<u8>, IssueError> {
        let certificate = Certificate::from_der(self.certificate())?;
        let issuer = ListIssuer {
            name: certificate.tbs_certificate().subject().clone(),
            key_identifier: self.identifier(),
            algorithm: certificate.signature_algorithm().clone(),
        };
        issuer.list(request, |message| {
            self.sign(message).map_err(|_| IssueError::IssuerKey)
        })
    }
}

/// Who signs a list: the classical root's own algorithm is that of everything it signs.
struct ListIssuer<'a> {
    name: Name,
    key_identifier: &'a [u8],
    algorithm: AlgorithmIdentifierOwned,
}

impl ListIssuer<'_> {
    // Not x509-cert's builder: it copies the authority key identifier of the issuer's own certificate,
    // which for an intermediate names the root's key (RFC 5280 section 5.2.1).
    fn list(
        self,
        request: &ListRequest<'_>,
        sign: impl Fn(&[u8]) -> Result<Vec<u8>, IssueError>,
    ) -> Result<Vec<u8>, IssueError> {
        let dates = request.dates.to_x509()?;
        let authority = AuthorityKeyIdentifier {
            key_identifier: Some(OctetString::new(self.key_identifier)?),
            ..AuthorityKeyIdentifier::default()
        };
        let number = CrlNumber(Uint::new(&request.number.to_be_bytes())?);
        let revoked: Vec<_> = request
            .revoked
            .iter()
            .map(entry)
            .collect::<Result<_, IssueError>>()?;
        let tbs = TbsCertList {
            version: Version::V2,
            signature: self.algorithm.clone(),
            issuer: self.name,
            this_update: dates.not_before,
            next_update: Some(dates.not_after),
            revoked_certificates: (!revoked.is_empty()).then_some(revoked),
            crl_extensions: Some(vec![
                extension(&authority, false)?,
                extension(&number, false)?,
            ]),
        };
        let signature = sign(&tbs.to_der()?)?;
        let list = CertificateList::<Rfc5280> {
            tbs_cert_list: tbs,
            signature_algorithm: self.algorithm,
            signature: BitString::from_bytes(&signature)?,
        };
        Ok(list.to_der()?)
    }
}

fn entry(revocation: &Revocation) -> Result<RevokedCert, IssueError> {
    let reason = revocation.reason.x509();
    let reason = reason.map(|reason| extension(&reason, false)).transpose()?;
    Ok(RevokedCert {
        serial_number: SerialNumber::new(&revocation.serial)?,
        revocation_date: time(revocation.at)?,
        crl_entry_extensions: reason.map(|reason| vec![reason]),
    })
}
