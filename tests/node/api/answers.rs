//! A receiver turns a transfer down, leaves it to a standing order, and officers take back: over HTTPS.

use city_node::client::ClientError;
use city_node::engine::utc;
use city_protocol::client::{Takes, officer};
use city_protocol::crypto::Signer;

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

fn refusal<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> String {
    answer.unwrap_err().code().unwrap().to_owned()
}
