//! Every scheme of the tool takes what fits and nothing else.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING,
    ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_ASN1_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _,
};
use fips204::traits::{KeyGen as _, Signer as _};
use pqcrypto_traits::kem::PublicKey as _;

use super::*;

/// Good as it is, and for one reason each not otherwise.
fn check(id: &str, key: &[u8], context: &[u8], signature: &[u8]) {
    let scheme = SignatureScheme::of(id)
        .map_err(Reason::code)
        .unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(
        scheme.verify(key, b"text", context, signature),
        Ok(()),
        "{id}"
    );
    let bad = Err(Reason::BadSignature);
    assert_eq!(scheme.verify(key, b"next", context, signature), bad, "{id}");
    let mut bent = signature.to_vec();
    bent[signature.len() - 1] ^= 1;
    assert!(scheme.verify(key, b"text", context, &bent).is_err(), "{id}");
    let cut = scheme.verify(key, b"text", context, &signature[1..]);
    assert!(
        matches!(cut, Err(Reason::BadSignature | Reason::SignatureLength)),
        "{id}"
    );
    let cut = scheme.verify(&key[1..], b"text", context, signature);
    assert_eq!(cut, Err(Reason::BadKey), "{id}");
}

#[test]
fn classical_signatures_hold_for_one_text_and_one_key() {
    let random = SystemRandom::new();
    for (id, algorithm) in [
        ("ecdsa-p256-sha256", &ECDSA_P256_SHA256_ASN1_SIGNING),
        ("ecdsa-p256-sha256-p1363", &ECDSA_P256_SHA256_FIXED_SIGNING),
        ("ecdsa-p384-sha384", &ECDSA_P384_SHA384_ASN1_SIGNING),
        ("ECDSA_P384_SHA384_P1363", &ECDSA_P384_SHA384_FIXED_SIGNING),
        ("ecdsa-p521-sha512", &ECDSA_P521_SHA512_ASN1_SIGNING),
        ("ecdsa-p521-sha512-p1363", &ECDSA_P521_SHA512_FIXED_SIGNING),
    ] {
        let pair = EcdsaKeyPair::generate(algorithm).unwrap();
        let signature = pair.sign(&random, b"text").unwrap();
        check(id, pair.public_key().as_ref(), b"", signature.as_ref());
    }
    let pair = Ed25519KeyPair::generate().unwrap();
    check(
        "ed25519",
        pair.public_key().as_ref(),
        b"",
        pair.sign(b"text").as_ref(),
    );
}

#[test]
fn ml_dsa_of_every_size_is_bound_to_its_context() {
    macro_rules! size {
        ($id:literal, $set:ident) => {{
            let (public, secret) = $set::KG::keygen_from_seed(&[7; 32]);
            let public = public.into_bytes();
            let long = [9; MAX_CONTEXT];
            for context in [&b""[..], b"2026", &long] {
                let signature = secret
                    .try_sign_with_seed(&[1; 32], b"text", context)
                    .unwrap();
                check($id, &public, context, &signature);
                let scheme = SignatureScheme::of($id).ok().unwrap();
                let other = scheme.verify(&public, b"text", b"2025", &signature);
                assert_eq!(other, Err(Reason::BadSignature));
                let too_long = scheme.verify(&public, b"text", &[0; 256], &signature);
                assert_eq!(too_long, Err(Reason::ContextLength));
            }
        }};
    }
    size!("ml-dsa-44", ml_dsa_44);
    size!("MLDSA65", ml_dsa_65);
    size!("ml_dsa_87", ml_dsa_87);
}

#[test]
fn every_kem_takes_out_what_was_put_in() {
    let check = |id: &str, secret: &[u8], ciphertext: &[u8], shared: &[u8]| {
        let scheme = KemScheme::of(id).unwrap();
        let opened = scheme.decapsulate(secret, ciphertext).unwrap();
        assert_eq!(opened.as_slice(), shared, "{id}");
        let short = scheme.decapsulate(secret, &ciphertext[1..]);
        assert_eq!(short.err(), Some(Reason::Length));
        let short = scheme.decapsulate(&secret[1..], ciphertext);
        assert_eq!(short.err(), Some(Reason::KeyLength));
    };
    macro_rules! ntru {
        ($id:literal, $set:ident) => {{
            let (public, secret) = $set::keypair();
            assert_eq!(public.as_bytes().len(), $set::public_key_bytes());
            let (shared, ciphertext) = $set::encapsulate(&public);
            check(
                $id,
                secret.as_bytes(),
                ciphertext.as_bytes(),
                shared.as_bytes(),
            );
        }};
    }
    ntru!("ntruhps2048509", ntruhps2048509);
    ntru!("NTRU-HPS-2048-677", ntruhps2048677);
    ntru!("ntru_hps_4096_1229", ntruhps40961229);
    ntru!("ntruhrss1373", ntruhrss1373);
    for (id, algorithm) in [
        ("ml-kem-512", &kem::ML_KEM_512),
        ("mlkem768", &kem::ML_KEM_768),
        ("ML-KEM-1024", &kem::ML_KEM_1024),
    ] {
        let key = kem::DecapsulationKey::generate(algorithm).unwrap();
        let (ciphertext, shared) = key.encapsulation_key().unwrap().encapsulate().unwrap();
        let secret = key.key_bytes().unwrap();
        check(id, secret.as_ref(), ciphertext.as_ref(), shared.as_ref());
    }
    assert_eq!(KemScheme::of("ntru-hps"), Err(Reason::UnknownAlgorithm));
}
