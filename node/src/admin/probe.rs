//! Tries the node's keys: each of its own signs or opens a probe, and what connected peers announced, or else what is held of
//! listed ones, is judged again. Nothing here is taken from what was judged before.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use city_protocol::amount::Timestamp;
use city_protocol::crypto::{
    KemPublicKey, KemSecretKey, SecretKey, Signer as _, TAG_PROBE, random,
};
use city_protocol::ids::KeyId;
use city_protocol::pki::{Crls, verify_node};
use libp2p::identity::{Keypair, PublicKey};

use super::pages::{ProbeLine, ProbePage};
use super::{AdminState, NodeKeys};
use crate::api::Problem;
use crate::api::token::probe_key;
use crate::api::wire::SCHEMA;
use crate::setup::read_tls;
use crate::trust::{Fold, HeldKey, KeyKind};

/// The node's own keys, to try them.
#[derive(Clone)]
pub struct OwnKeys {
    /// Signs vertices.
    pub signer: Arc<SecretKey>,
    /// Is to sign those of the next epoch.
    pub next: Option<Arc<SecretKey>>,
    /// Opens what is sealed for the node.
    pub kem: Arc<KemSecretKey>,
    /// Names the node on the network.
    pub transport: Keypair,
}

/// Whether one thing held, and what it is.
type Tried = Result<String, String>;

pub(super) async fn keys(State(admin): State<AdminState>) -> Result<Json<ProbePage>, Problem> {
    let announced = admin.engine.announced().await?;
    let tried = tokio::task::spawn_blocking(move || {
        let mut lines = Vec::new();
        if let Some(own) = &admin.own {
            lines.extend(own_lines(own));
        }
        if let Some(keys) = &admin.keys {
            lines.push(line("own", "API certificate and key", tls(keys)));
            let token = probe_key(&keys.keystore, &keys.data.token_key());
            lines.push(line("own", "key of the API's tokens", token));
        }
        let lists = Arc::clone(&admin.doors.now().trust.crls);
        let now = admin.clock.now().time;
        let connected: BTreeSet<String> =
            announced.iter().map(|one| one.peer.to_string()).collect();
        for peer in announced {
            let (id, held) = (peer.peer.to_string(), (peer.certificate, peer.chain));
            lines.push(admin.peer_line(&id, &held, &lists, now));
        }
        let others = admin
            .trust
            .fold(|fold| held_of_others(fold, &connected, now));
        for (peer, keys) in others {
            for key in &keys {
                lines.push(match key.kind {
                    KeyKind::Transport => line(&peer, "transport key", names(&key.data, &peer)),
                    KeyKind::NodeCertificate => {
                        let held = (key.data.clone(), key.chain());
                        admin.peer_line(&peer, &held, &lists, now)
                    }
                });
            }
            if keys.iter().all(|key| key.kind != KeyKind::NodeCertificate) {
                let none =
                    "none is held: it comes as the peer connects, or with `peer request-keys`";
                lines.push(line(&peer, "node certificate", Ok(none.into())));
            }
        }
        lines
    });
    let lines = tried.await.map_err(|_| Problem::internal())?;
    Ok(Json(ProbePage {
        schema: SCHEMA,
        lines,
    }))
}

impl AdminState {
    /// Judges a peer's certificate with its chain.
    fn peer_line(
        &self,
        peer: &str,
        (certificate, chain): &(Vec<u8>, Vec<Vec<u8>>),
        lists: &Crls,
        now: Timestamp,
    ) -> ProbeLine {
        let judged = || -> Tried {
            let roots = &self.engine.genesis().roots;
            let admitted = verify_node(roots, certificate, chain, lists, now);
            let certificate = admitted.map_err(|refusal| refusal.to_string())?.certificate;
            if certificate.peer_id != peer {
                return Err(format!("its certificate names {}", certificate.peer_id));
            }
            let kem = certificate.kem.as_ref().map(sealed_for);
            let key = format!(
                "{} {}",
                certificate.key.algorithm().id(),
                certificate.key.id()
            );
            let kem = kem.map(|kem| format!(", {kem}")).unwrap_or_default();
            Ok(format!("{}: {key}{kem}", certificate.region))
        };
        line(peer, "node certificate", judged())
    }
}

/// Keys that are held of peers who may connect now and do not say themselves what they have.
fn held_of_others(
    fold: &Fold,
    connected: &BTreeSet<String>,
    now: Timestamp,
) -> Vec<(String, Vec<HeldKey>)> {
    let listed = fold.listed.iter();
    let others = listed.filter(|(peer, one)| one.is_in_force(now) && !connected.contains(*peer));
    others
        .map(|(peer, one)| (peer.clone(), one.keys.clone()))
        .collect()
}

/// Whether a transport key is that of a peer id.
fn names(key: &[u8], peer: &str) -> Tried {
    let key = PublicKey::try_decode_protobuf(key).map_err(|error| error.to_string())?;
    let named = key.to_peer_id().to_string();
    match named == peer {
        true => Ok(format!("ed25519 {named}")),
        false => Err(format!("it is the key of {named}")),
    }
}

fn own_lines(own: &OwnKeys) -> Vec<ProbeLine> {
    let mut lines = vec![line("own", "ledger key", signs(&own.signer))];
    if let Some(next) = &own.next {
        lines.push(line("own", "ledger key of the next epoch", signs(next)));
    }
    lines.push(line("own", "KEM key", opens(&own.kem)));
    lines.push(line("own", "transport key", transport(&own.transport)));
    lines
}

fn line(whose: &str, what: &str, tried: Tried) -> ProbeLine {
    let (ok, found) = match tried {
        Ok(found) => (true, found),
        Err(problem) => (false, problem),
    };
    ProbeLine {
        whose: whose.into(),
        what: what.into(),
        ok,
        found,
    }
}

fn named(algorithm: &str, id: KeyId) -> String {
    format!("{algorithm} {id}")
}

/// Signs a fresh probe and verifies it by the public half.
fn signs(key: &SecretKey) -> Tried {
    let probe: [u8; 32] = random();
    let signature = key.sign(TAG_PROBE, &probe);
    let public = key.public_key();
    public
        .verify(TAG_PROBE, &probe, &signature)
        .map_err(|refusal| refusal.to_string())?;
    Ok(named(public.algorithm().id(), public.id()))
}

/// Makes a secret for the public half and opens it.
fn opens(key: &KemSecretKey) -> Tried {
    let public = key.public();
    let (sealed, secret) = public.encapsulate();
    let opened = key
        .decapsulate(&sealed)
        .map_err(|refusal| refusal.to_string())?;
    if opened.expose_secret() != secret.expose_secret() {
        return Err("what was sealed for it opens to something else".into());
    }
    Ok(named(public.algorithm().id(), public.id()))
}

/// Something was sealed for a peer's key: it is one, but only the peer can open it.
fn sealed_for(key: &KemPublicKey) -> String {
    let (_sealed, _secret) = key.encapsulate();
    named(key.algorithm().id(), key.id())
}

fn transport(key: &Keypair) -> Tried {
    let message = TAG_PROBE.message(&random::<32>());
    let signature = key.sign(&message).map_err(|error| error.to_string())?;
    if !key.public().verify(&message, &signature) {
        return Err("its signature does not verify".into());
    }
    Ok(format!("ed25519 {}", key.public().to_peer_id()))
}

/// Those on disk, which hold within seconds.
fn tls(keys: &NodeKeys) -> Tried {
    let (data, keystore) = (&keys.data, &keys.keystore);
    let identity = read_tls(&data.tls_certificate(), &data.tls_key(), keystore)
        .map_err(|error| error.to_string())?;
    identity.check().map_err(|error| error.to_string())?;
    let ends = identity.not_after().map_err(|error| error.to_string())?;
    Ok(format!("until {}", crate::config::rfc3339(ends)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use city_protocol::crypto::Suite;

    #[test]
    fn keys_that_are_whole_hold() {
        for suite in [Suite::Dilithium5Ntru, Suite::Fips] {
            let lines = own_lines(&OwnKeys {
                signer: Arc::new(SecretKey::generate(suite.signing())),
                next: Some(Arc::new(SecretKey::generate(suite.signing()))),
                kem: Arc::new(KemSecretKey::generate(suite.kem())),
                transport: Keypair::generate_ed25519(),
            });
            assert_eq!(lines.len(), 4);
            assert!(lines.iter().all(|line| line.ok), "{lines:?}");
        }
    }
}
