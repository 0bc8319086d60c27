//! Bodies that a node does not keep: what is left of them folds to the same state and posts the same lines, a log that
//! convicts itself is folded again out of it, and who asks for them is served by others.

use std::collections::BTreeMap;
use std::sync::Arc;

use city_protocol::ids::LogId;
use city_protocol::ledger::{
    Frozen, History, Rows as _, Stays, Table, TransferState, prunable_to, stub_of,
};
use city_protocol::refusal::Refusal;
use city_protocol::replica::log_rows;
use city_protocol::stage::Submission;
use city_protocol::vertex::{SignedHeader, decode_body};

use super::checkpoints::{all_rows, make, random_history, state, town};
use super::disk::Disk;
use super::faults::cut_off_kanazawa;
use super::liar::{Liar, give, start};
use super::people::signed;
use super::sim::fold_again;
use super::world::{HAKUSAN, KANAZAWA, KOMATSU, World};

const HOUR: u64 = 60 * 60 * 1000;

/// Prunes every body of a home that may go; gives how many went, and how many stayed behind a checkpoint for which reason.
pub(crate) fn prune(disk: &mut Disk) -> (usize, BTreeMap<Stays, usize>) {
    let (mut gone, mut stays) = (0, BTreeMap::new());
    for (log, row) in log_rows(disk) {
        let Some(newest) = prunable_to(disk, &log) else {
            continue;
        };
        for seq in 1..=newest.seq {
            let rows: &dyn History = disk;
            let id = rows.vertex_on_chain(&log, row.epoch, seq).unwrap();
            let vertex = rows.vertex(&id).unwrap();
            let header = SignedHeader::read(&rows.block(&id).unwrap()).unwrap();
            let Some(body) = rows.block(&vertex.body) else {
                continue;
            };
            match stub_of(rows, (id, &vertex), &decode_body(&body).unwrap()) {
                Ok(stub) => {
                    assert!(stub.belongs_to(&header.header));
                    assert!(stub.to_block().len() < body.len() / 2);
                    disk.blocks.remove(&vertex.body);
                    disk.stubs.insert(vertex.body, Arc::new(stub));
                    gone += 1;
                }
                Err(why) => *stays.entry(why).or_default() += 1,
            }
        }
    }
    (gone, stays)
}

/// Every row but those that say in which order vertices came, and what is counted of witnesses, which also rests on what
/// bodies cite.
fn rows_of(disk: &Disk) -> Vec<(&Vec<u8>, &Vec<u8>)> {
    let others = [Table::Witness, Table::Vertex, Table::Order].map(|table| table as u8);
    let counts = |(name, _): &(&Vec<u8>, _)| !others.contains(&name[0]);
    disk.rows.iter().filter(counts).collect()
}

#[track_caller]
pub(crate) fn check_folds_to_the_same(world: &World, home: usize) {
    let again = fold_again(world, home, 0);
    let (a, b) = (rows_of(&world.homes[home].disk), rows_of(&again));
    for (a, b) in a.iter().zip(&b) {
        assert_eq!(a, b, "{:?}", char::from(a.0[0]));
    }
    assert_eq!(a.len(), b.len());
}

#[test]
fn what_is_left_folds_to_the_same_rows_and_posts_the_same_lines() {
    #[expect(
        clippy::disallowed_methods,
        reason = "a random test takes its seed back"
    )]
    let given = std::env::var("CITY_NODE_SEED").ok();
    let given = given.and_then(|text| text.parse::<u64>().ok());
    let seeds = given.map_or(1..=6, |seed| seed..=seed);
    let mut pruned = 0;
    for seed in seeds {
        println!("CITY_NODE_SEED={seed}");
        let (mut world, log) = random_history(seed);
        world.pass(2 * HOUR);
        make(&mut world, KOMATSU).unwrap();
        world.run();
        let logs: Vec<LogId> = [KANAZAWA, KOMATSU]
            .map(|home| world.homes[home].log())
            .into();
        let before = logs
            .clone()
            .into_iter()
            .map(|log| world.journal(KOMATSU, &log));
        let before: Vec<_> = before.collect();
        let state_before = state(&world, KOMATSU, log);
        let (gone, stays) = prune(&mut world.homes[KOMATSU].disk);
        pruned += gone;
        assert!(stays[&Stays::Kept] >= 2, "charters and enrolments stay");
        check_folds_to_the_same(&world, KOMATSU);
        assert_eq!(state(&world, KOMATSU, log), state_before);
        for (log, before) in logs.iter().zip(before) {
            assert_eq!(world.journal(KOMATSU, log), before);
        }
        world.audit();
        // And it goes on.
        let taro = world.rich_citizen(&format!("late citizen of {seed}"), KOMATSU, "10.00");
        let jiro = world.citizen(&format!("other late citizen of {seed}"), KANAZAWA);
        let sent = world.transfer(&taro, &jiro, "1.00").unwrap();
        world.run();
        world.accept(&jiro, &sent).unwrap();
        world.run();
        world.assert_in_step(&[KANAZAWA, KOMATSU, HAKUSAN]);
        check_folds_to_the_same(&world, KOMATSU);
    }
    assert!(pruned > 30, "{pruned}");
}

#[test]
fn what_is_open_stays_and_goes_when_it_is_complete() {
    let (mut world, hanako, taro) = town();
    world.pass(2 * HOUR);
    let log = hanako.home_log;
    // Before there is a checkpoint nothing goes.
    assert_eq!(prune(&mut world.homes[KOMATSU].disk).0, 0);
    make(&mut world, KANAZAWA).unwrap();
    world.run();
    let (_, stays) = prune(&mut world.homes[KOMATSU].disk);
    assert_eq!(stays[&Stays::Open], 1, "23.45 wait for 太郎");
    let disk = world.homes[KOMATSU].disk.read();
    let open = disk.rows(
        &city_protocol::ledger::key(Table::Open, &[&log.0]),
        None,
        10,
    );
    let [(name, _)] = &open[..] else {
        panic!("one is open")
    };
    let identity = city_protocol::ids::Digest(name[33..].try_into().unwrap());
    let row = disk.transfer(&log, &identity).unwrap();
    let entry = disk.entry(&log, &row.at).expect("its body is here");
    let body = serde_json::from_slice(&entry.body).unwrap();
    let accept = world.accept_of(&taro, identity, &body);
    let accept = signed(accept, &taro).unwrap();
    world.submit(KOMATSU, Submission::Accept(accept)).unwrap();
    world.run();
    let row = world.homes[KOMATSU].disk.read().transfer(&log, &identity);
    assert_eq!(row.unwrap().state, TransferState::Settled);
    let (gone, stays) = prune(&mut world.homes[KOMATSU].disk);
    assert_eq!((gone, stays.get(&Stays::Open)), (1, None));
    check_folds_to_the_same(&world, KOMATSU);
}

/// Who asks for what was pruned stands still without blame, and goes on as soon as somebody has it.
#[test]
fn a_newcomer_gets_what_one_peer_pruned_from_another() {
    let (mut world, _, _) = town();
    world.pass(2 * HOUR);
    make(&mut world, KANAZAWA).unwrap();
    make(&mut world, KOMATSU).unwrap();
    world.run();
    assert!(prune(&mut world.homes[KOMATSU].disk).0 > 3);
    let log = world.homes[KANAZAWA].log();
    let whole = world.homes[KANAZAWA].row(&log).seq;
    let nomi = world.add_home("17211");
    world.connect(nomi, KOMATSU);
    world.run();
    for _ in 0..10 {
        world.pass(60_000);
    }
    let has = |world: &World| {
        world.homes[nomi]
            .disk
            .read()
            .log(&log)
            .map_or(0, |row| row.seq)
    };
    assert!((1..whole).contains(&has(&world)), "{}", has(&world));
    let sent = world.homes[KOMATSU].vertices_sent;
    // The interval doubles: an hour later nobody has talked all the time.
    for _ in 0..60 {
        world.pass(60_000);
    }
    assert!(
        world.homes[KOMATSU].vertices_sent <= sent + 40,
        "asked for all the time"
    );
    for home in [nomi, KOMATSU] {
        assert_eq!(world.homes[home].disconnected, []);
        assert_eq!(world.homes[home].frozen, []);
    }
    world.connect(nomi, HAKUSAN);
    world.run();
    for _ in 0..90 {
        world.pass(60_000);
    }
    world.assert_in_step(&[KANAZAWA, KOMATSU, HAKUSAN, nomi]);
}

/// Also at a position that was pruned long ago: a node that keeps less comes to the same cut as one that keeps all.
#[test]
fn a_log_that_convicts_itself_below_what_was_pruned_goes_back_all_the_same() {
    let (mut world, hanako, _) = town();
    let log = hanako.home_log;
    world.pass(2 * HOUR);
    make(&mut world, KANAZAWA).unwrap();
    world.run();
    assert!(prune(&mut world.homes[KOMATSU].disk).0 > 2);
    cut_off_kanazawa(&mut world);
    world.disconnect(KOMATSU, HAKUSAN);
    let mut liar = Liar::new(&world, KANAZAWA);
    // The last transfer but one goes, and what was answered of it waits again.
    let disk = world.homes[HAKUSAN].disk.read();
    liar.seq -= 3;
    liar.prev = disk.vertex_at(&log, 1, liar.seq - 1).unwrap();
    liar.time = disk.vertex(&liar.prev).unwrap().time;
    let rival = liar.sign(&[start("another past")]);
    for home in [KOMATSU, HAKUSAN] {
        give(&mut world, KANAZAWA, home, &rival);
        let frozen = world.homes[home].row(&log).frozen;
        assert_eq!(frozen, Some(Frozen::Equivocation(liar.seq - 1)), "{home}");
    }
    assert_eq!(state(&world, KOMATSU, log), state(&world, HAKUSAN, log));
    assert_eq!(
        all_rows(&world, KOMATSU, &log),
        all_rows(&world, HAKUSAN, &log)
    );
    let komatsu = world.homes[KOMATSU].log();
    let incoming = |home: usize| {
        let prefix = city_protocol::ledger::key(Table::Incoming, &[&komatsu.0]);
        world.homes[home].disk.read().rows(&prefix, None, 100)
    };
    assert_eq!(incoming(KOMATSU), incoming(HAKUSAN));
}

/// Nobody books it a second time, and it is told why there is no receipt.
#[test]
fn who_submits_again_what_was_pruned_is_told() {
    let (mut world, hanako, taro) = town();
    let body = world.transfer_body(&hanako, &taro, "4.00");
    let sent = signed(body.clone(), &hanako).unwrap();
    let booked = world.submit(KANAZAWA, Submission::Transfer(sent)).unwrap();
    world.run();
    world.accept(&taro, &booked).unwrap();
    world.run();
    world.pass(2 * HOUR);
    make(&mut world, KANAZAWA).unwrap();
    let again = || Submission::Transfer(signed(body.clone(), &hanako).unwrap());
    let repeated = world.submit(KANAZAWA, again()).unwrap();
    assert_eq!(repeated.at, booked.at);
    prune(&mut world.homes[KANAZAWA].disk);
    let before = world.homes[KANAZAWA].row(&hanako.home_log);
    assert_eq!(
        world.submit(KANAZAWA, again()).unwrap_err(),
        Refusal::BodyPruned
    );
    assert_eq!(world.homes[KANAZAWA].row(&hanako.home_log), before);
}
