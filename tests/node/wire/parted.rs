//! Five municipalities: one behind a slow and lossy line, one reached by IPv6, one behind 1 Mbit/s, one that joins late.
//! The network parts, both sides go on, and it heals.

use std::time::Duration;

use city_protocol::amount::Amount;

use super::delay::Delay;
use super::lab::{Lab, PORT, same_heads};
use crate::daemon::city::{City, Node, PATIENCE, directory, found_at, send};

/// How soon all have the same heads once they reach each other.
const SOON: Duration = Duration::from_secs(30);
/// A peer whose line is dead is noticed by then: a ping's interval and its patience are 35 s, and the machine is shared.
const NOTICED: Duration = Duration::from_secs(60);
const SLOW_LINE: u16 = 4101;

#[test]
fn five_municipalities_part_and_heal() {
    let Some(lab) = Lab::build(5) else { return };
    lab.tell(|| story(&lab));
}

async fn story(lab: &Lab) {
    let root = directory();
    let mut cities = found_at(root.path(), &lab.sites());
    // 小松 answers 200 ms late, each way, on a line that loses one packet in twenty; 白山 has IPv6 only.
    let slow = format!("/ip4/10.77.0.254/tcp/{SLOW_LINE}");
    let called_at: Vec<String> = (0..5)
        .map(|node| match node {
            1 => slow.clone(),
            2 => format!("/ip6/fd77::3/tcp/{PORT}"),
            _ => format!("/ip4/10.77.0.{}/tcp/{PORT}", node + 1),
        })
        .collect();
    let names: Vec<_> = cities.iter().map(|city| city.report.peer_id).collect();
    for (which, city) in cities.iter_mut().enumerate() {
        if which == 2 {
            city.config.network.listen = vec![format!("/ip6/::/tcp/{PORT}").parse().unwrap()];
        }
        for peer in &mut city.config.network.peers {
            let at = names.iter().position(|id| *id == peer.peer_id).unwrap();
            // Whoever is behind the slow line is called, and does not call by a better one.
            peer.addresses = match which {
                1 => Vec::new(),
                _ => vec![called_at[at].parse().unwrap()],
            };
        }
        city.configure();
    }
    let _line = Delay::between(
        format!("10.77.0.254:{SLOW_LINE}").parse().unwrap(),
        format!("10.77.0.2:{PORT}").parse().unwrap(),
        Duration::from_millis(200),
    )
    .await;
    lab.lose(1, 0.05);
    lab.narrow(3, "1mbit");
    let [_line0, _line2] = [0, 2].map(|which| cities[which].plug_in(Vec::new));

    let mut nodes: Vec<Node> = (0..4).map(|at| lab.start(&cities[at], at, &[])).collect();
    for node in &mut nodes {
        node.comes_up().await.unwrap();
        node.until("a first peer", |status| status.standing != "waiting")
            .await;
    }
    for (city, node) in cities.iter().zip(&nodes) {
        books(city, node, 5).await;
    }
    same_heads("at first", &nodes.iter().collect::<Vec<_>>(), SOON).await;

    lab.cut_off(&[2, 3, 4]);
    for (city, node) in cities.iter().zip(&nodes) {
        books(city, node, 5).await;
    }
    // The late one is on this side; what it needs comes through 1 Mbit/s, too.
    let late = lab.ready(&cities[4], 4).await;
    same_heads("one side", &[&nodes[0], &nodes[1]], SOON).await;
    same_heads("the other side", &[&nodes[2], &nodes[3], &late], SOON).await;
    books(&cities[4], &late, 2).await;
    let apart = [nodes[0].status().await, late.status().await];
    assert_ne!(apart[0].frontier_hash, apart[1].frontier_hash);
    // Until each side knows that the other is gone, and has called in vain for a while.
    let begun = std::time::Instant::now();
    while nodes[0].status().await.peers.len() > 1 || nodes[2].status().await.peers.len() > 2 {
        assert!(begun.elapsed() < NOTICED, "{}", nodes[0].log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    println!("the dead lines were noticed after {:?}", begun.elapsed());
    books(&cities[0], &nodes[0], 5).await;
    books(&cities[2], &nodes[2], 5).await;
    pays(&cities[0], &nodes[0]).await;
    pays(&cities[2], &nodes[2]).await;

    lab.heal(&[2, 3, 4]);
    nodes.push(late);
    let all: Vec<_> = nodes.iter().collect();
    same_heads("healed", &all, SOON).await;
    let status = nodes[4].status().await;
    assert_eq!(status.frontier.len(), 5, "{status:#?}");
    for node in &nodes {
        node.check().await;
        assert!(!node.log().contains("sent away"), "{}", node.log());
    }
    for node in nodes {
        node.stop().await;
    }
}

/// A person comes, and gets so many grants.
pub(super) async fn books(city: &City, node: &Node, grants: u64) {
    let api = city.api(node);
    let person = city.citizen(&api).await;
    let mut page = api.node().await.unwrap();
    for _ in 0..grants {
        city.grant_by(&page, &api, &person, 100).await.unwrap();
        page.officers.officers_sequence += 1;
    }
}

/// Somebody pays, with a proof of place.
async fn pays(city: &City, node: &Node) {
    let api = city.api(node);
    let person = city.rich(&api, 1_000).await;
    let begun = std::time::Instant::now();
    // The receiver's first minute gives no proof that is good enough for every policy.
    while let Err(error) = send(&api, &person, 100).await {
        assert!(begun.elapsed() < PATIENCE, "{error:?}\n{}", node.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let left = api.account(&person.account()).await.unwrap().available;
    assert_eq!(left, Amount::from_hundredths(900), "one paid 1.00");
}
