//! `key show` of a whole node: every key with its algorithm, id and place, and what is superseded.

use city_protocol::crypto::{Algorithm, KemAlgorithm};
use serde_json::{Value, json};

use super::exit::{Exit, Outcome};
use super::output;
use super::passphrase::PassphraseArgs;
use super::run::PlaceArgs;
use crate::config::Config;
use crate::keys::Keyring;

/// One key.
struct Row {
    name: &'static str,
    alg: String,
    id: String,
    file: String,
    advice: Option<&'static str>,
}

const NTRU_ADVICE: &str = "superseded: pqcrypto's NTRU is maintained no more; to ml-kem-1024: city-node epoch prepare --suite fips";
const DILITHIUM_ADVICE: &str =
    "superseded: a draft of FIPS 204; to ml-dsa-87: city-node epoch prepare --suite fips";

pub(super) fn run(place: &PlaceArgs, passphrase: &PassphraseArgs, json: bool) -> Outcome {
    let located = place.locate();
    let config = Config::load(&located.config)?;
    let identity = super::run::identity(&located, &config, passphrase)?;
    let data = &located.data;
    let file = |path: std::path::PathBuf| {
        let path = path.strip_prefix(data.path()).map(ToOwned::to_owned);
        path.unwrap_or_default().display().to_string()
    };
    let rows = [
        Row {
            name: "ledger",
            alg: identity.signer.public().algorithm().id().into(),
            id: identity.signer.public().id().to_string(),
            file: file(data.ledger_key()),
            advice: (identity.signer.public().algorithm() == Algorithm::Dilithium5)
                .then_some(DILITHIUM_ADVICE),
        },
        Row {
            name: "kem",
            alg: identity.kem.public().algorithm().id().into(),
            id: identity.kem.public().id().to_string(),
            file: file(data.kem_key()),
            advice: (identity.kem.public().algorithm() != KemAlgorithm::MlKem1024)
                .then_some(NTRU_ADVICE),
        },
        Row {
            name: "transport",
            alg: "ed25519".into(),
            id: identity.transport.public().to_peer_id().to_string(),
            file: file(data.transport_key()),
            advice: None,
        },
        Row {
            name: "tls",
            alg: "ecdsa-p256".into(),
            id: identity
                .tls
                .chain
                .first()
                .map(|leaf| city_protocol::pki::fingerprint(leaf).to_string())
                .unwrap_or_default(),
            file: file(data.tls_key()),
            advice: None,
        },
    ];
    let store = &identity.keystore;
    let wrapped = store.protects()?;
    let data_keys = Keyring::open(std::sync::Arc::clone(store))?.map(|ring| ring.list());
    let data_keys = data_keys.unwrap_or_default();
    if json {
        output::object(json!({
            "masters": store.entries(),
            "wrapped": wrapped,
            "keys": rows.iter().map(row).collect::<Vec<_>>(),
            "data_keys": data_keys.iter().map(|(id, boxes)| json!({ "id": id, "boxes": boxes })).collect::<Vec<_>>(),
        }))?;
        return Ok(Exit::Ok);
    }
    let mut text = String::new();
    for row in &rows {
        text += &format!(
            "{:<10} {:<18} {}\n{:>29} {}\n",
            row.name, row.alg, row.id, "", row.file
        );
        if let Some(advice) = row.advice {
            text += &format!("{:>29} {advice}\n", "");
        }
    }
    let kept = if wrapped {
        "wrapped by the master secret"
    } else {
        "plain files for this user alone (mode 0600)"
    };
    text += &format!("keys are   {kept}\n");
    match store.entries().as_slice() {
        [] => text += "master     none yet: stop the node and run city-node key seal\n",
        [one] => text += &format!("master     {}, kept by {}\n", one.id, one.backend),
        [newest, others @ ..] => {
            text += &format!(
                "master     {}, kept by {}; {} older still named: an exchange was cut off, run it again\n",
                newest.id,
                newest.backend,
                others.len()
            );
        }
    }
    for (i, (id, boxes)) in data_keys.iter().enumerate() {
        let name = if i == 0 { "data key" } else { "" };
        text += &format!("{name:<10} {id}, at most {boxes} boxes\n");
    }
    output::text(&text)?;
    Ok(Exit::Ok)
}

fn row(row: &Row) -> Value {
    json!({
        "name": row.name,
        "alg": row.alg,
        "id": row.id,
        "file": row.file,
        "superseded": row.advice.is_some(),
        "advice": row.advice,
    })
}
