//! Killed outright under load, again and again: nothing that was acknowledged is lost, and nobody has to help.

use std::io::Write as _;
use std::time::Duration;

use super::city::{City, Sender, alone, directory};
use super::life::{everything_is_there, load};
use crate::store::Dice;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_five_times_it_loses_nothing() {
    let mut dice = Dice::new();
    let root = directory();
    let mut city = alone(root.path(), root.path().join("d"));
    let _line = city.plug_in(Vec::new);
    let mut node = city.ready().await;
    let api = city.api(&node);
    let mut senders = Vec::new();
    for _ in 0..3 {
        senders.push(Sender {
            person: city.rich(&api, 100_000).await,
            booked: Vec::new(),
        });
    }
    drop(api);
    for round in 0..5 {
        node.until("a place", |status| status.place.satisfies_policy)
            .await;
        let after = Duration::from_millis(300 + dice.below(900));
        senders = load(&city, &mut node, senders, "-KILL", after).await;
        node.end().await;
        let expected = match round {
            1 | 4 => {
                std::fs::remove_dir_all(city.data.index()).unwrap();
                "making the index again"
            }
            2 => {
                tear(&city, &mut dice);
                ""
            }
            _ => "",
        };
        node = city.ready().await;
        assert!(
            node.log().contains(expected),
            "round {round}: {}",
            node.log()
        );
        assert!(
            node.status().await.sequencing,
            "round {round}: {}",
            node.log()
        );
        everything_is_there(&city, &node, &senders).await;
    }
    let booked: usize = senders.iter().map(|sender| sender.booked.len()).sum();
    assert!(booked >= 10, "a load of {booked} is none");
    node.stop().await;
}

/// Leaves the beginning of a write at the end of the log, as a power cut does: a length and part of a block.
fn tear(city: &City, dice: &mut Dice) {
    let mut segments: Vec<_> = std::fs::read_dir(city.data.ledger())
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    segments.retain(|path| path.extension().is_some_and(|ext| ext == "car"));
    segments.sort();
    let last = segments.last().expect("there is a segment");
    let mut torn = vec![0xa0, 0x40];
    torn.extend((0..1 + dice.below(4000)).map(|_| u8::try_from(dice.below(256)).unwrap()));
    let mut file = std::fs::OpenOptions::new().append(true).open(last).unwrap();
    file.write_all(&torn).unwrap();
}
