//! A person changes keys: to another suite, after a loss, after a theft.

use city_node::client::person::Person;
use city_node::client::{ClientError, officer};
use city_node::engine::utc;
use city_protocol::crypto::{Algorithm, Signer, Suite};
use city_protocol::stage::SignedBySeveral;

use super::town::Town;

fn code<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> String {
    match answer {
        Err(ClientError::Problem(problem)) => problem.code,
        other => panic!("a refusal, not {other:?}"),
    }
}

/// 花子 with 100.00, and somebody to pay.
async fn story() -> (Town, Person, Person) {
    let town = Town::kanazawa().await;
    let hanako = Person::of_suite(&town.api.node().await.unwrap(), Suite::Dilithium5Ntru);
    let hanako = town.enrolled(hanako).await;
    town.grant(hanako.account(), "100.00").await;
    let jiro = town.citizen().await;
    (town, hanako, jiro)
}

async fn next(town: &Town, person: &Person) -> u64 {
    town.sequence(person).await
}

async fn pay(town: &Town, from: &Person, to: &Person) -> Result<(), ClientError> {
    let order = town.order(from, to, "1.00").await;
    let (signed, _) = from.transfer(&order).unwrap();
    town.api.transfer(&signed).await.map(|_| ())
}

async fn rotation(town: &Town, old: &Person, new: &Person) -> (SignedBySeveral, Vec<u8>) {
    let certificate = town.certificate(new);
    let sequence = next(town, old).await;
    let signed = old.rotate(new, &certificate, sequence, utc()).unwrap();
    (signed, certificate)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_changes_its_suite_and_stays_the_same_account() {
    let (town, hanako, jiro) = story().await;
    pay(&town, &hanako, &jiro).await.unwrap();
    let renewed = hanako.renewed(Suite::Fips);
    assert_eq!(renewed.account(), hanako.account());
    let (signed, certificate) = rotation(&town, &hanako, &renewed).await;
    let booked = town.api.rotate(&signed, &certificate, &[]).await.unwrap();
    // Sent again, as after a time-out: harmless, and the same place.
    let again = town.api.rotate(&signed, &certificate, &[]).await.unwrap();
    assert_eq!((booked.repeated, again.repeated), (false, true));
    assert_eq!(again.at, booked.at);

    town.api
        .know(renewed.signing().public().id(), &certificate, &[]);
    pay(&town, &renewed, &jiro).await.unwrap();
    assert_eq!(renewed.signing().public().algorithm(), Algorithm::MlDsa87);
    assert_eq!(code(pay(&town, &hanako, &jiro).await), "wrong-key");
    let page = town.api.account(&hanako.account()).await.unwrap();
    assert_eq!(page.available.to_string(), "98.00");

    // What the index says of it, it says again after a restart.
    let town = town.close().await.open(super::Plan::default()).await;
    pay(&town, &renewed, &jiro).await.unwrap();
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_needs_both_signatures_and_the_certificate_for_the_new_keys() {
    let (town, hanako, jiro) = story().await;
    let renewed = hanako.renewed(Suite::Fips);
    let (signed, certificate) = rotation(&town, &hanako, &renewed).await;
    let of = |change: fn(&mut SignedBySeveral)| {
        let mut signed = signed.clone();
        change(&mut signed);
        signed
    };
    let rotate = async |signed: &SignedBySeveral, certificate: &[u8]| {
        code(town.api.rotate(signed, certificate, &[]).await)
    };
    let without_new = of(|signed| drop(signed.signatures.pop()));
    assert_eq!(rotate(&without_new, &certificate).await, "wrong-key");
    let forged = of(|signed| signed.signatures[0].sig[9] ^= 1);
    assert_eq!(rotate(&forged, &certificate).await, "bad-signature");
    let forged = of(|signed| signed.signatures[1].sig[9] ^= 1);
    assert_eq!(rotate(&forged, &certificate).await, "bad-signature");
    // Another certificate than the one that is named, and one of somebody else.
    let other = town.certificate(&renewed);
    assert_eq!(rotate(&signed, &other).await, "bad-certificate");
    let foreign = town.certificate(&jiro);
    assert_eq!(rotate(&signed, &foreign).await, "bad-certificate");
    pay(&town, &hanako, &jiro).await.unwrap();
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_key_is_closed_and_the_officers_give_a_new_one() {
    let (town, hanako, jiro) = story().await;
    let sequence = next(&town, &hanako).await;
    let revoked = hanako.revoke("紛失", sequence, utc()).unwrap();
    assert!(!town.api.revoke(&revoked).await.unwrap().repeated);
    assert!(town.api.revoke(&revoked).await.unwrap().repeated);
    assert_eq!(code(pay(&town, &hanako, &jiro).await), "key-revoked");

    let renewed = hanako.renewed(Suite::Dilithium5Ntru);
    let certificate = town.certificate(&renewed);
    let node = town.api.node().await.unwrap();
    let keys = renewed.new_keys(&certificate);
    let body = officer::recover(&node, hanako.account(), keys, "本人確認済み", utc()).unwrap();
    let officers = &town.founded.officers;
    let one: [&dyn Signer; 1] = [&officers[1]];
    let short = officer::sign_together(&body, &one).unwrap();
    let answer = town.api.recover(&short, &certificate, &[]).await;
    assert_eq!(code(answer), "officers-short");
    let two: [&dyn Signer; 2] = [&officers[1], &officers[2]];
    let signed = officer::sign_together(&body, &two).unwrap();
    town.api.recover(&signed, &certificate, &[]).await.unwrap();
    pay(&town, &renewed, &jiro).await.unwrap();

    // 次郎's phone was stolen with everything on it: the officers close his key.
    let node = town.api.node().await.unwrap();
    let body = officer::revoke(&node, jiro.account(), "盗難", utc()).unwrap();
    let signed = officer::sign_together(&body, &two).unwrap();
    town.api.revoke(&signed).await.unwrap();
    town.grant(jiro.account(), "5.00").await;
    assert_eq!(code(pay(&town, &jiro, &renewed).await), "key-revoked");
    town.close().await;
}
