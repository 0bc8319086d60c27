//! A receiver on a bad line, pulled and plugged in again.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};

use city_drivers::gnss::{Simulator, SimulatorConfig};
use city_node::admin::pages::Status;
use city_node::api::wire::SignedPlaceForm;
use city_node::engine::utc;
use city_node::pki::Validity;
use city_node::pki::authority::{Authority, Selector};
use city_node::pki::revocation::Reason;
use city_node::place::outlines::DEMO_CITIES;
use city_node::place::proof_file::{Expected, NoPlace, verify};
use city_node::setup::load_identity;
use city_protocol::Refusal;
use city_protocol::pki::Crls;
use city_protocol::place::Grade;
use serde_json::Value;

use super::city::{City, Node, alone, directory, send};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn noise_does_not_hide_the_place_and_a_pulled_plug_does() {
    let root = directory();
    let mut city = alone(root.path(), root.path().join("d"));
    let mut round = 0_u8;
    let line = city.plug_in(move || {
        round = round.wrapping_add(1);
        // Binary noise, half a sentence, a u-blox frame that is cut off, and a sentence with a bad checksum.
        let mut noise: Vec<u8> = (0..40)
            .map(|i| round.wrapping_mul(31).wrapping_add(i).wrapping_mul(7))
            .collect();
        noise.extend_from_slice(b"$GPGGA,1234\xff\xb5\x62\x01\x07\x5c\x00");
        noise.extend_from_slice(
            b"\r\n$GNRMC,000000.00,A,0000.0,N,00000.0,E,0.0,0.0,010100,,,A*00\r\n",
        );
        noise
    });
    let node = city.ready().await;
    let api = city.api(&node);
    let person = city.rich(&api, 1000).await;
    let status = node
        .until("a place through the noise", |status| {
            status.place.satisfies_policy && status.receiver.noise_bytes > 0
        })
        .await;
    assert_eq!(
        status.place.municipality.as_deref(),
        Some("17201"),
        "{status:#?}"
    );
    assert!(status.receiver.bad_checksums > 0, "{:?}", status.receiver);
    let shown = city.answer(&["place", "status"], &[], 0);
    assert_eq!(shown["summary"]["municipality"], "17201", "{shown}");
    assert_eq!(shown["verdict"]["grade"], "plausible", "{shown}");
    assert!(shown["verdict"]["figures"]["cn0"]["spread_centi"].as_u64() > Some(0));
    assert!(shown["satellites"].as_array().unwrap().len() > 8, "{shown}");
    send(&api, &person, 1).await.unwrap();
    proves_where_it_is(&city);

    drop(line);
    let gone = node
        .until("the loss", |status| !status.receiver.connected)
        .await;
    let problem = gone.receiver.problem.expect("it is told");
    assert!(problem.contains("next try"), "{problem}");
    let none = node
        .until("no place", |status| status.place.grade == Grade::None)
        .await;
    assert!(!none.place.satisfies_policy);
    assert!(
        none.place.reasons.contains(&"no-receiver".into()),
        "{:?}",
        none.place
    );
    city.answer(&["place", "status"], &[], 4);
    let refused = send(&api, &person, 1).await.unwrap_err();
    assert_eq!(refused.code(), Some("no-position"), "{refused:?}");

    let _line = city.plug_in(Vec::new);
    node.until("the place again", |status| status.place.satisfies_policy)
        .await;
    send(&api, &person, 1).await.unwrap();
    node.check().await;
    node.stop().await;
}

/// How a line is.
const SPEAKS: u8 = 0;
const SILENT: u8 = 1;
const GARBAGE: u8 = 2;
/// What asking for the status may take beside the 3 s that are promised.
const ASKED: Duration = Duration::from_millis(500);
/// The machine runs other nodes, too, and may stand still for seconds: one of so many tries has to keep the promise.
const TRIES: usize = 4;

/// Waits until the status is so; gives it, and how long that took.
async fn timed(node: &Node, what: &str, holds: impl FnMut(&Status) -> bool) -> (Status, Duration) {
    let began = Instant::now();
    let seen = node.until(what, holds).await;
    (seen, began.elapsed())
}

/// Waits until so many epochs came that one gap among them does not make the receiver a slow one.
async fn known_rate(node: &Node) {
    let before = node.status().await.receiver.fixes;
    node.until("its rate", |status| {
        status.place.satisfies_policy && status.receiver.fixes > before + 12
    })
    .await;
}

/// Whether both ways were quick enough.
fn in_time(what: &str, took: [Duration; 2]) -> bool {
    println!("{what}: seen, and seen to be over, after {took:?}");
    took.iter()
        .all(|took| *took <= Duration::from_secs(3) + ASKED)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_and_grade_follow_silence_garbage_and_a_pulled_plug_within_three_seconds() {
    let root = directory();
    let mut city = alone(root.path(), root.path().join("d"));
    let how = Arc::new(AtomicU8::new(SPEAKS));
    let is = Arc::clone(&how);
    let speaks = move |epoch: Vec<u8>| match is.load(Ordering::Relaxed) {
        SPEAKS => epoch,
        SILENT => Vec::new(),
        // As another speed looks: the same bits, cut at other places.
        _ => epoch.iter().map(|b| b.rotate_left(3) | 0x80).collect(),
    };
    let mut line = city.plug_in_as(speaks.clone());
    let node = city.ready().await;
    let api = city.api(&node);
    let person = city.rich(&api, 1000).await;
    let good = |status: &Status| status.place.satisfies_policy;
    known_rate(&node).await;
    for (trouble, word) in [(SILENT, "nothing received"), (GARBAGE, "nothing readable")] {
        let mut tries = 0;
        loop {
            how.store(trouble, Ordering::Relaxed);
            let (seen, lost) = timed(&node, word, |status| {
                !status.place.satisfies_policy && status.receiver.problem.is_some()
            })
            .await;
            let problem = seen.receiver.problem.unwrap();
            assert!(problem.contains(word), "{problem}");
            assert_eq!(seen.place.grade, Grade::Suspect, "{:?}", seen.place);
            let stale = seen.place.reasons.contains(&"fix-stale".into());
            assert!(stale, "{:?}", seen.place);
            let refused = send(&api, &person, 1).await.unwrap_err();
            assert_eq!(refused.code(), Some("place-insufficient"), "{refused:?}");
            how.store(SPEAKS, Ordering::Relaxed);
            let (_, found) = timed(&node, "a place again", good).await;
            known_rate(&node).await;
            tries += 1;
            if in_time(word, [lost, found]) {
                break;
            }
            assert!(tries < TRIES, "{word}: never within three seconds");
        }
    }
    let gone = |status: &Status| status.place.grade == Grade::None && !status.receiver.connected;
    let mut tries = 0;
    loop {
        drop(line);
        let (_, lost) = timed(&node, "the loss", gone).await;
        tries += 1;
        if in_time("unplugged", [lost, Duration::ZERO]) {
            break;
        }
        assert!(tries < TRIES, "unplugged: never within three seconds");
        line = city.plug_in_as(speaks.clone());
        known_rate(&node).await;
    }
    node.stop().await;
}

/// A UBX-NAV-STATUS whose spoofDetState says "spoofing indicated" (flags2, bits 3 and 4).
fn spoofing_indicated() -> Vec<u8> {
    let mut body = vec![0x01, 0x03, 16, 0];
    body.extend([0, 0, 0, 0, 3, 1, 0, 2 << 3, 0, 0, 0, 0, 0, 0, 0, 0]);
    let fletcher = |(a, b): (u8, u8), &byte: &u8| {
        let a = a.wrapping_add(byte);
        (a, b.wrapping_add(a))
    };
    let (a, b) = body.iter().fold((0, 0), fletcher);
    [&[0xB5, 0x62], &body[..], &[a, b]].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn indicated_spoofing_outlives_cable_and_node_and_ends_by_an_operator() {
    let root = directory();
    let mut city = alone(root.path(), root.path().join("d"));
    let attack = Arc::new(AtomicBool::new(true));
    let says = Arc::clone(&attack);
    let line = city.plug_in(move || {
        if says.load(Ordering::Relaxed) {
            spoofing_indicated()
        } else {
            Vec::new()
        }
    });
    let mut node = city.ready().await;
    let indicated = |reasons: &[String]| reasons.iter().any(|one| one == "spoofing-indicated");
    let seen = node
        .until("the attack", |status| indicated(&status.place.reasons))
        .await;
    assert_eq!(seen.place.grade, Grade::Suspect);
    // The attacker stops, and pulls the plug; nothing is forgotten.
    attack.store(false, Ordering::Relaxed);
    drop(line);
    node.until("the loss", |status| !status.receiver.connected)
        .await;
    let _line = city.plug_in(Vec::new);
    node.until("another receiver", |status| status.place.lat.is_some())
        .await;
    assert!(indicated(&node.status().await.place.reasons));
    // Nor is it when the power goes and the node starts again.
    node.signal("-KILL");
    node.end().await;
    let note = city.data.path().join("SPOOFING");
    let noted = std::fs::read_to_string(&note).unwrap();
    assert!(noted.starts_with("since "), "{noted}");
    let node = city.ready().await;
    let again = node
        .until("the place after a restart", |status| {
            status.place.lat.is_some()
        })
        .await;
    assert_eq!(again.place.grade, Grade::Suspect);
    assert!(indicated(&again.place.reasons), "{:?}", again.place);
    // A damaged note is one, and what to do is told.
    node.stop().await;
    std::fs::write(&note, "gone").unwrap();
    let node = city.ready().await;
    let damaged = node
        .until("the place after the damage", |status| {
            status.place.lat.is_some()
        })
        .await;
    assert!(indicated(&damaged.place.reasons), "{:?}", damaged.place);
    assert!(node.log().contains("clear-spoofing"), "{}", node.log());
    let cleared = city.answer(&["place", "clear-spoofing"], &[], 0);
    assert!(cleared["indicated_since"].as_u64().is_some(), "{cleared}");
    let clean = node
        .until("a clean sky", |status| status.place.satisfies_policy)
        .await;
    assert!(!indicated(&clean.place.reasons));
    let again = city.answer(&["place", "clear-spoofing"], &[], 0);
    assert_eq!(again.get("indicated_since"), None, "{again}");
    assert!(!note.exists());
    node.stop().await;
    let node = city.ready().await;
    node.until("a clean sky after a restart", |status| {
        status.place.satisfies_policy
    })
    .await;
    node.stop().await;
}

/// Yesterday's recording of a receiver in 金沢市, of so many epochs, 200 ms apart.
pub(super) fn write_recording(file: &Path, epochs: u64) {
    let point = DEMO_CITIES[0].point();
    let mut simulator = Simulator::new(SimulatorConfig {
        lat_e7: point.lat_e7(),
        lon_e7: point.lon_e7(),
        altitude_mm: 30_000,
        seed: 5,
    });
    let start = utc().0 - 86_400_000;
    let epochs = (0..epochs).map(|n| simulator.epoch(start + n * 200));
    std::fs::write(file, epochs.collect::<String>()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_is_a_receiver_and_stays_what_it_was_at_its_end() {
    let root = directory();
    let mut city = alone(root.path(), root.path().join("d"));
    let file = root.path().join("roof.nmea");
    write_recording(&file, 10);
    city.config.gnss.device = Some(format!("file:{}", file.display()).into());
    city.configure();
    let node = city.ready().await;
    let over = node
        .until("the end of the recording", |status| {
            let problem = status.receiver.problem.as_deref();
            problem.is_some_and(|problem| problem.contains("at its end"))
        })
        .await;
    assert_eq!(over.receiver.fixes, 10);
    // Judged by its own clock: yesterday is no fault, but the reason is told.
    assert_eq!(over.place.grade, Grade::Plausible, "{:?}", over.place);
    let recorded = over.place.reasons.contains(&"recorded".into());
    assert!(recorded, "{:?}", over.place);
    assert_eq!(over.place.municipality.as_deref(), Some("17201"));
    node.stop().await;
}

/// A file that anybody can check offline, for five minutes, against the question that it answers.
fn proves_where_it_is(city: &City) {
    const NONCE: &str = "00112233445566778899aabbccddeeff";
    let file = city.data.path().join("here.place");
    let path = file.to_str().unwrap();
    let genesis = city.data.genesis();
    let made = ["place", "proof", "--nonce", NONCE, "--out", path];
    assert!(city.answer(&[], &made, 0)["bytes"].as_u64() > Some(0));
    let said = city.refusal(&[], &made, 1);
    assert!(
        said.contains("here.place"),
        "nothing is overwritten: {said}"
    );

    let check = |file: &Path, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_city-node"));
        command.args(["place", "verify", "--json", "--genesis"]);
        let done = command.arg(&genesis).arg(file).args(more).output().unwrap();
        let told: Value = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!(
            done.status.code(),
            Some(if told["valid"] == true { 0 } else { 4 })
        );
        told
    };
    let peer = city.report.peer_id.to_string();
    let held = check(&file, &["--nonce", NONCE, "--node", &peer]);
    assert_eq!(
        (&held["valid"], &held["municipality"]),
        (&true.into(), &"17201".into()),
        "{held}"
    );
    assert_eq!(
        (&held["node"], &held["nonce"]),
        (&peer.into(), &NONCE.into())
    );
    let other = check(&file, &["--nonce", "ffffffffffffffffffffffffffffffff"]);
    assert_eq!(other["code"], "other-nonce", "{other}");
    let another = "12D3KooWBMbZoS9U6w37X7mrog9WByzrKzErDWJ6FeATvydo8WhY";
    let other = check(&file, &["--node", another]);
    assert_eq!(other["code"], "other-node", "{other}");

    // Its certificate is revoked, its time is over, its bytes are changed.
    let form =
        || serde_json::from_slice::<SignedPlaceForm>(&std::fs::read(&file).unwrap()).unwrap();
    let identity = load_identity(&city.data).unwrap();
    let crls = Crls::none();
    let expected = Expected {
        genesis: &identity.genesis,
        crls: &crls,
        at: utc(),
        nonce: None,
        node: None,
    };
    let refused = |form, expected: &Expected<'_>| verify(form, expected).unwrap_err();
    verify(form(), &expected).unwrap();
    let at = utc().plus_ms(6 * 60 * 1000);
    let late = refused(form(), &Expected { at, ..expected });
    assert_eq!(late, NoPlace::Proof(Refusal::Expired));
    let mut changed = form();
    *changed.proof.last_mut().unwrap() ^= 1;
    let changed = refused(changed, &expected);
    assert_eq!(changed, NoPlace::Proof(Refusal::BadSignature));
    let ca = Authority::open(&city.ca, None).unwrap();
    let pem = std::fs::read(city.data.node_certificate()).unwrap();
    let which = Selector::of_certificate(&pem).unwrap();
    ca.revoke(&which, Reason::KeyCompromise, utc()).unwrap();
    ca.write_lists(Validity::days(utc().minus_ms(1000), 30))
        .unwrap();
    // Not into the node's own directory: it would refuse itself.
    let lists = city.data.path().join("lists");
    std::fs::create_dir(&lists).unwrap();
    for (name, list) in ca.lists().unwrap() {
        std::fs::write(lists.join(name), list).unwrap();
    }
    let listed = check(&file, &["--crls", lists.to_str().unwrap()]);
    assert_eq!(listed["code"], "cert-revoked", "{listed}");
}
