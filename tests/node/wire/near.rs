//! Two municipalities on one cable that know no address of each other: they find each other by mDNS, also where the one is
//! listed only when it has been seen.

use super::lab::Lab;
use crate::daemon::city::{directory, found_at};

/// Nodes ask at their start and, while they find nobody, soon again.
const SEEN: std::time::Duration = std::time::Duration::from_secs(5);

#[test]
fn listed_peers_on_one_network_find_each_other_without_addresses() {
    let Some(lab) = Lab::build(2) else { return };
    lab.tell(|| story(&lab));
}

async fn story(lab: &Lab) {
    let root = directory();
    let mut cities = found_at(root.path(), &lab.sites());
    for city in &mut cities {
        city.config.network.mdns = true;
        city.config.network.peers[0].addresses.clear();
        city.configure();
    }
    let (a, b) = (
        lab.ready(&cities[0], 0).await,
        lab.ready(&cities[1], 1).await,
    );
    let met = |status: &city_node::admin::pages::Status| {
        status.peers.iter().any(|peer| peer.region.is_some())
    };
    let status = a.until("小松市", met).await;
    let address = &status.peers[0].address;
    assert!(address.contains("/10.7"), "by one of the cables: {address}");
    b.until("金沢市", met).await;
    a.stop().await;
    b.stop().await;

    // Neither lists the other until each has seen it.
    for city in &mut cities {
        city.config.network.peers.clear();
        city.configure();
    }
    let [kanazawa, komatsu] = &cities[..] else {
        unreachable!()
    };
    let (a, b) = (
        lab.ready(&cities[0], 0).await,
        lab.ready(&cities[1], 1).await,
    );
    tokio::time::sleep(SEEN).await;
    for (city, other) in [(kanazawa, komatsu), (komatsu, kanazawa)] {
        let id = other.report.peer_id.to_string();
        city.answer(&["whitelist", "add"], &[&id], 0);
    }
    a.until("小松市", met).await;
    b.until("金沢市", met).await;
    a.stop().await;
    b.stop().await;
}
