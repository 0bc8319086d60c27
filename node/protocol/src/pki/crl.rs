//! Certificate revocation lists: read within limits, and asked about one path that is verified already.
//!
//! rustls-webpki checks signatures and serial numbers; here is decided for which certificates of the path a
//! list speaks, and what one says that is stale, that another CA signed, or that is not there (RFC 5280
//! sections 5 and 6.3). History needs no list: it asks with [`Crls::none`].

use std::cmp::{Ordering, Reverse};
use std::time::Duration;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{
    CertificateDer, CertificateRevocationListDer, SignatureVerificationAlgorithm, UnixTime,
};
use webpki::{
    BorrowedCertRevocationList, CertRevocationList, Error, RevocationCheckDepth,
    RevocationOptionsBuilder, UnknownStatusPolicy, VerifiedPath,
};
use x509_cert::Certificate;
use x509_cert::certificate::Rfc5280;
use x509_cert::crl::CertificateList;
use x509_cert::der::Decode;
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::oid::db::rfc5280::ID_CE_ISSUING_DISTRIBUTION_POINT;
use x509_cert::ext::pkix::crl::dp::IssuingDistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, CrlDistributionPoints, CrlNumber};
use x509_cert::time::Time;

use super::path::AnyUsage;
use super::refusal::CertificateRefusal;
use crate::amount::Timestamp;
use crate::ids::Digest;

/// Largest list in bytes of DER: [`MAX_CRL_ENTRIES`] with a reason and 20-octet serial numbers each.
pub const MAX_CRL_DER: usize = 4 * 1024 * 1024;

/// Most certificates on one list: a prefecture of a million people in which one in twenty lost a key.
pub const MAX_CRL_ENTRIES: usize = 50_000;

/// Most lists at once: two for each of the trusted roots, and as many for intermediates.
pub const MAX_CRLS: usize = 512;

/// Most bytes of all lists together: what a small box can hold twice while they are exchanged.
pub const MAX_CRLS_BYTES: usize = 32 * 1024 * 1024;

/// How long a list is used past its nextUpdate in milliseconds: 45 days, for a municipality whose CA is
/// out of reach after a disaster.
pub const CRL_GRACE_MS: u64 = 45 * 24 * 60 * 60 * 1000;

/// Why a list was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum CrlRefusal {
    /// Not DER of an X.509 v2 list with a nextUpdate (RFC 5280 section 5.1).
    #[error("not a DER-encoded X.509 v2 certificate revocation list with a nextUpdate")]
    Malformed,
    /// More bytes, entries or lists than the limits.
    #[error("the revocation list or their number is larger than the limit")]
    TooLarge,
    /// A delta, indirect or partial list, or a critical extension that is not processed.
    #[error("a delta, indirect or partial revocation list, or one with an unknown critical part")]
    Unsupported,
}

impl CrlRefusal {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "crl-malformed",
            Self::TooLarge => "crl-too-large",
            Self::Unsupported => "crl-unsupported",
        }
    }
}

impl From<Error> for CrlRefusal {
    fn from(error: Error) -> Self {
        match error {
            Error::UnsupportedCriticalExtension
            | Error::UnsupportedCrlIssuingDistributionPoint
            | Error::UnsupportedDeltaCrl
            | Error::UnsupportedIndirectCrl
            | Error::UnsupportedRevocationReason
            | Error::UnsupportedRevocationReasonsPartitioning => Self::Unsupported,
            _ => Self::Malformed,
        }
    }
}

/// What an admitted certificate has to be said about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CertificateWarning {
    /// For a certificate of the path there is no list of its issuer.
    CrlNone,
    /// A list is past its nextUpdate, and within the grace.
    CrlStale,
}

impl CertificateWarning {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::CrlNone => "crl-none",
            Self::CrlStale => "crl-stale",
        }
    }
}

/// One list, read and not yet believed: its signature is checked when a path meets its issuer.
#[derive(Debug)]
pub struct Crl {
    list: CertRevocationList<'static>,
    this_update: Timestamp,
    next_update: Timestamp,
    number: Option<Vec<u8>>,
    /// Which certificates it is about; all of its issuer's without it.
    scope: Option<IssuingDistributionPoint>,
    entries: usize,
    size: usize,
    fingerprint: Digest,
    issuer_name: String,
    series: Digest,
}

impl Crl {
    /// Reads a list in DER.
    ///
    /// # Errors
    /// A [`CrlRefusal`].
    pub fn read(der: &[u8]) -> Result<Self, CrlRefusal> {
        if der.len() > MAX_CRL_DER {
            return Err(CrlRefusal::TooLarge);
        }
        let borrowed = BorrowedCertRevocationList::from_der(der)?;
        let entries = borrowed.into_iter().take(MAX_CRL_ENTRIES + 1).count();
        if entries > MAX_CRL_ENTRIES {
            return Err(CrlRefusal::TooLarge);
        }
        let list = borrowed.to_owned()?;
        let malformed = |_| CrlRefusal::Malformed;
        let read = CertificateList::<Rfc5280>::from_der(der).map_err(malformed)?;
        let tbs = read.tbs_cert_list;
        let (mut number, mut scope) = (None, None);
        // What tells series apart: the issuer's name and key, and what the list is about.
        let [mut key_part, mut scope_part] = [&[][..]; 2];
        for extension in tbs.crl_extensions.iter().flatten() {
            // RFC 5280 sections 5.2.1 and 5.2.3: neither may be critical.
            let never_critical = [CrlNumber::OID, AuthorityKeyIdentifier::OID];
            if extension.critical && never_critical.contains(&extension.extn_id) {
                return Err(CrlRefusal::Malformed);
            }
            if extension.extn_id == AuthorityKeyIdentifier::OID {
                key_part = extension.extn_value.as_bytes();
            }
            if extension.extn_id == CrlNumber::OID {
                let value = CrlNumber::from_der(extension.extn_value.as_bytes());
                number = Some(value.map_err(malformed)?.0.as_bytes().to_vec());
            }
            // x509-cert has the wrong OID for this type.
            if extension.extn_id == ID_CE_ISSUING_DISTRIBUTION_POINT {
                let value = IssuingDistributionPoint::from_der(extension.extn_value.as_bytes());
                scope = Some(value.map_err(malformed)?);
                scope_part = extension.extn_value.as_bytes();
            }
        }
        let list = CertRevocationList::from(list);
        let parts = [list.issuer(), key_part, scope_part];
        let lengths = parts.map(|part| (part.len() as u64).to_be_bytes());
        let series = Digest::of(&[&lengths.concat(), &parts.concat()]);
        Ok(Self {
            list,
            this_update: timestamp(tbs.this_update)?,
            next_update: timestamp(tbs.next_update.ok_or(CrlRefusal::Malformed)?)?,
            number,
            scope,
            entries,
            size: der.len(),
            fingerprint: Digest::of(&[der]),
            issuer_name: tbs.issuer.to_string(),
            series,
        })
    }

    /// Reads every `X509 CRL` section of a PEM text; other sections are passed over.
    ///
    /// # Errors
    /// A [`CrlRefusal`] for text that is not PEM, and of the first list that is refused.
    pub fn read_pem(pem: &[u8]) -> Result<Vec<Self>, CrlRefusal> {
        CertificateRevocationListDer::pem_slice_iter(pem)
            .map(|der| Self::read(&der.map_err(|_| CrlRefusal::Malformed)?))
            .collect()
    }

    /// When it was issued.
    #[must_use]
    pub const fn this_update(&self) -> Timestamp {
        self.this_update
    }

    /// By when the next list comes.
    #[must_use]
    pub const fn next_update(&self) -> Timestamp {
        self.next_update
    }

    /// The list's number, big-endian, if it has one.
    #[must_use]
    pub fn number(&self) -> Option<&[u8]> {
        self.number.as_deref()
    }

    /// The issuer's name in words (RFC 4514).
    #[must_use]
    pub fn issuer_name(&self) -> &str {
        &self.issuer_name
    }

    /// What the lists that follow each other have in common: SHA-256 over the issuer's name, its key as the
    /// list names it, and what the list is about.
    #[must_use]
    pub const fn series(&self) -> Digest {
        self.series
    }

    /// How new it is beside another list of its series: by number, as far as both have one, and then by date.
    #[must_use]
    pub fn compare_age(&self, other: &Self) -> Ordering {
        fn value(list: &Crl) -> Option<(usize, &[u8])> {
            let number = list.number.as_deref()?;
            let digits = number.iter().position(|byte| *byte != 0);
            let digits = &number[digits.unwrap_or(number.len())..];
            Some((digits.len(), digits))
        }
        let numbers = match (value(self), value(other)) {
            (Some(own), Some(others)) => own.cmp(&others),
            _ => Ordering::Equal,
        };
        numbers.then(self.this_update.cmp(&other.this_update))
    }

    /// How many certificates it lists.
    #[must_use]
    pub const fn entries(&self) -> usize {
        self.entries
    }

    /// SHA-256 of the DER.
    #[must_use]
    pub const fn fingerprint(&self) -> Digest {
        self.fingerprint
    }

    /// The content of the issuer's name in DER, without its tag.
    #[must_use]
    pub fn issuer(&self) -> &[u8] {
        self.list.issuer()
    }

    /// Whether the list names the serial number (big-endian, as DER has it); not whether it may.
    #[must_use]
    pub fn lists(&self, serial: &[u8]) -> bool {
        matches!(self.list.find_serial(serial), Ok(Some(_)))
    }
}

fn timestamp(time: Time) -> Result<Timestamp, CrlRefusal> {
    u64::try_from(time.to_unix_duration().as_millis())
        .map(Timestamp)
        .map_err(|_| CrlRefusal::Malformed)
}

/// The lists that are known where a certificate is judged.
#[derive(Debug, Default)]
pub struct Crls {
    /// The newest first.
    lists: Vec<Crl>,
}

/// What is asked of lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevocationPolicy {
    /// For how many milliseconds past its nextUpdate a list is still used.
    pub grace_ms: u64,
    /// What becomes of a certificate of the path for which no list can be used.
    pub unknown: UnknownStatus,
}

/// What becomes of a certificate for which no list can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownStatus {
    /// Admitted with [`CertificateWarning::CrlNone`].
    Warn,
    /// Refused if there are lists at all, else admitted with the warning.
    RefuseIfLists,
    /// Refused.
    Refuse,
}

impl RevocationPolicy {
    /// How this network admits nodes and people.
    pub const ADMISSION: Self = Self {
        grace_ms: CRL_GRACE_MS,
        unknown: UnknownStatus::Warn,
    };

    /// As RFC 5280 section 6.3 has it, wherever there are lists.
    pub const STRICT: Self = Self {
        grace_ms: 0,
        unknown: UnknownStatus::RefuseIfLists,
    };
}

/// What lists say about a path that is not refused.
#[derive(Debug, PartialEq, Eq)]
pub struct Standing {
    /// In ascending order.
    pub warnings: Vec<CertificateWarning>,
    /// Until when the lists that were used can be, with their grace.
    pub valid_until: Option<Timestamp>,
}

impl Crls {
    /// No list at all.
    #[must_use]
    pub const fn none() -> Self {
        Self { lists: Vec::new() }
    }

    /// Takes lists; of the same list said twice one is kept.
    ///
    /// # Errors
    /// [`CrlRefusal::TooLarge`] beyond [`MAX_CRLS`] or [`MAX_CRLS_BYTES`].
    pub fn new(mut lists: Vec<Crl>) -> Result<Self, CrlRefusal> {
        lists.sort_by_key(|crl| (Reverse(crl.this_update), crl.fingerprint.0));
        lists.dedup_by_key(|crl| crl.fingerprint);
        let size: usize = lists.iter().map(|crl| crl.size).sum();
        if lists.len() > MAX_CRLS || size > MAX_CRLS_BYTES {
            return Err(CrlRefusal::TooLarge);
        }
        Ok(Self { lists })
    }

    /// These with others, the newest of them first, as far as the limits allow; and how many were left out.
    #[must_use]
    pub fn joined(self, mut others: Vec<Crl>) -> (Self, usize) {
        let Self { mut lists } = self;
        let mut size: usize = lists.iter().map(|crl| crl.size).sum();
        others.sort_by_key(|crl| (Reverse(crl.this_update), crl.fingerprint.0));
        let mut left_out = 0;
        for crl in others {
            if lists
                .iter()
                .any(|known| known.fingerprint == crl.fingerprint)
            {
                continue;
            }
            if lists.len() < MAX_CRLS && size + crl.size <= MAX_CRLS_BYTES {
                size += crl.size;
                lists.push(crl);
            } else {
                left_out += 1;
            }
        }
        lists.sort_by_key(|crl| (Reverse(crl.this_update), crl.fingerprint.0));
        (Self { lists }, left_out)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// The lists, the newest first.
    pub fn iter(&self) -> impl Iterator<Item = &Crl> {
        self.lists.iter()
    }

    /// Judges a path that is verified but for revocation; `anchor_signs` says whether the anchor's keyUsage
    /// lets it sign lists (RFC 5280 section 6.3.3 (f)), which webpki's anchors do not tell.
    ///
    /// Each list is asked alone first, so that one which another CA signed under the same name, or which is
    /// not about a certificate of the path, has no effect; a certificate that any of the others lists is
    /// revoked, however old that list is.
    ///
    /// # Errors
    /// [`CertificateRefusal::Revoked`], and those of lists that cannot be used.
    pub fn judge_below(
        &self,
        anchor_signs: bool,
        algorithms: &[&dyn SignatureVerificationAlgorithm],
        path: &VerifiedPath<'_>,
        at: Timestamp,
        policy: RevocationPolicy,
    ) -> Result<Standing, CertificateRefusal> {
        let intermediates: Vec<CertificateDer<'_>> = path
            .intermediate_certificates()
            .map(|certificate| certificate.der())
            .collect();
        // The leaf, and those above it in order: the last is the anchor's work.
        let issuers: Vec<&[u8]> = std::iter::once(path.end_entity().issuer())
            .chain(path.intermediate_certificates().map(|one| one.issuer()))
            .collect();
        let top = issuers.len() - 1;
        let ask = |lists: &[&CertRevocationList<'_>], depth, unknown| {
            let options = RevocationOptionsBuilder::new(lists)
                .expect("callers ask about at least one list")
                .with_depth(depth)
                .with_status_policy(unknown)
                .build();
            path.end_entity()
                .verify_for_usage(
                    algorithms,
                    std::slice::from_ref(path.anchor()),
                    &intermediates,
                    UnixTime::since_unix_epoch(Duration::from_millis(at.0)),
                    AnyUsage,
                    Some(options),
                    None,
                )
                .map(|_| ())
        };
        let of_leaf = |crl: &Crl| {
            let depth = RevocationCheckDepth::EndEntity;
            ask(&[&crl.list], depth, UnknownStatusPolicy::Deny)
        };

        // For each certificate of the path the lists that count for it, the newest of each scope; what the
        // others list is revoked all the same.
        let mut counted: Vec<Vec<&Crl>> = vec![Vec::new(); issuers.len()];
        let mut refused = None;
        for crl in &self.lists {
            let about = |n: &usize| match n.checked_sub(1) {
                None => crl.is_about(&path.end_entity().der(), true),
                Some(n) => crl.is_about(&intermediates[n], false),
            };
            let named = (0..issuers.len()).filter(|n| issuers[*n] == crl.issuer());
            let mut about: Vec<usize> = named.filter(about).collect();
            let Some(first) = about.first().copied() else {
                continue;
            };
            let asked = if !anchor_signs && about.contains(&top) {
                // What is left is a CA of the path with the anchor's name, and a key of its own.
                about.retain(|n| *n == 0 && top != 0);
                if about.is_empty() {
                    Err(Error::IssuerNotCrlSigner)
                } else {
                    of_leaf(crl)
                }
            } else {
                let depth = RevocationCheckDepth::Chain;
                match ask(&[&crl.list], depth, UnknownStatusPolicy::Allow) {
                    // Where a CA changed its key under its name, one list has the name of two issuers of
                    // the path and the key of one: the leaf's, perhaps.
                    Err(Error::InvalidCrlSignatureForPublicKey) if first == 0 && top != 0 => {
                        about.truncate(1);
                        of_leaf(crl)
                    }
                    chain => chain,
                }
            };
            match asked {
                Ok(()) if at < crl.this_update => {
                    refused = refused.or(Some(CertificateRefusal::CrlNotYetValid));
                }
                Ok(()) => {
                    for n in about {
                        if !counted[n].iter().any(|other| other.same_scope(crl)) {
                            counted[n].push(crl);
                        }
                    }
                }
                Err(Error::CertRevoked) => return Err(CertificateRefusal::Revoked),
                Err(_) => refused = refused.or(Some(CertificateRefusal::CrlBadSignature)),
            }
        }
        // Of lists of several scopes one in date is enough.
        let nexts = counted
            .iter()
            .filter_map(|lists| lists.iter().map(|crl| crl.next_update).max());
        let next_update = nexts.min();
        let valid_until = next_update.map(|next| next.plus_ms(policy.grace_ms));
        if valid_until.is_some_and(|end| at >= end) {
            return Err(CertificateRefusal::CrlExpired);
        }
        let mut warnings = Vec::new();
        let covered = counted.iter().all(|lists| !lists.is_empty()) && {
            let lists: Vec<_> = counted.iter().flatten().map(|crl| &crl.list).collect();
            let depth = RevocationCheckDepth::Chain;
            ask(&lists, depth, UnknownStatusPolicy::Deny).is_ok()
        };
        if !covered {
            let tolerated = match policy.unknown {
                UnknownStatus::Warn => true,
                UnknownStatus::RefuseIfLists => self.is_empty(),
                UnknownStatus::Refuse => false,
            };
            if !tolerated {
                return Err(refused.unwrap_or(CertificateRefusal::CrlNone));
            }
            warnings.push(CertificateWarning::CrlNone);
        }
        if next_update.is_some_and(|next| at >= next) {
            warnings.push(CertificateWarning::CrlStale);
        }
        Ok(Standing {
            warnings,
            valid_until,
        })
    }
}

impl Crl {
    fn same_scope(&self, other: &Self) -> bool {
        self.list.issuer() == other.list.issuer()
            && self.list.issuing_distribution_point() == other.list.issuing_distribution_point()
    }
    /// Whether a certificate of the list's issuer is one that it is about, as webpki sees it: by its kind, and
    /// by a URI of a distribution point (RFC 5280 section 6.3.3 (b) (2)).
    fn is_about(&self, der: &[u8], is_leaf: bool) -> bool {
        let Some(scope) = &self.scope else {
            return true;
        };
        if scope.only_contains_ca_certs && is_leaf || scope.only_contains_user_certs && !is_leaf {
            return false;
        }
        let Ok(certificate) = Certificate::from_der(der) else {
            return false;
        };
        let tbs = certificate.tbs_certificate();
        let Ok(points) = tbs.get_extension::<CrlDistributionPoints>() else {
            return false;
        };
        let own: Vec<&str> = uris(scope.distribution_point.as_ref()).collect();
        points.is_none_or(|(_, points)| {
            let whole = points.0.iter();
            let whole = whole.filter(|one| one.crl_issuer.is_none() && one.reasons.is_none());
            let mut names = whole.flat_map(|one| uris(one.distribution_point.as_ref()));
            names.any(|name| own.contains(&name))
        })
    }
}

fn uris(name: Option<&DistributionPointName>) -> impl Iterator<Item = &str> {
    let names = match name {
        Some(DistributionPointName::FullName(names)) => names.as_slice(),
        _ => &[],
    };
    names.iter().filter_map(|name| match name {
        GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str()),
        _ => None,
    })
}
