//! A person changes keys: to another suite, after a loss, after a theft.

use city_node::client::person::Person;
use city_node::client::{ClientError, officer};
use city_node::engine::utc;
use city_protocol::crypto::{Algorithm, Signer, Suite};
use city_protocol::stage::SignedBySeveral;
use x509_cert::der::pem::{LineEnding, encode_string};

use super::town::{Plan, Town};

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
    let town = town.close().await.open(Plan::default()).await;
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

/// 花子's account with new keys, which two officers gave her.
async fn recovered(town: &Town, hanako: &Person) -> (Person, SignedBySeveral, Vec<u8>) {
    let renewed = hanako.renewed(Suite::Dilithium5Ntru);
    let certificate = town.certificate(&renewed);
    let node = town.api.node().await.unwrap();
    let keys = renewed.new_keys(&certificate);
    let body = officer::recover(&node, hanako.account(), keys, "本人確認済み", utc()).unwrap();
    let officers = &town.founded.officers;
    let two: [&dyn Signer; 2] = [&officers[1], &officers[2]];
    let signed = officer::sign_together(&body, &two).unwrap();
    town.api.recover(&signed, &certificate, &[]).await.unwrap();
    (renewed, signed, certificate)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_reads_nothing_any_more() {
    let (town, hanako, jiro) = story().await;
    town.api.account(&hanako.account()).await.unwrap();
    let sequence = next(&town, &hanako).await;
    let revoked = hanako.revoke("盗難", sequence, utc()).unwrap();
    town.api.revoke(&revoked).await.unwrap();
    // Whoever has the phone has its token and its key.
    let account = hanako.account();
    assert_eq!(code(town.api.account(&account).await), "token-refused");
    assert_eq!(code(town.api.logout(&account).await), "token-refused");
    assert_eq!(code(town.client().login(&hanako).await), "login-refused");
    // That it is revoked may be said again, and others are as before.
    assert!(town.api.revoke(&revoked).await.unwrap().repeated);
    town.api.account(&jiro.account()).await.unwrap();

    let (renewed, ..) = recovered(&town, &hanako).await;
    assert_eq!(code(town.client().login(&hanako).await), "login-refused");
    let client = town.client();
    client.login(&renewed).await.unwrap();
    assert_eq!(client.account(&account).await.unwrap().account, account);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_certificate_does_not_lock_its_owner_out() {
    let (town, hanako, jiro) = story().await;
    let sequence = next(&town, &hanako).await;
    let revoked = hanako.revoke("紛失", sequence, utc()).unwrap();
    town.api.revoke(&revoked).await.unwrap();
    let (second, recovery, old) = recovered(&town, &hanako).await;
    town.api.login(&second).await.unwrap();
    let third = second.renewed(Suite::Dilithium5Ntru);
    let (signed, newest) = rotation(&town, &second, &third).await;
    town.api.rotate(&signed, &newest, &[]).await.unwrap();
    // The recovery is sent again: what the home keeps stays the newest.
    let again = town.api.recover(&recovery, &old, &[]).await.unwrap();
    assert!(again.repeated);
    let order = town.order(&third, &jiro, "1.00").await;
    let knows_nothing = town.client();
    let paid = third.transfer(&order).unwrap().0;
    knows_nothing.transfer(&paid).await.unwrap();

    // An old file comes back, as from a backup: it is not used, and the newest one is asked for.
    let kept = town.founded.dir.path().join("clients");
    let kept = kept.join(format!("{}.pem", third.account()));
    let good = std::fs::read(&kept).unwrap();
    let town = town.close().await;
    std::fs::write(&kept, pem(&old)).unwrap();
    let town = town.open(Plan::default()).await;
    let client = town.client();
    client.login(&third).await.unwrap();
    town.api.login(&third).await.unwrap();
    let order = town.order(&third, &jiro, "2.00").await;
    let paid = third.transfer(&order).unwrap().0;
    assert_eq!(code(client.transfer(&paid).await), "certificate-required");
    client.know(third.signing().public().id(), &newest, &[]);
    client.transfer(&paid).await.unwrap();
    assert_eq!(std::fs::read(&kept).unwrap(), good);
    town.close().await;
}

fn pem(der: &[u8]) -> String {
    encode_string("CERTIFICATE", LineEnding::LF, der).unwrap()
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
