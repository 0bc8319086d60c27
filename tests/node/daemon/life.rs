//! Starting, being asked, and stopping.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::city::{City, Node, PATIENCE, Sender, alone, directory, log_in, run};

fn status(city: &City, more: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_city-node"));
    command
        .arg("status")
        .arg("--data-dir")
        .arg(city.data.path())
        .args(more);
    let ran = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (ran.status.code(), text(ran.stdout), text(ran.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_says_how_it_is_and_shares_its_directory_with_nobody() {
    let root = directory();
    let city = alone(root.path(), root.path().join("d"));
    let (code, _, told) = status(&city, &[]);
    assert_eq!(code, Some(3), "{told}");
    assert!(
        told.contains("no node is running") && told.contains("city-node run"),
        "{told}"
    );

    let node = city.ready().await;
    let (code, page, _) = status(&city, &[]);
    assert_eq!(code, Some(0));
    assert!(
        page.contains("金沢市") && page.contains("sequencing  yes"),
        "{page}"
    );
    let (code, json, _) = status(&city, &["--json"]);
    assert_eq!(code, Some(0));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["schema"], 1);
    assert_eq!(json["log"], city.report.log.to_string());
    assert_eq!(json["place"]["grade"], "none");

    let second = run(&city.data, &[]).output().unwrap();
    let told = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(1), "{told}");
    let directory = city.data.path().to_str().unwrap();
    assert!(
        told.contains(directory) && told.contains(&node.child.id().to_string()),
        "{told}"
    );
    // The second one did not harm the first.
    assert_eq!(status(&city, &[]).0, Some(0));
    node.stop().await;
    assert_eq!(status(&city, &[]).0, Some(3));

    let again = city.ready().await;
    assert!(
        !again.log().contains("catching up"),
        "closed cleanly: {}",
        again.log()
    );
    assert!(
        !again.log().contains("index again"),
        "closed cleanly: {}",
        again.log()
    );
}

#[test]
fn a_configuration_that_is_wrong_ends_with_78() {
    let root = directory();
    let city = alone(root.path(), root.path().join("d"));
    let good = std::fs::read_to_string(city.data.config()).unwrap();
    std::fs::write(
        city.data.config(),
        good.replace("trust_system", "trust_sistem"),
    )
    .unwrap();
    let ran = run(&city.data, &[]).output().unwrap();
    let told = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(78), "{told}");
    assert!(
        told.contains("config.toml") && told.contains("trust_sistem"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_ends_with_its_standard_input() {
    let root = directory();
    let city = alone(root.path(), root.path().join("d"));
    let mut command = run(&city.data, &["--stop-on-stdin-end"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while status(&city, &[]).0 != Some(0) {
        assert!(begun.elapsed() < PATIENCE, "not ready");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(child.stdin.take());
    let begun = Instant::now();
    let ended = child.wait().unwrap();
    let mut log = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut log)
        .unwrap();
    assert!(ended.success(), "{ended}: {log}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{log}");
}

/// People go on submitting while the node is told to stop: it ends in time, and what it acknowledged is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_stop_under_load_it_drains() {
    let root = directory();
    let mut city = alone(root.path(), root.path().join("d"));
    let _line = city.plug_in(Vec::new);
    let mut node = city.ready().await;
    let mut senders = Vec::new();
    let api = city.api(&node);
    for _ in 0..3 {
        senders.push(Sender {
            person: city.rich(&api, 100_000).await,
            booked: Vec::new(),
        });
    }
    drop(api);
    for signal in ["-TERM", "-INT"] {
        node.until("a place", |status| status.place.satisfies_policy)
            .await;
        senders = load(
            &city,
            &mut node,
            senders,
            signal,
            Duration::from_millis(1500),
        )
        .await;
        let (ended, took) = node.end().await;
        assert!(ended.success(), "{signal}: {ended}:\n{}", node.log());
        assert!(
            took < Duration::from_secs(5),
            "{signal}: {took:?}\n{}",
            node.log()
        );

        node = city.ready().await;
        let log = node.log();
        assert!(
            !log.contains("catching up") && !log.contains("index again"),
            "{log}"
        );
        everything_is_there(&city, &node, &senders).await;
    }
    let booked: usize = senders.iter().map(|sender| sender.booked.len()).sum();
    assert!(booked >= 6, "a load of {booked} is none");
    node.stop().await;
}

/// Has everybody send, and after a while signals the node.
pub(super) async fn load(
    city: &City,
    node: &mut Node,
    senders: Vec<Sender>,
    signal: &str,
    after: Duration,
) -> Vec<Sender> {
    let api = Arc::new(city.api(node));
    let sending: Vec<_> = senders
        .into_iter()
        .map(|s| tokio::spawn(s.send_until_gone(Arc::clone(&api))))
        .collect();
    tokio::time::sleep(after).await;
    node.signal(signal);
    let mut senders = Vec::new();
    for sender in sending {
        let sender = tokio::time::timeout(PATIENCE, sender).await;
        senders.push(sender.expect("the node goes away").unwrap());
    }
    senders
}

/// Every acknowledged transfer is booked, and what each has left says so.
pub(super) async fn everything_is_there(city: &City, node: &Node, senders: &[Sender]) {
    let api = city.api(node);
    for sender in senders {
        log_in(&api, &sender.person).await.unwrap();
        let account = sender.person.account();
        for identity in &sender.booked {
            let found = api.transfer_state(&account, identity).await;
            if found
                .as_ref()
                .is_err_and(|error| error.status() == Some(429))
            {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
            found.unwrap_or_else(|error| panic!("{identity} is lost: {error}\n{}", node.log()));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        let account = api.account(&account).await.unwrap();
        assert!(account.next_sequence > sender.booked.len() as u64);
    }
    node.check().await;
}
