//! What 千代女 writes to 与謝 privately: kept by their home, encrypted, shown to the two of them, erased for ever.

use std::fs;
use std::path::Path;

use city_node::admin::pages::TransferShown;
use city_node::api::wire::{KeptAs, PrivatePage};
use city_node::client::person::Person;
use city_node::client::{AdminClient, ClientError};
use city_protocol::body::{MAX_PRIVATE_VALUE, PrivateField, PrivateValues, Salted};
use city_protocol::ids::Digest;
use city_protocol::stage::SignedTransfer;
use hyper::Method;
use serde_json::json;

use super::bad_input::{check, form, state};
use super::town::{Founded, Plan, Town};

const SUBJECT: &str = "畑の手伝いのお礼";

/// 千代女, with 10.00, and 与謝.
async fn people(town: &Town) -> (Person, Person) {
    let (chiyojo, yosa) = (town.citizen().await, town.citizen().await);
    town.grant(chiyojo.account(), "10.00").await;
    (chiyojo, yosa)
}

async fn written(
    town: &Town,
    from: &Person,
    to: &Person,
    amount: &str,
) -> (SignedTransfer, PrivateValues) {
    let mut order = town.order(from, to, amount).await;
    order.subject = SUBJECT.into();
    from.transfer(&order).unwrap()
}

async fn admin(town: &Town) -> AdminClient {
    AdminClient::connect(&town.admin).await.unwrap()
}

/// What the node keeps, as its operator sees it.
async fn kept(town: &Town, transfer: &Digest) -> KeptAs {
    admin(town).await.private(transfer).await.unwrap().kept
}

fn code<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> String {
    match answer {
        Err(error) => error.code().unwrap_or_else(|| panic!("{error}")).to_owned(),
        Ok(answer) => panic!("a refusal, not {answer:?}"),
    }
}

fn subject(page: &PrivatePage) -> &str {
    page.values[&PrivateField::Subject].expose_value()
}

/// The file of private values.
fn file(founded: &Founded) -> Vec<u8> {
    fs::read(founded.dir.path().join("private/values")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_two_see_what_was_written_and_nobody_else_does() {
    let town = Town::kanazawa().await;
    let (chiyojo, yosa) = people(&town).await;
    let (signed, private) = written(&town, &chiyojo, &yosa, "1.00").await;
    let booked = town.api.transfer_with(&signed, &private).await.unwrap();
    // Sent again, as after a time-out.
    let again = town.api.transfer_with(&signed, &private).await.unwrap();
    assert_eq!((booked.repeated, again.repeated), (false, true));
    assert_eq!(again.receipt, booked.receipt);
    let transfer = booked.identity;

    // Nobody is logged in, then each of the two, then somebody who has no part in it.
    let stranger = town.citizen().await;
    for person in [&chiyojo, &yosa] {
        let asked = town.fresh_api();
        assert_eq!(
            code(asked.private(&person.account(), &transfer).await),
            "login-required"
        );
        asked.login(person).await.unwrap();
        let page = asked.private(&person.account(), &transfer).await.unwrap();
        assert_eq!((page.kept, subject(&page)), (KeptAs::Values, SUBJECT));
        let values = PrivateValues::new(page.values).unwrap();
        values.check(signed.body()).unwrap();
    }
    let asked = town.fresh_api();
    asked.login(&stranger).await.unwrap();
    assert_eq!(
        code(asked.private(&stranger.account(), &transfer).await),
        "unknown-transfer"
    );

    let shown: TransferShown = admin(&town).await.transfer(&transfer).await.unwrap();
    assert_eq!(shown.body.as_bytes(), signed.bytes());
    assert_eq!(shown.transaction_hash, signed.body().transaction_hash());
    let fields: Vec<_> = shown.signed.iter().map(|signed| signed.field).collect();
    let three = [
        PrivateField::Subject,
        PrivateField::Details,
        PrivateField::Location,
    ];
    assert_eq!(fields, three);

    // On the disk nothing of it can be read, and it is there once.
    let founded = town.close().await;
    let bytes = file(&founded);
    let found = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    assert!(!found(SUBJECT.as_bytes()) && !found(&private.to_bytes()));
    assert!(found(&transfer.0) && bytes.len() < 1000, "{}", bytes.len());
    let town = founded.open(Plan::default()).await;
    let page = admin(&town).await.private(&transfer).await.unwrap();
    assert_eq!(subject(&page), SUBJECT);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_signed_is_neither_kept_nor_booked() {
    let town = Town::kanazawa().await;
    let (chiyojo, yosa) = people(&town).await;
    let before = state(&town, &chiyojo).await;
    let (signed, private) = written(&town, &chiyojo, &yosa, "1.00").await;
    let path = "/send/api/transfers";
    let with = |private: serde_json::Value| {
        let mut form = form(&signed);
        form["private"] = private;
        form
    };
    let good = serde_json::to_value(&private).unwrap();
    let changed = |field: &str, key: &str, value: serde_json::Value| {
        let mut changed = good.clone();
        changed[field][key] = value;
        with(changed)
    };
    let salt = serde_json::to_value(Salted::new([7; 32], "").unwrap()).unwrap()["salt"].clone();
    let mismatch = [
        (
            "another value",
            changed("subject", "value", "別のこと".into()),
        ),
        ("another salt", changed("details", "salt", salt.clone())),
        (
            "a field that the body does not have",
            with(json!({"attributes": {"salt": salt, "value": "x"}})),
        ),
    ];
    for (what, form) in &mismatch {
        check(&town, path, what, form, 422, "private-mismatch").await;
    }
    let long = "x".repeat(MAX_PRIVATE_VALUE + 1);
    let malformed = [
        ("no value at all", with(json!({}))),
        ("not a field", with(json!({"amount": good["subject"]}))),
        ("a short salt", changed("subject", "salt", "AAAA".into())),
        ("too long", changed("subject", "value", long.into())),
        (
            "more than salt and value",
            changed("subject", "more", 1.into()),
        ),
    ];
    for (what, form) in &malformed {
        check(&town, path, what, form, 400, "bad-field").await;
    }
    assert_eq!(state(&town, &chiyojo).await, before);
    assert_eq!(kept(&town, &signed.identity()).await, KeptAs::Nothing);
    let founded = town.close().await;
    assert_eq!(file(&founded), b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_transfer_leaves_nothing_and_is_kept_when_it_is_booked() {
    let town = Town::kanazawa().await;
    let (chiyojo, yosa) = people(&town).await;
    let (signed, private) = written(&town, &chiyojo, &yosa, "11.00").await;
    let refused = town.api.transfer_with(&signed, &private).await;
    assert_eq!(code(refused), "overdraft");
    assert_eq!(kept(&town, &signed.identity()).await, KeptAs::Nothing);
    let length = || {
        fs::metadata(town.founded.dir.path().join("private/values"))
            .unwrap()
            .len()
    };
    super::town::until("its room to be used again", || length() == 0).await;
    // Then the same words, when there is enough.
    town.grant(chiyojo.account(), "1.00").await;
    town.api.transfer_with(&signed, &private).await.unwrap();
    assert_eq!(kept(&town, &signed.identity()).await, KeptAs::Values);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_erased_stays_erased_and_the_ledger_holds() {
    let town = Town::kanazawa().await;
    let (chiyojo, yosa) = people(&town).await;
    let (signed, private) = written(&town, &chiyojo, &yosa, "1.00").await;
    let booked = town.api.transfer_with(&signed, &private).await.unwrap();
    let transfer = booked.identity;
    let operator = admin(&town).await;
    assert!(operator.erase_private(&transfer).await.unwrap().erased);
    assert!(!operator.erase_private(&transfer).await.unwrap().erased);
    assert_eq!(kept(&town, &transfer).await, KeptAs::Erased);
    // The same submission once more brings nothing back.
    let again = town.api.transfer_with(&signed, &private).await.unwrap();
    assert!(again.repeated && again.receipt == booked.receipt);
    assert_eq!(kept(&town, &transfer).await, KeptAs::Erased);

    let town = town.close().await.open(Plan::default()).await;
    assert_eq!(kept(&town, &transfer).await, KeptAs::Erased);
    town.api.login(&chiyojo).await.unwrap();
    let operator = admin(&town).await;
    assert!(operator.verify().await.unwrap().ok);
    let page = operator.private(&transfer).await.unwrap();
    assert!(page.values.is_empty());
    // Of a transfer that came without there is nothing to erase.
    let (signed, _) = written(&town, &chiyojo, &yosa, "1.00").await;
    let plain = town.api.transfer(&signed).await.unwrap();
    assert!(
        !operator
            .erase_private(&plain.identity)
            .await
            .unwrap()
            .erased
    );
    assert_eq!(kept(&town, &plain.identity).await, KeptAs::Nothing);
}

/// The plug is pulled after the values are durable and before the vertex is: the ledger is the one from before.
#[tokio::test(flavor = "multi_thread")]
async fn values_without_a_booked_transfer_do_not_outlive_a_start() {
    let town = Town::kanazawa().await;
    let (chiyojo, yosa) = people(&town).await;
    let (booked, private) = written(&town, &chiyojo, &yosa, "1.00").await;
    town.api.transfer_with(&booked, &private).await.unwrap();
    let founded = town.close().await;
    let at = founded.dir.path().to_owned();
    copy(&at.join("data"), &at.join("before"));

    let town = founded.open(Plan::default()).await;
    town.api.login(&chiyojo).await.unwrap();
    let (orphan, private) = written(&town, &chiyojo, &yosa, "2.00").await;
    town.api.transfer_with(&orphan, &private).await.unwrap();
    let founded = town.close().await;
    fs::remove_dir_all(at.join("data")).unwrap();
    fs::rename(at.join("before"), at.join("data")).unwrap();
    assert!(
        file(&founded)
            .windows(32)
            .any(|bytes| bytes == orphan.identity().0)
    );

    let town = founded.open(Plan::default()).await;
    assert_eq!(kept(&town, &booked.identity()).await, KeptAs::Values);
    assert_eq!(kept(&town, &orphan.identity()).await, KeptAs::Nothing);
    // Sent again it is judged as if it had never come; its proof of place was held in memory alone.
    let again = town.api.transfer_with(&orphan, &private).await;
    assert_eq!(code(again), "place-unknown");
    assert_eq!(kept(&town, &orphan.identity()).await, KeptAs::Nothing);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_key_ring_keeps_nothing_in_the_clear() {
    let plan = Plan {
        key_ring: false,
        ..Plan::default()
    };
    let town = Founded::kanazawa().open(plan).await;
    let (chiyojo, yosa) = people(&town).await;
    let before = state(&town, &chiyojo).await;
    let (signed, private) = written(&town, &chiyojo, &yosa, "1.00").await;
    let refused = town.api.transfer_with(&signed, &private).await;
    assert_eq!(code(refused), "no-key-ring");
    assert_eq!(state(&town, &chiyojo).await, before);
    assert!(!town.founded.dir.path().join("private").exists());
    // Without values it is booked as ever.
    let booked = town.api.transfer(&signed).await.unwrap();
    let path = format!("/send/api/transfers/{}/private", booked.identity);
    let (status, _) = town.api.raw(Method::GET, &path, "").await.unwrap();
    assert_eq!(status, 401);
}
