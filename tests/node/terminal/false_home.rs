//! Somebody else stands where the home was.

use std::net::SocketAddr;
use std::sync::Arc;

use city_node::client::person::{Order, Person, random};
use city_node::engine::utc;
use city_node::pki::TlsIdentity;
use city_node::pki::tls::server_config;
use city_node::setup::load_identity;
use city_protocol::amount::Amount;
use city_protocol::body::Transfer;
use city_protocol::stage::Signed;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::super::account::open;
use super::super::daemon::city::{alone, directory};
use super::Town;

/// Answers every request on this address in the same way; with nothing, it keeps the caller waiting.
async fn stand_in(
    address: SocketAddr,
    tls: TlsIdentity,
    answer: Option<(u16, String)>,
) -> JoinHandle<()> {
    let acceptor = TlsAcceptor::from(Arc::new(server_config(tls).unwrap()));
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, answer) = (acceptor.clone(), answer.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut seen = Vec::new();
                while !whole(&seen) {
                    let mut piece = [0; 4096];
                    match stream.read(&mut piece).await {
                        Ok(0) | Err(_) => return,
                        Ok(n) => seen.extend_from_slice(&piece[..n]),
                    }
                }
                let Some((status, body)) = answer else {
                    return std::future::pending().await;
                };
                let head = format!(
                    "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                let said = [head.as_bytes(), body.as_bytes()].concat();
                let _gone = stream.write_all(&said).await;
                let _gone = stream.shutdown().await;
            });
        }
    })
}

/// Whether a request is here with its body.
fn whole(seen: &[u8]) -> bool {
    let text = String::from_utf8_lossy(seen);
    let Some(end) = text.find("\r\n\r\n") else {
        return false;
    };
    let length = text[..end]
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length:")?
                .trim()
                .parse()
                .ok()
        })
        .unwrap_or(0);
    seen.len() >= end + 4 + length
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_stands_in_the_homes_place_accepts_nothing() {
    let town = Town::founded();
    let (home, kiosk) = town.open().await;
    let accounts = town.people(&kiosk).await;
    let api = town.api(&kiosk);
    let page = api.node().await.unwrap();
    let (signing, kem) = open(&town.file("chiyo.wallet")).into_keys();
    let chiyo = Person::new(signing, kem, &page);
    api.login(&chiyo).await.unwrap();
    let transfer = async |sequence: u64| -> Signed<Transfer> {
        let mut order = Order::new(accounts[1], &page, Amount::from_hundredths(100));
        order.sequence = sequence;
        order.created_at = utc();
        (order.subject, order.details, order.location) =
            ("野菜".into(), "葱".into(), "市場".into());
        let place = api
            .place(&accounts[0], &order.transfer_id, &random())
            .await
            .unwrap();
        order.proof_of_place = place.digest;
        chiyo.transfer(&order).unwrap().0
    };
    let first = transfer(1).await;
    let booked = api.transfer(&first).await.unwrap();
    let second = transfer(2).await;
    let address = town.city.config.api.listen;
    home.stop().await;

    // Another CA's certificate: nothing is sent to it.
    let elsewhere = directory();
    let other = alone(elsewhere.path(), elsewhere.path().join("d"));
    let stranger = load_identity(&other.data).unwrap().tls;
    let answer = Some((201, serde_json::to_string(&booked).unwrap()));
    let standing = stand_in(address, stranger, answer).await;
    let refused = api.transfer(&second).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.status()),
        (Some("home-untrusted"), Some(502))
    );
    standing.abort();
    let _over = standing.await;

    // The home's own certificate, with a receipt of something else: it is never shown as accepted.
    let tls = || load_identity(&town.city.data).unwrap().tls;
    let mut page = serde_json::to_value(&booked).unwrap();
    page["repeated"] = false.into();
    let answer = Some((201, page.to_string()));
    let standing = stand_in(address, tls(), answer).await;
    let refused = api.transfer(&second).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.status()),
        (Some("home-answer-wrong"), Some(502))
    );
    standing.abort();
    let _over = standing.await;

    // A receipt that says another balance than the page around it.
    let mut lie: Value = serde_json::to_value(&booked).unwrap();
    lie["booked"]["balance_after"] = "999999.00".into();
    let standing = stand_in(address, tls(), Some((200, lie.to_string()))).await;
    let refused = api.transfer(&first).await.unwrap_err();
    assert_eq!(refused.code(), Some("home-answer-wrong"));
    standing.abort();
    let _over = standing.await;

    // Something between that answers with a page of its own.
    let standing = stand_in(address, tls(), Some((502, "<html>".into()))).await;
    let refused = api.transfer(&second).await.unwrap_err();
    assert_eq!(refused.code(), Some("home-answer-wrong"));
    standing.abort();
    let _over = standing.await;

    // It takes the submission and says nothing: nobody knows, and sending the same again is harmless.
    let standing = stand_in(address, tls(), None).await;
    let form = serde_json::json!({ "body": "{}" }).to_string();
    let (status, problem) = api
        .raw(hyper::Method::POST, "/send/api/accepts", form)
        .await
        .unwrap();
    let problem: Value = serde_json::from_slice(&problem).unwrap();
    assert_eq!(
        (status.as_u16(), &problem["code"]),
        (504, &"home-silent".into())
    );
    let told = problem["title"].as_str().unwrap();
    assert!(told.contains("may have been accepted"), "{told}");
    standing.abort();
    let _over = standing.await;

    let home = town.city.ready().await;
    town.together(&home, &kiosk).await;
    let again = api.transfer(&first).await.unwrap();
    assert!(again.repeated);
    let last = api.transfer(&second).await.unwrap();
    assert!(!last.repeated);
    kiosk.stop().await;
    home.stop().await;
}
