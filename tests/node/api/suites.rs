//! Both suites live in one home, and a home can stop taking one of them.

use city_node::client::person::Person;
use city_node::client::{AdminClient, ClientError};
use city_node::engine::utc;
use city_protocol::crypto::{Algorithm, KemAlgorithm, NotAfter, SealedBoxContext, Suite};

use city_protocol::vertex::Receipt;

use super::town::{Founded, Plan, Town};

async fn person(town: &Town, suite: Suite) -> Person {
    Person::of_suite(&town.api.node().await.unwrap(), suite)
}

#[tokio::test(flavor = "multi_thread")]
async fn people_of_both_suites_pay_each_other_in_homes_of_either() {
    for suite in Suite::ALL.iter().copied() {
        let founded = Founded::with_suites(suite, Suite::ALL);
        pay_each_other(founded.open(Plan::default()).await, suite).await;
    }
}

async fn pay_each_other(town: Town, suite: Suite) {
    let node = town.api.node().await.unwrap();
    assert_eq!((node.suite, node.suites.as_slice()), (suite, Suite::ALL));
    assert_eq!(
        town.stranger().await.signing().public().algorithm(),
        suite.signing()
    );
    let old = town
        .enrolled(person(&town, Suite::Dilithium5Ntru).await)
        .await;
    let new = town.enrolled(person(&town, Suite::Fips).await).await;
    assert_eq!(new.signing().public().algorithm(), Algorithm::MlDsa87);
    assert_eq!(new.kem().public().algorithm(), KemAlgorithm::MlKem1024);

    for (sender, receiver) in [(&old, &new), (&new, &old)] {
        town.grant(sender.account(), "100.00").await;
        let mut order = town.order(sender, receiver, "1.00").await;
        order.message = Some((receiver.kem().public().clone(), "ありがとう".into()));
        let (signed, _) = sender.transfer(&order).unwrap();
        let booked = town.api.transfer(&signed).await.unwrap();
        let receipt = Receipt::read(&booked.receipt).unwrap();
        receipt.verify(&town.founded.genesis).unwrap();
        let waiting = town.api.incoming(&receiver.account(), None).await.unwrap();
        let [item] = &waiting.transfers[..] else {
            panic!("{waiting:?}")
        };
        let context = SealedBoxContext {
            network: node.network,
            sender: sender.account(),
            receiver: receiver.account(),
            transfer_id: order.transfer_id,
        };
        let message = signed.body().message.as_ref().unwrap();
        let opened = receiver.kem().open(&context, message).unwrap();
        assert_eq!(opened.as_slice(), "ありがとう".as_bytes());

        let sequence = town.api.account(&receiver.account()).await.unwrap();
        let accept = receiver.accept(item, sequence.next_sequence, utc());
        town.api.accept(&accept.unwrap()).await.unwrap();
    }
    let people = [old, new];
    let founded = town.close().await;

    // The log is read and folded again; every signature of it still counts.
    std::fs::remove_dir_all(founded.dir.path().join("data/index")).unwrap();
    let town = founded.open(Plan::default()).await;
    for person in people {
        town.api.login(&person).await.unwrap();
        let account = town.api.account(&person.account()).await.unwrap();
        assert_eq!(account.available.to_string(), "100.00");
    }
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_its_date_an_algorithm_is_taken_no_more_and_what_is_booked_stays() {
    let town = Town::kanazawa().await;
    let old = town
        .enrolled(person(&town, Suite::Dilithium5Ntru).await)
        .await;
    let new = town.enrolled(person(&town, Suite::Fips).await).await;
    town.grant(old.account(), "10.00").await;
    town.grant(new.account(), "10.00").await;
    let founded = town.close().await;

    let mut not_after = NotAfter::default();
    not_after.set("dilithium5-ntru", utc().minus_ms(1)).unwrap();
    let town = founded
        .open(Plan {
            not_after,
            ..Plan::default()
        })
        .await;
    let code = |answer: Result<_, ClientError>| match answer {
        Err(ClientError::Problem(problem)) => problem.code,
        other => panic!("{other:?}"),
    };
    // The home opened its own log, which is signed and full of that suite.
    let admin = AdminClient::connect(&town.admin).await.unwrap();
    let balances = admin.balances().await.unwrap().balances;
    assert_eq!(balances[&old.account()], "10.00");
    // Whoever can forge the signature does not get in by it, either.
    let login = town.api.login(&old).await.map(drop);
    assert_eq!(login.unwrap_err().code(), Some("algorithm-expired"));

    let order = town.order(&old, &new, "1.00").await;
    let (signed, _) = old.transfer(&order).unwrap();
    assert_eq!(code(town.api.transfer(&signed).await), "algorithm-expired");
    let late = person(&town, Suite::Dilithium5Ntru).await;
    let certificate = town.certificate(&late);
    let enrol = late.enrol(&certificate, utc()).unwrap();
    let answer = town.api.enrol(&enrol, &certificate, &[]).await;
    assert_eq!(code(answer), "algorithm-expired");

    let order = town.order(&new, &old, "1.00").await;
    let (signed, _) = new.transfer(&order).unwrap();
    town.api.transfer(&signed).await.unwrap();
    let other = town.enrolled(person(&town, Suite::Fips).await).await;
    let account = town.api.account(&other.account()).await.unwrap();
    assert_eq!(account.next_sequence, 1);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_does_not_list_a_suite_does_not_take_it() {
    let town = Founded::with_suites(Suite::Dilithium5Ntru, &[Suite::Dilithium5Ntru])
        .open(Plan {
            receiver: false,
            ..Plan::default()
        })
        .await;
    let person = person(&town, Suite::Fips).await;
    let certificate = town.certificate(&person);
    let enrol = person.enrol(&certificate, utc()).unwrap();
    match town.api.enrol(&enrol, &certificate, &[]).await {
        Err(ClientError::Problem(problem)) => assert_eq!(problem.code, "suite-not-admitted"),
        other => panic!("{other:?}"),
    }
    town.close().await;
}
