//! Node certificates go from node to node: what one municipality holds of another, its neighbours get when they ask. Real
//! nodes, by the command line; and the rules alone, on the data directories of founded municipalities.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use city_node::engine::{OwnCertificate, TransportKey, protocol_peer, utc};
use city_node::pki::read_crls;
use city_node::setup::load_identity;
use city_node::store::{Store, StoreOptions};
use city_node::trust::keyfile::Judges;
use city_node::trust::{Keeper, Taken, Terms, Wanted};
use city_protocol::amount::Timestamp;
use city_protocol::pki::{Crls, Root};
use city_protocol::sync::Message;
use city_protocol::trust::SignedData;
use libp2p::PeerId;
use serde_json::Value;

use crate::daemon::city::{City, PATIENCE, directory, found};

const DAY: u64 = 24 * 60 * 60 * 1000;

fn id(city: &City) -> String {
    city.report.peer_id.to_string()
}

/// How many node certificates a city holds of another.
fn held(city: &City, of: &City) -> usize {
    let page = city.answer(&[], &["whitelist", "list"], 0);
    let peers = page["peers"].as_array().unwrap();
    let peer = peers.iter().find(|peer| peer["peer"] == id(of).as_str());
    let keys = peer.and_then(|peer| peer["keys"].as_array());
    let certificates = |key: &&Value| key["kind"] == "node-certificate";
    keys.map_or(0, |keys| keys.iter().filter(certificates).count())
}

async fn holds(city: &City, of: &City) {
    let begun = Instant::now();
    while held(city, of) == 0 {
        assert!(begun.elapsed() < PATIENCE, "no certificate of {}", id(of));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_not_held_is_asked_for_and_given() {
    let root = directory();
    let mut cities = found(root.path(), 3);
    // 小松市 shares nothing at first, and 金沢市 does not ask by itself.
    cities[1].config.network.auto_share_keys = false;
    cities[0].config.network.auto_request_keys = false;
    for city in &mut cities[..2] {
        city.configure();
    }
    let [kanazawa, komatsu, hakusan] = &mut cities[..] else {
        unreachable!()
    };
    let refused = kanazawa.command(&["peer", "request-keys"], &[]);
    assert_eq!(refused.status.code(), Some(3), "no node runs");
    // 白山市 has not run yet: nobody heard its hello. 小松市's operator was given its certificate.
    let pem = hakusan.data.node_certificate();
    let pem = pem.to_str().unwrap();
    komatsu
        .config
        .network
        .peers
        .retain(|peer| peer.peer_id != hakusan.report.peer_id);
    komatsu.configure();
    let (a, b) = (kanazawa.ready().await, komatsu.ready().await);
    let listed = komatsu.answer(&[], &["whitelist", "add", &id(hakusan), "-k", pem], 0);
    assert_eq!(listed["listed"]["keys"][0]["kind"], "node-certificate");
    // By their hellos.
    holds(kanazawa, komatsu).await;
    holds(komatsu, kanazawa).await;
    let asked = kanazawa.answer(&[], &["peer", "request-keys"], 0);
    assert_eq!(asked["wanted"], serde_json::json!([id(hakusan)]));
    assert_eq!(asked["asked"], serde_json::json!([id(komatsu)]));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(held(kanazawa, hakusan), 0, "it is not shared");
    a.stop().await;
    b.stop().await;

    // Now it is shared, and asked for as they connect.
    komatsu.config.network.auto_share_keys = true;
    komatsu.configure();
    kanazawa.config.network.auto_request_keys = true;
    kanazawa.configure();
    let (a, b) = (kanazawa.ready().await, komatsu.ready().await);
    holds(kanazawa, hakusan).await;
    let asked = kanazawa.answer(&[], &["peer", "request-keys"], 0);
    assert_eq!(asked["wanted"], serde_json::json!([]));
    // It is durable.
    a.stop().await;
    assert_eq!(held(kanazawa, hakusan), 1);
    let a = kanazawa.ready().await;
    a.until("the peer", |status| {
        status.peers.iter().any(|peer| peer.region.is_some())
    })
    .await;

    // The own certificate, shown anew.
    let told = kanazawa.answer(&[], &["peer", "announce-key"], 0);
    assert_eq!(told["told"], serde_json::json!([id(komatsu)]));
    let own = kanazawa.data.node_certificate();
    let kept = fs::read(&own).unwrap();
    fs::copy(hakusan.data.node_certificate(), &own).unwrap();
    let said = kanazawa.refusal(&[], &["peer", "announce-key"], 1);
    assert!(said.contains("node.pem"), "{said}");
    fs::write(&own, kept).unwrap();
    a.stop().await;
    b.stop().await;
}

/// Nobody connects anew: who is listed, by an operator or by the file, is asked for at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_an_operator_lists_is_asked_for_of_who_is_connected() {
    let root = directory();
    let mut cities = found(root.path(), 3);
    // 金沢市 does not know 白山市, which never runs; 小松市 has its certificate.
    let of_file = cities[0].config.network.peers.pop().unwrap();
    cities[0].configure();
    cities[1].config.network.peers.truncate(1);
    cities[1].configure();
    let [kanazawa, komatsu, hakusan] = &mut cities[..] else {
        unreachable!()
    };
    let (a, b) = (kanazawa.ready().await, komatsu.ready().await);
    let pem = hakusan.data.node_certificate();
    let pem = pem.to_str().unwrap();
    komatsu.answer(&[], &["whitelist", "add", &id(hakusan), "-k", pem], 0);
    holds(kanazawa, komatsu).await;
    holds(komatsu, kanazawa).await;

    // What is asked of a stranger would never be held.
    let refused = kanazawa.refusal(&["peer", "request-keys"], &[&id(hakusan)], 1);
    assert!(refused.contains("is not on the whitelist"), "{refused}");

    let since = a.status().await.peers[0].since;
    kanazawa.answer(&[], &["whitelist", "add", &id(hakusan)], 0);
    holds(kanazawa, hakusan).await;
    let asked = kanazawa.answer(&["peer", "request-keys"], &[&id(hakusan)], 0);
    assert_eq!(asked["asked"], serde_json::json!([id(komatsu)]));
    kanazawa.answer(&[], &["whitelist", "remove", &id(hakusan)], 0);
    assert_eq!(held(kanazawa, hakusan), 0);
    kanazawa.config.network.peers.push(of_file);
    kanazawa.configure();
    kanazawa.answer(&[], &["reload"], 0);
    holds(kanazawa, hakusan).await;
    assert_eq!(a.status().await.peers[0].since, since, "one connection");
    a.stop().await;
    b.stop().await;
}

/// One node's side of the exchange, without a network.
struct Side {
    keeper: Keeper,
    key: TransportKey,
    own: PeerId,
    shown: OwnCertificate,
    roots: Vec<Root>,
    crls: Crls,
    seen: std::path::PathBuf,
}

impl Side {
    fn of(city: &City, lists: &[&City]) -> Self {
        let identity = load_identity(&city.data).unwrap();
        let dir = city.data.path().join("other-store");
        let (store, _) = Store::open(&dir, identity.network, StoreOptions::new()).unwrap();
        let own = city.report.peer_id;
        let needed = city_node::trust::Needed {
            to_approve: 1,
            to_read: 0,
            depth: 1,
        };
        let keeper = Keeper::open(Arc::new(store), None, &Wanted::new(), own, needed).unwrap();
        let seen = city.data.seen();
        keeper.remember(seen.clone(), DAY, utc());
        let side = Self {
            keeper,
            key: TransportKey::new(identity.transport.clone()).unwrap(),
            own,
            shown: OwnCertificate::new(identity.node_certificate.clone(), &identity.chain),
            roots: identity.genesis.roots.clone(),
            crls: read_crls(&city.data.crls()).unwrap(),
            seen,
        };
        for other in lists {
            let peer = other.report.peer_id;
            side.keeper
                .add(&peer, Terms::default(), side.judges(utc()), "uid 0")
                .unwrap();
        }
        side
    }

    fn judges(&self, now: Timestamp) -> Judges<'_> {
        Judges {
            roots: &self.roots,
            crls: &self.crls,
            now,
        }
    }

    fn announced(&self) -> Box<SignedData> {
        match self.key.announce(&self.shown.now()) {
            Message::KeyAnnouncement(signed) => signed,
            other => panic!("{other:?}"),
        }
    }

    fn asks(&self, of: &Self, wanted: &[PeerId]) -> Box<SignedData> {
        let peer = protocol_peer(&of.own).unwrap();
        match self.key.ask(&self.keeper, &peer, wanted) {
            Some(Message::KeyRequest(signed)) => signed,
            other => panic!("{other:?}"),
        }
    }

    fn answers(&self, to: &Self, asked: &SignedData) -> Vec<SignedData> {
        let answers = self.keeper.answer(&to.own, asked, self.judges(utc()));
        let peer = protocol_peer(&to.own).unwrap();
        let signed = answers.iter().map(|answer| self.key.answer(&peer, answer));
        signed
            .map(|message| match message {
                Message::KeyResponse(signed) => *signed,
                other => panic!("{other:?}"),
            })
            .collect()
    }
}

#[test]
fn each_message_counts_once_and_only_what_was_asked_for_is_taken() {
    let root = directory();
    let cities = found(root.path(), 3);
    let [kanazawa, komatsu, hakusan] = &cities[..] else {
        unreachable!()
    };
    let a = Side::of(kanazawa, &[komatsu, hakusan]);
    let b = Side::of(komatsu, &[kanazawa, hakusan]);
    let c = Side::of(hakusan, &[]);
    let now = a.judges(utc());
    assert_eq!(a.keeper.without_certificate(now.now).len(), 2);

    // What 白山市 says of itself, 小松市 holds; again, or said by another, it is nothing.
    let said = c.announced();
    assert_eq!(b.keeper.announced(&a.own, &said, now), Taken::Nothing);
    assert_eq!(b.keeper.announced(&c.own, &said, now), Taken::New(c.own));
    assert_eq!(b.keeper.announced(&c.own, &said, now), Taken::Nothing);
    assert_eq!(
        c.keeper.announced(&a.own, &a.announced(), now),
        Taken::Nothing,
        "not listed there"
    );

    // Whoever was not asked is not heard.
    let asked = a.asks(&b, &[c.own, b.own]);
    let given = b.answers(&a, &asked);
    assert_eq!(given.len(), 1, "its own it said in its hello");
    assert_eq!(b.answers(&a, &asked).len(), 0, "the same request again");
    assert_eq!(
        b.keeper.answer(&c.own, &asked, now).len(),
        0,
        "another's request"
    );
    assert_eq!(
        c.keeper.answered(&b.own, &given[0], now),
        Taken::Nothing,
        "for another"
    );
    assert_eq!(
        a.keeper.answered(&c.own, &given[0], now),
        Taken::Nothing,
        "not its signer"
    );
    let again = a.asks(&b, &[c.own]);
    let late = b.answers(&a, &again);
    assert_eq!(
        a.keeper.answered(&b.own, &given[0], now),
        Taken::Nothing,
        "of an earlier request"
    );
    let tomorrow = Judges {
        now: now.now.plus_ms(DAY + 60_000),
        ..now
    };
    assert_eq!(
        a.keeper.answered(&b.own, &late[0], tomorrow),
        Taken::Nothing,
        "too old"
    );
    assert_eq!(a.keeper.answered(&b.own, &late[0], now), Taken::New(c.own));
    assert_eq!(
        a.keeper.answered(&b.own, &late[0], now),
        Taken::Nothing,
        "again"
    );
    assert_eq!(a.keeper.without_certificate(now.now), vec![b.own]);

    // After a restart, too: the window stands on the disk.
    let asked = a.asks(&b, &[c.own]);
    assert_eq!(b.answers(&a, &asked).len(), 1);
    b.keeper.remember(b.seen.clone(), DAY, utc());
    assert_eq!(b.answers(&a, &asked).len(), 0);
    // And where it cannot be written nothing counts.
    let asked = a.asks(&b, &[c.own]);
    b.keeper
        .remember(root.path().join("nowhere/seen.cbor"), DAY, utc());
    assert_eq!(b.answers(&a, &asked).len(), 0);

    // Roots that do not stand behind it.
    let stranger = Judges { roots: &[], ..now };
    assert_eq!(
        a.keeper.announced(&b.own, &b.announced(), stranger),
        Taken::Nothing
    );
    assert_eq!(
        a.keeper.announced(&b.own, &b.announced(), now),
        Taken::New(b.own)
    );
    assert!(a.keeper.without_certificate(now.now).is_empty());
}
