//! Single certificates: one thing wrong, one code.

use super::*;

#[test]
fn each_bad_node_certificate_has_its_code() {
    let ishikawa = Ishikawa::new();
    let (roots, issuer) = (ishikawa.roots(), ishikawa.issuer());
    let check = |expected: &str, what: &str, change: &dyn Fn(&mut Draft)| {
        let leaf = sign(&issuer, ishikawa.node(), change);
        assert_eq!(
            code(verify_node(&roots, &leaf, &[], &Crls::none(), at())),
            expected,
            "{what}"
        );
    };
    let name = |text: &str| common_name(text).unwrap();
    let uris = |uris: &[&str]| {
        let uri =
            |uri: &&str| GeneralName::UniformResourceIdentifier(Ia5String::new(*uri).unwrap());
        extension(&SubjectAltName(uris.iter().map(uri).collect()), false).unwrap()
    };
    let kem = KemSecretKey::generate(KemAlgorithm::NtruHps4096821);
    let kem = kem_extension(kem.public());

    check("ok", "nothing", &|_| ());
    check("ok", "with a KEM key", &|d| d.extensions.push(kem.clone()));
    check("ok", "an unknown extension, not critical", &|d| {
        d.unknown(false);
    });
    check("cert-critical-extension", "unknown and critical", &|d| {
        d.unknown(true);
    });
    check("cert-critical-extension", "a critical KEM key", &|d| {
        d.extensions.push(Extension {
            critical: true,
            ..kem.clone()
        });
    });

    check("cert-expired", "over", &|d| {
        d.validity = Validity::days(APRIL, 29);
    });
    check("ok", "in its last second", &|d| {
        d.validity = Validity::days(APRIL, 30);
    });
    check("ok", "in its first second", &|d| {
        d.validity = Validity::days(at(), 1);
    });
    check("cert-not-yet-valid", "to come", &|d| {
        d.validity = Validity::days(at().plus_ms(1000), 1);
    });

    check("cert-region", "another prefecture", &|d| {
        d.subject = name("Asia/JP/18/18201");
    });
    check("cert-region", "a longer code", &|d| {
        d.subject = name("Asia/JP/170/17201");
    });
    check("cert-name", "a prefecture only", &|d| {
        d.subject = name("Asia/JP/17");
    });
    check("cert-name", "no region", &|d| d.subject = name("金沢市"));
    check("cert-name", "an organisation too", &|d| {
        let mut names = RdnSequence::from(d.subject.clone());
        names.push("O=Kanazawa".parse().unwrap());
        d.subject = Name::from_der(&names.to_der().unwrap()).unwrap();
    });
    check("cert-name", "no name", &|d| d.subject = Name::default());

    check("cert-san", "no names", &|d| d.set::<SubjectAltName>(None));
    check("cert-san", "no role", &|d| {
        d.set::<SubjectAltName>(Some(uris(&[&format!("p2p:{PEER}")])));
    });
    check("cert-san", "no peer id", &|d| {
        d.set::<SubjectAltName>(Some(uris(&[Role::Home.uri()])));
    });
    check("cert-san", "a peer id that is none", &|d| {
        d.set::<SubjectAltName>(Some(uris(&["p2p:me", Role::Home.uri()])));
    });

    check("cert-key-usage", "no key usage", &|d| {
        d.set::<KeyUsage>(None);
    });
    check("cert-key-usage", "may not sign", &|d| {
        d.usage(KeyUsages::KeyAgreement);
    });
    check("cert-key-usage", "may sign certificates only", &|d| {
        d.usage(KeyUsages::KeyCertSign);
    });
    check("cert-key-usage", "no extended usage", &|d| {
        d.set::<ExtendedKeyUsage>(None);
    });
    check("cert-key-usage", "a client only", &|d| {
        d.extended(&[ID_KP_CLIENT_AUTH]);
    });
    check("cert-key-usage", "a server only", &|d| {
        d.extended(&[ID_KP_SERVER_AUTH]);
    });
    check("cert-is-ca", "a CA", &|d| d.ca(None));

    check("cert-algorithm", "a key of ML-DSA-65", &|d| {
        d.key.algorithm.oid = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.18");
    });
    check("cert-algorithm", "a short key", &|d| {
        d.key.subject_public_key = BitString::from_bytes(&[7; 2591]).unwrap();
    });
    check("cert-malformed", "version 1", &|d| d.extensions.clear());
    check("cert-malformed", "an extension twice", &|d| {
        d.extensions.push(d.extensions[2].clone());
    });
    check("cert-malformed", "two KEM keys", &|d| {
        d.extensions.extend([kem.clone(), kem.clone()]);
    });
    check("cert-malformed", "a KEM key of no form", &|d| {
        let extn_value = OctetString::new([0x05, 0x00]).unwrap();
        d.extensions.push(Extension {
            extn_id: KEM_KEY_OID,
            critical: false,
            extn_value,
        });
    });
}

#[test]
fn bytes_that_are_not_the_certificate_are_refused() {
    let ishikawa = Ishikawa::new();
    let roots = ishikawa.roots();
    let good = sign(&ishikawa.issuer(), ishikawa.node(), |_| ());
    let check = |expected: &str, der: &[u8]| {
        assert_eq!(
            code(verify_node(&roots, der, &[], &Crls::none(), at())),
            expected
        );
    };
    check("ok", &good);
    check("cert-malformed", &[]);
    check("cert-malformed", b"-----BEGIN CERTIFICATE-----");
    check("cert-malformed", &good[..good.len() - 1]);
    check("cert-malformed", &[good.as_slice(), &[0]].concat());
    check("cert-too-large", &vec![0x30; MAX_CERTIFICATE_DER + 1]);
    // No byte of it may be another one, and none of it panics.
    for position in (0..good.len()).step_by(97).chain(0..64) {
        let mut changed = good.clone();
        changed[position] ^= 1;
        let verdict = verify_node(&roots, &changed, &[], &Crls::none(), at());
        assert!(verdict.is_err(), "byte {position}");
    }
    let mut signature = good.clone();
    *signature.last_mut().unwrap() ^= 1;
    check("cert-bad-signature", &signature);

    let classical = TlsAuthority::create("石川県 CA", Validity::days(APRIL, 1)).unwrap();
    let classical = classical.certificate().to_vec();
    assert_eq!(
        code(Root::new(classical, "Asia".parse().unwrap())),
        "cert-algorithm"
    );
}

#[test]
fn a_person_is_not_a_node_and_each_has_its_form() {
    let ishikawa = Ishikawa::new();
    let (roots, issuer) = (ishikawa.roots(), ishikawa.issuer());
    let kanazawa: Region = "Asia/JP/17/17201".parse().unwrap();
    let fukui: Region = "Asia/JP/18/18201".parse().unwrap();
    let person = SecretKey::generate(Algorithm::Dilithium5);
    let account = AccountId::new(&LogId([7; 32]), &person.public().id());
    let request = ClientRequest {
        account: &account,
        key: person.public(),
        kem: None,
    };
    let client = issuer.client(&request, Validity::days(APRIL, 365)).unwrap();
    let check = |expected: &str, leaf: &[u8], region: &Region| {
        assert_eq!(
            code(verify_client(
                &roots,
                leaf,
                &[],
                &Crls::none(),
                at(),
                region
            )),
            expected
        );
    };
    check("ok", &client, &kanazawa);
    check("cert-region", &client, &fukui);
    assert_eq!(
        code(verify_node(&roots, &client, &[], &Crls::none(), at())),
        "cert-key-usage"
    );
    let node = sign(&issuer, ishikawa.node(), |_| ());
    check("cert-name", &node, &kanazawa);
    let named_as_person = sign(&issuer, ishikawa.node(), |d| {
        d.subject = common_name(account.as_str()).unwrap();
    });
    check("cert-san", &named_as_person, &kanazawa);
}
