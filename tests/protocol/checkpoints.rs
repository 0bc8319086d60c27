//! Checkpoints: every node that folded a log comes to the same state and judges what the log says of it; a fold that
//! begins at one comes to the same as one that began at the charter; and what stands under one can be proven for ever.

use city_protocol::amount::Amount;
use city_protocol::body::Kind;
use city_protocol::checkpoint::{
    Checkpoint, Held, Leaf, Proof, SnapshotWriter, StatePart, StatePosition, leaves_of, take,
    verify_snapshot, vertex_leaf,
};
use city_protocol::codec;
use city_protocol::ids::{AccountId, BlockId, Digest, LogId};
use city_protocol::ledger::{
    AccountRow, Changes, CheckpointRow, FoldContext, Frozen, Layers, Rows as _, Table, Verdict,
    judge, key, read_row, tree_of,
};
use city_protocol::refusal::Refusal;
use city_protocol::replica::{BookedEntry, Input};
use city_protocol::vertex::{Entry, KeySource as _, merkle_path};

use super::faults::cut_off_kanazawa;
use super::liar::{Liar, Vertex, give, start};
use super::people::Person;
use super::sim::dice::Dice;
use super::world::{HAKUSAN, KANAZAWA, KOMATSU, World};

const HOUR: u64 = 60 * 60 * 1000;
const DAY: u64 = 24 * HOUR;

/// 金沢 and 小松 with three people who paid each other; some of it is still open.
pub(crate) fn town() -> (World, Person, Person) {
    let mut world = World::connected();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "1000.00");
    let jiro = world.citizen("jiro", KANAZAWA);
    let taro = world.citizen("taro", KOMATSU);
    world.run();
    let paid = world.transfer(&hanako, &taro, "100.00").unwrap();
    world.run();
    world.accept(&taro, &paid).unwrap();
    world.run();
    let paid = world.transfer(&hanako, &jiro, "5.55").unwrap();
    world.accept(&jiro, &paid).unwrap();
    world.transfer(&hanako, &taro, "23.45").unwrap();
    world.run();
    (world, hanako, taro)
}

/// Somebody asks a home for a checkpoint.
pub(crate) fn make(world: &mut World, home: usize) -> Result<BookedEntry, Refusal> {
    let ticket = world.new_ticket();
    world.tell(home, Input::Checkpoint(ticket));
    world.commit(home);
    world.answer(home, ticket).expect("answered")
}

fn rows_of<'a>(world: &'a World, home: usize, nothing: &'a Changes) -> Layers<'a> {
    Layers {
        history: world.homes[home].disk.read(),
        batch: nothing,
        vertex: None,
    }
}

/// The leaves of a log's state, as a home has it.
pub(crate) fn state(world: &World, home: usize, log: LogId) -> Vec<Leaf> {
    let (nothing, charter) = (Changes::default(), charter_of(world, home, &log));
    let rows = rows_of(world, home, &nothing);
    let mut leaves = Vec::new();
    leaves_of(&rows, world.network(), charter, log, |leaf| {
        leaves.push(leaf);
        Ok(())
    })
    .unwrap();
    leaves
}

fn charter_of(world: &World, home: usize, log: &LogId) -> Digest {
    let authorities = world.homes[home].replica.authorities();
    authorities.authority(log).unwrap().charter_hash
}

/// What an honest home would write now.
fn honest(world: &World, home: usize) -> Checkpoint {
    honest_of(world, home, world.homes[home].log())
}

fn checkpoint_rows(world: &World, home: usize, log: &LogId) -> Vec<CheckpointRow> {
    let rows = world.homes[home].disk.read();
    let found = rows.rows(&key(Table::Checkpoint, &[&log.0]), None, 100);
    found.iter().map(|(_, row)| read_row(row)).collect()
}

/// Every row of a log's state, of whatever table.
pub(crate) fn all_rows(world: &World, home: usize, log: &LogId) -> Vec<(Vec<u8>, Vec<u8>)> {
    let disk = &world.homes[home].disk;
    let of_log = |name: &[u8]| name.get(1..33) == Some(&log.0[..]);
    let judged = |name: &[u8]| name[0] != Table::Log as u8;
    let rows = disk
        .rows
        .iter()
        .filter(|(name, _)| of_log(name) && judged(name));
    rows.map(|(name, row)| (name.clone(), row.clone()))
        .collect()
}

/// The verdict of 小松 on a vertex of 金沢, which nothing comes of.
fn verdict(world: &World, vertex: &Vertex) -> Result<(), Refusal> {
    let verified = world
        .verify(KOMATSU, &vertex.header, vertex.body.clone())
        .unwrap();
    let nothing = Changes::default();
    let ctx = FoldContext {
        network: world.network(),
        authority: &verified.authority,
        keys: world.homes[KOMATSU].replica.authorities(),
        layers: rows_of(world, KOMATSU, &nothing),
    };
    match judge(&ctx, &verified, 0) {
        Verdict::Valid(_) => Ok(()),
        Verdict::Invalid(refusal) => Err(refusal),
        other => panic!("{other:?}"),
    }
}

fn entry_of(body: &Checkpoint) -> Entry {
    Entry::home_authored(Kind::Checkpoint, codec::encode(body))
}

#[test]
fn a_home_writes_one_a_day_if_anything_was_booked_and_everybody_computes_the_same_blocks() {
    let (mut world, hanako, taro) = town();
    let log = hanako.home_log;
    world.homes[KANAZAWA].replica.checkpoint_every(Some(DAY));
    world.pass(DAY - HOUR);
    assert_eq!(checkpoint_rows(&world, KANAZAWA, &log), [], "not a day yet");
    world.pass(2 * HOUR);
    let [row] = checkpoint_rows(&world, KANAZAWA, &log)[..] else {
        panic!("one checkpoint")
    };
    for home in [KOMATSU, HAKUSAN] {
        assert_eq!(checkpoint_rows(&world, home, &log), [row]);
        // Nobody sent the blocks.
        assert!(world.homes[home].disk.blocks.contains_key(&row.snapshot));
    }
    world.pass(2 * DAY);
    assert_eq!(
        checkpoint_rows(&world, KOMATSU, &log).len(),
        1,
        "nothing was booked"
    );
    world.transfer(&hanako, &taro, "1.00").unwrap();
    world.pass(2 * DAY);
    assert_eq!(checkpoint_rows(&world, KOMATSU, &log).len(), 2);
    world.assert_in_step(&[KANAZAWA, KOMATSU, HAKUSAN]);
    world.audit();
}

#[test]
fn who_asks_again_gets_the_same_one_and_who_asks_too_soon_is_told() {
    let (mut world, hanako, taro) = town();
    let first = make(&mut world, KANAZAWA).unwrap();
    let again = make(&mut world, KANAZAWA).unwrap();
    assert_eq!((first.at, again.at), (first.at, first.at));
    assert_eq!((first.repeated, again.repeated), (false, true));
    assert_eq!(first.receipt, again.receipt);
    world.transfer(&hanako, &taro, "1.00").unwrap();
    assert_eq!(make(&mut world, KANAZAWA).unwrap_err(), Refusal::Busy);
    world.pass(HOUR);
    world.transfer(&hanako, &taro, "1.00").unwrap();
    assert!(make(&mut world, KANAZAWA).unwrap().at.seq > first.at.seq);
}

#[test]
fn a_checkpoint_that_lies_convicts_its_home() {
    let (mut world, hanako, _) = town();
    cut_off_kanazawa(&mut world);
    let log = hanako.home_log;
    let truth = honest(&world, KANAZAWA);
    let liar = Liar::new(&world, KANAZAWA);
    let check = |body: Checkpoint| verdict(&world, &liar.sign(&[entry_of(&body)]));
    assert_eq!(check(truth.clone()), Ok(()), "the truth is taken");
    let bad = Err(Refusal::BadCheckpoint);

    // One hundredth more for 花子, and all that follows from it.
    let mut writer = SnapshotWriter::default();
    for mut leaf in state(&world, KANAZAWA, log) {
        if let Leaf::Account(account) = &mut leaf
            && account.account == hanako.account
        {
            let more = account.available.hundredths() + 1;
            account.available = Amount::from_hundredths(more);
        }
        writer.push(&leaf).unwrap();
    }
    let richer = writer.finish().unwrap();
    assert_eq!(richer.leaves, truth.leaves);
    let (state_root, snapshot) = (Digest(richer.root), richer.id);
    assert_ne!(state_root, truth.state_root);
    assert_eq!(
        check(Checkpoint {
            state_root,
            ..truth.clone()
        }),
        bad
    );
    assert_eq!(
        check(Checkpoint {
            state_root,
            snapshot,
            ..truth.clone()
        }),
        bad
    );
    // The right root over other blocks.
    assert_eq!(
        check(Checkpoint {
            snapshot,
            ..truth.clone()
        }),
        bad
    );
    let leaves = truth.leaves + 1;
    assert_eq!(
        check(Checkpoint {
            leaves,
            ..truth.clone()
        }),
        bad
    );
    // Vertices of another chain.
    let vertices_root = honest(&world, KOMATSU).vertices_root;
    assert_eq!(
        check(Checkpoint {
            vertices_root,
            ..truth.clone()
        }),
        bad
    );
    // Another position.
    for (epoch, seq) in [(0, 0), (0, 1), (1, 0)] {
        let position = StatePosition {
            epoch: truth.position.epoch + epoch,
            seq: truth.position.seq + seq + u64::from(epoch + seq == 0),
        };
        assert_eq!(
            check(Checkpoint {
                position,
                ..truth.clone()
            }),
            bad
        );
    }
    let position = StatePosition {
        seq: truth.position.seq - 1,
        ..truth.position
    };
    assert_eq!(
        check(Checkpoint {
            position,
            ..truth.clone()
        }),
        bad
    );
    // Twice.
    let twice = [entry_of(&truth), entry_of(&truth)];
    assert_eq!(verdict(&world, &liar.sign(&twice)), bad);

    // And the log of one that lied stands still.
    let lie = liar.sign(&[entry_of(&Checkpoint {
        leaves,
        ..truth.clone()
    })]);
    give(&mut world, KANAZAWA, KOMATSU, &lie);
    let frozen = world.homes[KOMATSU].row(&log).frozen;
    assert_eq!(frozen, Some(Frozen::Invalid(truth.position.seq)));
}

#[test]
fn checkpoints_come_an_hour_apart_at_least() {
    let (mut world, _, _) = town();
    make(&mut world, KANAZAWA).unwrap();
    world.run();
    cut_off_kanazawa(&mut world);
    let log = world.homes[KANAZAWA].log();
    let mut liar = Liar::new(&world, KANAZAWA);
    let next = entry_of(&honest_of(&world, KOMATSU, log));
    let too_soon = liar.sign(&[next]);
    assert_eq!(verdict(&world, &too_soon), Err(Refusal::BadCheckpoint));
    // An hour after the state before it is soon enough.
    world.pass(HOUR);
    liar.time = world.now;
    let later = liar.sign(&[start("later")]);
    give(&mut world, KANAZAWA, KOMATSU, &later);
    liar.follow(&later);
    let next = entry_of(&honest_of(&world, KOMATSU, log));
    assert_eq!(verdict(&world, &liar.sign(&[next])), Ok(()));
}

/// What an honest home would write of this log now, by another's view of it.
fn honest_of(world: &World, home: usize, log: LogId) -> Checkpoint {
    let nothing = Changes::default();
    let rows = rows_of(world, home, &nothing);
    let (charter, tree) = (charter_of(world, home, &log), tree_of(&rows, &log));
    take(&rows, world.network(), charter, log, tree).unwrap().0
}

/// A vertex of a home's log and its number, with the path under the checkpoint.
fn path_under(world: &World, home: usize, log: &LogId, seq: u64, held: &Checkpoint) -> Vec<Digest> {
    let disk = world.homes[home].disk.read();
    let ids = (1..=held.position.seq).map(|seq| disk.vertex_on_chain(log, 1, seq).unwrap());
    let leaves: Vec<_> = ids.map(|id| vertex_leaf(&id)).collect();
    let path = merkle_path(&leaves, usize::try_from(seq - 1).unwrap());
    path.into_iter().map(Digest).collect()
}

#[test]
fn an_entry_and_an_account_are_proven_under_a_checkpoint_with_the_genesis_record_alone() {
    let (mut world, hanako, taro) = town();
    let log = hanako.home_log;
    let sent = world.transfer(&hanako, &taro, "7.00").unwrap();
    let made = make(&mut world, KANAZAWA).unwrap();
    let held = Held::verify(&made.receipt, &world.genesis).unwrap();
    let proof = Proof {
        v: 1,
        entry: Some(sent.receipt.clone()),
        path: Some(path_under(&world, KANAZAWA, &log, sent.at.seq, &held.body)),
        state: None,
        checkpoint: Some(made.receipt.clone()),
    };
    let proof = Proof::read(&proof.to_bytes()).unwrap();
    let verified = proof.verify(&world.genesis).unwrap();
    assert_eq!(verified.entry.unwrap().vertex, sent.vertex);
    let bad = Err(Refusal::BadReceipt);
    let other = world.grant(&hanako, "1.00").unwrap();
    // An entry behind the checkpoint, a wrong path, a part that is missing, a checkpoint that is none.
    let check = |proof: Proof| proof.verify(&world.genesis).map(drop);
    assert_eq!(
        check(Proof {
            entry: Some(other.receipt.clone()),
            ..proof.clone()
        }),
        bad
    );
    let mut path = proof.path.clone().unwrap();
    path[0] = Digest([7; 32]);
    assert_eq!(
        check(Proof {
            path: Some(path),
            ..proof.clone()
        }),
        bad
    );
    assert_eq!(
        check(Proof {
            path: None,
            ..proof.clone()
        }),
        bad
    );
    assert_eq!(
        check(Proof {
            checkpoint: None,
            ..proof.clone()
        }),
        bad
    );
    assert_eq!(
        check(Proof {
            checkpoint: Some(sent.receipt.clone()),
            ..proof.clone()
        }),
        bad
    );

    let leaves = {
        // The state as the snapshot has it.
        let disk = &world.homes[KANAZAWA].disk;
        let mut leaves = Vec::new();
        let block = |id: &BlockId| disk.blocks.get(id).map(|block| block.to_vec());
        verify_snapshot(&held.body, block, |leaf| leaves.push(leaf.clone())).unwrap();
        leaves
    };
    let of_hanako = |leaf: &Leaf| matches!(leaf, Leaf::Account(a) if a.account == hanako.account);
    let index = leaves.iter().position(of_hanako).unwrap();
    let hashes: Vec<_> = leaves
        .iter()
        .map(|leaf| Leaf::hash(&leaf.to_bytes()))
        .collect();
    let path = merkle_path(&hashes, index)
        .into_iter()
        .map(Digest)
        .collect();
    let part = StatePart {
        leaf: leaves[index].clone(),
        index: index as u64,
        path,
    };
    let proof = |part: &StatePart| Proof {
        v: 1,
        entry: None,
        path: None,
        state: Some(part.clone()),
        checkpoint: Some(made.receipt.clone()),
    };
    assert_eq!(check(proof(&part)), Ok(()));
    let mut richer = part.clone();
    if let Leaf::Account(account) = &mut richer.leaf {
        account.available = account.open_out;
    }
    assert_eq!(check(proof(&richer)), bad);
    assert_eq!(
        check(proof(&StatePart {
            index: part.index + 1,
            ..part
        })),
        bad
    );
}

#[test]
fn blocks_that_are_not_the_snapshot_are_found_out() {
    let (mut world, _, _) = town();
    let made = make(&mut world, KANAZAWA).unwrap();
    let body = Held::verify(&made.receipt, &world.genesis).unwrap().body;
    let blocks = &world.homes[KANAZAWA].disk.blocks;
    let block = |id: &BlockId| blocks.get(id).map(|block| block.to_vec());
    assert_eq!(verify_snapshot(&body, block, |_| ()), Ok(()));
    let bad = Err(Refusal::BadCheckpoint);
    let missing = |id: &BlockId| block(id).filter(|_| *id == body.snapshot);
    assert_eq!(verify_snapshot(&body, missing, |_| ()), bad);
    // The list is right, the leaves are those of nobody.
    let other = |id: &BlockId| match *id == body.snapshot {
        true => block(id),
        false => Some(codec::encode(&Vec::<Leaf>::new())),
    };
    assert_eq!(verify_snapshot(&body, other, |_| ()), bad);
    // A list of its own, under a root that says something else.
    let empty = codec::encode(&Vec::<BlockId>::new());
    let lie = Checkpoint {
        snapshot: BlockId::of(&empty),
        ..body.clone()
    };
    assert_eq!(verify_snapshot(&lie, |_| Some(empty.clone()), |_| ()), bad);
}

/// A history that chance writes; every few hours 金沢 writes a checkpoint.
pub(crate) fn random_history(seed: u64) -> (World, LogId) {
    let mut dice = Dice::new(seed);
    let mut world = World::connected();
    let mut people = Vec::new();
    for (n, home) in [KANAZAWA, KANAZAWA, KOMATSU].into_iter().enumerate() {
        people.push(world.rich_citizen(&format!("citizen {n} of {seed}"), home, "500.00"));
    }
    world.run();
    let log = people[0].home_log;
    world.homes[KANAZAWA]
        .replica
        .checkpoint_every(Some(6 * HOUR));
    let mut open: Vec<(usize, BookedEntry)> = Vec::new();
    for _ in 0..dice.between(15, 40) {
        match dice.below(10) {
            0..=4 => {
                let (from, to) = (dice.index(3), dice.index(3));
                let amount = format!("{}.{:02}", dice.between(1, 9), dice.below(100));
                if from != to
                    && let Ok(sent) = world.transfer(&people[from], &people[to], &amount)
                {
                    open.push((to, sent));
                }
            }
            5..=7 if !open.is_empty() => {
                let (to, sent) = open.swap_remove(dice.index(open.len()));
                world.run();
                world.accept(&people[to], &sent).unwrap();
            }
            _ => world.pass(dice.between(1, 10) * HOUR),
        }
        world.run();
    }
    world.run();
    (world, log)
}

#[test]
fn a_fold_from_a_checkpoint_comes_to_what_a_fold_from_the_beginning_comes_to() {
    #[expect(
        clippy::disallowed_methods,
        reason = "a random test takes its seed back"
    )]
    let given = std::env::var("CITY_NODE_SEED").ok();
    let given = given.and_then(|text| text.parse::<u64>().ok());
    let seeds = given.map_or(1..=6, |seed| seed..=seed);
    let mut from_checkpoints = 0;
    for seed in seeds {
        println!("CITY_NODE_SEED={seed}");
        let (mut world, log) = random_history(seed);
        let before = all_rows(&world, KOMATSU, &log);
        cut_off_kanazawa(&mut world);
        world.disconnect(KOMATSU, HAKUSAN);
        // 白山 forgets its checkpoints and has to begin at the charter; 小松 lost what stands before its newest one.
        world.homes[HAKUSAN]
            .disk
            .rows
            .retain(|name, _| name[0] != Table::Checkpoint as u8);
        if let Some(newest) = checkpoint_rows(&world, KOMATSU, &log).last() {
            from_checkpoints += 1;
            let disk = &mut world.homes[KOMATSU].disk;
            for seq in 2..=newest.seq {
                let id = disk.read().vertex_at(&log, 1, seq).unwrap();
                let body = disk.read().vertex(&id).unwrap().body;
                disk.blocks.remove(&body);
            }
        }
        let liar = Liar::new(&world, KANAZAWA);
        let (one, two) = (liar.sign(&[start("one")]), liar.sign(&[start("two")]));
        for home in [KOMATSU, HAKUSAN] {
            give(&mut world, KANAZAWA, home, &one);
            assert_eq!(world.homes[home].row(&log).seq, liar.seq);
            give(&mut world, KANAZAWA, home, &two);
            let frozen = world.homes[home].row(&log).frozen;
            assert_eq!(frozen, Some(Frozen::Equivocation(liar.seq - 1)), "{home}");
        }
        assert_eq!(state(&world, KOMATSU, log), state(&world, HAKUSAN, log));
        let mut rows = [KOMATSU, HAKUSAN].map(|home| all_rows(&world, home, &log));
        for rows in &mut rows {
            rows.retain(|(name, _)| name[0] != Table::Fault as u8);
        }
        assert_eq!(rows[0], rows[1], "CITY_NODE_SEED={seed}");
        assert_eq!(rows[0], before, "CITY_NODE_SEED={seed}");
    }
    assert!(from_checkpoints > 0, "no history had a checkpoint");
}

/// A history without chance, so that its state is the same wherever it is folded.
#[test]
fn the_same_log_has_the_same_state_on_every_machine() {
    let (world, hanako, _) = town();
    let [a, b] = [KANAZAWA, HAKUSAN].map(|home| honest_of(&world, home, hanako.home_log));
    assert_eq!(a, b);
    println!(
        "state {} vertices {} snapshot {} leaves {}",
        a.state_root, a.vertices_root, a.snapshot, a.leaves
    );
    assert_eq!(a.state_root.to_string(), STATE_ROOT);
}

/// As it came out on x86-64.
const STATE_ROOT: &str = "sha256:f057f0f050d77cd9dc1da23c0055efced28765676c033219a955ca1401c7cf8a";

/// A city of a hundred thousand: what one checkpoint costs is printed, for docs/checkpoints.md.
#[test]
fn a_hundred_thousand_accounts_come_to_one_state() {
    const ACCOUNTS: u32 = 100_000;
    let mut world = World::connected();
    let hanako = world.citizen("hanako", KANAZAWA);
    let log = hanako.home_log;
    let row = world.homes[KANAZAWA].account(&hanako);
    for n in 1..ACCOUNTS {
        let mut id = row.key;
        id.0[..4].copy_from_slice(&n.to_be_bytes());
        let account = AccountId::new(&log, &id);
        let name = key(Table::Account, &[&log.0, account.as_str().as_bytes()]);
        let row = AccountRow {
            key: id,
            ..row.clone()
        };
        let disk = &mut world.homes[KANAZAWA].disk;
        disk.rows.insert(name, codec::encode(&row));
    }
    let nothing = Changes::default();
    let rows = rows_of(&world, KANAZAWA, &nothing);
    let (charter, tree) = (charter_of(&world, KANAZAWA, &log), tree_of(&rows, &log));
    #[expect(clippy::disallowed_methods, reason = "a measurement, not a rule")]
    let begun = std::time::Instant::now();
    let (body, snapshot, _) = take(&rows, world.network(), charter, log, tree).unwrap();
    let bytes: usize = snapshot.blocks.iter().map(|(_, block)| block.len()).sum();
    println!(
        "{ACCOUNTS} accounts: {} ms, {} blocks, {bytes} bytes",
        begun.elapsed().as_millis(),
        snapshot.blocks.len()
    );
    assert_eq!(body.leaves, u64::from(ACCOUNTS) + 1);
    // Four hundred bytes a citizen would be too many for a small box, each day.
    assert!(bytes < ACCOUNTS as usize * 400, "{bytes} bytes");
}
