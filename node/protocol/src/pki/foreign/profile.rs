//! What RFC 5280 demands of the content of a certificate and rustls-webpki does not look at. One rule a
//! line of its own; which of them a given certificate breaks is shown by the public test suites in
//! `tests/protocol/foreign.rs`.

use x509_cert::Certificate;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::certificate::Version;
use x509_cert::der::oid::db::rfc4519::{
    COMMON_NAME, COUNTRY_NAME, LOCALITY_NAME, ORGANIZATION_NAME, ORGANIZATIONAL_UNIT_NAME,
    SERIAL_NUMBER, ST, TITLE,
};
use x509_cert::der::oid::db::rfc5280::{
    ANY_POLICY, ID_CE_INHIBIT_ANY_POLICY, ID_CE_ISSUER_ALT_NAME,
};
use x509_cert::der::oid::{AssociatedOid, ObjectIdentifier};
use x509_cert::der::{Decode, Tag, Tagged};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{GeneralName, GeneralNames};
use x509_cert::ext::pkix::{
    AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints, CertificatePolicies,
    CrlDistributionPoints, ExtendedKeyUsage, KeyUsage, NameConstraints, PolicyConstraints,
    PolicyMappings, SubjectAltName, SubjectInfoAccessSyntax, SubjectKeyIdentifier,
};

use super::Usage;
use super::algorithms::{check_key, is_ml_dsa};
use crate::pki::read::{MAX_EXTENSIONS, extension, extensions};
use crate::pki::refusal::CertificateRefusal;

/// Longest serial number in octets (RFC 5280 section 4.1.2.2).
const MAX_SERIAL: usize = 20;

/// Critical extensions that are processed, here or by webpki. Policies are not: where one is critical, or
/// constrains, the certificate is refused, as section 4.2 demands.
const PROCESSED: &[ObjectIdentifier] = &[
    BasicConstraints::OID,
    KeyUsage::OID,
    ExtendedKeyUsage::OID,
    NameConstraints::OID,
    SubjectAltName::OID,
    CrlDistributionPoints::OID,
];

/// Where in a path a certificate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    Leaf(Option<Usage>),
    Intermediate,
    Root,
}

/// A certificate under the eyes of the rules.
struct Subject<'a> {
    certificate: &'a Certificate,
    position: Position,
    /// Whether its names and, as far as can be seen, its keys say that it signed itself.
    self_issued: bool,
    is_ca: bool,
}

/// Checks one certificate.
pub(super) fn check(
    certificate: &Certificate,
    position: Position,
) -> Result<(), CertificateRefusal> {
    let tbs = certificate.tbs_certificate();
    let basic = extension::<BasicConstraints>(certificate)?;
    let subject = Subject {
        certificate,
        position,
        self_issued: tbs.issuer() == tbs.subject(),
        is_ca: basic.as_ref().is_some_and(|(_, basic)| basic.ca),
    };
    subject.form()?;
    subject.constraints(basic)?;
    subject.key_identifiers()?;
    subject.key_usage()?;
    subject.names()?;
    subject.name_constraints()?;
    subject.policies()?;
    subject.pointers()?;
    check_key(tbs.subject_public_key_info())
}

impl Subject<'_> {
    fn wrong(&self, wrong: bool) -> Result<(), CertificateRefusal> {
        if wrong {
            Err(CertificateRefusal::Extension)
        } else {
            Ok(())
        }
    }

    /// Version, serial number, names and the list of extensions (sections 4.1.2 and 4.2).
    fn form(&self) -> Result<(), CertificateRefusal> {
        let tbs = self.certificate.tbs_certificate();
        let serial = tbs.serial_number().as_bytes();
        let positive = serial.first().is_some_and(|first| first & 0x80 == 0)
            && serial.iter().any(|byte| *byte != 0);
        // The octet before a leading one bit is DER's, not the number's.
        let number = serial.strip_prefix(&[0]).unwrap_or(serial);
        // Roots that the whole world trusts have the number 0; nobody looks for theirs on a list.
        if self.position != Position::Root && (!positive || number.len() > MAX_SERIAL) {
            return Err(CertificateRefusal::Serial);
        }
        if tbs.version() != Version::V3 || tbs.issuer().is_empty() {
            return Err(CertificateRefusal::Malformed);
        }
        if self.is_ca && tbs.subject().is_empty() {
            return Err(CertificateRefusal::Name);
        }
        if tbs
            .subject()
            .iter()
            .chain(tbs.issuer().iter())
            .any(is_too_long)
        {
            return Err(CertificateRefusal::Name);
        }
        let list = extensions(self.certificate);
        if list.len() > MAX_EXTENSIONS {
            return Err(CertificateRefusal::TooLarge);
        }
        self.wrong(tbs.extensions().is_some_and(Vec::is_empty))?;
        let repeated = list
            .iter()
            .enumerate()
            .any(|(n, one)| list[..n].iter().any(|e| e.extn_id == one.extn_id));
        self.wrong(repeated)?;
        let unknown =
            |extension: &Extension| extension.critical && !PROCESSED.contains(&extension.extn_id);
        if list.iter().any(unknown) {
            return Err(CertificateRefusal::CriticalExtension);
        }
        Ok(())
    }

    /// Basic constraints (section 4.2.1.9).
    fn constraints(
        &self,
        basic: Option<(bool, BasicConstraints)>,
    ) -> Result<(), CertificateRefusal> {
        let Some((critical, basic)) = basic else {
            return Ok(());
        };
        self.wrong(basic.path_len_constraint.is_some() && !basic.ca)?;
        // Intermediates without it are in use and pass section 6.1.4; a root is somebody's choice.
        self.wrong(self.position == Position::Root && basic.ca && !critical)
    }

    /// Key identifiers (sections 4.2.1.1 and 4.2.1.2).
    fn key_identifiers(&self) -> Result<(), CertificateRefusal> {
        let own = extension::<SubjectKeyIdentifier>(self.certificate)?;
        let of_issuer = extension::<AuthorityKeyIdentifier>(self.certificate)?;
        self.wrong(own.is_none() && self.is_ca)?;
        // A leaf without it verifies (section 6 does not ask); one that is offered for TLS follows the
        // profile.
        let needed = match self.position {
            Position::Root => false,
            Position::Intermediate => !self.self_issued,
            Position::Leaf(usage) => usage.is_some(),
        };
        let Some((_, of_issuer)) = of_issuer else {
            return self.wrong(needed);
        };
        let issuer = of_issuer.authority_cert_issuer.is_some();
        let serial = of_issuer.authority_cert_serial_number.is_some();
        self.wrong(issuer != serial)?;
        self.wrong(of_issuer.key_identifier.is_none())?;
        let signed_itself = self.position == Position::Root && self.self_issued;
        self.wrong(
            signed_itself && own.is_some_and(|(_, own)| Some(own.0) != of_issuer.key_identifier),
        )
    }

    /// Key usages (sections 4.2.1.3, 4.2.1.9 and 4.2.1.12, and RFC 9881 section 5).
    fn key_usage(&self) -> Result<(), CertificateRefusal> {
        let extended = extension::<ExtendedKeyUsage>(self.certificate)?;
        self.wrong(extended.is_some_and(|(_, extended)| extended.0.is_empty()))?;
        let Some((_, usage)) = extension::<KeyUsage>(self.certificate)? else {
            return Ok(());
        };
        let for_signing = match self.position {
            Position::Root | Position::Intermediate => usage.key_cert_sign(),
            Position::Leaf(Some(_)) => usage.digital_signature(),
            Position::Leaf(None) => !usage.0.is_empty(),
        };
        let enciphers = usage.key_encipherment()
            || usage.data_encipherment()
            || usage.key_agreement()
            || usage.encipher_only()
            || usage.decipher_only();
        let info = self.certificate.tbs_certificate().subject_public_key_info();
        if !for_signing || (usage.key_cert_sign() && !self.is_ca) || (enciphers && is_ml_dsa(info))
        {
            return Err(CertificateRefusal::KeyUsage);
        }
        Ok(())
    }

    /// Alternative names (section 4.2.1.6).
    fn names(&self) -> Result<(), CertificateRefusal> {
        let nameless = self.certificate.tbs_certificate().subject().is_empty();
        let Some((critical, names)) = extension::<SubjectAltName>(self.certificate)? else {
            return self.wrong(nameless);
        };
        self.wrong(nameless && !critical)?;
        if names.0.is_empty() || !names.0.iter().all(is_well_formed) {
            return Err(CertificateRefusal::AlternativeName);
        }
        Ok(())
    }

    /// Name constraints (section 4.2.1.10); whether names keep to them is webpki's matter.
    fn name_constraints(&self) -> Result<(), CertificateRefusal> {
        let Some((_, constraints)) = extension::<NameConstraints>(self.certificate)? else {
            return Ok(());
        };
        self.wrong(!self.is_ca)?;
        let subtrees: Vec<_> = [
            &constraints.permitted_subtrees,
            &constraints.excluded_subtrees,
        ]
        .into_iter()
        .flatten()
        .flatten()
        .collect();
        self.wrong(subtrees.is_empty())?;
        for subtree in subtrees {
            self.wrong(subtree.minimum != 0 || subtree.maximum.is_some())?;
            let sound = match &subtree.base {
                // A leading period belongs to URIs.
                GeneralName::DnsName(name) => !name.as_str().starts_with('.'),
                GeneralName::IpAddress(range) => is_ip_range(range.as_bytes()),
                _ => true,
            };
            if !sound {
                return Err(CertificateRefusal::NameConstraint);
            }
        }
        Ok(())
    }

    /// Policies (sections 4.2.1.4, 4.2.1.5, 4.2.1.11 and 4.2.1.14): their form; the tree is not processed.
    fn policies(&self) -> Result<(), CertificateRefusal> {
        if let Some((_, policies)) = extension::<CertificatePolicies>(self.certificate)? {
            let ids: Vec<_> = policies.0.iter().map(|one| one.policy_identifier).collect();
            let repeated = ids.iter().enumerate().any(|(n, id)| ids[..n].contains(id));
            self.wrong(ids.is_empty() || repeated)?;
        }
        if let Some((_, mappings)) = extension::<PolicyMappings>(self.certificate)? {
            let any = mappings.0.iter().any(|mapping| {
                mapping.issuer_domain_policy == ANY_POLICY
                    || mapping.subject_domain_policy == ANY_POLICY
            });
            self.wrong(mappings.0.is_empty() || any || !self.is_ca)?;
        }
        // Both must be critical: what is left is one that is not.
        let constrains = extension::<PolicyConstraints>(self.certificate)?.is_some();
        self.wrong(constrains || self.has(ID_CE_INHIBIT_ANY_POLICY))
    }

    /// Where more is to be found (sections 4.2.1.7, 4.2.1.13, 4.2.2.1 and 4.2.2.2).
    fn pointers(&self) -> Result<(), CertificateRefusal> {
        if let Some((_, points)) = extension::<CrlDistributionPoints>(self.certificate)? {
            let empty =
                |p: &DistributionPoint| p.distribution_point.is_none() && p.crl_issuer.is_none();
            self.wrong(points.0.is_empty() || points.0.iter().any(empty))?;
        }
        if let Some((_, access)) = extension::<AuthorityInfoAccessSyntax>(self.certificate)? {
            self.wrong(access.0.is_empty())?;
        }
        if let Some((_, access)) = extension::<SubjectInfoAccessSyntax>(self.certificate)? {
            self.wrong(access.0.is_empty())?;
        }
        let list = extensions(self.certificate).iter();
        for names in list.filter(|extension| extension.extn_id == ID_CE_ISSUER_ALT_NAME) {
            let names = GeneralNames::from_der(names.extn_value.as_bytes());
            self.wrong(names.map_err(|_| CertificateRefusal::Malformed)?.is_empty())?;
        }
        Ok(())
    }

    fn has(&self, id: ObjectIdentifier) -> bool {
        extensions(self.certificate)
            .iter()
            .any(|extension| extension.extn_id == id)
    }
}

/// Whether a part of a name is longer than appendix A.1 allows it (ub-common-name and its siblings).
fn is_too_long(part: &AttributeTypeAndValue) -> bool {
    let most = match part.oid {
        COMMON_NAME | ORGANIZATION_NAME | ORGANIZATIONAL_UNIT_NAME | SERIAL_NUMBER | TITLE => 64,
        LOCALITY_NAME | ST => 128,
        COUNTRY_NAME => 2,
        _ => return false,
    };
    let octets = part.value.value();
    let characters = match (part.value.tag(), std::str::from_utf8(octets)) {
        (Tag::BmpString, _) => octets.len() / 2,
        (_, Ok(text)) => text.chars().count(),
        // The older string types: an octet for each.
        (_, Err(_)) => octets.len(),
    };
    characters > most
}

/// Whether an alternative name has the form that its kind demands (section 4.2.1.6).
fn is_well_formed(name: &GeneralName) -> bool {
    match name {
        GeneralName::DnsName(name) => is_dns_name(name.as_str()),
        GeneralName::Rfc822Name(mailbox) => is_mailbox(mailbox.as_str()),
        GeneralName::UniformResourceIdentifier(uri) => {
            let scheme = uri
                .as_str()
                .split_once(':')
                .map_or("", |(scheme, _)| scheme);
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        }
        GeneralName::IpAddress(address) => matches!(address.as_bytes().len(), 4 | 16),
        GeneralName::DirectoryName(name) => !name.is_empty(),
        _ => true,
    }
}

/// Letters, digits, hyphens and, as many hosts have them, underscores; a first label of `*` is a
/// wildcard. Not an address.
fn is_dns_name(name: &str) -> bool {
    /// RFC 1035 section 2.3.4.
    const MAX_NAME: usize = 253;
    const MAX_LABEL: usize = 63;
    let labels = name.strip_prefix("*.").unwrap_or(name);
    let sound = |label: &str| {
        let inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !label.is_empty()
            && label.len() <= MAX_LABEL
            && label.chars().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= MAX_NAME
        && labels.split('.').all(sound)
        && labels.parse::<std::net::IpAddr>().is_err()
}

/// `Local-part@Domain` (RFC 5321 section 4.1.2), without quoting.
fn is_mailbox(mailbox: &str) -> bool {
    let atext = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    mailbox.rsplit_once('@').is_some_and(|(local, domain)| {
        let quoted = local.len() > 2 && local.starts_with('"') && local.ends_with('"');
        let dots = local.starts_with('.') || local.ends_with('.') || local.contains("..");
        let plain = !local.is_empty() && local.chars().all(atext) && !dots;
        (plain || quoted) && is_dns_name(domain) && !domain.starts_with('*')
    })
}

/// An address and a mask of the same length whose ones stand before its zeros.
fn is_ip_range(range: &[u8]) -> bool {
    let mask = match range.len() {
        8 => &range[4..],
        32 => &range[16..],
        _ => return false,
    };
    let bits = mask
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |n| byte >> n & 1));
    bits.is_sorted_by(|a, b| a >= b)
}
