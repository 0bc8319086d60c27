//! The node is killed outright under load, again and again, on the same data.

use std::time::Duration;

use super::people::{Pace, People, supervise};
use super::times;
use crate::daemon::city::{alone, directory};
use crate::store::Dice;

const LOAD_MS: u64 = 250;
const START_MS: u64 = 150;
/// A new network after so many: the longer the log, the longer each comparison.
const KILLS_PER_NETWORK: u64 = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_a_hundred_times_under_load_nothing_acknowledged_is_lost() {
    let mut dice = Dice::new();
    let kills = times("CITY_NODE_KILLS", 100);
    let pace = Pace::new();
    let (mut left, mut acknowledged, mut started_again) = (kills, 0, 0);
    while left > 0 {
        let root = directory();
        let mut city = alone(root.path(), root.path().join("d"));
        let _line = city.plug_in(Vec::new);
        let node = city.ready().await;
        let mut people = People::settle(&city, &node, &mut dice).await;
        drop(node);
        for _ in 0..left.min(KILLS_PER_NETWORK) {
            left -= 1;
            if dice.below(5) == 0 {
                let _killed = city.start();
                tokio::time::sleep(Duration::from_millis(dice.below(START_MS))).await;
                continue;
            }
            let (node, starts) = supervise(|| city.start()).await.unwrap();
            started_again += starts - 1;
            assert!(!people.compare(&city, &node).await);
            let at_work = people.work(&city, &node);
            tokio::time::sleep(Duration::from_millis(dice.below(LOAD_MS))).await;
            drop(node);
            people = at_work.home().await;
        }
        let (node, _) = supervise(|| city.start()).await.unwrap();
        assert!(!people.compare(&city, &node).await);
        node.check().await;
        node.stop().await;
        acknowledged += people.acknowledged();
        println!(
            "{} kills, {:.1?} each: {acknowledged} acknowledged, {started_again} starts repeated",
            kills - left,
            pace.each(kills - left)
        );
    }
    assert!(
        acknowledged as u64 >= kills / 2,
        "a load of {acknowledged} is none"
    );
}
