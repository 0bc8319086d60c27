//! Issues the ledger's certificates: roots, intermediates, nodes and people, all X.509 v3 under a
//! post-quantum key. The forms are `city_protocol::pki::forms`; whom to issue to is the caller's.

use std::time::Duration;

use city_protocol::amount::Timestamp;
use city_protocol::crypto::{KemPublicKey, PublicKey, SecretKey};
use city_protocol::pki::algorithms::{key_info, read_key_info};
use city_protocol::pki::forms::{
    common_name, kem_extension, key_identifier, node_names, read_common_name,
};
use city_protocol::pki::{CertificateRefusal, ClientRequest, Role};
use city_protocol::region::Region;
use x509_cert::Certificate;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{self, Builder, CertificateBuilder};
use x509_cert::certificate::TbsCertificate;
use x509_cert::der::asn1::OctetString;
use x509_cert::der::oid::db::rfc5280::{ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH};
use x509_cert::der::{self, DateTime, Decode, Encode};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages,
    SubjectKeyIdentifier,
};
use x509_cert::ext::{Extension, ToExtension};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef};
use x509_cert::time::{Time, Validity as X509Validity};

use super::signer::{CertificateSignature, CertificateSigner};

/// Length of a serial number in octets (RFC 5280 section 4.1.2.2: at most 20): 158 random bits.
pub(super) const SERIAL_LEN: usize = 20;

/// A certificate could not be issued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// What was asked for has no form in a certificate, such as a name that is too long.
    #[error("what was asked for cannot stand in a certificate: {0}")]
    Form(#[from] CertificateRefusal),
    /// notBefore is not before notAfter, or one is beyond the year 9999.
    #[error("a certificate must end after it begins, and before the year 10000")]
    Validity,
    /// The issuer's certificate and key do not belong together.
    #[error("the issuer's key is not the one in its certificate")]
    IssuerKey,
    /// The issuer's own certificate allows no further CA, or fewer below it than were asked for.
    #[error(
        "this CA's certificate allows {0} further CAs below it at most; have the certificate issued by the CA above"
    )]
    PathLength(u8),
    /// DER could not be written or read.
    #[error("encoding a certificate: {0}")]
    Encoding(#[from] der::Error),
    /// x509-cert's builder refused.
    #[error("building a certificate: {0}")]
    Builder(#[from] builder::Error),
}

/// From when to when, both included, at full seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// First second of validity; parts of a second are cut off.
    pub not_before: Timestamp,
    /// Last second of validity; parts of a second are cut off.
    pub not_after: Timestamp,
}

impl Validity {
    /// This many days from a moment on.
    #[must_use]
    pub const fn days(not_before: Timestamp, days: u64) -> Self {
        Self {
            not_before,
            not_after: not_before.plus_ms(days.saturating_mul(24 * 60 * 60 * 1000)),
        }
    }

    pub(super) fn to_x509(self) -> Result<X509Validity, IssueError> {
        if self.not_before.0 / 1000 >= self.not_after.0 / 1000 {
            return Err(IssueError::Validity);
        }
        Ok(X509Validity::new(
            time(self.not_before)?,
            time(self.not_after)?,
        ))
    }
}

/// A moment at full seconds.
pub(super) fn time(at: Timestamp) -> Result<Time, IssueError> {
    DateTime::from_unix_duration(Duration::from_secs(at.0 / 1000))
        .map(Time::from)
        .map_err(|_| IssueError::Validity)
}

/// What a node's certificate is to bind.
#[derive(Clone, Copy, Debug)]
pub struct NodeRequest<'a> {
    /// The municipality.
    pub region: &'a Region,
    /// Home or terminal.
    pub role: Role,
    /// The ledger key.
    pub key: &'a PublicKey,
    /// The libp2p peer id as text (Ed25519).
    pub peer_id: &'a str,
    /// The key for sealing messages to the node, if it has one.
    pub kem: Option<&'a KemPublicKey>,
}

/// A CA that can sign: its certificate and its key.
#[derive(Debug)]
pub struct Issuer<'a> {
    pub(super) subject: Name,
    pub(super) key: &'a SecretKey,
    is_ca: bool,
    /// How many CAs may stand between it and a leaf, if its certificate limits that.
    path_len: Option<u8>,
}

impl<'a> Issuer<'a> {
    /// Takes a CA certificate in DER and the key it certifies.
    ///
    /// # Errors
    /// [`IssueError::IssuerKey`], [`IssueError::Form`] or [`IssueError::Encoding`].
    pub fn new(certificate: &[u8], key: &'a SecretKey) -> Result<Self, IssueError> {
        let certificate = Certificate::from_der(certificate)?;
        let tbs = certificate.tbs_certificate();
        if read_key_info(tbs.subject_public_key_info())? != *key.public() {
            return Err(IssueError::IssuerKey);
        }
        let basic = tbs.get_extension::<BasicConstraints>()?;
        let basic = basic.map(|(_, basic)| basic);
        Ok(Self {
            subject: tbs.subject().clone(),
            key,
            is_ca: basic.as_ref().is_some_and(|basic| basic.ca),
            path_len: basic.and_then(|basic| basic.path_len_constraint),
        })
    }

    /// Its common name.
    ///
    /// # Errors
    /// [`IssueError::Form`] if its name is another's form.
    pub fn name(&self) -> Result<String, IssueError> {
        Ok(read_common_name(&self.subject)?)
    }

    /// Whether its certificate is a CA's.
    #[must_use]
    pub const fn is_authority(&self) -> bool {
        self.is_ca
    }

    /// Whether its own certificate lets it have a CA below it with `path_len` further ones below that (RFC 5280
    /// section 4.2.1.9).
    ///
    /// # Errors
    /// [`IssueError::PathLength`].
    pub fn may_have_below(&self, path_len: u8) -> Result<(), IssueError> {
        match self.path_len.filter(|most| path_len >= *most) {
            Some(most) => Err(IssueError::PathLength(most)),
            None => Ok(()),
        }
    }

    /// Issues an intermediate CA with `path_len` further CAs below it at most.
    ///
    /// # Errors
    /// An [`IssueError`].
    pub fn intermediate(
        &self,
        name: &str,
        key: &PublicKey,
        path_len: u8,
        validity: Validity,
    ) -> Result<Vec<u8>, IssueError> {
        let extensions = authority_extensions(key, self.key.public(), Some(path_len))?;
        self.sign(common_name(name)?, extensions, key_info(key), validity)
    }

    /// Issues a node certificate.
    ///
    /// # Errors
    /// An [`IssueError`].
    pub fn node(
        &self,
        request: &NodeRequest<'_>,
        validity: Validity,
    ) -> Result<Vec<u8>, IssueError> {
        let subject = common_name(request.region.as_str())?;
        let mut extensions = leaf_extensions(
            request.key,
            self.key.public(),
            &[ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH],
        )?;
        extensions.push(extension(
            &node_names(request.peer_id, request.role)?,
            false,
        )?);
        extensions.extend(request.kem.map(kem_extension));
        self.sign(subject, extensions, key_info(request.key), validity)
    }

    /// Issues a person's certificate.
    ///
    /// # Errors
    /// An [`IssueError`].
    pub fn client(
        &self,
        request: &ClientRequest<'_>,
        validity: Validity,
    ) -> Result<Vec<u8>, IssueError> {
        let subject = common_name(request.account.as_str())?;
        let mut extensions = leaf_extensions(request.key, self.key.public(), &[ID_KP_CLIENT_AUTH])?;
        extensions.extend(request.kem.map(kem_extension));
        self.sign(subject, extensions, key_info(request.key), validity)
    }

    /// Signs whatever stands in the arguments: the forms are chosen above.
    pub(super) fn sign(
        &self,
        subject: Name,
        extensions: Vec<Extension>,
        key: SubjectPublicKeyInfoOwned,
        validity: Validity,
    ) -> Result<Vec<u8>, IssueError> {
        let form = Form {
            issuer: self.subject.clone(),
            subject,
            extensions,
        };
        let serial = SerialNumber::new(&serial())?;
        let builder = CertificateBuilder::new(form, serial, validity.to_x509()?, key)?;
        let signer = CertificateSigner(self.key);
        let certificate = builder.build::<_, CertificateSignature>(&signer)?;
        Ok(certificate.to_der()?)
    }
}

/// Makes a self-signed root certificate of a CA called `name`.
///
/// # Errors
/// An [`IssueError`].
pub fn root(name: &str, key: &SecretKey, validity: Validity) -> Result<Vec<u8>, IssueError> {
    let subject = common_name(name)?;
    let itself = Issuer {
        subject: subject.clone(),
        key,
        is_ca: true,
        path_len: None,
    };
    let extensions = authority_extensions(key.public(), key.public(), None)?;
    itself.sign(subject, extensions, key_info(key.public()), validity)
}

/// cA, keyCertSign and cRLSign, both critical, and the key identifiers.
pub(super) fn authority_extensions(
    key: &PublicKey,
    issuer: &PublicKey,
    path_len: Option<u8>,
) -> Result<Vec<Extension>, IssueError> {
    let basic = BasicConstraints {
        ca: true,
        path_len_constraint: path_len,
    };
    let usage = KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign);
    let mut extensions = vec![extension(&basic, true)?, extension(&usage, true)?];
    extensions.extend(key_identifiers(key, issuer)?);
    Ok(extensions)
}

/// digitalSignature (critical), the extended usages, and the key identifiers.
pub(super) fn leaf_extensions(
    key: &PublicKey,
    issuer: &PublicKey,
    usages: &[der::oid::ObjectIdentifier],
) -> Result<Vec<Extension>, IssueError> {
    let usage = KeyUsage(KeyUsages::DigitalSignature.into());
    let extended = ExtendedKeyUsage(usages.to_vec());
    let mut extensions = vec![extension(&usage, true)?, extension(&extended, false)?];
    extensions.extend(key_identifiers(key, issuer)?);
    Ok(extensions)
}

fn key_identifiers(key: &PublicKey, issuer: &PublicKey) -> Result<[Extension; 2], IssueError> {
    let subject = SubjectKeyIdentifier(OctetString::new(key_identifier(key))?);
    let authority = AuthorityKeyIdentifier {
        key_identifier: Some(OctetString::new(key_identifier(issuer))?),
        ..AuthorityKeyIdentifier::default()
    };
    Ok([extension(&subject, false)?, extension(&authority, false)?])
}

/// One extension with the criticality that the project's form gives it.
pub(super) fn extension<T: Encode + der::oid::AssociatedOid>(
    value: &T,
    critical: bool,
) -> Result<Extension, der::Error> {
    // x509-cert asks for subject and siblings only to choose a criticality; here it is given.
    (critical, value).to_extension(&Name::default(), &[])
}

/// 20 random octets that are a positive integer of exactly that length.
pub(super) fn serial() -> [u8; SERIAL_LEN] {
    let mut serial = [0; SERIAL_LEN];
    getrandom::fill(&mut serial).expect("the operating system gives randomness");
    serial[0] = serial[0] & 0x7f | 0x40;
    serial
}

/// Names and extensions as they are, for x509-cert's builder.
struct Form {
    issuer: Name,
    subject: Name,
    extensions: Vec<Extension>,
}

impl BuilderProfile for Form {
    fn get_issuer(&self, _subject: &Name) -> Name {
        self.issuer.clone()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        _key: SubjectPublicKeyInfoRef<'_>,
        _issuer: SubjectPublicKeyInfoRef<'_>,
        _tbs: &TbsCertificate,
    ) -> builder::Result<Vec<Extension>> {
        Ok(self.extensions.clone())
    }
}
