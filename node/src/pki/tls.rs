//! TLS: the CA's classical root (ECDSA P-256, which browsers and curl speak), server certificates under
//! it, and rustls configurations: TLS 1.3 only, aws-lc-rs, X25519MLKEM768 preferred, no key log.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use city_protocol::amount::Timestamp;
use city_protocol::pki::forms::{common_name, read_common_name};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType,
    SerialNumber, SigningKey,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{
    CertificateDer, CertificateSigningRequestDer, DnsName, PrivateKeyDer, PrivatePkcs8KeyDer,
};
use rustls::{ClientConfig, NoKeyLog, RootCertStore, ServerConfig};
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::SubjectKeyIdentifier;
use x509_cert::request::CertReq;
use zeroize::Zeroizing;

use super::issue::{Validity, serial};
use super::tls_client::TlsSubject;

/// Most names and addresses of one server certificate.
pub const MAX_SERVER_NAMES: usize = 32;

/// Common name of server certificates; clients look at the alternative names only (RFC 9525).
const SERVER_COMMON_NAME: &str = "city-node";

/// The last second that a certificate can name: 9999-12-31T23:59:59Z (RFC 5280 section 4.1.2.5).
const LAST_SECOND: u64 = 253_402_300_799;

/// The application protocol of both listeners (RFC 7301).
pub(super) const ALPN_HTTP_1_1: &[u8] = b"http/1.1";

/// A TLS certificate or configuration could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A name that cannot stand in the certificate.
    #[error("{0:?} is not a host name that can stand in a certificate")]
    Name(String),
    /// No names, or too many.
    #[error("a server certificate needs 1 to {MAX_SERVER_NAMES} names and addresses, got {0}")]
    NameCount(usize),
    /// notBefore is not before notAfter.
    #[error("a certificate must end after it begins")]
    Validity,
    /// Not a root certificate that this software made.
    #[error("not a TLS root certificate made by this software")]
    Root,
    /// Not an X.509 certificate.
    #[error("the chain does not begin with an X.509 certificate")]
    Leaf,
    /// The key is not the one in the root certificate.
    #[error("the TLS root's key is not the one in its certificate")]
    RootKey,
    /// Not a request that can be granted.
    #[error(
        "the request cannot be granted: {0}; make one with openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256"
    )]
    Request(&'static str),
    /// rcgen refused.
    #[error("making a TLS certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// rustls refused.
    #[error("setting up TLS: {0}")]
    Rustls(#[from] rustls::Error),
}

/// A certificate chain (leaf first, without the root) and its secret key.
#[derive(Debug)]
pub struct TlsIdentity {
    /// The chain in DER.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key in PKCS#8; rustls-pki-types redacts it in `Debug`.
    pub key: PrivateKeyDer<'static>,
}

impl TlsIdentity {
    /// Checks that key and leaf belong together.
    ///
    /// # Errors
    /// [`TlsError::Rustls`].
    pub fn check(&self) -> Result<(), TlsError> {
        // rustls compares the halves when it makes a configuration; this one is thrown away.
        server_config(self.clone()).map(drop)
    }

    /// Last second of the leaf.
    ///
    /// # Errors
    /// [`TlsError::Leaf`].
    pub fn not_after(&self) -> Result<Timestamp, TlsError> {
        let leaf = self.chain.first().ok_or(TlsError::Leaf)?;
        let leaf = Certificate::from_der(leaf).map_err(|_| TlsError::Leaf)?;
        let end = leaf.tbs_certificate().validity().not_after;
        let ms = u64::try_from(end.to_unix_duration().as_millis());
        ms.map(Timestamp).map_err(|_| TlsError::Leaf)
    }
}

impl Clone for TlsIdentity {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

/// A P-256 key that is to be certified: made here, or known by a request of its owner.
#[derive(Debug)]
pub struct TlsKey {
    /// The point, uncompressed.
    public: Vec<u8>,
    secret: Option<PrivatePkcs8KeyDer<'static>>,
}

impl TlsKey {
    /// Makes a key.
    ///
    /// # Errors
    /// [`TlsError::Certificate`].
    pub fn generate() -> Result<Self, TlsError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        Ok(Self {
            public: key.der_bytes().to_vec(),
            secret: Some(PrivatePkcs8KeyDer::from(key.serialize_der())),
        })
    }

    /// Takes the key of a PKCS#10 request in PEM (RFC 2986), whose signature proves that its owner holds
    /// the secret. What else the request says is not looked at: the CA decides what it certifies.
    ///
    /// # Errors
    /// [`TlsError::Request`].
    pub fn from_request(pem: &[u8]) -> Result<Self, TlsError> {
        let refused = |what| move |_| TlsError::Request(what);
        let der = CertificateSigningRequestDer::from_pem_slice(pem);
        let der = der.map_err(|_| TlsError::Request("not a CERTIFICATE REQUEST in PEM"))?;
        let read = CertReq::from_der(&der).map_err(refused("not a PKCS#10 request in DER"))?;
        let form = refused("not a PKCS#10 request in DER");
        let signed = read.info.to_der().map_err(form)?;
        let key = &read.info.public_key;
        let key_algorithm = key.algorithm.to_der().map_err(form)?;
        let signature_algorithm = read.algorithm.to_der().map_err(form)?;
        let missing = TlsError::Request("a key or signature that is not whole octets");
        let (Some(public), Some(signature)) =
            (key.subject_public_key.as_bytes(), read.signature.as_bytes())
        else {
            return Err(missing);
        };
        let p256 = rustls::pki_types::alg_id::ECDSA_P256;
        if !key_algorithm.ends_with(p256.as_ref()) || public.len() != 65 {
            return Err(TlsError::Request("its key is not ECDSA P-256"));
        }
        let algorithms = aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .all;
        let holds = algorithms.iter().any(|algorithm| {
            algorithm.public_key_alg_id() == p256
                && signature_algorithm.ends_with(algorithm.signature_alg_id().as_ref())
                && algorithm
                    .verify_signature(public, &signed, signature)
                    .is_ok()
        });
        if !holds {
            return Err(TlsError::Request("its signature does not verify"));
        }
        Ok(Self {
            public: public.to_vec(),
            secret: None,
        })
    }

    /// The secret in PKCS#8, if it was made here.
    #[must_use]
    pub fn secret(&self) -> Option<&[u8]> {
        self.secret.as_ref().map(|key| key.secret_pkcs8_der())
    }

    /// The certificate and the key that was made for it.
    ///
    /// # Panics
    /// If the key is somebody else's.
    #[must_use]
    pub(super) fn into_identity(self, certificate: CertificateDer<'static>) -> TlsIdentity {
        TlsIdentity {
            chain: vec![certificate],
            key: self.secret.expect("callers made the key").into(),
        }
    }
}

impl PublicKeyData for TlsKey {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// The classical side of a municipal CA.
pub struct TlsAuthority {
    certificate: CertificateDer<'static>,
    /// The root's subject key identifier.
    identifier: Vec<u8>,
    issuer: rcgen::Issuer<'static, KeyPair>,
}

impl TlsAuthority {
    /// Makes a new self-signed root of a CA called `name`.
    ///
    /// # Errors
    /// A [`TlsError`].
    pub fn create(name: &str, validity: Validity) -> Result<Self, TlsError> {
        common_name(name).map_err(|_| TlsError::Name(name.into()))?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params(name, validity)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let identifier = params.key_identifier(&key);
        let certificate = params.self_signed(&key)?.der().clone();
        Ok(Self {
            certificate,
            identifier,
            issuer: rcgen::Issuer::new(params, key),
        })
    }

    /// Takes a root that [`TlsAuthority::create`] made and its key in PKCS#8 PEM.
    ///
    /// # Errors
    /// [`TlsError::Root`], [`TlsError::RootKey`] or [`TlsError::Certificate`].
    pub fn open(certificate: CertificateDer<'static>, key_pem: &str) -> Result<Self, TlsError> {
        let key = KeyPair::from_pem(key_pem)?;
        let read = Certificate::from_der(&certificate).map_err(|_| TlsError::Root)?;
        let tbs = read.tbs_certificate();
        let info = tbs.subject_public_key_info();
        if info.subject_public_key.as_bytes() != Some(key.der_bytes()) {
            return Err(TlsError::RootKey);
        }
        let name = read_common_name(tbs.subject()).map_err(|_| TlsError::Root)?;
        let (_, identifier) = tbs
            .get_extension::<SubjectKeyIdentifier>()
            .ok()
            .flatten()
            .ok_or(TlsError::Root)?;
        // rcgen rebuilds the issuer's side from parameters; the same name and identifier make the
        // same bytes, which a test holds.
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name(&name);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let identifier = identifier.0.as_bytes().to_vec();
        params.key_identifier_method = KeyIdMethod::PreSpecified(identifier.clone());
        Ok(Self {
            certificate,
            identifier,
            issuer: rcgen::Issuer::new(params, key),
        })
    }

    /// The root certificate: what clients trust.
    #[must_use]
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    pub(super) fn identifier(&self) -> &[u8] {
        &self.identifier
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, TlsError> {
        Ok(self.issuer.key().sign(message)?)
    }

    /// The root's key in PKCS#8 PEM, for its file only.
    #[must_use]
    pub fn expose_key_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.issuer.key().serialize_pem())
    }

    /// Issues a server certificate with a fresh key for host names and addresses.
    ///
    /// # Errors
    /// [`TlsError::Name`], [`TlsError::NameCount`], [`TlsError::Validity`] or
    /// [`TlsError::Certificate`].
    pub fn server(
        &self,
        names: &[String],
        addresses: &[IpAddr],
        validity: Validity,
    ) -> Result<TlsIdentity, TlsError> {
        let key = TlsKey::generate()?;
        let certificate = self.certify_server(&key, names, addresses, validity)?;
        Ok(key.into_identity(certificate))
    }

    /// Issues a server certificate for a key that somebody holds.
    ///
    /// # Errors
    /// As [`TlsAuthority::server`].
    pub fn certify_server(
        &self,
        key: &TlsKey,
        names: &[String],
        addresses: &[IpAddr],
        validity: Validity,
    ) -> Result<CertificateDer<'static>, TlsError> {
        let count = names.len() + addresses.len();
        if count == 0 || count > MAX_SERVER_NAMES {
            return Err(TlsError::NameCount(count));
        }
        let mut params = params(SERVER_COMMON_NAME, validity)?;
        for name in names {
            let bad = || TlsError::Name(name.clone());
            DnsName::try_from(name.as_str()).map_err(|_| bad())?;
            let text = Ia5String::try_from(name.as_str()).map_err(|_| bad())?;
            params.subject_alt_names.push(SanType::DnsName(text));
        }
        let addresses = addresses.iter().map(|address| SanType::IpAddress(*address));
        params.subject_alt_names.extend(addresses);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.certify(key, params)
    }

    /// Issues a client certificate with a fresh key for an account or an operator.
    ///
    /// # Errors
    /// [`TlsError::Validity`] or [`TlsError::Certificate`].
    pub fn client(
        &self,
        subject: &TlsSubject,
        validity: Validity,
    ) -> Result<TlsIdentity, TlsError> {
        let key = TlsKey::generate()?;
        let certificate = self.certify_client(&key, subject, validity)?;
        Ok(key.into_identity(certificate))
    }

    /// Issues a client certificate for a key that somebody holds.
    ///
    /// # Errors
    /// As [`TlsAuthority::client`].
    pub fn certify_client(
        &self,
        key: &TlsKey,
        subject: &TlsSubject,
        validity: Validity,
    ) -> Result<CertificateDer<'static>, TlsError> {
        let mut params = params(&subject.common_name(), validity)?;
        let uri = Ia5String::try_from(subject.uri()).expect("our URIs are ASCII");
        params.subject_alt_names.push(SanType::URI(uri));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.certify(key, params)
    }

    fn certify(
        &self,
        key: &TlsKey,
        mut params: CertificateParams,
    ) -> Result<CertificateDer<'static>, TlsError> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        Ok(params.signed_by(key, &self.issuer)?.der().clone())
    }
}

impl std::fmt::Debug for TlsAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsAuthority(redacted)")
    }
}

/// A server's configuration that asks for no client certificate: TLS 1.3 and HTTP/1.1 only.
///
/// # Errors
/// [`TlsError::Rustls`] if chain and key do not fit.
pub fn server_config(identity: TlsIdentity) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)?;
    config.alpn_protocols = vec![ALPN_HTTP_1_1.to_vec()];
    // Said aloud: session secrets are written nowhere, whatever the environment says.
    config.key_log = Arc::new(NoKeyLog {});
    Ok(config)
}

/// A client's configuration that trusts these classical roots and nothing else: no system roots.
///
/// # Errors
/// [`TlsError::Rustls`] if a root cannot be read.
pub fn client_config(roots: &[CertificateDer<'static>]) -> Result<ClientConfig, TlsError> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone())?;
    }
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(store)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN_HTTP_1_1.to_vec()];
    config.key_log = Arc::new(NoKeyLog {});
    Ok(config)
}

/// aws-lc-rs by name: another crate's choice of a process-wide provider does not matter.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Parameters that every certificate here has: name, dates and a random serial number.
fn params(name: &str, validity: Validity) -> Result<CertificateParams, TlsError> {
    if validity.not_before.0 / 1000 >= validity.not_after.0 / 1000 {
        return Err(TlsError::Validity);
    }
    let mut params = CertificateParams::default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since_1970(validity.not_before)?;
    params.not_after = epoch + since_1970(validity.not_after)?;
    params.serial_number = Some(SerialNumber::from_slice(&serial()));
    params.distinguished_name = distinguished_name(name);
    Ok(params)
}

/// Full seconds since 1970, as far as a certificate can name them.
fn since_1970(at: Timestamp) -> Result<Duration, TlsError> {
    let seconds = at.0 / 1000;
    if seconds > LAST_SECOND {
        return Err(TlsError::Validity);
    }
    Ok(Duration::from_secs(seconds))
}

fn distinguished_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}
