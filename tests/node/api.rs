//! People of 金沢市 use their home over HTTPS, an operator looks at it through the admin socket, and all kinds
//! of bad input end in a clear refusal with nothing stored.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod bad_input;
mod town;

use std::path::Path;
use std::time::Duration;

use city_node::api::Limits;
use city_node::api::problem::ProblemBody;
use city_node::client::person::random;
use city_node::client::{AdminClient, ApiClient, ClientError};
use city_node::engine::utc;
use city_protocol::place::Grade;
use city_protocol::vertex::{EntrySignature, Receipt};
use hyper::{Method, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use town::{Founded, Plan, Town};

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_pays_a_receiver_of_the_same_home() {
    let town = Town::kanazawa().await;
    let node = town.api.node().await.unwrap();
    assert_eq!(
        (
            node.officers.k,
            node.officers.n,
            node.officers.officers_sequence
        ),
        (2, 3, 1)
    );
    assert_eq!(node.region.as_str(), "Asia/JP/17/17201");
    assert!(node.boundary_credit.unwrap().contains("not official"));

    let (sender, receiver) = (town.citizen().await, town.citizen().await);
    town.grant(sender.account(), "1000.00").await;
    assert_eq!(town.api.node().await.unwrap().officers.officers_sequence, 2);

    let order = town.order(&sender, &receiver, "123.45").await;
    let (signed, private) = sender.transfer(&order).unwrap();
    assert_eq!(signed.body().subject, private.subject.digest());
    let booked = town.api.transfer(&signed).await.unwrap();
    assert_eq!(
        (booked.identity, booked.repeated),
        (signed.identity(), false)
    );
    assert_eq!(booked.booked.balance_after, Some("876.55".parse().unwrap()));
    assert_eq!(booked.booked.place, Some(Grade::Plausible));
    let receipt = Receipt::read(&booked.receipt)
        .unwrap()
        .verify(&town.founded.genesis)
        .unwrap();
    assert_eq!(
        (receipt.vertex, receipt.entry.body.as_slice()),
        (booked.vertex, signed.bytes())
    );

    let state = town.api.transfer_state(&booked.identity).await.unwrap();
    assert_eq!(
        (&*state.state.code, &*state.state.ja, &*state.finality),
        ("pending", "受取待ち", "sequenced")
    );
    assert_eq!(state.receipt.unwrap().0, booked.receipt);
    let sent = town.api.account(&sender.account()).await.unwrap();
    assert_eq!(
        (
            sent.available.to_string(),
            sent.open_out.to_string(),
            sent.next_sequence
        ),
        ("876.55".into(), "123.45".into(), 2)
    );

    let waiting = town.api.incoming(&receiver.account(), None).await.unwrap();
    assert_eq!(waiting.next, None);
    let [item] = &waiting.transfers[..] else {
        panic!("{waiting:?}")
    };
    assert_eq!(item.transaction_hash, signed.body().transaction_hash());
    assert_eq!(
        (item.transfer, item.sender, item.sender_home),
        (booked.identity, sender.account(), node.log)
    );
    let accept = receiver.accept(item, 1, utc()).unwrap();
    let accepted = town.api.accept(&accept).await.unwrap();
    assert_eq!(
        accepted.booked.balance_after,
        Some("123.45".parse().unwrap())
    );

    let state = town.api.transfer_state(&booked.identity).await.unwrap();
    assert_eq!(
        (&*state.state.code, &*state.finality),
        ("complete", "settled")
    );
    assert!(
        town.api
            .incoming(&receiver.account(), None)
            .await
            .unwrap()
            .transfers
            .is_empty()
    );

    let admin = AdminClient::connect(&town.admin).await.unwrap();
    let balances = admin.balances().await.unwrap();
    assert_eq!(balances.balances[&sender.account()], "876.55");
    assert_eq!(balances.balances[&receiver.account()], "123.45");
    let audit = admin.audit().await.unwrap();
    assert!(
        audit.conserved && audit.journal_matches && audit.postings > 0,
        "{audit:?}"
    );
    assert_eq!(
        (&*audit.granted, &*audit.available_sum, &*audit.in_transit),
        ("1000.00", "1000.00", "0.00")
    );
    let verified = admin.verify().await.unwrap();
    assert!(verified.ok, "{verified:?}");
    // Two enrolments, two officers, a transfer, an acceptance.
    assert_eq!(verified.signatures, 6);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_twice_is_booked_once() {
    let town = Town::kanazawa().await;
    let (sender, receiver) = (town.stranger().await, town.citizen().await);
    let certificate = town.certificate(&sender);
    let enrol = sender.enrol(&certificate, utc()).unwrap();
    let first = town.api.enrol(&enrol, &certificate, &[]).await.unwrap();
    let again = town.api.enrol(&enrol, &certificate, &[]).await.unwrap();
    assert_eq!((again.repeated, &again.receipt), (true, &first.receipt));
    town.grant(sender.account(), "10.00").await;

    let order = town.order(&sender, &receiver, "4.00").await;
    let (signed, _) = sender.transfer(&order).unwrap();
    let path = "/send/api/transfers";
    let form = bad_input::form(&signed).to_string();
    let (created, first) = town
        .api
        .raw(Method::POST, path, form.clone())
        .await
        .unwrap();
    let (repeated, again) = town.api.raw(Method::POST, path, form).await.unwrap();
    assert_eq!((created, repeated), (StatusCode::CREATED, StatusCode::OK));
    let receipt = |bytes: &[u8]| {
        serde_json::from_slice::<serde_json::Value>(bytes).unwrap()["receipt"].clone()
    };
    assert_eq!(receipt(&first), receipt(&again));
    let left = town.api.account(&sender.account()).await.unwrap();
    assert_eq!(left.available.to_string(), "6.00");

    // Racing oneself on two devices: one acceptance, one conflict.
    let mut other = order.clone();
    other.transfer_id = town.order(&sender, &receiver, "1.00").await.transfer_id;
    let conflict = town
        .api
        .transfer(&sender.transfer(&other).unwrap().0)
        .await
        .unwrap_err();
    assert_eq!(
        (conflict.status(), conflict.code()),
        (Some(409), Some("sequence-used"))
    );
    let mut same_id = order.clone();
    same_id.sequence = 2;
    let conflict = town
        .api
        .transfer(&sender.transfer(&same_id).unwrap().0)
        .await
        .unwrap_err();
    assert_eq!(
        (conflict.status(), conflict.code()),
        (Some(409), Some("transfer-id-used"))
    );

    let waiting = town.api.incoming(&receiver.account(), None).await.unwrap();
    let item = &waiting.transfers[0];
    let accept = receiver.accept(item, 1, utc()).unwrap();
    let first = town.api.accept(&accept).await.unwrap();
    let again = town.api.accept(&accept).await.unwrap();
    assert_eq!((again.repeated, again.receipt), (true, first.receipt));
    let second = receiver.accept(item, 2, utc()).unwrap();
    let conflict = town.api.accept(&second).await.unwrap_err();
    assert_eq!(
        (conflict.status(), conflict.code()),
        (Some(409), Some("already-accepted"))
    );
    let got = town.api.account(&receiver.account()).await.unwrap();
    assert_eq!(got.available.to_string(), "4.00");
}

#[tokio::test(flavor = "multi_thread")]
async fn incoming_transfers_come_in_pages() {
    let town = Town::kanazawa().await;
    let (sender, receiver) = (town.citizen().await, town.citizen().await);
    town.grant(sender.account(), "10.00").await;
    for _ in 0..3 {
        let order = town.order(&sender, &receiver, "1.00").await;
        town.api
            .transfer(&sender.transfer(&order).unwrap().0)
            .await
            .unwrap();
    }
    let all = town.api.incoming(&receiver.account(), None).await.unwrap();
    let ids: Vec<_> = all.transfers.iter().map(|item| item.transfer).collect();
    assert_eq!(ids.len(), 3);
    let rest = town
        .api
        .incoming(&receiver.account(), Some(&ids[0]))
        .await
        .unwrap();
    assert_eq!(rest.transfers, all.transfers[1..]);
    let path = |query: &str| format!("/send/api/accounts/{}/incoming?{query}", receiver.account());
    let (_, page) = town
        .api
        .raw(Method::GET, &path("limit=2"), "")
        .await
        .unwrap();
    let page: city_node::api::wire::IncomingPage = serde_json::from_slice(&page).unwrap();
    assert_eq!((page.transfers.len(), page.next), (2, Some(ids[1])));
    for bad in ["limit=0", "limit=51", "page=1"] {
        refused(&town, Method::GET, &path(bad), "", 400, "bad-field").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_receiver_there_is_no_place_and_no_transfer() {
    let plan = Plan {
        receiver: false,
        ..Plan::default()
    };
    let town = Founded::kanazawa().open(plan).await;
    let (sender, receiver) = (town.citizen().await, town.citizen().await);
    town.grant(sender.account(), "10.00").await;
    let order = town.order(&sender, &receiver, "1.00").await;
    let place = town
        .api
        .place(&sender.account(), &order.transfer_id, &random())
        .await
        .unwrap();
    assert_eq!((place.grade, place.satisfies_policy), (Grade::None, false));
    assert_eq!(
        (place.code.as_deref(), place.lat),
        (Some("no-position"), None)
    );
    let refusal = town
        .api
        .transfer(&sender.transfer(&order).unwrap().0)
        .await
        .unwrap_err();
    assert_eq!(
        (refusal.status(), refusal.code()),
        (Some(422), Some("no-position"))
    );
    let left = town.api.account(&sender.account()).await.unwrap();
    assert_eq!(
        (left.available.to_string(), left.next_sequence),
        ("10.00".into(), 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_edges_of_http_answer_in_problem_json() {
    let town = Town::kanazawa().await;
    refused(&town, Method::GET, "/", "", 404, "not-found").await;
    refused(&town, Method::GET, "/send/api/nodes", "", 404, "not-found").await;
    refused(
        &town,
        Method::DELETE,
        "/send/api/node",
        "",
        405,
        "method-not-allowed",
    )
    .await;
    refused(&town, Method::POST, "/send/api/enrol", "{", 400, "bad-json").await;
    refused(
        &town,
        Method::POST,
        "/send/api/enrol",
        "[]",
        400,
        "bad-field",
    )
    .await;
    refused(
        &town,
        Method::GET,
        "/send/api/accounts/me",
        "",
        400,
        "bad-id",
    )
    .await;
    refused(
        &town,
        Method::GET,
        "/send/api/accounts/%ff",
        "",
        400,
        "bad-id",
    )
    .await;
    let nobody = town.stranger().await.account();
    let path = format!("/send/api/accounts/{nobody}");
    refused(&town, Method::GET, &path, "", 404, "unknown-account").await;
    let path = format!("/send/api/transfers/sha256:{}", "0".repeat(64));
    refused(&town, Method::GET, &path, "", 404, "unknown-transfer").await;
    let large = "x".repeat(city_node::api::MAX_BODY + 1);
    refused(
        &town,
        Method::POST,
        "/send/api/enrol",
        &large,
        413,
        "too-large",
    )
    .await;
    let larger = "x".repeat(900_000);
    refused(
        &town,
        Method::POST,
        "/send/api/enrol",
        &larger,
        413,
        "too-large",
    )
    .await;
    let fits = "x".repeat(city_node::api::MAX_BODY);
    refused(
        &town,
        Method::POST,
        "/send/api/enrol",
        &fits,
        400,
        "bad-json",
    )
    .await;
}

#[track_caller]
fn problem(bytes: &[u8]) -> ProblemBody {
    serde_json::from_slice(bytes).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(bytes)))
}

async fn refused(town: &Town, method: Method, path: &str, body: &str, status: u16, code: &str) {
    let (found, bytes) = town.api.raw(method, path, body.to_owned()).await.unwrap();
    let problem = problem(&bytes);
    assert_eq!(
        (found.as_u16(), &*problem.code),
        (status, code),
        "{path}: {problem:?}"
    );
    assert_eq!((problem.schema, problem.status), (1, status));
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_say_what_they_should() {
    let town = Town::kanazawa().await;
    let answer = plain_http(
        &town,
        "GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    )
    .await;
    for part in [
        "HTTP/1.1 404",
        "content-type: application/problem+json",
        "cache-control: no-store",
        "x-content-type-options: nosniff",
    ] {
        assert!(answer.contains(part), "{part} is missing in {answer}");
    }
    let undeclared = "POST /send/api/enrol HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
    let answer = plain_http(&town, undeclared).await;
    assert!(
        answer.contains("HTTP/1.1 415") && answer.contains("not-declared-json"),
        "{answer}"
    );
    let many: String = (0..100).map(|i| format!("h{i}: x\r\n")).collect();
    let answer = plain_http(&town, &format!("GET / HTTP/1.1\r\nhost: x\r\n{many}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

/// Sends these bytes over a trusted TLS connection and reads to the end.
async fn plain_http(town: &Town, request: &str) -> String {
    let config = city_node::pki::tls::client_config(&[town.founded.ca.tls_root().clone()]).unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let stream = TcpStream::connect(address(town)).await.unwrap();
    let mut stream = connector
        .connect("localhost".try_into().unwrap(), stream)
        .await
        .unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A server that closes without a TLS goodbye has still answered.
    let _end = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn address(town: &Town) -> &str {
    town.url.strip_prefix("https://").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_tls_1_3_under_the_own_root_gets_in() {
    let town = Town::kanazawa().await;
    let alert = hello(&town, false).await;
    // Alert record, fatal, protocol_version (RFC 8446 section 6.2).
    assert_eq!((alert[0], &alert[5..7]), (21, &[2, 70][..]), "{alert:?}");
    // The same hello with TLS 1.3 on offer is not refused for its version: a retry for another group follows.
    let answer = hello(&town, true).await;
    assert_eq!(answer[0], 22, "{answer:?}");

    let other = Founded::kanazawa();
    let client = ApiClient::new(&town.url, &[other.ca.tls_root().clone()]).unwrap();
    let error = client.node().await.unwrap_err();
    assert!(matches!(error, ClientError::Handshake { .. }), "{error:?}");

    let mut noise = TcpStream::connect(address(&town)).await.unwrap();
    noise.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _reset = noise.read_to_end(&mut answer).await;
    assert!(
        !answer.starts_with(b"HTTP"),
        "nothing is served without TLS"
    );
    town.api.node().await.unwrap();
}

/// Sends a hand-made client hello, for TLS 1.2 alone or with 1.3 beside it, and gives the first 7 bytes back.
async fn hello(town: &Town, with_1_3: bool) -> Vec<u8> {
    let mut extensions = vec![
        0, 10, 0, 4, 0, 2, 0, 23, // supported_groups: secp256r1
        0, 13, 0, 4, 0, 2, 4, 3, // signature_algorithms: ecdsa_secp256r1_sha256
    ];
    if with_1_3 {
        extensions.extend([0, 43, 0, 3, 2, 3, 4]); // supported_versions: TLS 1.3
        extensions.extend([0, 51, 0, 2, 0, 0]); // key_share: none yet
    }
    let suites = [0x13, 0x01, 0xc0, 0x2b];
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, suites.len() as u8]);
    body.extend(suites);
    body.extend([1, 0, 0, extensions.len() as u8]);
    body.extend(extensions);
    let mut record = vec![22, 3, 1, 0, body.len() as u8 + 4, 1, 0, 0, body.len() as u8];
    record.extend(body);
    let mut stream = TcpStream::connect(address(town)).await.unwrap();
    stream.write_all(&record).await.unwrap();
    let mut answer = vec![0; 7];
    let reading = stream.read_exact(&mut answer);
    tokio::time::timeout(Duration::from_secs(10), reading)
        .await
        .unwrap()
        .unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_often_waits() {
    let limits = Limits {
        source_per_s: 1,
        source_burst: 3,
        ..Limits::default()
    };
    let town = Founded::kanazawa()
        .open(Plan {
            receiver: false,
            limits,
        })
        .await;
    for _ in 0..3 {
        town.api.node().await.unwrap();
    }
    let error = town.api.node().await.unwrap_err();
    assert_eq!(
        (error.status(), error.code()),
        (Some(429), Some("rate-limited"))
    );
    let answer = plain_http(
        &town,
        "GET /send/api/node HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.contains("retry-after: 1"), "{answer}");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    town.api.node().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_the_node_before_and_after_a_restart() {
    let town = Town::kanazawa().await;
    let citizen = town.citizen().await;
    town.grant(citizen.account(), "5.00").await;
    let admin = AdminClient::connect(&town.admin).await.unwrap();
    let before = admin.status().await.unwrap();
    assert_eq!(
        (&*before.region, before.region_name.as_deref()),
        ("Asia/JP/17/17201", Some("金沢市"))
    );
    assert!(before.sequencing && before.receiver.connected && before.receiver.fixes > 0);
    assert_eq!(
        (
            before.place.municipality.as_deref(),
            before.place.satisfies_policy
        ),
        (Some("17201"), true)
    );
    assert!(
        (before.place.lat.unwrap() - 36.5613).abs() < 0.0001,
        "{:?}",
        before.place
    );
    assert!(
        before.place.reasons.contains(&"simulated".to_owned()),
        "{:?}",
        before.place
    );
    let [head] = &before.frontier[..] else {
        panic!("{:?}", before.frontier)
    };
    assert!(head.seq >= 3 && !head.forked && head.log == before.log);
    assert_eq!(
        (
            before.in_flight,
            before.faults.len(),
            before.denied_strangers
        ),
        (0, 0, 0)
    );
    assert!(before.store.blocks > 4 && !before.store.failed);
    let place = admin.place().await.unwrap();
    assert_eq!(place["verdict"]["grade"], "plausible");
    let text = city_node::admin::show::status(&town.admin, false)
        .await
        .unwrap();
    assert!(text.contains("金沢市 (Asia/JP/17/17201)"), "{text}");
    let json = city_node::admin::show::status(&town.admin, true)
        .await
        .unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (json["schema"].as_u64(), &json["place"]["municipality"]),
        (Some(1), &"17201".into())
    );

    let socket = town.admin.clone();
    let founded = town.close().await;
    assert!(!socket.exists(), "the socket goes with its node");
    let town = founded.open(Plan::default()).await;
    let admin = AdminClient::connect(&town.admin).await.unwrap();
    let after = admin.status().await.unwrap();
    assert_eq!(after.frontier, before.frontier);
    assert_eq!(after.frontier_hash, before.frontier_hash);
    let account = town.api.account(&citizen.account()).await.unwrap();
    assert_eq!(account.available.to_string(), "5.00");
    assert!(admin.audit().await.unwrap().conserved);
}

#[tokio::test]
async fn a_node_that_does_not_run_is_told_from_one_that_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("admin.sock");
    let none = AdminClient::connect(&path).await.err().unwrap();
    assert!(
        none.is_not_running() && none.to_string().contains("systemctl start city-node"),
        "{none}"
    );
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let stale = AdminClient::connect(&path).await.err().unwrap();
    assert!(stale.is_not_running(), "{stale}");
    let long = format!("/tmp/{}", "x".repeat(120));
    let error = AdminClient::connect(Path::new(&long)).await.err().unwrap();
    assert!(
        !error.is_not_running() && error.to_string().contains("at most 107"),
        "{error}"
    );
    let bind = city_node::admin::AdminSocket::bind(Path::new(&long))
        .await
        .unwrap_err();
    assert!(bind.to_string().contains("at most 107"), "{bind}");

    for bad in [
        "http://localhost:1",
        "localhost",
        "https://localhost/path",
        "https://",
    ] {
        let error = ApiClient::new(bad, &[]).err().unwrap();
        assert!(matches!(error, ClientError::Address(_)), "{bad}: {error}");
    }
    let closed = ApiClient::new("https://127.0.0.1:1", &[]).unwrap();
    let error = closed.node().await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
}

/// A signature as it stands in a form.
fn signature(signature: &EntrySignature) -> serde_json::Value {
    serde_json::to_value(city_node::api::wire::SignatureForm::from(signature)).unwrap()
}
