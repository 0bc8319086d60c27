//! Real nodes: one changes its transport key while it runs, one follows at once, one hears of it later and from another.

use std::time::{Duration, Instant};

use city_node::admin::pages::Status;
use city_node::client::person::random;
use city_node::engine::{TransportKey, utc};
use city_node::setup::load_identity;
use city_protocol::ids::LogId;
use city_protocol::pki::Role;
use city_protocol::sync::Message;
use city_protocol::trust::{ROTATION_MS, Rotation, SignedRotation, TransportSigner as _};
use libp2p::identity::Keypair;

use super::{certified, id, prepared, shown, text};
use crate::daemon::city::{City, PATIENCE, directory, found};
use crate::daemon::private;
use crate::daemon::speaker::{Speaker, hello};

fn seq(status: &Status, log: LogId) -> u64 {
    let head = status.frontier.iter().find(|head| head.log == log);
    head.map_or(0, |head| head.seq)
}

fn has(status: &Status, peer: &str) -> bool {
    let mut peers = status.peers.iter();
    peers.any(|known| known.peer_id == peer && known.region.is_some())
}

/// Waits until a running node's command says so.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_follow_a_node_to_its_new_key_at_once_or_when_another_tells_them() {
    let root = directory();
    let mut cities = found(root.path(), 3);
    let _lines = [0, 1].map(|city: usize| cities[city].plug_in(Vec::new));
    let [kanazawa, komatsu, hakusan] = &mut cities[..] else {
        unreachable!()
    };
    let (old, log) = (id(kanazawa), kanazawa.report.log);
    // 小松市's operator listed 金沢市 by hand; 白山市's file names it.
    komatsu
        .config
        .network
        .peers
        .retain(|peer| peer.peer_id != kanazawa.report.peer_id);
    komatsu.configure();
    let (a, b) = (kanazawa.ready().await, komatsu.ready().await);
    let at = kanazawa.config.network.listen[0].to_string();
    let terms = ["--roles", "sync,recommend", "--address", &at];
    let add = [&["add", &old, "-n", "金沢市", "-e", "100"][..], &terms].concat();
    let listed = komatsu.answer(&["whitelist"], &add, 0);
    b.until("金沢市", |status| has(status, &old)).await;
    a.until("小松市", |status| has(status, &id(komatsu))).await;
    komatsu.answer(&["peer", "recommend"], &[&old], 0);

    // The key is changed while the node runs: 小松市 is told, and follows.
    let (new, pem) = prepared(kanazawa, root.path());
    let finish = ["key", "rotate", "transport", "finish"];
    let done = kanazawa.answer(&finish, &["--certificate", text(&pem)], 0);
    assert_eq!(
        (&done["old"], &done["new"]),
        (&old.as_str().into(), &new.as_str().into())
    );
    assert_eq!(done["told"], serde_json::json!([id(komatsu)]));
    let again = kanazawa.refusal(&finish, &["--certificate", text(&pem)], 1);
    assert!(again.contains("no next transport key"), "{again}");
    until("the rotation", || {
        komatsu.command(&["peer", "show"], &[&new]).status.code() == Some(0)
    })
    .await;
    let page = shown(komatsu, &new, 0);
    let entry = &page["listed"]["entries"][0];
    let before = &listed["listed"]["entries"][0];
    for field in ["name", "roles", "addresses", "expires_at", "at", "by"] {
        assert_eq!(entry[field], before[field], "{field}");
    }
    assert_eq!(entry["region"], kanazawa.config.node.region.as_str());
    assert_eq!(page["followed_from"][0]["old"], old.as_str());
    assert_eq!(page["followed_from"][0]["in_config"], false);
    let page = shown(komatsu, &old, 4);
    assert_eq!(
        (&page["reason"], &page["rotated_to"]["new"]),
        (&"rotated".into(), &new.as_str().into())
    );
    assert_eq!(page["listed"], serde_json::Value::Null);
    // What 小松市 says of it, it says of the new peer id.
    let own = komatsu.answer(&["peer", "recommendations"], &[], 0)["own"].clone();
    assert_eq!(own[0]["peer"], new.as_str());
    b.until("the end of the old connection", |status| !has(status, &old))
        .await;
    a.stop().await;

    // From its next start the node has the new key, and both go on with its log.
    let a = kanazawa.ready().await;
    assert_eq!(a.status().await.peer_id, new);
    b.until("the new peer id", |status| has(status, &new)).await;
    let api = kanazawa.api(&a);
    let chiyo = kanazawa.rich(&api, 10_000).await;
    let head = seq(&a.status().await, log);
    b.until("its log", |status| seq(status, log) >= head).await;
    let records = kanazawa.answer(&["key", "rotate", "transport", "show"], &[], 0);
    assert_eq!(
        (&records["records"][0]["new"], &records["prepared"]),
        (&new.as_str().into(), &false.into())
    );

    // Private values find their way both ways, although the charter names the old peer id.
    let other = komatsu.api(&b);
    let yosa = komatsu.rich(&other, 10_000).await;
    for node in [&a, &b] {
        node.until("a place", |status| status.place.satisfies_policy)
            .await;
    }
    let (here, there) = (api.node().await.unwrap(), other.node().await.unwrap());
    let transfer = private::sent(&api, &chiyo, &yosa, &there).await;
    private::arrives(&b, &transfer).await;
    let transfer = private::sent(&other, &yosa, &chiyo, &here).await;
    private::arrives(&a, &transfer).await;

    // 白山市 was away: 小松市 tells it, and the new peer id is let in.
    let c = hakusan.ready().await;
    c.until("the new peer id", |status| has(status, &new)).await;
    c.until("its log", |status| seq(status, log) >= head).await;
    let page = shown(hakusan, &new, 0);
    let from = &page["followed_from"][0];
    assert_eq!(
        (&from["from"], &from["by"]),
        (&id(komatsu).into(), &"peer".into())
    );
    // Its file still names the old one, which is told and has no force.
    assert_eq!(from["in_config"], true);
    let outdated = c.status().await.outdated_peers;
    assert_eq!((&outdated[0].old, &outdated[0].new), (&old, &new));
    assert_eq!(shown(hakusan, &old, 4)["reason"], "rotated");
    let tested = hakusan.answer(&["peer", "test-access"], &[], 0);
    assert!(tested["peers"].as_array().unwrap().len() >= 3, "{tested}");
    let checked = hakusan.command(&["netcheck"], &[]).stdout;
    let checked = String::from_utf8(checked).unwrap();
    assert!(checked.contains(&format!("followed by {new}")), "{checked}");
    // That holds after a restart, and is written down.
    c.stop().await;
    let c = hakusan.ready().await;
    c.until("the new peer id", |status| has(status, &new)).await;
    assert_eq!(shown(hakusan, &old, 4)["listed"]["in_force"], false);
    for (city, node) in [(&*kanazawa, a), (&*komatsu, b), (&*hakusan, c)] {
        assert_eq!(city.answer(&["audit", "verify"], &[], 0)["ok"], true);
        node.stop().await;
    }
    // Of a stopped node, too, with the name that is encrypted on its disk.
    let page = shown(komatsu, &new, 0);
    assert_eq!(page["listed"]["entries"][0]["name"], "金沢市");
    let trust = komatsu
        .answer(&["audit", "list"], &["--log", "trust"], 0)
        .to_string();
    assert!(
        trust.contains(&format!("{old} followed by {new}")),
        "{trust}"
    );
    let access = komatsu
        .answer(&["audit", "list"], &["--log", "access"], 0)
        .to_string();
    assert!(
        access.contains(&format!("rotation-follow {old} {new}")),
        "{access}"
    );
}

/// Whoever stole the old key has it sign whatever they like; without the municipality's CA nobody follows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stolen_key_moves_nobody() {
    let root = directory();
    let cities = found(root.path(), 3);
    let [kanazawa, komatsu, hakusan] = &cities[..] else {
        unreachable!()
    };
    let b = komatsu.ready().await;
    let identity = load_identity(&kanazawa.data).unwrap();
    let mut speaker = Speaker::instead_of(kanazawa, komatsu);
    speaker.connected().await;
    speaker.says(&hello(&identity)).await;
    let old = TransportKey::new(identity.transport.clone()).unwrap();
    let key = Keypair::generate_ed25519();
    let new = key.public().to_peer_id().to_string();
    let stolen = TransportKey::new(key).unwrap();
    let rotation = |certificate| Rotation {
        network: identity.network,
        old: old.peer_id(),
        new: stolen.peer_id(),
        certificate,
        chain: Vec::new(),
        made_at: utc(),
        expires_at: utc().plus_ms(ROTATION_MS),
    };
    let region = |city: &City| city.config.node.region.to_string();
    let of = |region: &str, role| certified(kanazawa, &new, region, role);
    // Of another municipality, of another role, and the one that the node has.
    let bad: [SignedRotation; 4] = [
        rotation(of(&region(hakusan), Role::Home)).sign(&old, &stolen),
        rotation(of(&region(kanazawa), Role::Terminal)).sign(&old, &stolen),
        rotation(identity.node_certificate.clone()).sign(&old, &stolen),
        // The right certificate, but by the old key alone.
        rotation(of(&region(kanazawa), Role::Home)).sign(&old, &old),
    ];
    b.until("the peer", |status| has(status, &id(kanazawa)))
        .await;
    let file = root.path().join("rotation.cbor");
    for bad in &bad {
        speaker
            .says(&Message::Rotation(Box::new(bad.clone())))
            .await;
        std::fs::write(&file, bad.encode()).unwrap();
        let said = komatsu.refusal(&["peer", "follow-rotation"], &[text(&file)], 1);
        assert!(said.contains("the rotation is not followed"), "{said}");
    }
    std::fs::write(&file, random::<64>()).unwrap();
    let said = komatsu.refusal(&["peer", "follow-rotation"], &[text(&file)], 1);
    assert!(said.contains("ask for it again"), "{said}");
    // What was sent was heard: the last of it is in the log.
    until("the warnings", || {
        b.log().matches("a rotation that a peer brought").count() == bad.len()
    })
    .await;
    assert!(has(&b.status().await, &id(kanazawa)), "still connected");
    let rotations = komatsu.answer(&["peer", "list"], &[], 0).to_string();
    assert!(!rotations.contains(&new), "{rotations}");
    speaker.hang_up().await;
    b.stop().await;
}
