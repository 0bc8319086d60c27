//! The file that proves to an operator whose peer id it is: the peer's transport key, or its node certificate.

use std::str::FromStr as _;

use city_protocol::amount::Timestamp;
use city_protocol::pki::{CertificateRefusal, Crls, NodeCertificate, Root, verify_node};
use city_protocol::region::Region;
use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER_PERMISSIVE};
use libp2p::PeerId;
use libp2p::identity::PublicKey;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::record::{HeldKey, KeyKind};

/// Largest key file in bytes: a node certificate with three intermediates in PEM.
pub const MAX_KEY_FILE: usize = 64 * 1024;
/// Most certificates of a chain: as many as a node announces.
const MAX_CHAIN: usize = 4;

/// Why a key file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum BadKey {
    /// It is too large.
    #[error(
        "the key file has more than {MAX_KEY_FILE} bytes; it is no transport key and no node certificate"
    )]
    TooLarge,
    /// It is none of the known forms.
    #[error(
        "the key file is no libp2p public key (raw protobuf, Base64 or hex) and no PEM certificate; \
         `city-node key show keys/transport.key` prints a node's peer id, its certs/node.pem is its certificate"
    )]
    NotAKey,
    /// It is another peer's.
    #[error(
        "the key belongs to {found}, not to this peer; ask the peer's operator which of the two is right"
    )]
    OtherPeer {
        /// Whose it is.
        found: String,
    },
    /// The certificate is not good.
    #[error(
        "the node certificate is not good here: {0}; ask for the peer's current certs/node.pem, and look whether it belongs to this network"
    )]
    Certificate(#[from] CertificateRefusal),
    /// The certificate names another municipality.
    #[error(
        "the node certificate is for {found}, not for {wanted}; leave --region out, or correct it"
    )]
    OtherRegion {
        /// The certificate's.
        found: Region,
        /// What was asked for.
        wanted: Region,
    },
}

/// By whom node certificates are judged.
#[derive(Clone, Copy)]
pub struct Judges<'a> {
    /// The pinned roots.
    pub roots: &'a [Root],
    /// What is revoked.
    pub crls: &'a Crls,
    /// The time of judgement.
    pub now: Timestamp,
}

/// A key that belongs to the peer, and what it says of it.
pub struct Proven {
    /// What is held.
    pub key: HeldKey,
    /// The municipality in the certificate; a transport key names none.
    pub region: Option<Region>,
}

/// Reads a key file and checks that it is this peer's. `wanted` is the municipality that the operator named.
///
/// # Errors
/// [`BadKey`].
pub fn prove(
    file: &[u8],
    peer: &PeerId,
    wanted: Option<&Region>,
    judges: Judges<'_>,
) -> Result<Proven, BadKey> {
    if file.len() > MAX_KEY_FILE {
        return Err(BadKey::TooLarge);
    }
    let text = std::str::from_utf8(file).unwrap_or_default();
    if text.contains("-----BEGIN") {
        return certificate(file, peer, wanted, judges);
    }
    let key = transport(file).ok_or(BadKey::NotAKey)?;
    let found = key.to_peer_id();
    if found != *peer {
        let found = found.to_string();
        return Err(BadKey::OtherPeer { found });
    }
    Ok(Proven {
        key: HeldKey::transport(key.encode_protobuf()),
        region: None,
    })
}

/// A public key as protobuf, or as its Base64 or hex with blanks anywhere.
fn transport(file: &[u8]) -> Option<PublicKey> {
    let raw = |bytes: &[u8]| {
        let key = PublicKey::try_decode_protobuf(bytes).ok()?;
        // libp2p passes over what it does not know.
        (key.encode_protobuf() == bytes).then_some(key)
    };
    let text: Vec<u8> = file
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let decoded = [
        HEXLOWER_PERMISSIVE.decode(&text),
        BASE64.decode(&text),
        BASE64_NOPAD.decode(&text),
    ];
    raw(file)
        .or_else(|| raw(file.trim_ascii_end()))
        .or_else(|| decoded.iter().flatten().find_map(|bytes| raw(bytes)))
}

fn certificate(
    pem: &[u8],
    peer: &PeerId,
    wanted: Option<&Region>,
    judges: Judges<'_>,
) -> Result<Proven, BadKey> {
    let chain: Result<Vec<Vec<u8>>, _> = CertificateDer::pem_slice_iter(pem)
        .map(|der| der.map(|der| der.to_vec()))
        .collect();
    let chain = chain.map_err(|_| BadKey::NotAKey)?;
    let (leaf, intermediates) = chain.split_first().ok_or(BadKey::NotAKey)?;
    if chain.len() > MAX_CHAIN {
        return Err(BadKey::NotAKey);
    }
    let judged = verify_node(judges.roots, leaf, intermediates, judges.crls, judges.now)?;
    let NodeCertificate {
        peer_id, region, ..
    } = judged.certificate;
    // Both in one spelling.
    if PeerId::from_str(&peer_id).ok() != Some(*peer) {
        return Err(BadKey::OtherPeer { found: peer_id });
    }
    if let Some(wanted) = wanted.filter(|wanted| **wanted != region) {
        let (found, wanted) = (region, wanted.clone());
        return Err(BadKey::OtherRegion { found, wanted });
    }
    let key = HeldKey {
        kind: KeyKind::NodeCertificate,
        data: leaf.clone(),
        chain: intermediates.iter().cloned().map(Into::into).collect(),
    };
    Ok(Proven {
        key,
        region: Some(region),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
    use libp2p::identity::Keypair;

    fn check(file: &[u8], peer: &PeerId) -> Result<HeldKey, String> {
        let judges = Judges {
            roots: &[],
            crls: &Crls::default(),
            now: Timestamp(0),
        };
        let proven = prove(file, peer, None, judges);
        proven
            .map(|proven| proven.key)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_transport_key_is_taken_in_every_spelling_and_only_for_its_own_peer() {
        let key = Keypair::generate_ed25519().public();
        let peer = key.to_peer_id();
        let raw = key.encode_protobuf();
        let hex: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
        let line = STANDARD.encode(&raw);
        let spellings: [Vec<u8>; 8] = [
            raw.clone(),
            [&raw[..], b"\n"].concat(),
            hex.clone().into(),
            format!("  {}\r\n", hex.to_uppercase()).into(),
            format!("{}\n{}\n", &hex[..20], &hex[20..]).into(),
            format!("{line}\n").into(),
            format!(" {} {}\t\n\n", &line[..8], &line[8..]).into(),
            STANDARD_NO_PAD.encode(&raw).into(),
        ];
        for file in &spellings {
            assert_eq!(check(file, &peer).unwrap().data, raw, "{file:?}");
        }
        let other = Keypair::generate_ed25519().public().to_peer_id();
        for file in &spellings {
            let refused = check(file, &other).unwrap_err();
            assert!(refused.contains(&peer.to_string()), "{refused}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let key = Keypair::generate_ed25519().public();
        let peer = key.to_peer_id();
        let raw = key.encode_protobuf();
        let bad: [Vec<u8>; 8] = [
            Vec::new(),
            b"\n \n".to_vec(),
            raw[..raw.len() - 1].to_vec(),
            [&raw[..], &raw[..]].concat(),
            STANDARD.encode(&raw[1..]).into(),
            peer.to_string().into(),
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec(),
            b"-----BEGIN CERTIFICATE-----\n".to_vec(),
        ];
        for file in &bad {
            assert!(check(file, &peer).is_err(), "{file:?}");
        }
        assert!(
            check(&vec![0; MAX_KEY_FILE + 1], &peer)
                .unwrap_err()
                .contains("more than")
        );
    }
}
