//! Two and three nodes: sync, catching up, strangers, and permissions that ended.

use std::time::Duration;

use city_node::net::NetEvent;
use city_node::pki::Validity;
use city_node::pki::authority::{Authority, Selector};
use city_node::pki::revocation::Reason;
use city_node::setup::load_identity;
use city_protocol::amount::Timestamp;
use city_protocol::sync::{Beacon, Message};
use libp2p::identity::Keypair;

use super::city::{City, Node, directory, found};
use super::speaker::{Speaker, hello};

/// The CA revokes a node's certificate, and its list reaches the home that keeps the CA.
fn revoke(home: &City, stolen: &City) {
    let ca = Authority::open(&home.ca, None).unwrap();
    let stolen = std::fs::read(stolen.data.node_certificate()).unwrap();
    let which = Selector::of_certificate(&stolen).unwrap();
    let now = city_node::engine::utc();
    ca.revoke(&which, Reason::KeyCompromise, now).unwrap();
    ca.write_lists(Validity::days(now.minus_ms(1000), 30))
        .unwrap();
    for (name, list) in ca.lists().unwrap() {
        std::fs::write(home.data.crls().join(name), list).unwrap();
    }
}

/// Waits until both have the same frontier, and nothing is on its way.
async fn agree(a: &Node, b: &Node) {
    b.until("the other's frontier", |_| true).await;
    let begun = std::time::Instant::now();
    loop {
        let (x, y) = (a.status().await, b.status().await);
        if x.frontier_hash == y.frontier_hash && x.in_flight == 0 && y.in_flight == 0 {
            return;
        }
        let waited = begun.elapsed();
        assert!(
            waited < super::city::PATIENCE,
            "{x:#?}\n{y:#?}\n{}\n{}",
            a.log(),
            b.log()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn of<'a>(node: &'a City, others: &[&'a City]) -> Vec<city_node::config::Peer> {
    let others = others
        .iter()
        .filter(|other| other.report.peer_id != node.report.peer_id);
    others.map(|other| other.as_peer()).collect()
}

/// One books more than one credit window while the other is down, and both book while they are apart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_down_catches_up() {
    let root = directory();
    let cities = found(root.path(), 2);
    let [kanazawa, komatsu] = &cities[..] else {
        unreachable!()
    };
    let (a, b) = (kanazawa.ready().await, komatsu.ready().await);
    a.until("the peer", |status| status.peers.len() == 1).await;
    agree(&a, &b).await;
    b.stop().await;
    a.until("the peer's end", |status| status.peers.is_empty())
        .await;
    let api = kanazawa.api(&a);
    let before = a.status().await.store.segment_bytes;
    let person = kanazawa.citizen(&api).await;
    let mut grants = 0;
    let mut page = api.node().await.unwrap();
    while a.status().await.store.segment_bytes < before + (5 << 20) {
        match kanazawa.grant_by(&page, &api, &person, 100).await {
            Ok(_) => {
                grants += 1;
                page.officers.officers_sequence += 1;
            }
            Err(error) if error.status() == Some(429) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    let b = komatsu.ready().await;
    komatsu.citizen(&komatsu.api(&b)).await;
    agree(&a, &b).await;
    let status = b.status().await;
    assert_eq!(status.frontier.len(), 2, "{status:#?}");
    let head = status
        .frontier
        .iter()
        .find(|head| head.log == kanazawa.report.log)
        .unwrap();
    assert!(
        head.seq > grants / 256 && grants > 100,
        "{head:?} after {grants} grants"
    );
    for node in [&a, &b] {
        node.check().await;
    }
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_get_nothing_and_permissions_end() {
    let root = directory();
    let mut cities = found(root.path(), 3);
    // 白山's permission at 金沢 has ended; 小松 does not know 白山 at all.
    let ended = Timestamp(1_600_000_000_000);
    let mut peers = of(&cities[0], &[&cities[1], &cities[2]]);
    peers[1].expires_at = Some(ended);
    cities[0].config.network.peers = peers;
    cities[1].config.network.peers = of(&cities[1], &[&cities[0]]);
    for city in &cities {
        city.configure();
    }
    let (a, b, c) = (
        cities[0].ready().await,
        cities[1].ready().await,
        cities[2].ready().await,
    );
    agree(&a, &b).await;

    let stranger = Speaker::call(&cities[0], Keypair::generate_ed25519());
    a.until("the stranger to be counted", |status| {
        status.denied_strangers > 0
    })
    .await;
    let status = c
        .until("its calls to fail", |status| status.uptime_s >= 2)
        .await;
    assert!(status.peers.is_empty(), "{status:#?}");
    for node in [&a, &b] {
        let status = node.status().await;
        assert_eq!(status.peers.len(), 1, "{status:#?}");
        assert_eq!(status.frontier.len(), 2, "{status:#?}");
    }
    for event in stranger.hang_up().await {
        let nothing = !matches!(event, NetEvent::Connected { .. } | NetEvent::Frame { .. });
        assert!(nothing, "a stranger got something: {event:?}");
    }
    for node in [a, b, c] {
        node.stop().await;
    }
}

/// A peer whose line comes and goes: each connection begins with one hello, whatever was under way for the one
/// before, and nobody is sent away for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_comes_and_goes_is_greeted_each_time() {
    let root = directory();
    let cities = found(root.path(), 2);
    let [kanazawa, komatsu] = &cities[..] else {
        unreachable!()
    };
    let b = komatsu.ready().await;
    let identity = load_identity(&kanazawa.data).unwrap();
    let api = komatsu.api(&b);
    let busy = async {
        let person = komatsu.citizen(&api).await;
        // Announced to whoever is connected just now.
        while komatsu.grant(&api, &person, 1).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let coming_and_going = async {
        for round in 0..6 {
            let mut speaker = Speaker::instead_of(kanazawa, komatsu);
            speaker.connected().await;
            let first = speaker.hears().await;
            assert!(
                matches!(first, Message::Hello(_)),
                "round {round}: {first:?}"
            );
            speaker.says(&hello(&identity)).await;
            // Many questions whose answers may come too late.
            for _ in 0..round * 4 {
                speaker
                    .says(&Message::Beacon(Beacon {
                        hash: city_protocol::ids::Digest([9; 32]),
                        sum: 0,
                    }))
                    .await;
            }
            for _ in 0..3 {
                let next = speaker.hears().await;
                assert!(
                    !matches!(next, Message::Hello(_)),
                    "round {round}: greeted twice"
                );
            }
            speaker.hang_up().await;
        }
    };
    tokio::select! {
        () = coming_and_going => {}
        () = busy => panic!("a grant was refused"),
    }
    assert!(!b.log().contains("sent away"), "{}", b.log());
    b.stop().await;
}

/// A box was stolen with its keys: the CA revokes its certificate, and nobody speaks to it any more, without a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_certificate_is_revoked_is_left_at_once() {
    let root = directory();
    let cities = found(root.path(), 2);
    let [kanazawa, komatsu] = &cities[..] else {
        unreachable!()
    };
    let (a, b) = (kanazawa.ready().await, komatsu.ready().await);
    a.until("the peer", |status| {
        status.peers.iter().any(|peer| peer.region.is_some())
    })
    .await;
    revoke(kanazawa, komatsu);
    let refused = |status: &city_node::admin::pages::Status| {
        status.peers.iter().all(|peer| peer.region.is_none())
    };
    a.until("the end of the session", refused).await;
    // It dials again, and its hello is not taken.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(refused(&a.status().await), "{}", a.log());
    a.stop().await;
    b.stop().await;
}

/// A certificate of 白山市's is stolen; the prefecture's list reaches 金沢市 only. 小松市 learns of it by 金沢市's log, keeps
/// to it over a restart, and no list that the CA did not sign counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_neighbours_log_says_is_revoked_is_refused_here_too() {
    let root = directory();
    let cities = found(root.path(), 3);
    let [kanazawa, komatsu, hakusan] = &cities[..] else {
        unreachable!()
    };
    let (a, b) = (kanazawa.ready().await, komatsu.ready().await);
    let c = hakusan.ready().await;
    let speaks_with = |node: &City| {
        let region = node.config.node.region.to_string();
        move |status: &city_node::admin::pages::Status| {
            let mut regions = status.peers.iter().filter_map(|peer| peer.region.clone());
            regions.any(|of| of == region)
        }
    };
    b.until("both peers", |status| {
        speaks_with(kanazawa)(status) && speaks_with(hakusan)(status)
    })
    .await;
    revoke(kanazawa, hakusan);
    a.until("the entry in the own log", |status| {
        let said = status.certificates.said.as_ref();
        said.is_some_and(|said| said.lists.iter().any(|list| list.revoked == 1))
    })
    .await;
    let alone = |status: &city_node::admin::pages::Status| {
        speaks_with(kanazawa)(status) && !speaks_with(hakusan)(status)
    };
    b.until("the end of the session with 白山市", alone).await;
    let kept: Vec<_> = std::fs::read_dir(komatsu.data.crls_from_logs())
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    assert_eq!(kept.len(), 1, "of the post-quantum root alone: {kept:?}");

    b.stop().await;
    a.stop().await;
    let b = komatsu.ready().await;
    // It dials, and its hello is not taken.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let status = b.status().await;
    assert!(!speaks_with(hakusan)(&status), "{}", b.log());
    // Beside the two lists of its own from its founding stands the one of the log.
    assert_eq!(status.certificates.lists, 3, "{status:?}");
    b.stop().await;
    c.stop().await;
}
