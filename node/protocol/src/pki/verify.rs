//! Judges certificates of nodes and people against roots that are pinned to regions.
//!
//! One question, asked at admission (charter, enrol, submit, hello). In history a signature counts if
//! its key was active there; that is the ledger's matter, and it asks without revocation lists.

use serde::{Deserialize, Serialize};
use webpki::{KeyUsage, VerifiedPath};
use x509_cert::der::Encode;

use super::algorithms::{CERTIFICATE_ALGORITHMS, read_key_info};
use super::crl::{CertificateWarning, Crls, RevocationPolicy, Standing};
use super::forms::Role;
use super::path::Search;
use super::read::{self, CLIENT_USAGES, NODE_USAGES};
use super::refusal::CertificateRefusal;
use crate::amount::Timestamp;
use crate::crypto::{KemPublicKey, PublicKey};
use crate::ids::{AccountId, Digest};
use crate::region::{Region, RegionPrefix};

/// Largest certificate in bytes of DER: a Dilithium5 leaf with an NTRU key has about 9,000.
pub const MAX_CERTIFICATE_DER: usize = 16 * 1024;

/// Most intermediates that may come with a leaf: state, prefecture, municipality and one to spare.
pub const MAX_INTERMEDIATES: usize = 4;

/// Most roots that are trusted at once: two for each of Japan's 47 prefectures, and room.
pub const MAX_ROOTS: usize = 128;

/// A trusted root certificate and the part of the world for which it may speak.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// The certificate in DER.
    #[serde(with = "serde_bytes")]
    pub der: Vec<u8>,
    /// Certificates that it anchors are refused outside this prefix.
    pub prefix: RegionPrefix,
}

impl Root {
    /// Takes a root and checks everything but its dates: self-signed, a CA that may sign certificates,
    /// under an admitted algorithm. A path checks the same again, and the dates.
    ///
    /// # Errors
    /// A [`CertificateRefusal`].
    pub fn new(der: Vec<u8>, prefix: RegionPrefix) -> Result<Self, CertificateRefusal> {
        let certificate = read::decode(&der)?;
        read::check_issuer(&certificate, 0)?;
        let tbs = certificate.tbs_certificate();
        if tbs.issuer() != tbs.subject() || tbs.subject().is_empty() {
            return Err(CertificateRefusal::UnknownIssuer);
        }
        let key = read_key_info(tbs.subject_public_key_info())?;
        let signed = tbs.to_der().map_err(|_| CertificateRefusal::Malformed)?;
        let same_algorithm = *tbs.signature() == *certificate.signature_algorithm()
            && tbs.signature() == &tbs.subject_public_key_info().algorithm;
        let signature = certificate
            .signature()
            .as_bytes()
            .ok_or(CertificateRefusal::Malformed)?;
        if !same_algorithm {
            return Err(CertificateRefusal::Algorithm);
        }
        key.verify_raw(&signed, signature)
            .map_err(|_| CertificateRefusal::BadSignature)?;
        Ok(Self { der, prefix })
    }

    /// The key that it certifies itself with.
    ///
    /// # Errors
    /// A [`CertificateRefusal`] if this is no root: [`Root::new`] makes none such, deserialising might.
    pub fn key(&self) -> Result<PublicKey, CertificateRefusal> {
        read_key_info(
            read::decode(&self.der)?
                .tbs_certificate()
                .subject_public_key_info(),
        )
    }

    /// SHA-256 of the DER: how operators compare roots.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        fingerprint(&self.der)
    }
}

/// What a verified node certificate says: it binds ledger key, peer id, role and region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeCertificate {
    /// SHA-256 of the DER.
    pub fingerprint: Digest,
    /// The municipality (the common name).
    pub region: Region,
    /// The ledger key, which signs vertices.
    pub key: PublicKey,
    /// The key for sealing messages to the node, if it has one.
    pub kem: Option<KemPublicKey>,
    /// The libp2p peer id as text, of Ed25519 form.
    pub peer_id: String,
    /// Home or terminal.
    pub role: Role,
    /// First moment of validity.
    pub not_before: Timestamp,
    /// Last second of validity.
    pub not_after: Timestamp,
}

/// What a verified client certificate says: it binds an account to its keys.
///
/// Whether the account's id comes from this key is the ledger's question: after a rotation it does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// SHA-256 of the DER.
    pub fingerprint: Digest,
    /// The account (the common name).
    pub account: AccountId,
    /// The person's signing key.
    pub key: PublicKey,
    /// The person's key for sealing, if there is one.
    pub kem: Option<KemPublicKey>,
    /// First moment of validity.
    pub not_before: Timestamp,
    /// Last second of validity.
    pub not_after: Timestamp,
}

/// A certificate that is admitted, what has to be said about it, and for how long that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted<T> {
    /// What it says.
    pub certificate: T,
    /// In ascending order, each at most once.
    pub warnings: Vec<CertificateWarning>,
    /// The last moment of this verdict under the same roots and lists: the first notAfter of the path, or
    /// the end of a list's grace. A list may turn stale before.
    pub valid_until: Timestamp,
}

/// SHA-256 of a certificate's DER.
#[must_use]
pub fn fingerprint(der: &[u8]) -> Digest {
    Digest::of(&[der])
}

/// The key that a certificate names. Nothing else of it is judged: for a certificate whose path was verified before.
///
/// # Errors
/// A [`CertificateRefusal`] of its form.
pub fn certified_key(der: &[u8]) -> Result<PublicKey, CertificateRefusal> {
    read_key_info(
        read::decode(der)?
            .tbs_certificate()
            .subject_public_key_info(),
    )
}

/// Which municipality and role a node certificate names. Nothing else of it is judged: for a certificate whose path was verified
/// before.
///
/// # Errors
/// A [`CertificateRefusal`] of its form.
pub fn certified_node(der: &[u8]) -> Result<(Region, Role), CertificateRefusal> {
    let read = read::leaf(&read::decode(der)?, NODE_USAGES)?;
    let region = read.common_name.parse();
    let (_, role) = read.node.ok_or(CertificateRefusal::AlternativeName)?;
    Ok((region.map_err(|_| CertificateRefusal::Name)?, role))
}

/// Judges a node certificate at a moment; `intermediates` in any order, without the root.
///
/// What `crls` list is refused; see [`RevocationPolicy::ADMISSION`] for lists that are stale or missing.
///
/// # Errors
/// The [`CertificateRefusal`] of the path that came furthest.
pub fn verify_node(
    roots: &[Root],
    leaf: &[u8],
    intermediates: &[Vec<u8>],
    crls: &Crls,
    at: Timestamp,
) -> Result<Admitted<NodeCertificate>, CertificateRefusal> {
    let read = read::leaf(&read::decode(leaf)?, NODE_USAGES)?;
    let region: Region = read
        .common_name
        .parse()
        .map_err(|_| CertificateRefusal::Name)?;
    let (peer_id, role) = read.node.ok_or(CertificateRefusal::AlternativeName)?;
    let standing = admit(roots, leaf, intermediates, crls, at, &region)?;
    let certificate = NodeCertificate {
        fingerprint: fingerprint(leaf),
        region,
        key: read.key,
        kem: read.kem,
        peer_id,
        role,
        not_before: read.not_before,
        not_after: read.not_after,
    };
    Ok(standing.admit(certificate))
}

/// Judges a person's certificate at a moment; `region` is that of the account's home, and the root's
/// prefix must cover it. Lists count as in [`verify_node`].
///
/// # Errors
/// The [`CertificateRefusal`] of the path that came furthest.
pub fn verify_client(
    roots: &[Root],
    leaf: &[u8],
    intermediates: &[Vec<u8>],
    crls: &Crls,
    at: Timestamp,
    region: &Region,
) -> Result<Admitted<ClientCertificate>, CertificateRefusal> {
    let read = read::leaf(&read::decode(leaf)?, CLIENT_USAGES)?;
    let account = read
        .common_name
        .parse()
        .map_err(|_| CertificateRefusal::Name)?;
    if read.node.is_some() {
        return Err(CertificateRefusal::AlternativeName);
    }
    let standing = admit(roots, leaf, intermediates, crls, at, region)?;
    let certificate = ClientCertificate {
        fingerprint: fingerprint(leaf),
        account,
        key: read.key,
        kem: read.kem,
        not_before: read.not_before,
        not_after: read.not_after,
    };
    Ok(standing.admit(certificate))
}

/// What holds of a whole path.
struct Judged {
    warnings: Vec<CertificateWarning>,
    valid_until: Timestamp,
}

impl Judged {
    fn admit<T>(self, certificate: T) -> Admitted<T> {
        Admitted {
            certificate,
            warnings: self.warnings,
            valid_until: self.valid_until,
        }
    }
}

/// Finds a path from the leaf to a root that may speak for the region, every step of it in order.
fn admit(
    roots: &[Root],
    leaf: &[u8],
    intermediates: &[Vec<u8>],
    crls: &Crls,
    at: Timestamp,
    region: &Region,
) -> Result<Judged, CertificateRefusal> {
    if roots.len() > MAX_ROOTS || intermediates.len() > MAX_INTERMEDIATES {
        return Err(CertificateRefusal::TooLarge);
    }
    for intermediate in intermediates {
        read::decode(intermediate)?;
    }
    let search = Search {
        algorithms: CERTIFICATE_ALGORITHMS,
        roots: &roots
            .iter()
            .map(|root| root.der.as_slice())
            .collect::<Vec<_>>(),
        intermediates,
        leaf,
        at,
    };
    search.find(KeyUsage::client_auth(), |path, root| {
        check_path(path, &roots[root], crls, at, region)
    })
}

/// Checks over a path that webpki has verified what webpki does not look at.
fn check_path(
    path: &VerifiedPath<'_>,
    root: &Root,
    crls: &Crls,
    at: Timestamp,
    region: &Region,
) -> Result<Judged, CertificateRefusal> {
    let valid_until = check_issuers(path, &root.der, at)?;
    if !root.prefix.covers(region) {
        return Err(CertificateRefusal::Region);
    }
    let policy = RevocationPolicy::ADMISSION;
    let Standing {
        warnings,
        valid_until: lists_until,
    } = crls.judge_below(
        read::signs_lists(&read::decode(&root.der)?)?,
        CERTIFICATE_ALGORITHMS,
        path,
        at,
        policy,
    )?;
    Ok(Judged {
        warnings,
        valid_until: valid_until.min(lists_until.unwrap_or(Timestamp(u64::MAX))),
    })
}

/// Checks the issuers of a path that webpki has verified, and the root's dates; gives the first notAfter of all.
pub(super) fn check_issuers(
    path: &VerifiedPath<'_>,
    root: &[u8],
    at: Timestamp,
) -> Result<Timestamp, CertificateRefusal> {
    let leaf = read::decode(&path.end_entity().der())?;
    let mut valid_until = read::not_after(&leaf)?;
    let mut below = 0;
    for intermediate in path.intermediate_certificates() {
        let intermediate = read::decode(&intermediate.der())?;
        read::check_issuer(&intermediate, below)?;
        valid_until = valid_until.min(read::not_after(&intermediate)?);
        below += 1;
    }
    let anchor = read::decode(root)?;
    read::check_dates(&anchor, at)?;
    read::check_issuer(&anchor, below)?;
    Ok(valid_until.min(read::not_after(&anchor)?))
}
