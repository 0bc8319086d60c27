//! Paths: intermediates, roots, their dates and lengths, strangers, and the regions of roots.

use super::*;

#[test]
fn each_bad_path_has_its_code() {
    let ishikawa = Ishikawa::new();
    let by_root = sign(&ishikawa.issuer(), ishikawa.node(), |_| ());
    let good_city = ishikawa.city_with(|_| ());
    let city = Issuer::new(&good_city, &ishikawa.city).unwrap();
    let by_city = sign(&city, ishikawa.node(), |_| ());
    let trusted = |der: Vec<u8>| {
        vec![Root {
            der,
            prefix: "Asia/JP/17".parse().unwrap(),
        }]
    };
    let check = |expected: &str, what: &str, roots: &[Root], leaf: &[u8], via: &[&[u8]]| {
        let via: Vec<_> = via.iter().map(|der| der.to_vec()).collect();
        assert_eq!(
            code(verify_node(roots, leaf, &via, &Crls::none(), at())),
            expected,
            "{what}"
        );
    };

    let roots = &ishikawa.roots();
    check("ok", "via the city", roots, &by_city, &[&good_city]);
    check(
        "ok",
        "an intermediate too many",
        roots,
        &by_root,
        &[&good_city],
    );
    check(
        "cert-unknown-issuer",
        "the city missing",
        roots,
        &by_city,
        &[],
    );
    check("cert-unknown-issuer", "no root", &[], &by_root, &[]);
    check(
        "cert-malformed",
        "junk beside it",
        roots,
        &by_root,
        &[b"junk"],
    );
    let many = vec![good_city.as_slice(); MAX_INTERMEDIATES + 1];
    check(
        "cert-too-large",
        "many intermediates",
        roots,
        &by_root,
        &many,
    );
    let many = vec![roots[0].clone(); MAX_ROOTS + 1];
    check("cert-too-large", "many roots", &many, &by_root, &[]);
    check(
        "cert-is-ca",
        "the root as a node",
        roots,
        &ishikawa.root,
        &[],
    );

    // Intermediates.
    let via = |expected: &str, what: &str, change: &dyn Fn(&mut Draft)| {
        check(
            expected,
            what,
            roots,
            &by_city,
            &[&ishikawa.city_with(change)],
        );
    };
    via("cert-key-usage", "may not sign certificates", &|d| {
        d.usage(KeyUsages::CRLSign);
    });
    via("cert-key-usage", "no key usage", &|d| {
        d.set::<KeyUsage>(None);
    });
    via("cert-not-ca", "no CA", &|d| d.set::<BasicConstraints>(None));
    via("cert-expired", "over", &|d| {
        d.validity = Validity::days(APRIL, 1);
    });
    via("cert-critical-extension", "unknown and critical", &|d| {
        d.unknown(true);
    });
    let leaf_as_ca = Issuer::new(&by_root, &ishikawa.node).unwrap();
    let below_leaf = sign(&leaf_as_ca, ishikawa.node(), |d| {
        d.subject = common_name("Asia/JP/17/17203").unwrap();
        d.key = key_info(ishikawa.city.public());
    });
    check(
        "cert-not-ca",
        "a leaf as CA",
        roots,
        &below_leaf,
        &[&by_root],
    );

    // Path lengths: the city allows no CA below it.
    let ward_key = SecretKey::generate(Algorithm::Dilithium5);
    let ward = city
        .intermediate("ward", ward_key.public(), 0, Validity::days(APRIL, 365))
        .unwrap();
    let by_ward = Issuer::new(&ward, &ward_key).unwrap();
    let by_ward = sign(&by_ward, ishikawa.node(), |_| ());
    check(
        "cert-path-len",
        "two under 0",
        roots,
        &by_ward,
        &[&ward, &good_city],
    );
    let wider = ishikawa.city_with(|d| d.ca(Some(1)));
    check("ok", "two under 1", roots, &by_ward, &[&wider, &ward]);
    let narrow = trusted(ishikawa.root_with(|d| d.ca(Some(0))));
    check(
        "cert-path-len",
        "one under a root's 0",
        &narrow,
        &by_city,
        &[&good_city],
    );
    check("ok", "none under a root's 0", &narrow, &by_root, &[]);

    // Roots: webpki takes an anchor as it is, so all of this is checked beside it.
    let under = |expected: &str, what: &str, change: &dyn Fn(&mut Draft)| {
        check(
            expected,
            what,
            &trusted(ishikawa.root_with(change)),
            &by_root,
            &[],
        );
    };
    under("ok", "the root over", &|_| ());
    under("cert-expired", "a root that is over", &|d| {
        d.validity = Validity::days(APRIL, 1);
    });
    under("cert-not-yet-valid", "a root to come", &|d| {
        d.validity = Validity::days(at().plus_ms(1000), 1);
    });
    under("cert-not-ca", "a root that is no CA", &|d| {
        d.set::<BasicConstraints>(None);
    });
    under("cert-key-usage", "a root that may not sign", &|d| {
        d.usage(KeyUsages::DigitalSignature);
    });
    under("cert-critical-extension", "a critical extension", &|d| {
        d.unknown(true);
    });
    check(
        "cert-unknown-issuer",
        "a root of junk",
        &trusted(b"junk".to_vec()),
        &by_root,
        &[],
    );

    // Strangers: of another name, and of the same name with another key.
    let stranger = Ishikawa::new();
    let forged = sign(&stranger.issuer(), ishikawa.node(), |_| ());
    check("cert-bad-signature", "the same name", roots, &forged, &[]);
    let other = root("富山県 CA", &stranger.key, Validity::days(APRIL, 365)).unwrap();
    let other = Issuer::new(&other, &stranger.key).unwrap();
    let foreign = sign(&other, ishikawa.node(), |_| ());
    check("cert-unknown-issuer", "another name", roots, &foreign, &[]);
}

#[test]
fn the_root_that_anchors_the_path_must_speak_for_the_region() {
    let ishikawa = Ishikawa::new();
    let leaf = sign(&ishikawa.issuer(), ishikawa.node(), |_| ());
    let check = |expected: &str, prefixes: &[&str]| {
        let roots: Vec<_> = prefixes.iter().map(|p| ishikawa.pinned(p)).collect();
        assert_eq!(
            code(verify_node(&roots, &leaf, &[], &Crls::none(), at())),
            expected,
            "{prefixes:?}"
        );
    };
    check("ok", &["Asia"]);
    check("ok", &["Asia/JP/17/17201"]);
    check("cert-region", &["Asia/JP/17/17203"]);
    check("cert-region", &["Europe", "Asia/JP/18"]);
    // Pinned twice, the second pin counts as much as the first.
    check("ok", &["Asia/JP/18", "Asia/JP/17"]);
    // Another root's wider prefix does not help.
    let toyama = Ishikawa::new();
    let roots = [ishikawa.pinned("Asia/JP/18"), toyama.pinned("Asia")];
    assert_eq!(
        code(verify_node(&roots, &leaf, &[], &Crls::none(), at())),
        "cert-region"
    );
}
