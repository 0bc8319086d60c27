//! TLS, over TCP and within QUIC, with certificates that are not what libp2p asks for (libp2p specification, tls/tls.md): nobody gets in with one.

use std::sync::Arc;

use libp2p::identity::Keypair;
use libp2p::tls;
use rcgen::{CertificateParams, CustomExtension, KeyPair, date_time_ymd};
use rustls::client::ResolvesClientCert;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};

use super::quic;
use super::raw::{AT_ONCE, Target, hung_up};

const EXTENSION: [u64; 9] = [1, 3, 6, 1, 4, 1, 53_594, 1, 1];
const TAG: &[u8] = b"libp2p-tls-handshake:";

#[derive(Debug)]
struct Fixed(Option<Arc<CertifiedKey>>);

impl ResolvesClientCert for Fixed {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}

/// `SEQUENCE { OCTET STRING public key, OCTET STRING signature }` with lengths of two bytes.
fn signed_key(key: &[u8], signature: &[u8]) -> Vec<u8> {
    let string = |bytes: &[u8]| {
        let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
        let form: &[u8] = match bytes.len() {
            0..128 => &[0x04, length[1]],
            128..256 => &[0x04, 0x81, length[1]],
            _ => &[0x04, 0x82, length[0], length[1]],
        };
        [form, bytes].concat()
    };
    let mut both = [string(key), string(signature)].concat();
    let wrapped = string(&both);
    both = wrapped;
    both[0] = 0x30;
    both
}

struct Made {
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
}

impl Made {
    fn with(edit: impl FnOnce(&mut CertificateParams, &KeyPair)) -> Self {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        edit(&mut params, &key);
        let chain = vec![params.self_signed(&key).unwrap().der().clone()];
        Self { chain, key }
    }

    fn config(&self, target: &Target<'_>, other_key: Option<&KeyPair>) -> ClientConfig {
        let key = other_key.unwrap_or(&self.key).serialize_der();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key));
        let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
        // No check that they belong together.
        let certified = CertifiedKey::new(self.chain.clone(), signing);
        presenting(target, Some(Arc::new(certified)))
    }
}

fn presenting(target: &Target<'_>, certified: Option<Arc<CertifiedKey>>) -> ClientConfig {
    let nobody = Keypair::generate_ed25519();
    let mut config = tls::make_client_config(&nobody, Some(target.peer)).unwrap();
    config.client_auth_cert_resolver = Arc::new(Fixed(certified));
    config
}

/// What a whitelisted peer's proper extension is, but for an edit.
fn extension(
    peer: &Keypair,
    over: &KeyPair,
    edit: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>),
) -> CustomExtension {
    let mut public = peer.public().encode_protobuf();
    let message = [TAG, &rcgen::PublicKeyData::subject_public_key_info(over)].concat();
    let mut signature = peer.sign(&message).unwrap();
    edit(&mut public, &mut signature);
    CustomExtension::from_oid_content(&EXTENSION, signed_key(&public, &signature))
}

pub(super) async fn play(target: &mut Target<'_>) {
    let (peer, other) = (target.key(), Keypair::generate_ed25519());
    let good = |params: &mut CertificateParams, key: &KeyPair| {
        let signed = extension(&peer, key, |_, _| {});
        params.custom_extensions.push(signed);
    };
    let proper = Made::with(good);
    // What is refused below is refused for its fault: without one this certificate gets in.
    let mut welcome = target.tls(proper.config(target, None)).await.unwrap();
    assert!(!hung_up(&mut welcome, std::time::Duration::from_millis(500)).await);
    drop(welcome);

    let stranger = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let with = |edit: &dyn Fn(&mut CertificateParams, &KeyPair)| Made::with(edit);
    let raw = |content: Vec<u8>| {
        with(&move |params, _| {
            let extension = CustomExtension::from_oid_content(&EXTENSION, content.clone());
            params.custom_extensions.push(extension);
        })
    };
    let mut cases = vec![
        ("no extension", with(&|_, _| {})),
        ("an empty extension", raw(Vec::new())),
        ("an extension of zeroes", raw(vec![0; 100])),
        (
            "a key and no signature",
            raw(signed_key(&peer.public().encode_protobuf(), &[])),
        ),
        ("a large extension", raw(vec![0x30; 60_000])),
        (
            "a flipped signature",
            with(&|params, key| {
                params
                    .custom_extensions
                    .push(extension(&peer, key, |_, signature| signature[9] ^= 1));
            }),
        ),
        (
            "a short signature",
            with(&|params, key| {
                params
                    .custom_extensions
                    .push(extension(&peer, key, |_, signature| signature.truncate(63)));
            }),
        ),
        (
            "signed for another certificate",
            with(&|params, _| {
                params
                    .custom_extensions
                    .push(extension(&peer, &stranger, |_, _| {}));
            }),
        ),
        (
            "another peer's key, signed with one's own",
            with(&|params, key| {
                let mut forged = other.public().encode_protobuf();
                params
                    .custom_extensions
                    .push(extension(&other, key, |public, _| {
                        forged = peer.public().encode_protobuf();
                        public.clone_from(&forged);
                    }));
            }),
        ),
        (
            "a key of an unknown kind",
            with(&|params, key| {
                params
                    .custom_extensions
                    .push(extension(&peer, key, |public, _| public[1] = 9));
            }),
        ),
        (
            "two extensions",
            with(&|params, key| {
                good(params, key);
                good(params, key);
            }),
        ),
        (
            "over since 1999",
            with(&|params, key| {
                good(params, key);
                params.not_before = date_time_ymd(1998, 1, 1);
                params.not_after = date_time_ymd(1999, 1, 1);
            }),
        ),
        (
            "not before 2900",
            with(&|params, key| {
                good(params, key);
                params.not_before = date_time_ymd(2900, 1, 1);
            }),
        ),
        (
            "an unknown critical extension",
            with(&|params, key| {
                good(params, key);
                let mut unknown = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
                unknown.set_criticality(true);
                params.custom_extensions.push(unknown);
            }),
        ),
    ];
    let mut pair = Made::with(good);
    pair.chain.push(pair.chain[0].clone());
    cases.push(("two certificates", pair));
    let mut configs: Vec<(&str, ClientConfig)> = cases
        .into_iter()
        .map(|(case, made)| (case, made.config(target, None)))
        .collect();
    let elsewhere = Made::with(good);
    let config = elsewhere.config(target, Some(&stranger));
    configs.push(("a certificate without its key", config));
    configs.push(("no certificate", presenting(target, None)));
    for (case, config) in &configs {
        refused(target, case, config.clone()).await;
    }
    // The same over QUIC, where one of them once ended the process (GHSA-5hq8-qhww-jm7q).
    let welcome = quic::call(target, proper.config(target, None)).await;
    let welcome = welcome.expect("the proper one gets in");
    let kept = std::time::Duration::from_millis(500);
    assert!(!quic::hung_up(&welcome, kept).await);
    drop(welcome);
    for (case, config) in configs {
        if let Ok(connection) = quic::call(target, config).await {
            assert!(quic::hung_up(&connection, AT_ONCE).await, "{case}: let in");
        }
        target.stands(&format!("{case}, over QUIC")).await;
    }
}

async fn refused(target: &mut Target<'_>, case: &str, config: ClientConfig) {
    // The node's alert comes during the handshake or right after it.
    if let Ok(mut stream) = target.tls(config).await {
        assert!(hung_up(&mut stream, AT_ONCE).await, "{case}: let in");
    }
    target.stands(case).await;
}
