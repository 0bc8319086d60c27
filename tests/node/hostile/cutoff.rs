//! A whitelisted peer sends vertices whose signatures do not verify: how soon it is cut off, how much it wastes, and that it is
//! spoken to again.

use std::time::{Duration, Instant};

use city_node::setup::load_identity;
use city_protocol::sync::Message;
use city_protocol::vertex::SignedHeader;
use libp2p::identity::Keypair;

use super::raw::{Target, listed};
use super::words::{Speaker, Traitor, say};
use crate::daemon::city::{Node, directory, found};

/// What the issue asks for: from the first bad vertex that is written to the end of the connection.
const SOON: Duration = Duration::from_secs(1);
/// And how many verifications it may waste.
const WASTED: u64 = 8;
/// Tries, each with a new key: on a machine that does other things the best one counts for the time, all of them for the rest.
const TRIES: usize = 5;
/// Bad vertices that are sent, as fast as they are taken.
const BAD: usize = 200;
/// Seconds of the first ban.
const BAN_S: u64 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_wastes_verifications_is_cut_off_within_a_second_and_let_in_again() {
    let root = directory();
    let mut cities = found(root.path(), 3);
    let keys: Vec<Keypair> = (0..=TRIES).map(|_| Keypair::generate_ed25519()).collect();
    let bad = cities[2].as_peer();
    let listed = listed(&keys, &bad);
    cities[0].config.network.peers.extend(listed);
    cities[0].config.network.limits.ban = Duration::from_secs(BAN_S);
    assert_eq!(cities[0].config.network.limits.verifications as u64, WASTED);
    for city in &cities {
        city.configure();
    }
    let [kanazawa, komatsu, hakusan] = &cities[..] else {
        unreachable!()
    };
    let (a, b) = (kanazawa.ready().await, komatsu.ready().await);
    let log = komatsu.report.log;
    komatsu.citizen(&komatsu.api(&b)).await;
    a.until("the honest log", |status| {
        let mut heads = status.frontier.iter();
        heads.any(|head| head.log == log && head.seq >= 2)
    })
    .await;
    let mut target = Target::of(kanazawa, &a, keys);
    let honest = load_identity(&komatsu.data).unwrap();
    let traitor = Traitor::of(hakusan, log, &honest);

    let key = target.key();
    let (header, body) = traitor.asks(&target, &key).await;
    let honest = SignedHeader::read(&header).unwrap();
    // Everything is as it was, but the key that signs is the traitor's: only the signature tells.
    let forged = SignedHeader::sign(honest.header, &*traitor.identity.signer);
    let forged = Message::Vertex(forged.block.clone().into(), body.into()).encode();

    let (mut best, mut last) = (Duration::MAX, None);
    for _ in 0..TRIES {
        let key = target.key();
        let before = at_rest(&a).await;
        let mut speaker = Speaker::begin(&target, &key).await;
        speaker.says(&say(traitor.hello(&key))).await;
        while !matches!(speaker.hears().await, Some(Message::Hello(_)) | None) {}
        let begun = Instant::now();
        for _ in 0..BAD {
            speaker.says(&forged).await;
        }
        speaker.intruder.closed().await;
        best = best.min(begun.elapsed());
        let wasted = a.status().await.wasted_verifications - before;
        assert!((1..=WASTED).contains(&wasted), "{wasted} verifications");
        last = Some(key);
    }
    println!("cut off after {best:?} at best of {TRIES}");
    assert!(best < SOON, "{best:?}");
    assert!(a.log().contains("bad-signature"), "{}", a.log());
    // Who asks why it is not there is told.
    let peer = last.as_ref().unwrap().public().to_peer_id().to_string();
    let shown = kanazawa.answer(&["peer", "show"], &[&peer], 0);
    let banned = &shown["banned"];
    let seconds = banned["seconds"].as_u64().unwrap();
    assert!((1..=BAN_S + 1).contains(&seconds));
    assert!(
        banned["why"].as_str().unwrap().contains("bad-signature"),
        "{shown}"
    );
    let tried = kanazawa.answer(&["peer", "test-access"], &[&peer], 0);
    let tried = &tried["peers"][0];
    assert_eq!(tried["admitted"], true, "{tried}");
    assert_eq!(tried["banned"]["why"], banned["why"], "{tried}");

    // The ban of the last one ends, and it is heard as before.
    let key = last.unwrap();
    tokio::time::sleep(Duration::from_millis(seconds * 1000 + 500)).await;
    traitor.asks(&target, &key).await;
    let status = a.status().await;
    assert!(status.faults.is_empty(), "nobody is convicted by it");
    a.check().await;
    a.stop().await;
    b.stop().await;
}

/// The number of wasted verifications, once those of an earlier connection are counted.
async fn at_rest(node: &Node) -> u64 {
    let mut before = None;
    loop {
        let wasted = node.status().await.wasted_verifications;
        if before.replace(wasted) == Some(wasted) {
            return wasted;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}
