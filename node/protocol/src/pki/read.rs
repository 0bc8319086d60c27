//! Reads single certificates with x509-cert: the one spelling of their DER, and what their fields and
//! extensions allow. Trusts nothing: a value read here means something only after `verify`.

use std::time::Duration;

use x509_cert::Certificate;
use x509_cert::certificate::Version;
use x509_cert::der::oid::db::rfc5280::{ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH};
use x509_cert::der::oid::{AssociatedOid, ObjectIdentifier};
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{
    BasicConstraints, ExtendedKeyUsage, KeyUsage, NameConstraints, SubjectAltName,
};

use super::algorithms::read_key_info;
use super::forms::{KEM_KEY_OID, Role, read_common_name, read_kem_extension, read_node_names};
use super::refusal::CertificateRefusal;
use super::verify::MAX_CERTIFICATE_DER;
use crate::amount::Timestamp;
use crate::crypto::{KemPublicKey, PublicKey};

/// Longest serial number in octets (RFC 5280 section 4.1.2.2).
const MAX_SERIAL: usize = 20;

/// Most extensions of one certificate: the project's forms have at most seven.
pub(super) const MAX_EXTENSIONS: usize = 32;

/// What a leaf is for: the extended key usages it must name.
pub(super) const NODE_USAGES: &[ObjectIdentifier] = &[ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH];
/// The extended key usages of a person's certificate.
pub(super) const CLIENT_USAGES: &[ObjectIdentifier] = &[ID_KP_CLIENT_AUTH];

/// Critical extensions that are processed on issuers: here, or by webpki (name constraints).
const ISSUER_CRITICAL: &[ObjectIdentifier] =
    &[BasicConstraints::OID, KeyUsage::OID, NameConstraints::OID];

/// Decodes a certificate that is v3, has a positive serial number, repeats no extension (RFC 5280
/// section 4.2) and is spelled exactly as x509-cert would spell it, so that two readers cannot differ.
pub(super) fn decode(der: &[u8]) -> Result<Certificate, CertificateRefusal> {
    if der.len() > MAX_CERTIFICATE_DER {
        return Err(CertificateRefusal::TooLarge);
    }
    let malformed = |_| CertificateRefusal::Malformed;
    let certificate = Certificate::from_der(der).map_err(malformed)?;
    let tbs = certificate.tbs_certificate();
    let serial = tbs.serial_number().as_bytes();
    let positive = serial.len() <= MAX_SERIAL
        && serial.first().is_some_and(|first| first & 0x80 == 0)
        && serial.iter().any(|byte| *byte != 0);
    let extensions = extensions(&certificate);
    if extensions.len() > MAX_EXTENSIONS {
        return Err(CertificateRefusal::TooLarge);
    }
    let repeats = extensions
        .iter()
        .enumerate()
        .any(|(n, one)| extensions[..n].iter().any(|e| e.extn_id == one.extn_id));
    let one_spelling = certificate.to_der().map_err(malformed)? == der;
    if tbs.version() == Version::V3 && positive && !repeats && one_spelling {
        Ok(certificate)
    } else {
        Err(CertificateRefusal::Malformed)
    }
}

/// What a node's or a person's certificate claims.
pub(super) struct Leaf {
    pub(super) common_name: String,
    pub(super) key: PublicKey,
    pub(super) kem: Option<KemPublicKey>,
    /// Present if and only if there are alternative names.
    pub(super) node: Option<(String, Role)>,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

/// Reads a leaf: digitalSignature and no CA's usage, the extended usages, one common name, our keys.
pub(super) fn leaf(
    certificate: &Certificate,
    usages: &[ObjectIdentifier],
) -> Result<Leaf, CertificateRefusal> {
    let basic = extension::<BasicConstraints>(certificate)?;
    if basic.is_some_and(|(_, basic)| basic.ca) {
        return Err(CertificateRefusal::IsCa);
    }
    let usage = key_usage(certificate)?;
    if !usage.digital_signature() || usage.key_cert_sign() || usage.crl_sign() {
        return Err(CertificateRefusal::KeyUsage);
    }
    let (_, extended) =
        extension::<ExtendedKeyUsage>(certificate)?.ok_or(CertificateRefusal::KeyUsage)?;
    if !usages.iter().all(|wanted| extended.0.contains(wanted)) {
        return Err(CertificateRefusal::KeyUsage);
    }
    let tbs = certificate.tbs_certificate();
    let kem = extensions(certificate)
        .iter()
        .find(|extension| extension.extn_id == KEM_KEY_OID)
        .map(read_kem_extension)
        .transpose()?;
    let node = extension::<SubjectAltName>(certificate)?
        .map(|(_, names)| read_node_names(&names))
        .transpose()?;
    let validity = tbs.validity();
    Ok(Leaf {
        common_name: read_common_name(tbs.subject())?,
        key: read_key_info(tbs.subject_public_key_info())?,
        kem,
        node,
        not_before: timestamp(validity.not_before.to_unix_duration())?,
        not_after: timestamp(validity.not_after.to_unix_duration())?,
    })
}

/// Checks an issuer with `below` intermediates between it and the leaf: cA, keyCertSign, pathLen
/// (RFC 5280 section 6.1.4 (k) to (n)) and that every critical extension is processed.
pub(super) fn check_issuer(
    certificate: &Certificate,
    below: usize,
) -> Result<(), CertificateRefusal> {
    let (_, basic) =
        extension::<BasicConstraints>(certificate)?.ok_or(CertificateRefusal::NotCa)?;
    if !basic.ca {
        return Err(CertificateRefusal::NotCa);
    }
    if basic
        .path_len_constraint
        .is_some_and(|most| below > usize::from(most))
    {
        return Err(CertificateRefusal::PathLen);
    }
    if !key_usage(certificate)?.key_cert_sign() {
        return Err(CertificateRefusal::KeyUsage);
    }
    let unknown =
        |extension: &Extension| extension.critical && !ISSUER_CRITICAL.contains(&extension.extn_id);
    if extensions(certificate).iter().any(unknown) {
        return Err(CertificateRefusal::CriticalExtension);
    }
    Ok(())
}

/// Whether a certificate's key may sign lists: a keyUsage, where there is one, must say so (RFC 5280 section
/// 6.3.3 (f)).
pub(super) fn signs_lists(certificate: &Certificate) -> Result<bool, CertificateRefusal> {
    let usage = extension::<KeyUsage>(certificate)?;
    Ok(usage.is_none_or(|(_, usage)| usage.crl_sign()))
}

/// Checks the dates at full seconds, both ends included (RFC 5280 section 4.1.2.5).
pub(super) fn check_dates(
    certificate: &Certificate,
    at: Timestamp,
) -> Result<(), CertificateRefusal> {
    let validity = certificate.tbs_certificate().validity();
    let at = Duration::from_secs(at.0 / 1000);
    if at < validity.not_before.to_unix_duration() {
        return Err(CertificateRefusal::NotYetValid);
    }
    if at > validity.not_after.to_unix_duration() {
        return Err(CertificateRefusal::Expired);
    }
    Ok(())
}

/// The last second of a certificate's validity.
pub(super) fn not_after(certificate: &Certificate) -> Result<Timestamp, CertificateRefusal> {
    timestamp(
        certificate
            .tbs_certificate()
            .validity()
            .not_after
            .to_unix_duration(),
    )
}

pub(super) fn extensions(certificate: &Certificate) -> &[Extension] {
    certificate
        .tbs_certificate()
        .extensions()
        .map_or(&[], Vec::as_slice)
}

pub(super) fn extension<'a, T: Decode<'a> + AssociatedOid>(
    certificate: &'a Certificate,
) -> Result<Option<(bool, T)>, CertificateRefusal> {
    certificate
        .tbs_certificate()
        .get_extension::<T>()
        .map_err(|_| CertificateRefusal::Malformed)
}

fn key_usage(certificate: &Certificate) -> Result<KeyUsage, CertificateRefusal> {
    extension::<KeyUsage>(certificate)?
        .map(|(_, usage)| usage)
        .ok_or(CertificateRefusal::KeyUsage)
}

fn timestamp(since_epoch: Duration) -> Result<Timestamp, CertificateRefusal> {
    u64::try_from(since_epoch.as_millis())
        .map(Timestamp)
        .map_err(|_| CertificateRefusal::Malformed)
}
