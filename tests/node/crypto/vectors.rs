//! Published vectors: NIST's KATs, Wycheproof, RFC 9881, through the interfaces that anybody else would use.

use std::fs;

use city_protocol::crypto::{
    Algorithm, MlDsaImport, MlDsaSet, Pkcs8Refusal, PublicKey, RsaSecretKey, SecretKey,
};
use city_protocol::pki::algorithms::read_key_info;
use data_encoding::HEXLOWER_PERMISSIVE;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use x509_cert::Certificate;
use x509_cert::der::{Decode as _, DecodePem as _, Encode as _};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::batch;
use super::data::{Case, crypto, responses, wycheproof};

/// A KAT's signed message is the signature followed by the message.
fn signed(alg: &str, case: &Case) -> Value {
    let (message, whole) = (&case["msg"], &case["sm"]);
    let signature = whole.strip_suffix(message.as_str()).unwrap();
    json!({
        "id": case["count"], "alg": alg, "public_key": case["pk"], "message": message,
        "signature": signature, "context": case.get("ctx"),
    })
}

fn good(answers: &[Value]) -> usize {
    answers.iter().filter(|answer| answer["ok"] == true).count()
}

#[test]
fn dilithium5_is_the_draft_of_2023_and_not_round_3() {
    let Some(data) = crypto() else { return };
    let check = |file: &str| {
        let cases = responses(&data.join("dilithium").join(file));
        let cases: Vec<Value> = cases
            .iter()
            .map(|case| signed("dilithium5", case))
            .collect();
        assert_eq!(cases.len(), 100);
        good(&batch("verify", &cases))
    };
    assert_eq!(
        check("PQCsignKAT_Dilithium5.fips204ipd-918af1a6.rsp.gz"),
        100
    );
    assert_eq!(check("PQCsignKAT_Dilithium5.round3.1.rsp.gz"), 0);
}

#[test]
fn ml_dsa_87_is_final_fips_204_with_its_context() {
    let Some(data) = crypto() else { return };
    let kat = responses(&data.join("mldsa-kat/kat_MLDSA_87_hedged_pure.rsp.gz"));
    let mut cases: Vec<Value> = kat.iter().map(|case| signed("ml-dsa-87", case)).collect();
    assert_eq!(cases.len(), 100);
    assert!(
        cases
            .iter()
            .all(|case| case["context"].as_str().unwrap().len() == 32)
    );
    assert_eq!(good(&batch("verify", &cases)), 100);
    // Without its context none verifies, and none as the ledger's other scheme.
    for case in &mut cases {
        case["context"] = Value::Null;
    }
    assert_eq!(good(&batch("verify", &cases)), 0);
    for case in &mut cases {
        case["alg"] = "dilithium5".into();
    }
    assert_eq!(good(&batch("verify", &cases)), 0);
    // The KAT's seed makes its key.
    for case in &kat {
        let bytes = |name: &str| HEXLOWER_PERMISSIVE.decode(case[name].as_bytes()).unwrap();
        let key = SecretKey::from_seed(&bytes("xi")).unwrap();
        assert_eq!(key.public().as_bytes(), bytes("pk"));
    }
}

#[test]
fn both_ntru_sets_give_the_published_secrets() {
    let Some(data) = crypto() else { return };
    for (file, alg) in [
        ("ntruhps2048509_PQCkemKAT_935.rsp.gz", "ntruhps2048509"),
        ("ntruhrss701_PQCkemKAT_1450.rsp.gz", "ntru-hrss-701"),
    ] {
        let kat = responses(&data.join("ntru").join(file));
        let case = |case: &Case| json!({"id": case["count"], "alg": alg, "secret_key": case["sk"], "ciphertext": case["ct"]});
        let answers = batch("decapsulate", &kat.iter().map(case).collect::<Vec<_>>());
        assert_eq!(good(&answers), 100, "{alg}");
        for (case, answer) in kat.iter().zip(&answers) {
            assert_eq!(answer["shared_secret"], case["ss"].to_lowercase());
        }
        // Short by a byte: no secret. Bent by a bit: another secret, and no error.
        let mut bent: Vec<Value> = kat.iter().map(case).collect();
        for case in &mut bent {
            let text = case["ciphertext"].as_str().unwrap();
            let bit = if text.starts_with('0') { "1" } else { "0" };
            case["ciphertext"] = format!("{bit}{}", &text[1..]).into();
        }
        let answers = batch("decapsulate", &bent);
        assert_eq!(good(&answers), 100);
        for (case, answer) in kat.iter().zip(&answers) {
            assert_ne!(answer["shared_secret"], case["ss"].to_lowercase());
        }
        for case in &mut bent {
            case["ciphertext"] = case["ciphertext"].as_str().unwrap()[2..].into();
        }
        let answers = batch("decapsulate", &bent);
        assert!(answers.iter().all(|answer| answer["reason"] == "length"));
    }
}

#[test]
fn every_aes_gcm_case_has_wycheproofs_verdict() {
    let Some(data) = crypto() else { return };
    let tests = wycheproof(&data.join("aes-gcm/aes_gcm_test.json"));
    let case = |(group, test): &(Value, Value)| {
        json!({
            "id": test["tcId"], "alg": format!("aes-{}-gcm", group["keySize"]), "key": test["key"],
            "iv": test["iv"], "aad": test["aad"], "ciphertext": test["ct"], "tag": test["tag"],
        })
    };
    let answers = batch("decrypt", &tests.iter().map(case).collect::<Vec<_>>());
    assert_eq!(answers.len(), 316);
    for ((_, test), answer) in tests.iter().zip(&answers) {
        let valid = test["result"] == "valid";
        assert_eq!(answer["ok"], valid, "{test} {answer}");
        if valid {
            assert_eq!(answer["plaintext"], test["msg"]);
        } else {
            let reason = answer["reason"].as_str().unwrap();
            assert!(["bad-tag", "iv-length"].contains(&reason), "{answer}");
        }
    }
}

#[test]
fn rsa_signatures_have_wycheproofs_verdict() {
    let Some(data) = crypto() else { return };
    let mut cases = Vec::new();
    let mut expected = Vec::new();
    for file in [
        "rsa_signature_2048_sha256_test.json",
        "rsa_pkcs1_2048_sig_gen_test.json",
    ] {
        for (group, test) in wycheproof(&data.join("rsa").join(file)) {
            let sha = group["sha"]
                .as_str()
                .unwrap()
                .to_lowercase()
                .replace('-', "");
            // Each key in both forms: SubjectPublicKeyInfo and PKCS#1.
            for key in ["publicKeyDer", "publicKeyAsn", "keyDer", "keyAsn"] {
                if group[key].is_string() {
                    cases.push(json!({
                        "id": cases.len(), "alg": format!("rsa-pkcs1-{sha}"), "public_key": group[key],
                        "message": test["msg"], "signature": test["sig"],
                    }));
                    let known = ["sha256", "sha384", "sha512"].contains(&sha.as_str());
                    expected.push((known, test["result"].clone()));
                }
            }
        }
    }
    assert_eq!(cases.len(), 2 * (259 + 43));
    for (answer, (known, result)) in batch("verify", &cases).iter().zip(&expected) {
        match (known, result.as_str().unwrap()) {
            // SHA-1 and SHA-224 are not taken.
            (false, _) => assert_eq!(answer["reason"], "unknown-algorithm"),
            (true, "valid") => assert_eq!(answer["ok"], true, "{answer}"),
            (true, "invalid") => assert_eq!(answer["reason"], "bad-signature", "{answer}"),
            // Forms that a verifier may take or leave.
            (true, other) => assert_eq!(other, "acceptable"),
        }
    }
}

#[test]
fn rsa_signs_what_wycheproof_signs() {
    let Some(data) = crypto() else { return };
    let tests = wycheproof(&data.join("rsa/rsa_pkcs1_2048_sig_gen_test.json"));
    let mut signed = 0;
    for (group, test) in tests.iter().filter(|(group, _)| group["sha"] == "SHA-256") {
        let bytes = |value: &Value| {
            let hex = value.as_str().unwrap().as_bytes();
            HEXLOWER_PERMISSIVE.decode(hex).unwrap()
        };
        let Ok(key) = RsaSecretKey::from_pkcs8(&bytes(&group["privateKeyPkcs8"])) else {
            panic!("{group}");
        };
        assert_eq!(key.sign_sha256(&bytes(&test["msg"])), bytes(&test["sig"]));
        signed += 1;
    }
    assert!(signed >= 8, "{signed}");
}

fn pkcs8(path: &std::path::Path) -> Result<MlDsaImport, Pkcs8Refusal> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(&fs::read(path).unwrap()).unwrap();
    MlDsaImport::from_pkcs8(der.secret_pkcs8_der())
}

#[test]
fn rfc_9881s_keys_are_read_and_its_bad_ones_refused_for_what_is_wrong() {
    let Some(data) = crypto() else { return };
    let folder = data.join("pq-x509/rfc9881");
    let sets = [MlDsaSet::MlDsa44, MlDsaSet::MlDsa65, MlDsaSet::MlDsa87];
    for (name, set) in ["ML-DSA-44", "ML-DSA-65", "ML-DSA-87"]
        .into_iter()
        .zip(sets)
    {
        let public = fs::read(folder.join(format!("{name}.pub"))).unwrap();
        let info = SubjectPublicKeyInfoOwned::from_pem(&public).unwrap();
        for form in ["seed", "expanded", "both"] {
            let key = pkcs8(&folder.join(format!("{name}-{form}.priv"))).unwrap();
            assert_eq!(key.set(), set);
            assert_eq!(key.public(), info.subject_public_key.raw_bytes());
            let stored = key.to_ledger_key().is_ok();
            assert_eq!(
                stored,
                name == "ML-DSA-87" && form != "expanded",
                "{name} {form}"
            );
            assert!(format!("{key:?}").contains("redacted"));
        }
        let ours = read_key_info(&info);
        assert_eq!(ours.is_ok(), name == "ML-DSA-87");
        let pem = fs::read(folder.join(format!("{name}.crt"))).unwrap();
        let certificate = Certificate::from_pem(&pem).unwrap();
        let case = |signature: &[u8]| {
            let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
            json!({
                "id": name, "alg": name, "public_key": hex(info.subject_public_key.raw_bytes()),
                "message": hex(&certificate.tbs_certificate().to_der().unwrap()), "signature": hex(signature),
            })
        };
        let signature = certificate.signature().raw_bytes();
        let mut bent = signature.to_vec();
        bent[100] ^= 1;
        let answers = batch("verify", &[case(signature), case(&bent)]);
        assert_eq!(
            (&answers[0]["ok"], &answers[1]["ok"]),
            (&true.into(), &false.into())
        );
        if let Ok(key) = ours {
            let tbs = certificate.tbs_certificate().to_der().unwrap();
            assert_eq!(key.verify_raw(&tbs, signature), Ok(()));
            let twin = PublicKey::new(Algorithm::Dilithium5, key.as_bytes()).unwrap();
            assert!(twin.verify_raw(&tbs, signature).is_err());
        }
    }
    for (number, refusal) in [
        (1, Pkcs8Refusal::SeedMismatch),
        (2, Pkcs8Refusal::Inconsistent),
        (3, Pkcs8Refusal::Inconsistent),
    ] {
        let read = pkcs8(&folder.join(format!("bad-ML-DSA-44-{number}.priv")));
        assert_eq!(read.err(), Some(refusal), "{number}");
    }
}

#[test]
fn a_pkcs8_key_that_is_cut_or_bent_is_refused() {
    let Some(data) = crypto() else { return };
    let pem = fs::read(data.join("pq-x509/rfc9881/ML-DSA-87-both.priv")).unwrap();
    let der = PrivatePkcs8KeyDer::from_pem_slice(&pem).unwrap();
    let der = der.secret_pkcs8_der();
    assert!(MlDsaImport::from_pkcs8(der).is_ok());
    for cut in (0..der.len()).step_by(97).chain([der.len() - 1]) {
        assert!(
            MlDsaImport::from_pkcs8(&der[..cut]).is_err(),
            "cut at {cut}"
        );
    }
    for bent in (0..der.len()).step_by(13) {
        let mut copy = der.to_vec();
        copy[bent] ^= 1;
        assert!(MlDsaImport::from_pkcs8(&copy).is_err(), "bent at {bent}");
    }
    assert!(MlDsaImport::from_pkcs8(&[der, &[0]].concat()).is_err());
    let certificate = Certificate::from_der(der);
    assert!(certificate.is_err());
}
