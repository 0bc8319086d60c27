//! What a conviction leaves behind: both were found by the simulator.

use city_protocol::ledger::{Frozen, Rows as _, Table};

use super::faults::{cut_off_kanazawa, fault_entries};
use super::liar::{Liar, give, head, start};
use super::sim::fold_again;
use super::world::{HAKUSAN, KANAZAWA, KOMATSU, World};

const HONEST: [usize; 2] = [KOMATSU, HAKUSAN];

#[test]
fn what_was_taken_beyond_the_cut_waits_again() {
    let mut world = World::connected();
    let hanako = world.rich_citizen("hanako", KOMATSU, "10.00");
    let taro = world.citizen("taro", KANAZAWA);
    world.run();
    let sent = world.transfer(&hanako, &taro, "2.00").unwrap();
    world.run();
    let liar = Liar::new(&world, KANAZAWA);
    world.disconnect(KANAZAWA, HAKUSAN);
    world.disconnect(KOMATSU, HAKUSAN);
    // 小松 sees the acceptance; 白山 hears of another vertex in its place, and never sees it.
    world.accept(&taro, &sent).unwrap();
    world.run();
    cut_off_kanazawa(&mut world);
    let other = liar.sign(&[start("never happened")]);
    give(&mut world, KANAZAWA, HAKUSAN, &other);
    world.connect(KOMATSU, HAKUSAN);
    world.run();
    world.assert_in_step(&HONEST);
    let waiting = |home: usize| {
        let table = Table::Incoming as u8;
        let rows = &world.homes[home].disk.rows;
        rows.range(vec![table]..vec![table + 1]).count()
    };
    assert_eq!(HONEST.map(waiting), [1, 1], "as if it had not been taken");
}

#[test]
fn a_fork_that_turns_out_to_be_earlier_is_entered_too_and_an_index_made_again_knows_it() {
    let mut world = World::connected();
    world.rich_citizen("hanako", KANAZAWA, "10.00");
    world.run();
    cut_off_kanazawa(&mut world);
    world.disconnect(KOMATSU, HAKUSAN);
    let log = world.homes[KANAZAWA].log();
    let (cut, _) = head(&world, KANAZAWA, &log);
    for (home, face) in [(KOMATSU, "east"), (HAKUSAN, "west")] {
        let mut liar = Liar::new(&world, KANAZAWA);
        for n in 0..3 {
            let vertex = liar.sign(&[start(&format!("{face} {n}"))]);
            liar.follow(&vertex);
            give(&mut world, KANAZAWA, home, &vertex);
        }
    }
    world.connect(KOMATSU, HAKUSAN);
    world.run();
    world.pass(1_000);
    for home in HONEST {
        let cuts: Vec<_> = fault_entries(&world, home)
            .iter()
            .map(|fault| fault.cut)
            .collect();
        assert_eq!(
            cuts,
            [cut + 2, cut],
            "what was known first, and where it ends"
        );
        let again = fold_again(&world, home, 0);
        let frozen = again.read().log(&log).unwrap().frozen;
        assert_eq!(frozen, Some(Frozen::Equivocation(cut)));
    }
    world.assert_in_step(&HONEST);
}
