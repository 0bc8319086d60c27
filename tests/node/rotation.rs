//! A node gets another transport key, and its peers follow it: `live` with real nodes, `rules` on the data directories of
//! founded municipalities, `cuts` where the exchange was cut off.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod cuts;
mod live;
mod rules;

use std::path::{Path, PathBuf};

use city_node::engine::utc;
use city_node::keys;
use city_node::pki::{Authority, NodeRequest, Validity};
use city_protocol::pki::Role;
use serde_json::Value;
use x509_cert::der::pem::{LineEnding, encode_string};

use crate::daemon::city::City;

fn id(city: &City) -> String {
    city.report.peer_id.to_string()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The CA certifies this peer id for the keys that the city's node keeps; DER.
fn certified(city: &City, peer: &str, region: &str, role: Role) -> Vec<u8> {
    let public = |path: &Path| keys::public_path(path);
    let request = NodeRequest {
        region: &region.parse().unwrap(),
        role,
        key: &keys::load_signing_public(&public(&city.data.ledger_key())).unwrap(),
        peer_id: peer,
        kem: Some(&keys::load_kem_public(&public(&city.data.kem_key())).unwrap()),
    };
    let ca = Authority::open(&city.ca, None).unwrap();
    let validity = Validity::days(utc().minus_ms(60_000), 30);
    ca.issue_node(&request, validity).unwrap()
}

/// Makes the next transport key and has the CA certify it; gives its peer id and the certificate's file.
fn prepared(city: &City, root: &Path) -> (String, PathBuf) {
    let page = city.answer(&["key", "rotate", "transport", "prepare"], &[], 0);
    let again = city.answer(&["key", "rotate", "transport", "prepare"], &[], 0);
    assert_eq!(page, again, "made once");
    let next = page["peer_id"].as_str().unwrap().to_owned();
    let der = certified(city, &next, city.config.node.region.as_str(), Role::Home);
    (next.clone(), pem(root, &next, &der))
}

fn pem(root: &Path, name: &str, der: &[u8]) -> PathBuf {
    let file = root.join(format!("{name}.pem"));
    let pem = encode_string("CERTIFICATE", LineEnding::LF, der).unwrap();
    std::fs::write(&file, pem).unwrap();
    file
}

/// What a node says of a peer.
fn shown(city: &City, peer: &str, code: i32) -> Value {
    city.answer(&["peer", "show"], &[peer], code)
}
