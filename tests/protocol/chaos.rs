//! Random stories: whatever happens in between, the honest end in step. The seed is printed, and
//! `CITY_NODE_SEED` gives it back.

use std::collections::BTreeSet;

use super::liar::{Liar, Vertex, give, start};
use super::world::World;

/// A splitmix64 generator: the seed is printed and can be given back.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "a random test takes its seed back"
        )]
        let given = std::env::var("CITY_NODE_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or(0x5eed);
        println!("CITY_NODE_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// Links come and go, nodes restart, disks fill up.
fn trouble(world: &mut World, dice: &mut Dice, links: &mut BTreeSet<(usize, usize)>) {
    let (a, b) = (dice.below(3) as usize, dice.below(3) as usize);
    match dice.below(5) {
        0 if links.remove(&(a.min(b), a.max(b))) => world.disconnect(a, b),
        1 if a != b && links.insert((a.min(b), a.max(b))) => world.connect(a, b),
        2 => {
            links.retain(|(x, y)| ![*x, *y].contains(&a));
            world.restart(a);
        }
        3 => world.homes[a].disk_is_full = dice.below(2) == 0,
        _ => {
            for _ in 0..dice.below(20) {
                world.deliver();
            }
        }
    }
    world.now = world.now.plus_ms(dice.below(2_000));
}

/// All is well again: everybody is connected, and time passes.
fn peace(world: &mut World, links: &mut BTreeSet<(usize, usize)>) {
    for home in &mut world.homes {
        home.disk_is_full = false;
    }
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        if links.insert((a, b)) {
            world.connect(a, b);
        }
    }
    // Longer than anything waits in the pen.
    for _ in 0..12 {
        world.pass(61_000);
    }
}

#[test]
fn whatever_happens_in_between_everybody_ends_in_step() {
    let mut dice = Dice::new();
    let mut world = World::connected();
    let people: Vec<_> = ["hanako", "taro", "saburo"]
        .iter()
        .enumerate()
        .map(|(home, name)| world.rich_citizen(name, home, "100.00"))
        .collect();
    world.run();
    let mut sent = Vec::new();
    let mut links: BTreeSet<(usize, usize)> = [(0, 1), (0, 2), (1, 2)].into();
    for _ in 0..250 {
        let (a, b) = (dice.below(3) as usize, dice.below(3) as usize);
        match dice.below(12) {
            0..=3 if a != b => {
                if let Ok(booked) = world.transfer(&people[a], &people[b], "0.50") {
                    sent.push((b, booked));
                }
            }
            4..=6 if !sent.is_empty() => {
                let pick = dice.below(sent.len() as u64) as usize;
                let (to, booked) = &sent[pick];
                if world.accept(&people[*to], booked).is_ok() {
                    sent.swap_remove(pick);
                }
            }
            _ => trouble(&mut world, &mut dice, &mut links),
        }
    }
    peace(&mut world, &mut links);
    for (to, booked) in sent {
        world.accept(&people[to], &booked).unwrap();
        world.run();
    }
    world.assert_in_step(&[0, 1, 2]);
    world.audit();
    assert!(
        world
            .homes
            .iter()
            .all(|home| home.frozen.is_empty() && home.disconnected.is_empty())
    );
    let open: u64 = people
        .iter()
        .map(|p| world.homes[0].row(&p.home_log).totals.open_out)
        .sum();
    assert_eq!(open, 0, "everything that was sent is settled");
}

#[test]
fn whatever_a_liar_tells_whom_the_honest_end_in_step() {
    let mut dice = Dice::new();
    let mut world = World::connected();
    let liar = world.add_home("17211");
    let people: Vec<_> = ["hanako", "taro", "saburo"]
        .iter()
        .enumerate()
        .map(|(home, name)| world.rich_citizen(name, home, "100.00"))
        .collect();
    // 能美's true beginning, and everybody's true history.
    world.connect(liar, 0);
    world.run();
    world.disconnect(liar, 0);
    // Two faces that part somewhere, and one vertex that is not even valid.
    let fork = dice.below(4);
    let mut faces: [Vec<Vertex>; 2] = [Vec::new(), Vec::new()];
    for (n, face) in faces.iter_mut().enumerate() {
        let mut pen = Liar::new(&world, liar);
        for seq in 0..8 {
            let name = if seq < fork {
                "both".to_owned()
            } else {
                format!("face {n}")
            };
            let entries = if seq == 7 {
                vec![start(&name), start(&name)]
            } else {
                vec![start(&name)]
            };
            let vertex = pen.sign(&world, &entries);
            pen.follow(&vertex);
            face.push(vertex);
        }
    }
    let mut links: BTreeSet<(usize, usize)> = [(0, 1), (0, 2), (1, 2)].into();
    let mut told = [0_usize; 6];
    for _ in 0..200 {
        let (home, face) = (dice.below(3) as usize, dice.below(2) as usize);
        match dice.below(8) {
            0..=2 => {
                // Mostly in order, sometimes not.
                let next = &mut told[home * 2 + face];
                let vertex = faces[face][(*next + dice.below(2) as usize).min(7)].clone();
                *next = (*next + 1).min(7);
                give(&mut world, liar, home, &vertex);
            }
            3..=4 => {
                let to = dice.below(3) as usize;
                if to != home {
                    // It may be refused: no room on the disk.
                    drop(world.transfer(&people[home], &people[to], "0.50"));
                }
            }
            _ => trouble(&mut world, &mut dice, &mut links),
        }
    }
    // Whoever has heard nothing yet hears one face now.
    peace(&mut world, &mut links);
    world.assert_in_step(&[0, 1, 2]);
    world.audit();
    let honest = [0, 1, 2].map(|home| world.homes[home].log());
    for home in &world.homes[..3] {
        assert!(
            home.frozen.iter().all(|(log, ..)| !honest.contains(log)),
            "only the liar stops"
        );
        let row = home.row(&world.homes[liar].log());
        if let Some(frozen) = row.frozen {
            // Less, where the liar keeps back what lies before its cut.
            assert!(row.seq <= frozen.cut());
        }
    }
}
