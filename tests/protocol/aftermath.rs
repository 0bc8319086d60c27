//! What a conviction leaves behind: both were found by the simulator.

use city_protocol::ledger::Table;

use super::faults::cut_off_kanazawa;
use super::liar::{Liar, give, start};
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
    let other = liar.sign(&world, &[start("never happened")]);
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
