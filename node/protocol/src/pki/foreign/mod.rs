//! Judges paths of certificates that other systems issued: RFC 5280 with today's algorithms, classical and
//! post-quantum. Nothing of it admits anybody to this network: that is `verify_node` and `verify_client`.

mod algorithms;
mod profile;

use std::net::IpAddr;

use rustls_pki_types::{CertificateDer, ServerName};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};
use x509_cert::Certificate;
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, SubjectAltName};

use self::profile::Position;
use super::crl::{Crls, RevocationPolicy};
use super::path::{AnyUsage, Search};
use super::read::{check_dates, extension, not_after, signs_lists};
use super::refusal::CertificateRefusal;
use super::verify::Admitted;
use crate::amount::Timestamp;

/// Largest certificate in bytes of DER: what webpki reads.
pub const MAX_FOREIGN_DER: usize = 64 * 1024;

/// Most certificates beside a leaf: a bundle of the roots of all browsers has some 150.
pub const MAX_FOREIGN_CERTIFICATES: usize = 512;

/// What a leaf is to be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// A TLS client (id-kp-clientAuth).
    Client,
    /// A TLS server (id-kp-serverAuth).
    Server,
}

/// A path to judge.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Trusted certificates in DER.
    pub roots: &'a [Vec<u8>],
    /// Others that may stand between, in any order.
    pub intermediates: &'a [Vec<u8>],
    /// The certificate in DER.
    pub leaf: &'a [u8],
    /// Revocation lists.
    pub crls: &'a Crls,
    /// What is asked of them.
    pub revocation: RevocationPolicy,
    /// When.
    pub at: Timestamp,
    /// For what; without it, the path alone is judged.
    pub usage: Option<Usage>,
    /// A host name, IP address or mailbox that the leaf must be for.
    pub name: Option<&'a str>,
}

/// Judges a path; the certificate is the leaf, read.
///
/// A leaf that is itself one of the roots is a path of length zero, if no usage is asked for: its dates,
/// content and own signature are checked.
///
/// # Errors
/// The [`CertificateRefusal`] of the path that came furthest.
pub fn verify(question: &Question<'_>) -> Result<Admitted<Certificate>, CertificateRefusal> {
    let Question {
        roots,
        intermediates,
        ..
    } = question;
    let many = roots.len() + intermediates.len() > MAX_FOREIGN_CERTIFICATES;
    let mut ders = roots.iter().chain(*intermediates).map(Vec::as_slice);
    if many || ders.any(|der| der.len() > MAX_FOREIGN_DER) {
        return Err(CertificateRefusal::TooLarge);
    }
    let leaf = decode(question.leaf)?;
    let known_root = roots.iter().any(|root| root == question.leaf);
    let admitted = if known_root && question.usage.is_none() {
        trusted_itself(question, leaf)
    } else {
        below_a_root(question, leaf)
    }?;
    if let Some(name) = question.name {
        check_name(question.leaf, &admitted.certificate, name)?;
    }
    Ok(admitted)
}

fn below_a_root(
    question: &Question<'_>,
    leaf: Certificate,
) -> Result<Admitted<Certificate>, CertificateRefusal> {
    let roots: Vec<_> = question.roots.iter().map(Vec::as_slice).collect();
    let algorithms = algorithms::all();
    let search = Search {
        algorithms: &algorithms,
        roots: &roots,
        intermediates: question.intermediates,
        leaf: question.leaf,
        at: question.at,
    };
    let judge = |path: &VerifiedPath<'_>, root: usize| {
        profile::check(&leaf, Position::Leaf(question.usage))?;
        let mut valid_until = not_after(&leaf)?;
        for intermediate in path.intermediate_certificates() {
            let intermediate = decode(&intermediate.der())?;
            profile::check(&intermediate, Position::Intermediate)?;
            valid_until = valid_until.min(not_after(&intermediate)?);
        }
        let root = decode(roots[root])?;
        check_root(&root, question.at)?;
        check_length(&root, path)?;
        let standing = question.crls.judge_below(
            signs_lists(&root)?,
            &algorithms,
            path,
            question.at,
            question.revocation,
        )?;
        let lists_until = standing.valid_until.unwrap_or(Timestamp(u64::MAX));
        Ok(Admitted {
            certificate: leaf.clone(),
            warnings: standing.warnings,
            valid_until: valid_until.min(not_after(&root)?).min(lists_until),
        })
    };
    match question.usage {
        None => search.find(AnyUsage, judge),
        Some(Usage::Client) => search.find(KeyUsage::client_auth(), judge),
        Some(Usage::Server) => search.find(KeyUsage::server_auth(), judge),
    }
}

/// A root that is asked about itself: no list of anybody can revoke it.
fn trusted_itself(
    question: &Question<'_>,
    root: Certificate,
) -> Result<Admitted<Certificate>, CertificateRefusal> {
    check_root(&root, question.at)?;
    let der = CertificateDer::from(question.leaf);
    let read = EndEntityCert::try_from(&der)?;
    let tbs = root.tbs_certificate();
    let malformed = |_| CertificateRefusal::Malformed;
    let signed = raw(question.leaf)?
        .tbs_certificate()
        .to_der()
        .map_err(malformed)?;
    let identifier = tbs.signature().to_der().map_err(malformed)?;
    let signature = root
        .signature()
        .as_bytes()
        .ok_or(CertificateRefusal::Malformed)?;
    if tbs.issuer() != tbs.subject() {
        return Err(CertificateRefusal::UnknownIssuer);
    }
    let mut refused = CertificateRefusal::Algorithm;
    for algorithm in algorithms::all() {
        // The identifier's content stands behind its tag and length.
        if !identifier.ends_with(algorithm.signature_alg_id().as_ref()) {
            continue;
        }
        match read.verify_signature(algorithm, &signed, signature) {
            Ok(()) => {
                return Ok(Admitted {
                    valid_until: not_after(&root)?,
                    certificate: root,
                    warnings: Vec::new(),
                });
            }
            Err(webpki::Error::InvalidSignatureForPublicKey) => {
                refused = CertificateRefusal::BadSignature;
            }
            Err(_) => {}
        }
    }
    Err(refused)
}

fn check_root(root: &Certificate, at: Timestamp) -> Result<(), CertificateRefusal> {
    check_dates(root, at)?;
    let (_, basic) = extension::<BasicConstraints>(root)?.ok_or(CertificateRefusal::NotCa)?;
    if !basic.ca {
        return Err(CertificateRefusal::NotCa);
    }
    profile::check(root, Position::Root)
}

/// The root's pathLen, which webpki does not look at; self-issued intermediates do not count (section
/// 6.1.4 (l)).
fn check_length(root: &Certificate, path: &VerifiedPath<'_>) -> Result<(), CertificateRefusal> {
    let below = path.intermediate_certificates();
    let below = below.filter(|one| one.issuer() != one.subject()).count();
    let basic = extension::<BasicConstraints>(root)?;
    let most = basic.and_then(|(_, basic)| basic.path_len_constraint);
    if most.is_some_and(|most| below > usize::from(most)) {
        return Err(CertificateRefusal::PathLen);
    }
    Ok(())
}

/// Reads a certificate that is spelled exactly as x509-cert would spell it, so that two readers cannot
/// differ.
fn decode(der: &[u8]) -> Result<Certificate, CertificateRefusal> {
    if der.len() > MAX_FOREIGN_DER {
        return Err(CertificateRefusal::TooLarge);
    }
    let malformed = |_| CertificateRefusal::Malformed;
    if raw(der)?.to_der().map_err(malformed)? != der {
        return Err(CertificateRefusal::Malformed);
    }
    Certificate::from_der(der).map_err(malformed)
}

/// Reads a certificate without x509-cert's own profile, which would write its dates over: before 2050 they
/// are to be UTCTime, but whoever reads must take both (section 4.1.2.5).
fn raw(der: &[u8]) -> Result<CertificateInner<Raw>, CertificateRefusal> {
    CertificateInner::from_der(der).map_err(|_| CertificateRefusal::Malformed)
}

/// Names stand in the alternative names only (RFC 9525); mailboxes are compared octet by octet, but for
/// the case of their host.
fn check_name(der: &[u8], leaf: &Certificate, name: &str) -> Result<(), CertificateRefusal> {
    if let Some((local, host)) = name.split_once('@') {
        let names = extension::<SubjectAltName>(leaf)?.map(|(_, names)| names.0);
        let same = |other: &GeneralName| match other {
            GeneralName::Rfc822Name(other) => {
                let other = other.as_str().split_once('@');
                other.is_some_and(|(l, h)| l == local && h.eq_ignore_ascii_case(host))
            }
            _ => false,
        };
        return if names.iter().flatten().any(same) {
            Ok(())
        } else {
            Err(CertificateRefusal::NameMismatch)
        };
    }
    let name = match name.parse::<IpAddr>() {
        Ok(address) => ServerName::IpAddress(address.into()),
        Err(_) => ServerName::try_from(name).map_err(|_| CertificateRefusal::NameMismatch)?,
    };
    let der = CertificateDer::from(der);
    let read = EndEntityCert::try_from(&der)?;
    read.verify_is_valid_for_subject_name(&name)
        .map_err(|_| CertificateRefusal::NameMismatch)
}
