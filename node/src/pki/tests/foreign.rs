//! What RFC 5280 demands beside a good path, one line each: `ca verify` refuses it with its code.

use city_protocol::pki::RevocationPolicy;
use city_protocol::pki::foreign::{Question, Usage, verify};
use x509_cert::ext::pkix::constraints::name::GeneralSubtree;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, CertificatePolicies, NameConstraints, PolicyMappings,
    SubjectKeyIdentifier, certpolicy::PolicyInformation,
};

use super::*;

fn judged(roots: &[Vec<u8>], leaf: &[u8], via: &[Vec<u8>], usage: Option<Usage>) -> &'static str {
    code(verify(&Question {
        roots,
        intermediates: via,
        leaf,
        crls: &Crls::none(),
        revocation: RevocationPolicy::STRICT,
        at: at(),
        usage,
        name: None,
    }))
}

fn dns(name: &str) -> GeneralName {
    GeneralName::DnsName(Ia5String::new(name).unwrap())
}

#[test]
fn each_rule_has_its_code() {
    let ishikawa = Ishikawa::new();
    let roots = [ishikawa.root.clone()];
    let leaf = |expected: &str, what: &str, usage, change: &dyn Fn(&mut Draft)| {
        let leaf = sign(&ishikawa.issuer(), ishikawa.node(), change);
        assert_eq!(judged(&roots, &leaf, &[], usage), expected, "{what}");
    };
    let names = |names: Vec<GeneralName>| {
        move |d: &mut Draft| {
            let names = SubjectAltName(names.clone());
            d.set::<SubjectAltName>(Some(extension(&names, false).unwrap()));
        }
    };
    leaf("ok", "as it is", None, &|_| ());
    leaf("ok", "as it is, for TLS", Some(Usage::Client), &|_| ());
    leaf("cert-key-usage", "signs certificates", None, &|d| {
        d.usage(KeyUsages::KeyCertSign);
    });
    leaf("ok", "agrees on keys", None, &|d| {
        d.usage(KeyUsages::KeyAgreement);
    });
    leaf(
        "cert-key-usage",
        "the same for TLS",
        Some(Usage::Server),
        &|d| {
            d.usage(KeyUsages::KeyAgreement);
        },
    );
    let no_authority = |d: &mut Draft| d.set::<AuthorityKeyIdentifier>(None);
    leaf("ok", "no authority key identifier", None, &no_authority);
    leaf(
        "cert-extension",
        "the same for TLS",
        Some(Usage::Client),
        &no_authority,
    );
    leaf("cert-extension", "half an authority", None, &|d| {
        let nothing = AuthorityKeyIdentifier::default();
        d.set::<AuthorityKeyIdentifier>(Some(extension(&nothing, false).unwrap()));
    });
    leaf("cert-extension", "nameless", None, &|d| {
        d.subject = Name::default();
    });
    leaf(
        "ok",
        "a host",
        None,
        &names(vec![dns("*.kanazawa.example")]),
    );
    for bad in [
        "192.0.2.7",
        "a..b",
        "-a.example",
        "",
        "a b",
        "*.*.example",
        "x*.example",
    ] {
        leaf("cert-san", bad, None, &names(vec![dns(bad)]));
    }
    for bad in ["hanako", "@example", "a@b@-", "a b@example", ".a@example"] {
        let mailbox = GeneralName::Rfc822Name(Ia5String::new(bad).unwrap());
        leaf("cert-san", bad, None, &names(vec![mailbox]));
    }
    leaf("cert-san", "no names", None, &names(Vec::new()));
    let constraints = |base: GeneralName| NameConstraints {
        permitted_subtrees: Some(vec![GeneralSubtree {
            base,
            minimum: 0,
            maximum: None,
        }]),
        excluded_subtrees: None,
    };
    leaf("cert-extension", "a leaf that constrains", None, &|d| {
        let constraints = constraints(dns("example"));
        d.set::<NameConstraints>(Some(extension(&constraints, true).unwrap()));
    });
    let policy = |count: usize| {
        let one = PolicyInformation {
            policy_identifier: ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.5"),
            policy_qualifiers: None,
        };
        CertificatePolicies(vec![one; count])
    };
    let policies = |count: usize, critical: bool| {
        move |d: &mut Draft| {
            let policies = extension(&policy(count), critical).unwrap();
            d.set::<CertificatePolicies>(Some(policies));
        }
    };
    leaf("ok", "a policy", None, &policies(1, false));
    leaf(
        "cert-extension",
        "a policy twice",
        None,
        &policies(2, false),
    );
    leaf(
        "cert-critical-extension",
        "a critical policy",
        None,
        &policies(1, true),
    );

    let via = |expected: &str, what: &str, change: &dyn Fn(&mut Draft)| {
        let city = ishikawa.city_with(change);
        let issuer = Issuer::new(&city, &ishikawa.city).unwrap();
        let leaf = sign(&issuer, ishikawa.node(), |_| ());
        assert_eq!(judged(&roots, &leaf, &[city], None), expected, "{what}");
    };
    via("ok", "as it is", &|_| ());
    via("cert-extension", "no key identifier", &|d| {
        d.set::<SubjectKeyIdentifier>(None);
    });
    via("cert-extension", "no authority", &|d| {
        d.set::<AuthorityKeyIdentifier>(None);
    });
    via("cert-key-usage", "signs lists only", &|d| {
        d.usage(KeyUsages::CRLSign);
    });
    via("ok", "no key usage", &|d| d.set::<KeyUsage>(None));
    via("cert-extension", "constrains nothing", &|d| {
        let nothing = NameConstraints {
            permitted_subtrees: None,
            excluded_subtrees: None,
        };
        d.set::<NameConstraints>(Some(extension(&nothing, true).unwrap()));
    });
    for bad in [
        dns(".example"),
        GeneralName::IpAddress(OctetString::new([192, 0, 2, 0, 255, 0, 255, 0]).unwrap()),
    ] {
        via("cert-name-constraint", "a bad range", &|d| {
            let constraints = constraints(bad.clone());
            d.set::<NameConstraints>(Some(extension(&constraints, true).unwrap()));
        });
    }
    via("cert-extension", "maps to any policy", &|d| {
        let ours = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.5");
        let any = ObjectIdentifier::new_unwrap("2.5.29.32.0");
        d.extensions.push(Extension {
            extn_id: PolicyMappings::OID,
            critical: false,
            extn_value: OctetString::new(vec![vec![ours, any]].to_der().unwrap()).unwrap(),
        });
    });
    let root = |expected: &str, what: &str, change: &dyn Fn(&mut Draft)| {
        let roots = [ishikawa.root_with(change)];
        let leaf = sign(&ishikawa.issuer(), ishikawa.node(), |_| ());
        assert_eq!(judged(&roots, &leaf, &[], None), expected, "{what}");
    };
    root("cert-expired", "over", &|d| {
        d.validity = Validity::days(APRIL, 1);
    });
    root("cert-not-ca", "no CA", &|d| d.set::<BasicConstraints>(None));
    root("cert-critical-extension", "unknown", &|d| d.unknown(true));
    root("cert-extension", "no key identifier", &|d| {
        d.set::<SubjectKeyIdentifier>(None);
    });
    root("cert-extension", "of another authority", &|d| {
        let other = AuthorityKeyIdentifier {
            key_identifier: Some(OctetString::new([7; 20]).unwrap()),
            ..AuthorityKeyIdentifier::default()
        };
        d.set::<AuthorityKeyIdentifier>(Some(extension(&other, false).unwrap()));
    });
}

#[test]
fn a_trusted_root_stands_for_itself() {
    let ishikawa = Ishikawa::new();
    let roots = [ishikawa.root.clone()];
    assert_eq!(judged(&roots, &ishikawa.root, &[], None), "ok");
    assert_eq!(
        judged(&roots, &ishikawa.root, &[], Some(Usage::Client)),
        "cert-is-ca"
    );
    assert_eq!(judged(&[], &ishikawa.root, &[], None), "cert-is-ca");
    let stranger = Ishikawa::new();
    let forged = sign(&stranger.issuer(), ishikawa.node(), |d| {
        d.subject = common_name("石川県 CA").unwrap();
        let key = ishikawa.key.public();
        d.extensions = authority_extensions(key, key, None).unwrap();
        d.key = key_info(key);
    });
    assert_eq!(
        judged(std::slice::from_ref(&forged), &forged, &[], None),
        "cert-bad-signature"
    );
}

/// Before 2050 dates are to be UTCTime; readers take GeneralizedTime, too (section 4.1.2.5).
#[test]
fn dates_are_read_in_either_encoding() {
    let ishikawa = Ishikawa::new();
    let der = sign(&ishikawa.issuer(), ishikawa.node(), |_| ());
    let read = x509_cert::Certificate::from_der(&der).unwrap();
    let mut tbs = read.tbs_certificate().to_der().unwrap();
    let validity = read.tbs_certificate().validity().to_der().unwrap();
    let at = tbs
        .windows(validity.len())
        .position(|w| w == validity)
        .unwrap();
    // 30 1e, and twice 17 0d YYMMDDHHMMSSZ become 30 22, and twice 18 0f 20YYMMDDHHMMSSZ.
    assert_eq!(validity[..4], [0x30, 0x1e, 0x17, 0x0d]);
    let mut long = vec![0x30, 0x22];
    for date in [&validity[4..17], &validity[19..32]] {
        long.extend([0x18, 0x0f]);
        long.extend(b"20");
        long.extend(date);
    }
    tbs.splice(at..at + validity.len(), long);
    // 30 82 and two bytes of length.
    let length = u16::try_from(tbs.len() - 4).unwrap().to_be_bytes();
    tbs[2..4].copy_from_slice(&length);
    let signature = ishikawa.key.sign_raw(&tbs);
    let algorithm = read.signature_algorithm().to_der().unwrap();
    let bits = BitString::from_bytes(signature.as_bytes())
        .unwrap()
        .to_der()
        .unwrap();
    let content = [tbs, algorithm, bits].concat();
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let der = [&[0x30, 0x82], &length[..], &content].concat();
    assert_eq!(
        judged(std::slice::from_ref(&ishikawa.root), &der, &[], None),
        "ok"
    );
    // Our own forms have one spelling.
    let own = verify_node(&ishikawa.roots(), &der, &[], &Crls::none(), super::at());
    assert_eq!(code(own), "cert-malformed");
}
