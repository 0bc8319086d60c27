//! People of 金沢市 use their home over HTTPS, an operator looks at it through the admin socket, and all kinds
//! of bad input end in a clear refusal with nothing stored.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod answers;
mod bad_input;
mod bad_others;
mod edges;
mod kiosk;
mod login;
mod operator;
mod private;
mod renewal;
mod suites;
mod town;

use city_node::api::problem::ProblemBody;
use city_node::client::AdminClient;
use city_node::client::person::random;
use city_node::engine::utc;
use city_protocol::body::PrivateField;
use city_protocol::place::Grade;
use city_protocol::vertex::{EntrySignature, Receipt};
use hyper::{Method, StatusCode};

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
    let subject = private.get(PrivateField::Subject).unwrap();
    assert_eq!(signed.body().subject, subject.digest());
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

    let state = town
        .api
        .transfer_state(&sender.account(), &booked.identity)
        .await
        .unwrap();
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

    let state = town
        .api
        .transfer_state(&receiver.account(), &booked.identity)
        .await
        .unwrap();
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
    town.api.login(&sender).await.unwrap();
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
        .raw_as(&receiver.account(), Method::GET, &path("limit=2"), "")
        .await
        .unwrap();
    let page: city_node::api::wire::IncomingPage = serde_json::from_slice(&page).unwrap();
    assert_eq!((page.transfers.len(), page.next), (2, Some(ids[1])));
    for bad in ["limit=0", "limit=51", "page=1"] {
        let (who, path) = (receiver.account(), path(bad));
        let answer = town.api.raw_as(&who, Method::GET, &path, "");
        let (status, body) = answer.await.unwrap();
        let problem: ProblemBody = serde_json::from_slice(&body).unwrap();
        assert_eq!((status.as_u16(), &*problem.code), (400, "bad-field"));
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

#[track_caller]
fn problem(bytes: &[u8]) -> ProblemBody {
    serde_json::from_slice(bytes).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(bytes)))
}

/// A signature as it stands in a form.
fn signature(signature: &EntrySignature) -> serde_json::Value {
    serde_json::to_value(city_node::api::wire::SignatureForm::from(signature)).unwrap()
}
