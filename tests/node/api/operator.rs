//! An operator asks the node through its admin socket.

use std::path::Path;

use city_node::admin::{AdminSocket, Operators};
use city_node::client::{AdminClient, ApiClient, ClientError};

use super::town::{Plan, Town};

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
    town.api.login(&citizen).await.unwrap();
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
    let bind = AdminSocket::bind(Path::new(&long), Operators::OwnUser)
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
