//! What a home takes of a kiosk's proof of place, and from whom.

use city_node::api::wire::{Der, SignatureForm, SignedPlaceForm};
use city_node::engine::utc;
use city_node::pki::{NodeRequest, Validity};
use city_protocol::crypto::{SecretKey, Suite};
use city_protocol::ids::AccountId;
use city_protocol::pki::Role;
use city_protocol::place::{Grade, PlaceProof, SignedPlace, Subject};
use city_protocol::vertex::EntrySignature;
use hyper::Method;
use libp2p::identity::Keypair;

use super::town::{Founded, Plan, Town};

/// A node's key with its certificate.
struct Kiosk {
    key: SecretKey,
    certificate: Vec<u8>,
}

impl Kiosk {
    /// Certified by this town's CA.
    fn certified(town: &Town, role: Role, region: &str) -> Self {
        let key = SecretKey::generate(Suite::Fips.signing());
        let request = NodeRequest {
            region: &region.parse().unwrap(),
            role,
            key: key.public(),
            peer_id: &Keypair::generate_ed25519()
                .public()
                .to_peer_id()
                .to_string(),
            kem: None,
        };
        let validity = Validity::days(utc().minus_ms(3_600_000), 30);
        let certificate = town.founded.ca.issue_node(&request, validity).unwrap();
        Self { key, certificate }
    }

    /// The form of a proof that it made.
    fn form(&self, proof: &PlaceProof) -> SignedPlaceForm {
        let signed = SignedPlace::sign(proof, &self.key);
        let signature = EntrySignature::new(self.key.public().id(), &signed.signature);
        SignedPlaceForm {
            proof: signed.proof,
            signature: SignatureForm::from(&signature),
            certificate: Der(self.certificate.clone()),
            chain: Vec::new(),
        }
    }
}

/// A kiosk's proof for this account.
fn proof(town: &Town, account: AccountId, subject: Subject) -> PlaceProof {
    PlaceProof {
        v: 1,
        network: town.founded.genesis.network(),
        subject,
        account,
        transfer_id: city_protocol::ids::TransferId([7; 16]),
        nonce: [8; 16],
        grade: Grade::None,
        reasons: Vec::new(),
        municipality: None,
        lat_e7: None,
        lon_e7: None,
        time: utc(),
        fix_time: None,
        satellites_used: None,
        hdop_centi: None,
        boundary: None,
        policy: 1,
        raw: None,
    }
}

/// Status and code of what the home says to a form.
async fn offered(town: &Town, form: &SignedPlaceForm) -> (u16, String) {
    let body = serde_json::to_vec(form).unwrap();
    let path = "/send/api/place/signed";
    let (status, bytes) = town.api.raw(Method::POST, path, body).await.unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let code = answer["code"].as_str().unwrap_or_default();
    (status.as_u16(), code.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_takes_a_proof_of_its_own_terminals_alone() {
    let town = Founded::kanazawa()
        .open(Plan {
            receiver: false,
            ..Plan::default()
        })
        .await;
    let hanako = town.citizen().await;
    let made = proof(&town, hanako.account(), Subject::KioskSession);
    let kiosk = Kiosk::certified(&town, Role::Terminal, "Asia/JP/17/17201");
    // It is held, and the answer says what a transfer with it would come to.
    let good = kiosk.form(&made);
    assert_eq!(offered(&town, &good).await, (200, "no-position".into()));
    assert_eq!(offered(&town, &good).await.0, 200, "again, the same");

    let other_home = Kiosk::certified(&town, Role::Home, "Asia/JP/17/17201");
    let other_town = Kiosk::certified(&town, Role::Terminal, "Asia/JP/17/17203");
    let abroad = Kiosk::certified(&town, Role::Terminal, "Asia/JP/13/13101");
    for stranger in [&other_home, &other_town, &abroad] {
        let refused = offered(&town, &stranger.form(&made)).await;
        assert_eq!(refused, (403, "bad-certificate".into()));
    }
    // Somebody shows the kiosk's certificate and signs with another key.
    let mut stolen = other_town.form(&made);
    stolen.certificate = Der(kiosk.certificate.clone());
    assert_eq!(offered(&town, &stolen).await, (403, "wrong-key".into()));
    stolen.signature.key = kiosk.key.public().id().to_string();
    assert_eq!(offered(&town, &stolen).await, (403, "bad-signature".into()));
    let mut changed = good.clone();
    changed.proof = proof(&town, hanako.account(), Subject::Node).encode();
    assert_eq!(
        offered(&town, &changed).await,
        (403, "bad-signature".into())
    );
    // What it signed is not about where it stands, not of this network, or for nobody here.
    let client = proof(&town, hanako.account(), Subject::Client);
    let claim = offered(&town, &kiosk.form(&client)).await;
    assert_eq!(claim, (422, "place-mismatch".into()));
    let stranger = town.stranger().await.account();
    let nobody = proof(&town, stranger, Subject::Node);
    let nobody = offered(&town, &kiosk.form(&nobody)).await;
    assert_eq!(nobody, (404, "unknown-account".into()));
    let other = PlaceProof {
        network: city_protocol::ids::NetworkId::of(b"another"),
        ..made.clone()
    };
    let other = offered(&town, &kiosk.form(&other)).await;
    assert_eq!(other, (422, "wrong-network".into()));
    let tomorrow = PlaceProof {
        time: utc().plus_ms(86_400_000),
        ..made
    };
    let tomorrow = offered(&town, &kiosk.form(&tomorrow)).await;
    assert_eq!(tomorrow, (422, "future-dated".into()));
    town.close().await;
}
