//! The test vectors of the libp2p specifications: TLS certificates (tls/tls.md) and keys (peer-ids/peer-ids.md). This node
//! speaks Ed25519 only, so a good certificate of another kind of key is refused, too.

use libp2p::identity::{Keypair, PublicKey};
use libp2p::tls::certificate::parse;
use rustls::pki_types::CertificateDer;
use serde_json::Value;

use crate::recorded::part;

fn data(what: &str) -> Option<Vec<Value>> {
    let text = std::fs::read_to_string(part(&format!("libp2p/{what}"))?).unwrap();
    Some(serde_json::from_str(&text).unwrap())
}

fn bytes(hex: &Value) -> Vec<u8> {
    data_encoding::HEXLOWER
        .decode(hex.as_str().unwrap().as_bytes())
        .unwrap()
}

#[test]
fn certificates_of_the_specification_are_judged_as_it_says() {
    let Some(cases) = data("libp2p-tls-test-vectors.json") else {
        return;
    };
    let mut taken = 0;
    for case in &cases {
        let title = case["title"].as_str().unwrap();
        let der = CertificateDer::from(bytes(&case["certificate_hex"]));
        let peer = parse(&der)
            .ok()
            .map(|certificate| certificate.peer_id().to_string());
        let ours = title.contains("ED25519") && case["valid"] == true;
        assert_eq!(peer.is_some(), ours, "{title}");
        if let Some(peer) = peer {
            assert_eq!(peer, case["peer_id"].as_str().unwrap(), "{title}");
            taken += 1;
        }
        // Not one bit of what is signed, nor of the signature, can be another; the outer algorithm is neither.
        let signed = 8 + usize::from(u16::from_be_bytes([der[6], der[7]]));
        let signature = signed + 2 + usize::from(der[signed + 1]);
        for at in (0..signed).chain(signature..der.len()) {
            let mut other = der.to_vec();
            other[at] ^= 1;
            let taken = parse(&CertificateDer::from(other)).is_ok();
            assert!(!taken, "{title}: {at}");
        }
    }
    assert_eq!((cases.len(), taken), (4, 1));
}

#[test]
fn keys_of_the_specification_are_read_as_it_says() {
    let Some(cases) = data("libp2p-key-test-vectors.json") else {
        return;
    };
    let of = |name: &str| {
        let case = cases.iter().find(|case| case["name"] == name).unwrap();
        bytes(&case["protobuf_hex"])
    };
    let key = Keypair::from_protobuf_encoding(&of("ED25519 private key")).unwrap();
    let public = PublicKey::try_decode_protobuf(&of("ED25519 public key")).unwrap();
    assert_eq!(key.public(), public);
    assert_eq!(public.encode_protobuf(), of("ED25519 public key"));
    for other in ["ECDSA", "secp256k1", "rsa"] {
        assert!(
            PublicKey::try_decode_protobuf(&of(&format!("{other} public key"))).is_err(),
            "{other}"
        );
    }
}
