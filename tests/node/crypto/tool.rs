//! 千代女 signs a letter and seals it for 与謝 with the commands, and what can go wrong does.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use city_protocol::crypto::TAG_GRANT;

use super::{expect, run};

#[test]
fn a_letter_is_signed_checked_sealed_and_opened() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    fs::write(here.join("letter"), "与謝へ").unwrap();
    fs::write(here.join("other"), "与謝ヘ").unwrap();
    for alg in ["dilithium5", "ml-dsa-87"] {
        let (key, public, signature) = (alg.to_owned(), format!("{alg}.pub"), format!("{alg}.sig"));
        expect(here, 0, &["keygen", "--alg", alg, &key]);
        assert_eq!(fs::metadata(here.join(&key)).unwrap().mode() & 0o777, 0o600);
        let sign = [
            "sign",
            &key,
            "letter",
            "--context",
            "2026",
            "--out",
            &signature,
        ];
        expect(here, 0, &sign);
        let (_, error) = expect(here, 1, &sign);
        assert!(error.contains("not overwritten"), "{error}");
        let verify = |code: i32, file: &str, context: &str| {
            let arguments = [
                "verify",
                &public,
                &signature,
                file,
                "--context",
                context,
                "--json",
            ];
            expect(here, code, &arguments).0
        };
        assert!(verify(0, "letter", "2026").contains("\"ok\":true"));
        assert!(verify(4, "letter", "2025").contains("bad-signature"));
        assert!(verify(4, "other", "2026").contains("bad-signature"));
        // The context is no part of the letter, nor the letter of the context.
        expect(here, 4, &["verify", &public, &signature, "letter", "--raw"]);
        let bytes = fs::read(here.join(&signature)).unwrap();
        fs::write(here.join(&signature), &bytes[1..]).unwrap();
        assert!(verify(4, "letter", "2026").contains("signature-length"));
        let (told, _) = expect(here, 0, &["fingerprint", &public, "--json"]);
        assert!(told.contains(alg), "{told}");
    }
    for alg in ["ntru-hps-4096-821", "ntru-hrss-701", "ml-kem-1024"] {
        let (key, public) = (format!("{alg}.kem"), format!("{alg}.kem.pub"));
        let [ciphertext, mine, yours, boxed, opened] =
            ["ct", "mine", "yours", "box", "opened"].map(|part| format!("{alg}.{part}"));
        expect(here, 0, &["keygen", "--alg", alg, &key]);
        let encapsulate = [
            "encapsulate",
            &public,
            "--ciphertext",
            &ciphertext,
            "--secret",
            &mine,
        ];
        expect(here, 0, &encapsulate);
        expect(
            here,
            0,
            &["decapsulate", &key, &ciphertext, "--secret", &yours],
        );
        expect(
            here,
            0,
            &[
                "encrypt", &mine, "letter", "--out", &boxed, "--aad", "draft",
            ],
        );
        expect(
            here,
            0,
            &[
                "decrypt", &yours, &boxed, "--out", &opened, "--aad", "draft",
            ],
        );
        assert_eq!(fs::read_to_string(here.join(&opened)).unwrap(), "与謝へ");
        for private in [&mine, &yours, &opened] {
            assert_eq!(
                fs::metadata(here.join(private)).unwrap().mode() & 0o777,
                0o600
            );
        }
        let (out, error) = expect(here, 4, &["decrypt", &yours, &boxed]);
        assert!(out.is_empty() && error.contains("bad-tag"), "{out}{error}");
        let (_, error) = expect(here, 1, &["decapsulate", &key, "letter", "--secret", "no"]);
        assert!(error.contains("a ciphertext of"), "{error}");
        assert!(!here.join("no").exists());
        // Nothing half-made where one of the two files is there already.
        let (_, error) = expect(
            here,
            1,
            &[
                "encapsulate",
                &public,
                "--ciphertext",
                &ciphertext,
                "--secret",
                "half",
            ],
        );
        assert!(
            error.contains("not overwritten") && !here.join("half").exists(),
            "{error}"
        );
    }
}

#[test]
fn nobody_is_talked_into_signing_for_a_ledger() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    expect(here, 0, &["keygen", "--alg", "ml-dsa-87", "officer"]);
    fs::write(here.join("grant"), TAG_GRANT.message(b"{}")).unwrap();
    let (_, error) = expect(here, 1, &["sign", "officer", "grant", "--raw"]);
    assert!(error.contains("message of a ledger"), "{error}");
    expect(here, 0, &["sign", "officer", "grant", "--out", "as-a-file"]);
    expect(
        here,
        4,
        &["verify", "officer.pub", "as-a-file", "grant", "--raw"],
    );
}

#[test]
fn what_is_asked_wrongly_is_answered_with_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    let check = |code: i32, arguments: &[&str], word: &str| {
        let (out, error) = expect(here, code, arguments);
        assert!(
            out.is_empty() && error.contains(word),
            "{arguments:?}: {out}{error}"
        );
    };
    check(2, &["keygen", "--alg", "rsa", "x"], "ml-kem-1024");
    check(2, &["keygen", "x"], "--alg");
    check(2, &["verify"], "KEY");
    check(
        2,
        &["verify", "--batch", "x", "--raw"],
        "cannot be used with",
    );
    check(1, &["verify", "--batch", "nowhere"], "cannot be read");
    check(1, &["decrypt", "nowhere", "x"], "no such key file");
    check(1, &["serve", "--listen", "0.0.0.0:0"], "loopback");
    check(1, &["serve", "--key", "nowhere"], "no such key file");
    fs::write(here.join("no-key"), "{\"v\":1}").unwrap();
    check(1, &["fingerprint", "no-key"], "no-key");
    fs::write(here.join("noise"), [7; 100]).unwrap();
    check(1, &["fingerprint", "noise"], "pkcs8-form");
    expect(here, 0, &["keygen", "--alg", "aes-256-gcm", "k"]);
    check(
        1,
        &["keygen", "--alg", "aes-256-gcm", "k"],
        "not overwritten",
    );
    check(1, &["decrypt", "k", "no-key"], "shorter than 28 bytes");
    assert_eq!(run(here, &["--help"]).status.code(), Some(0));
}
