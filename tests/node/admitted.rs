//! Whose submissions are admitted: every one needs a good certificate of its account, sent once; a revocation ends
//! it in a running node, and a home that lost the certificates asks for them again.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::{Duration, Instant};

use city_node::client::person::{Order, Person};
use city_node::client::{ApiClient, ClientError};
use city_node::engine::utc;
use city_node::pki::revocation::{ListRequest, Reason, Revocation};
use city_node::pki::{Authority, Issuer, Validity};
use city_protocol::crypto::{Algorithm, SecretKey};
use serde_json::{Value, json};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use crate::daemon::city::{City, Node, PATIENCE, alone};

fn validity() -> Validity {
    Validity::days(utc().minus_ms(60_000), 2)
}

/// A city with a receiver, its node, and one person with money.
struct Story {
    _dir: tempfile::TempDir,
    city: City,
    node: Node,
    api: ApiClient,
}

impl Story {
    async fn begin() -> (Self, crate::daemon::city::Line) {
        let dir = tempfile::tempdir().unwrap();
        let mut city = alone(dir.path(), dir.path().join("city"));
        let line = city.plug_in(Vec::new);
        let node = city.ready().await;
        let api = city.api(&node);
        let story = Self {
            _dir: dir,
            city,
            node,
            api,
        };
        (story, line)
    }

    fn ca(&self) -> Authority {
        Authority::open(&self.city.ca, None).unwrap()
    }

    fn certificate(&self, person: &Person) -> Vec<u8> {
        let ca = self.ca();
        person.request_certificate(|request| ca.issue_client(request, validity()).unwrap())
    }

    async fn citizen(&self, certificate: &[u8], person: &Person) {
        let signed = person.enrol(certificate, utc()).unwrap();
        self.api.enrol(&signed, certificate, &[]).await.unwrap();
    }

    /// The form of a transfer of 1.00 that is signed now, for `sequence`.
    async fn form(&self, sender: &Person, receiver: &Person, sequence: u64) -> Value {
        let node = self.api.node().await.unwrap();
        let mut order = Order::new(receiver.account(), &node, "1.00".parse().unwrap());
        order.sequence = sequence;
        order.created_at = utc();
        let nonce = city_node::client::person::random();
        let begun = Instant::now();
        let place = loop {
            let account = sender.account();
            let place = self.api.place(&account, &order.transfer_id, &nonce);
            let place = place.await.unwrap();
            if place.satisfies_policy {
                break place;
            }
            assert!(begun.elapsed() < PATIENCE, "{place:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        order.proof_of_place = place.digest;
        let (signed, _) = sender.transfer(&order).unwrap();
        let body = std::str::from_utf8(signed.bytes()).unwrap();
        let signature = signed.signature();
        json!({"body": body, "signature": {
            "alg": signature.alg, "key": signature.key,
            "sig": data_encoding::BASE64.encode(&signature.sig),
        }})
    }

    async fn send(&self, form: &Value) -> (u16, Value) {
        let answer = self
            .api
            .raw(hyper::Method::POST, "/send/api/transfers", form.to_string());
        let (status, body) = answer.await.unwrap();
        (status.as_u16(), serde_json::from_slice(&body).unwrap())
    }

    async fn exchanged(&self, count: u64) {
        let begun = Instant::now();
        let admin = self.node.admin().await.unwrap();
        while admin.status().await.unwrap().certificates.exchanges < count {
            assert!(begun.elapsed() < PATIENCE, "{}", self.node.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn base64(der: &[u8]) -> String {
    data_encoding::BASE64.encode(der)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_sent_once_and_a_lost_one_is_asked_for_again() {
    let (mut story, _line) = Story::begin().await;
    let node = story.api.node().await.unwrap();
    let (sender, receiver) = (Person::generate(&node), Person::generate(&node));
    let own = story.certificate(&sender);
    story.citizen(&own, &sender).await;
    story
        .citizen(&story.certificate(&receiver), &receiver)
        .await;
    story.city.grant(&story.api, &sender, 10_000).await.unwrap();

    // Enrolled with it: not a word about it later.
    let first = story.form(&sender, &receiver, 1).await;
    assert_eq!(story.send(&first).await.0, 201);

    // Somebody lost the directory, and the node starts again.
    std::fs::remove_dir_all(story.city.data.clients()).unwrap();
    assert_eq!(story.send(&first).await.0, 200, "a verdict is remembered");
    story.node.signal("-TERM");
    story.node.end().await;
    story.node = story.city.ready().await;
    let api = story.city.api(&story.node);
    let enrolled_here = std::mem::replace(&mut story.api, api);
    let mut second = story.form(&sender, &receiver, 2).await;
    let (status, problem) = story.send(&second).await;
    assert_eq!(
        (status, &problem["code"]),
        (401, &"certificate-required".into())
    );
    assert!(
        problem["title"]
            .as_str()
            .unwrap()
            .contains("send `certificate`")
    );

    // Another's, one for another key, and one of a stranger's CA do not do.
    let refused = async |form: &Value, certificate: &[u8]| {
        let mut form = form.clone();
        form["certificate"] = base64(certificate).into();
        let (status, problem) = story.send(&form).await;
        assert_eq!(
            (status, &problem["code"]),
            (403, &"bad-certificate".into()),
            "{problem}"
        );
        problem["reason"].clone()
    };
    let others = story.certificate(&receiver);
    assert_eq!(refused(&second, &others).await, Value::Null);
    let key = SecretKey::generate(Algorithm::Dilithium5);
    let other_key = sender.request_certificate(|request| {
        let request = city_node::pki::ClientRequest {
            key: key.public(),
            ..*request
        };
        story.ca().issue_client(&request, validity()).unwrap()
    });
    assert_eq!(refused(&second, &other_key).await, Value::Null);
    let root = city_node::pki::issue::root("他", &key, validity()).unwrap();
    let stranger = sender.request_certificate(|request| {
        let issuer = Issuer::new(&root, &key).unwrap();
        issuer.client(request, validity()).unwrap()
    });
    assert_eq!(refused(&second, &stranger).await, "cert-unknown-issuer");
    // Naming one that is not there asks for it.
    second["certificate_fingerprint"] = city_protocol::pki::fingerprint(&own).to_string().into();
    assert_eq!(story.send(&second).await.0, 401);
    // The right one, once.
    second["certificate"] = base64(&own).into();
    assert_eq!(story.send(&second).await.0, 201);
    second.as_object_mut().unwrap().remove("certificate");
    assert_eq!(story.send(&second).await.0, 200);
    assert!(
        story
            .city
            .data
            .clients()
            .join(format!("{}.pem", sender.account()))
            .exists()
    );

    // The client library sends it by itself.
    std::fs::remove_dir_all(story.city.data.clients()).unwrap();
    story.node.signal("-TERM");
    story.node.end().await;
    story.node = story.city.ready().await;
    story.api = story.city.api(&story.node);
    story.api.know(sender.signing().public().id(), &own, &[]);
    let third = story.form(&sender, &receiver, 3).await;
    let signed = city_protocol::stage::SignedTransfer::read(
        third["body"].as_str().unwrap().as_bytes(),
        city_protocol::vertex::EntrySignature {
            alg: third["signature"]["alg"].as_str().unwrap().parse().unwrap(),
            key: third["signature"]["key"].as_str().unwrap().parse().unwrap(),
            sig: data_encoding::BASE64
                .decode(third["signature"]["sig"].as_str().unwrap().as_bytes())
                .unwrap(),
        },
    )
    .unwrap();
    assert!(!story.api.transfer(&signed).await.unwrap().repeated);
    drop(enrolled_here);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_certificate_ends_in_a_running_node_and_history_stays() {
    let (story, _line) = Story::begin().await;
    let node = story.api.node().await.unwrap();
    let (sender, receiver) = (Person::generate(&node), Person::generate(&node));
    let own = story.certificate(&sender);
    story.citizen(&own, &sender).await;
    story
        .citizen(&story.certificate(&receiver), &receiver)
        .await;
    story.city.grant(&story.api, &sender, 10_000).await.unwrap();
    let first = story.form(&sender, &receiver, 1).await;
    assert_eq!(story.send(&first).await.0, 201);
    let second = story.form(&sender, &receiver, 2).await;

    let read = Certificate::from_der(&own).unwrap();
    let revoked = [Revocation {
        serial: read.tbs_certificate().serial_number().as_bytes().to_vec(),
        at: utc(),
        reason: Reason::KeyCompromise,
    }];
    let request = ListRequest {
        number: 7,
        dates: validity(),
        revoked: &revoked,
    };
    let key = city_node::keys::load_signing(&story.city.ca.join("root.key")).unwrap();
    let root = story.ca();
    let list = Issuer::new(root.root_der(), &key)
        .unwrap()
        .crl(&request)
        .unwrap();
    std::fs::create_dir_all(story.city.data.crls()).unwrap();
    std::fs::write(story.city.data.crls().join("people.crl"), list).unwrap();
    story.exchanged(1).await;

    let (status, problem) = story.send(&second).await;
    assert_eq!(
        (status, &problem["code"], &problem["reason"]),
        (403, &"bad-certificate".into(), &"cert-revoked".into())
    );
    // Also when it is shown, and for who enrols with it.
    let mut shown = second.clone();
    shown["certificate"] = base64(&own).into();
    assert_eq!(story.send(&shown).await.1["reason"], "cert-revoked");
    let signed = sender.enrol(&own, utc()).unwrap();
    let again = story.api.enrol(&signed, &own, &[]).await.unwrap_err();
    assert_eq!(again.code(), Some("bad-certificate"));
    // The receiver's counts as before, and so does what was booked.
    story.api.login(&receiver).await.unwrap();
    let waiting = story.api.incoming(&receiver.account(), None).await.unwrap();
    let accept = receiver.accept(&waiting.transfers[0], 1, utc()).unwrap();
    story.api.accept(&accept).await.unwrap();
    let admin = story.node.admin().await.unwrap();
    assert!(admin.verify().await.unwrap().ok);
    // A new certificate for the same key: it is asked for, and then all is well.
    let renewed = story.certificate(&sender);
    let mut shown = second.clone();
    shown["certificate"] = base64(&renewed).into();
    assert_eq!(story.send(&shown).await.0, 201);
    let told: Result<_, ClientError> = story.api.node().await;
    assert!(told.is_ok());
}
