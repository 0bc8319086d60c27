//! A receiver turns a transfer down, leaves it to a standing order, and officers take back: over HTTPS.

use city_node::api::wire::{AnswerFrom, AnswerSaid, ReceivedPage};
use city_node::client::ClientError;
use city_node::client::person::Person;
use city_node::engine::utc;
use city_node::journal::{Ask, Names, log_rows, movements};
use city_protocol::body::{PersonBody as _, Transfer, identity};
use city_protocol::client::{Takes, officer};
use city_protocol::crypto::Signer;
use city_protocol::ids::Digest;
use city_protocol::ledger::ACCEPT_DEADLINE_MS;
use hyper::{Method, StatusCode};

use super::town::Town;

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_is_rejected_or_taken_by_an_order_and_officers_take_back() {
    let town = Town::kanazawa().await;
    let (sender, receiver) = (town.citizen().await, town.citizen().await);
    town.grant(sender.account(), "10.00").await;
    let sent = |amount: &'static str| async {
        let order = town.order(&sender, &receiver, amount).await;
        let (signed, _) = sender.transfer(&order).unwrap();
        town.api.transfer(&signed).await.unwrap().identity
    };
    let first = sent("4.00").await;
    let waiting = town.api.incoming(&receiver.account(), None).await.unwrap();
    let item = &waiting.transfers[0];
    assert!(item.deadline > utc());
    assert_eq!((&*item.finality, item.witnesses), ("sequenced", 0));
    let rejected = receiver.reject(item, 1, utc()).unwrap();
    let booked = town.api.reject(&rejected).await.unwrap();
    let again = town.api.reject(&rejected).await.unwrap();
    assert!(again.repeated && again.receipt == booked.receipt);
    let accepted = town
        .api
        .accept(&receiver.accept(item, 2, utc()).unwrap())
        .await;
    assert_eq!(refusal(accepted), "already-answered");
    let state = |who, transfer| {
        let api = &town.api;
        async move {
            api.transfer_state(&who, &transfer)
                .await
                .unwrap()
                .state
                .code
        }
    };
    assert_eq!(state(sender.account(), first).await, "rejected");
    assert_eq!(state(receiver.account(), first).await, "rejected");
    let back = town.api.account(&sender.account()).await.unwrap();
    assert_eq!(
        (back.available.to_string(), back.open_out.to_string()),
        ("10.00".into(), "0.00".into())
    );

    let takes = Takes {
        max_amount: Some("3.00".parse().unwrap()),
        ..Takes::default()
    };
    let order = receiver.standing_order(Some(takes), 2, utc()).unwrap();
    town.api.order(&order).await.unwrap();
    let page = town.api.account(&receiver.account()).await.unwrap();
    assert_eq!(page.order.unwrap().max_amount.unwrap().to_string(), "3.00");
    let second = sent("3.00").await;
    assert_eq!(state(receiver.account(), second).await, "complete");
    let third = sent("3.01").await;
    assert_eq!(state(receiver.account(), third).await, "pending");
    received_is_told_to_its_receiver_alone(&town, &sender, &receiver, [first, second]).await;
    nobody_answers_any_more(&town, &sender, third);
    let stop = receiver.standing_order(None, 3, utc()).unwrap();
    town.api.order(&stop).await.unwrap();
    let page = town.api.account(&receiver.account()).await.unwrap();
    assert_eq!((page.order, page.next_sequence), (None, 4));

    let node = town.api.node().await.unwrap();
    let officers: Vec<&dyn Signer> = town.founded.officers[..2]
        .iter()
        .map(|key| key as &dyn Signer)
        .collect();
    for (amount, expected) in [("3.01", Some("overdraft")), ("3.00", None)] {
        let amount = amount.parse().unwrap();
        let body = officer::ungrant(&node, receiver.account(), amount, "誤付与", utc()).unwrap();
        let signed = officer::sign_together(&body, &officers).unwrap();
        let done = town.api.decided("/send/api/ungrants", &signed).await;
        match expected {
            Some(expected) => assert_eq!(refusal(done), expected),
            None => assert_eq!(
                done.unwrap().booked.balance_after,
                Some("0.00".parse().unwrap())
            ),
        }
    }
    let node = town.api.node().await.unwrap();
    let about = (sender.account(), "3.01".parse().unwrap());
    let body = officer::correct(&node, about, Some(third), "先方の停止", utc()).unwrap();
    let signed = officer::sign_together(&body, &officers).unwrap();
    let done = town.api.decided("/send/api/corrections", &signed).await;
    assert_eq!(refusal(done), "not-expired");
}

/// What was answered, by whom, page by page; what was signed, with its message, to both and to nobody else.
async fn received_is_told_to_its_receiver_alone(
    town: &Town,
    sender: &Person,
    receiver: &Person,
    [rejected, taken]: [Digest; 2],
) {
    let who = receiver.account();
    let page = town.api.received(&who, None).await.unwrap();
    assert_eq!((page.transfers.len(), page.next), (2, None));
    let of = |transfer| {
        let mut all = page.transfers.iter();
        all.find(|item| item.transfer == transfer).unwrap().clone()
    };
    let item = of(rejected);
    assert_eq!(
        (item.answer, item.by, &*item.state.code),
        (AnswerSaid::Rejected, AnswerFrom::Receiver, "rejected")
    );
    let item = of(taken);
    assert_eq!(
        (item.answer, item.by, &*item.state.code, &*item.finality),
        (
            AnswerSaid::Accepted,
            AnswerFrom::Order,
            "complete",
            "settled"
        )
    );
    assert_eq!(
        (item.sender, item.amount.to_string()),
        (sender.account(), "3.00".into())
    );
    assert!(item.received_at.is_some_and(|at| at <= item.answered_at));

    let path = format!("/send/api/accounts/{who}/received");
    let ask = |asks: &Person, query: &str| {
        let (account, path) = (asks.account(), format!("{path}{query}"));
        async move {
            let answer = town.api.raw_as(&account, Method::GET, &path, "").await;
            answer.unwrap()
        }
    };
    let mut query = "?limit=1".to_owned();
    let mut seen = Vec::new();
    loop {
        let (status, body) = ask(receiver, &query).await;
        assert_eq!(status, StatusCode::OK);
        let page: ReceivedPage = serde_json::from_slice(&body).unwrap();
        seen.extend(page.transfers.iter().map(|item| item.transfer));
        match page.next {
            Some(next) => query = format!("?limit=1&after={next}"),
            None => break,
        }
    }
    let listed: Vec<Digest> = page.transfers.iter().map(|item| item.transfer).collect();
    assert_eq!(seen, listed, "each once, in order");
    for (asks, query, status, code) in [
        (receiver, "?limit=51", StatusCode::BAD_REQUEST, "bad-field"),
        (sender, "", StatusCode::FORBIDDEN, "not-yours"),
    ] {
        let (answered, body) = ask(asks, query).await;
        let body = String::from_utf8_lossy(&body);
        assert!(answered == status && body.contains(code), "{body}");
    }
    let (status, _) = town.fresh_api().raw(Method::GET, &path, "").await.unwrap();
    assert_eq!(status, StatusCode::UNAUTHORIZED);

    for asks in [sender, receiver] {
        let page = town
            .api
            .transfer_state(&asks.account(), &taken)
            .await
            .unwrap();
        assert_eq!(
            identity(Transfer::TAG, page.body.unwrap().as_bytes()),
            taken
        );
    }
    let other = town.citizen().await;
    let refused = town.api.transfer_state(&other.account(), &taken).await;
    assert_eq!(refusal(refused), "unknown-transfer");
}

/// 180 days later the statement says what the transfer's page says.
fn nobody_answers_any_more(town: &Town, sender: &Person, waits: Digest) {
    let history = town.engine.handle().history();
    let (log, row) = log_rows(history).remove(0);
    let ask = Ask {
        account: Some(sender.account()),
        ..Ask::all(log, row.epoch, row.seq)
    };
    let state = |now| {
        let page = movements(history, &Names::default(), &ask, now).unwrap();
        let mut all = page.movements.into_iter();
        let found = all.find(|movement| movement.transfer == Some(waits));
        found.unwrap().state.unwrap().code
    };
    assert_eq!(state(utc()), "pending");
    assert_eq!(state(utc().plus_ms(ACCEPT_DEADLINE_MS + 1)), "expired");
}

fn refusal<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> String {
    answer.unwrap_err().code().unwrap().to_owned()
}
