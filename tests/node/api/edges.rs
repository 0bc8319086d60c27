//! The edges: HTTP's own errors, headers, TLS and the rate limit.

use std::time::Duration;

use city_node::api::Limits;
use city_node::client::{ApiClient, ClientError};
use hyper::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::problem;
use super::town::{Founded, Plan, Town};

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
    refused(&town, Method::GET, &path, "", 401, "login-required").await;
    let path = format!("/send/api/transfers/sha256:{}", "0".repeat(64));
    refused(&town, Method::GET, &path, "", 401, "login-required").await;
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

pub(super) async fn refused(
    town: &Town,
    method: Method,
    path: &str,
    body: &str,
    status: u16,
    code: &str,
) {
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
    body.extend([0, 0, byte(suites.len())]);
    body.extend(suites);
    body.extend([1, 0, 0, byte(extensions.len())]);
    body.extend(extensions);
    let length = byte(body.len());
    let mut record = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
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
            ..Plan::default()
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

fn byte(length: usize) -> u8 {
    u8::try_from(length).unwrap()
}
