//! A proof of place as a file: what a node says of where its antenna is, signed by its ledger key, with its certificate. Checked
//! offline by whoever has the network's genesis record. It is about no transfer unless one is named.

use city_protocol::Refusal;
use city_protocol::amount::Timestamp;
use city_protocol::body::MAX_FUTURE_MS;
use city_protocol::genesis::Genesis;
use city_protocol::pki::{CertificateRefusal, Crls, NodeCertificate, verify_node};
use city_protocol::place::proof::FRESH_MS;
use city_protocol::place::{PlaceProof, SignedPlace};

use crate::api::wire::{Der, SignedPlaceForm};

/// Longest file in bytes: a proof, a signature and a certificate with three intermediates, in Base64.
pub const MAX_PLACE_FILE: usize = 128 * 1024;

/// What a proof is held against.
#[derive(Clone, Copy)]
pub struct Expected<'a> {
    /// The network.
    pub genesis: &'a Genesis,
    /// What is revoked.
    pub crls: &'a Crls,
    /// The moment at which it must be fresh and its certificate good.
    pub at: Timestamp,
    /// The challenge that it must answer.
    pub nonce: Option<[u8; 16]>,
    /// The peer id of the node that must have made it.
    pub node: Option<&'a str>,
}

/// Why a proof does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// Its certificate.
    #[error("the node certificate is not good: {0}")]
    Certificate(#[from] CertificateRefusal),
    /// Its signature, or its form.
    #[error("{0}")]
    Proof(#[from] Refusal),
    /// It answers another challenge.
    #[error("it has another nonce: it answers somebody else, or an earlier question")]
    Nonce,
    /// Another node made it.
    #[error("another node made it")]
    OtherNode,
}

impl NoPlace {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Certificate(refusal) => refusal.code(),
            Self::Proof(refusal) => refusal.code(),
            Self::Nonce => "other-nonce",
            Self::OtherNode => "other-node",
        }
    }
}

/// Checks a proof: certificate under the network's roots, signature, network, node, challenge, and that it was made at most
/// five minutes before.
///
/// # Errors
/// [`NoPlace`], the first that is found.
pub fn verify(
    form: SignedPlaceForm,
    expected: &Expected<'_>,
) -> Result<(PlaceProof, NodeCertificate), NoPlace> {
    let chain: Vec<Vec<u8>> = form.chain.into_iter().map(|Der(der)| der).collect();
    let (roots, leaf) = (&expected.genesis.roots, &form.certificate.0);
    let node = verify_node(roots, leaf, &chain, expected.crls, expected.at)?.certificate;
    let signature = form.signature.read()?;
    if signature.key != node.key.id() {
        return Err(Refusal::WrongKey.into());
    }
    let signature = signature.signature()?;
    let proof = form.proof;
    let proof = SignedPlace { proof, signature }.verify(&node.key)?;
    if proof.network != expected.genesis.network() {
        return Err(Refusal::WrongNetwork.into());
    }
    if expected.node.is_some_and(|wanted| wanted != node.peer_id) {
        return Err(NoPlace::OtherNode);
    }
    if expected.nonce.is_some_and(|wanted| wanted != proof.nonce) {
        return Err(NoPlace::Nonce);
    }
    if proof.time > expected.at.plus_ms(MAX_FUTURE_MS) {
        return Err(Refusal::FutureDated.into());
    }
    if expected.at.since(proof.time) > FRESH_MS {
        return Err(Refusal::Expired.into());
    }
    Ok((proof, node))
}
