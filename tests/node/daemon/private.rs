//! 金沢の千代女 writes privately to 与謝 in 小松; 白山 follows both logs and learns nothing of it.

use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use city_node::api::wire::{KeptAs, NodePage};
use city_node::client::person::{Order, Person, random};
use city_node::client::{ApiClient, ClientError};
use city_node::engine::utc;
use city_protocol::amount::Amount;
use city_protocol::body::{PrivateField, PrivateValues, Salted};
use city_protocol::ids::Digest;
use city_protocol::stage::SignedTransfer;
use city_protocol::sync::Message;
use serde_json::Value;

use super::city::{City, Node, PATIENCE, alone, directory, found, log_in};
use super::speaker::{Speaker, hello};

const SUBJECT: &str = "畑の手伝いのお礼";

/// 0.01 from one to the other, signed, with private values and a sealed message.
async fn written(
    api: &ApiClient,
    from: &Person,
    to: &Person,
    there: &NodePage,
) -> Result<(SignedTransfer, PrivateValues), ClientError> {
    let mut order = Order::new(to.account(), there, Amount::from_hundredths(1));
    order.sequence = api.account(&from.account()).await?.next_sequence;
    order.created_at = utc();
    (order.subject, order.details) = (SUBJECT.into(), "半日の草取り".into());
    order.message = Some((to.kem().public().clone(), "また来てください".into()));
    let place = api
        .place(&from.account(), &order.transfer_id, &random())
        .await?;
    order.proof_of_place = place.digest;
    Ok(from.transfer(&order)?)
}

/// The same, sent.
pub(crate) async fn sent(api: &ApiClient, from: &Person, to: &Person, there: &NodePage) -> Digest {
    let (signed, private) = written(api, from, to, there).await.unwrap();
    let booked = api.transfer_with(&signed, &private).await.unwrap();
    booked.identity
}

async fn kept(node: &Node, transfer: &Digest) -> KeptAs {
    let admin = node.admin().await.unwrap();
    admin.private(transfer).await.unwrap().kept
}

/// Waits until the node has the values.
pub(crate) async fn arrives(node: &Node, transfer: &Digest) {
    let begun = Instant::now();
    while kept(node, transfer).await != KeptAs::Values {
        assert!(begun.elapsed() < PATIENCE, "nothing came:\n{}", node.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until the node knows the transfer.
async fn known(node: &Node, transfer: &Digest) {
    let begun = Instant::now();
    let admin = node.admin().await.unwrap();
    while admin.transfer(transfer).await.is_err() {
        assert!(begun.elapsed() < PATIENCE, "no transfer:\n{}", node.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn size(city: &City) -> u64 {
    let file = city.data.path().join("private/values");
    std::fs::metadata(file).unwrap().len()
}

fn tx(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_city-node"))
        .arg("tx")
        .args(arguments)
        .output()
        .unwrap()
}

fn told(arguments: &[&str], code: i32) -> String {
    let output = tx(arguments);
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(
        output.status.code(),
        Some(code),
        "{arguments:?}\n{out}\n{err}"
    );
    format!("{out}{err}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_homes_have_it_and_the_third_does_not() {
    let root = directory();
    let mut cities = found(root.path(), 3);
    let _line = cities[0].plug_in(Vec::new);
    let [kanazawa, komatsu, hakusan] = &cities[..] else {
        unreachable!()
    };
    let (a, b, c) = (
        kanazawa.ready().await,
        komatsu.ready().await,
        hakusan.ready().await,
    );
    for node in [&a, &b, &c] {
        node.until("both peers", |status| status.peers.len() == 2)
            .await;
    }
    a.until("a place", |status| status.place.satisfies_policy)
        .await;
    let (home, there) = (kanazawa.api(&a), komatsu.api(&b));
    let chiyojo = kanazawa.rich(&home, 1000).await;
    let yosa = komatsu.citizen(&there).await;
    let page = there.node().await.unwrap();
    let (signed, private) = written(&home, &chiyojo, &yosa, &page).await.unwrap();
    let booked = home.transfer_with(&signed, &private).await.unwrap();
    let (transfer, receipt) = (booked.identity, booked.receipt);
    arrives(&b, &transfer).await;
    known(&c, &transfer).await;
    assert_eq!(kept(&a, &transfer).await, KeptAs::Values);
    assert_eq!(kept(&c, &transfer).await, KeptAs::Nothing);
    assert_eq!((size(hakusan), size(komatsu) > 0), (0, true));
    // The receiver reads it at home.
    there.login(&yosa).await.unwrap();
    let page = there.private(&yosa.account(), &transfer).await.unwrap();
    let subject = &page.values[&PrivateField::Subject];
    assert_eq!(subject.expose_value(), SUBJECT);

    // At the command line of 小松.
    let (id, data) = (transfer.to_string(), komatsu.data.path().to_str().unwrap());
    let at = ["--data-dir", data];
    let shown = told(&[&["show", &id, "--private"], &at[..]].concat(), 0);
    assert!(
        shown.contains(SUBJECT) && shown.matches("is the signed one").count() == 3,
        "{shown}"
    );
    let key = root.path().join("yosa-kem.key");
    city_node::keys::save_kem(&key, yosa.kem()).unwrap();
    let open = ["show", &id, "--open", key.to_str().unwrap()];
    let shown = told(&[&open[..], &at].concat(), 0);
    assert!(shown.contains("また来てください"), "{shown}");
    let other = root.path().join("other.key");
    city_node::keys::save_kem(&other, chiyojo.kem()).unwrap();
    let open = ["show", &id, "--open", other.to_str().unwrap()];
    assert!(told(&[&open[..], &at].concat(), 4).contains("another key"));

    // Whoever is shown value, salt and receipt can check them alone.
    let file = root.path().join("receipt.cbor");
    std::fs::write(&file, receipt).unwrap();
    let (file, genesis) = (file.to_str().unwrap(), komatsu.data.genesis());
    let salt = data_encoding::HEXLOWER.encode(subject.expose_salt());
    let proof = |value: &str, code: i32| {
        let genesis = genesis.to_str().unwrap();
        let arguments = [
            "verify-private",
            "--receipt",
            file,
            "--genesis",
            genesis,
            "--field",
            "subject",
            "--salt",
            &salt,
            "--value",
            value,
            "--json",
        ];
        let told: Value = serde_json::from_str(&told(&arguments, code)).unwrap();
        told
    };
    assert_eq!(proof(SUBJECT, 0)["valid"], true);
    let wrong = proof("別のこと", 4);
    assert_eq!(
        (&wrong["what"], &wrong["code"]),
        (&"value".into(), &"private-mismatch".into())
    );

    // Erased at 小松 it is erased there, also after a restart; 金沢 has its own copy, and the ledger holds.
    let erase = [&["erase-private", &id], &at[..]].concat();
    assert!(told(&erase, 2).contains("--yes"), "there is no terminal");
    assert!(told(&[&erase[..], &["--yes"]].concat(), 0).contains("erased at this node"));
    b.stop().await;
    let b = komatsu.ready().await;
    b.until("the peers", |status| status.peers.len() == 2).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(kept(&b, &transfer).await, KeptAs::Erased);
    assert_eq!(kept(&a, &transfer).await, KeptAs::Values);
    let shown = told(&[&["show", &id, "--private"], &at[..]].concat(), 0);
    assert!(
        shown.contains("erased") && !shown.contains(SUBJECT),
        "{shown}"
    );
    for node in [&a, &b, &c] {
        node.check().await;
    }
    for (node, city) in [(a, kanazawa), (b, komatsu), (c, hakusan)] {
        node.stop().await;
        let log = std::fs::read_to_string(city.data.path().join("node.log")).unwrap();
        assert!(!log.contains(SUBJECT), "{log}");
    }
    assert!(told(&[&["show", &id], &at[..]].concat(), 3).contains("no node is running"));
}

/// The receiver's home is down for a while; a third one comes and is told nothing; then it comes back itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_waits_for_the_receivers_home_and_is_given_to_nobody_else() {
    let root = directory();
    let mut cities = found(root.path(), 3);
    let _line = cities[0].plug_in(Vec::new);
    let [kanazawa, komatsu, hakusan] = &cities[..] else {
        unreachable!()
    };
    let (a, b) = (kanazawa.ready().await, komatsu.ready().await);
    a.until("a place", |status| {
        status.place.satisfies_policy && status.frontier.len() == 2
    })
    .await;
    let (home, there) = (kanazawa.api(&a), komatsu.api(&b));
    let chiyojo = kanazawa.rich(&home, 1000).await;
    let yosa = komatsu.citizen(&there).await;
    let page = there.node().await.unwrap();
    b.until("the peer", |status| status.peers.len() == 1).await;
    // Both are known here; now 小松 goes.
    b.stop().await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(sent(&home, &chiyojo, &yosa, &page).await);
    }
    // A third home, whitelisted and greeted: it hears everything of the ledger, and no private value.
    let mut speaker = greeted(hakusan, kanazawa).await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        let heard = tokio::time::timeout(Duration::from_millis(500), speaker.hears()).await;
        if let Ok(message) = heard {
            assert!(!matches!(message, Message::Private(..)), "{message:?}");
        }
    }
    speaker.hang_up().await;
    // 金沢 is restarted, too: what waits is in the file.
    a.stop().await;
    let a = kanazawa.ready().await;
    let b = komatsu.ready().await;
    for transfer in &waiting {
        arrives(&b, transfer).await;
        assert_eq!(kept(&a, transfer).await, KeptAs::Values);
    }
    a.stop().await;
    b.stop().await;
}

/// Who says what to 小松: only the sender's home, and only what was signed, is believed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_senders_home_is_believed_and_only_what_was_signed() {
    let root = directory();
    let mut cities = found(root.path(), 3);
    let _line = cities[0].plug_in(Vec::new);
    let [kanazawa, komatsu, hakusan] = &cities[..] else {
        unreachable!()
    };
    let (a, b) = (kanazawa.ready().await, komatsu.ready().await);
    a.until("a place and the peer", |status| {
        status.place.satisfies_policy && status.peers.len() == 1
    })
    .await;
    let (home, there) = (kanazawa.api(&a), komatsu.api(&b));
    let chiyojo = kanazawa.rich(&home, 1000).await;
    let yosa = komatsu.citizen(&there).await;
    let page = there.node().await.unwrap();
    // Booked without values, which nobody but this test has now.
    let (signed, private) = written(&home, &chiyojo, &yosa, &page).await.unwrap();
    let transfer = home.transfer(&signed).await.unwrap().identity;
    known(&b, &transfer).await;
    a.stop().await;
    let message =
        |values: &PrivateValues| Message::Private(transfer, values.to_bytes().to_vec().into());
    let other = Salted::new([1; 32], "別のこと").unwrap();
    let wrong = PrivateValues::new([(PrivateField::Subject, other)].into()).unwrap();
    let garbage = Message::Private(transfer, vec![0xff; 64].into());
    for (city, messages) in [
        (hakusan, vec![message(&private)]),
        (kanazawa, vec![message(&wrong), garbage]),
    ] {
        let mut speaker = greeted(city, komatsu).await;
        for message in &messages {
            speaker.says(message).await;
        }
        assert!(!speaker.hears_stored(Duration::from_secs(1)).await);
        speaker.hang_up().await;
        assert_eq!(kept(&b, &transfer).await, KeptAs::Nothing);
    }
    let mut speaker = greeted(kanazawa, komatsu).await;
    for _ in 0..2 {
        speaker.says(&message(&private)).await;
        assert!(speaker.hears_stored(PATIENCE).await, "also the second time");
    }
    assert_eq!(kept(&b, &transfer).await, KeptAs::Values);
    speaker.hang_up().await;
    b.stop().await;
}

/// Somebody with this city's keys, connected to the other one and greeted.
async fn greeted(city: &City, other: &City) -> Speaker {
    let mut speaker = Speaker::instead_of(city, other);
    speaker.connected().await;
    let identity = city_node::setup::load_identity(&city.data).unwrap();
    speaker.says(&hello(&identity)).await;
    speaker
}

/// Killed again and again while people send: values are there exactly of what is booked, whether it was acknowledged
/// or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_node_has_values_exactly_of_what_it_booked() {
    let root = directory();
    let mut city = alone(root.path(), root.path().join("d"));
    let _line = city.plug_in(Vec::new);
    let mut node = city.ready().await;
    let api = city.api(&node);
    let page = Arc::new(api.node().await.unwrap());
    let people = Arc::new((city.rich(&api, 100_000).await, city.citizen(&api).await));
    drop(api);
    let mut tried = Vec::new();
    let mut acknowledged = 0;
    for round in 0..4_u64 {
        node.until("a place", |status| status.place.satisfies_policy)
            .await;
        let api = city.api(&node);
        log_in(&api, &people.0).await.unwrap();
        let (people, page) = (Arc::clone(&people), Arc::clone(&page));
        let sending = tokio::spawn(async move {
            let (mut tried, mut acknowledged) = (Vec::new(), 0);
            while let Ok((signed, private)) = written(&api, &people.0, &people.1, &page).await {
                tried.push(signed.identity());
                acknowledged += usize::from(api.transfer_with(&signed, &private).await.is_ok());
            }
            (tried, acknowledged)
        });
        tokio::time::sleep(Duration::from_millis(400 + 137 * round)).await;
        node.signal("-KILL");
        node.end().await;
        let (more, good) = sending.await.unwrap();
        tried.extend(more);
        acknowledged += good;
        node = city.ready().await;
        let admin = node.admin().await.unwrap();
        let mut booked = 0;
        for transfer in &tried {
            let expected = match admin.transfer(transfer).await {
                Ok(_) => KeptAs::Values,
                Err(_) => KeptAs::Nothing,
            };
            booked += usize::from(expected == KeptAs::Values);
            assert_eq!(kept(&node, transfer).await, expected);
        }
        assert!(booked >= acknowledged, "{booked} of {acknowledged}");
    }
    assert!(acknowledged >= 5, "a load of {acknowledged} is none");
    node.check().await;
    node.stop().await;
}
