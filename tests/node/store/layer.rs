//! Rows behind the answer: what is pending, in sled and in shelves reads as one index, whatever the writer has done.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use city_node::store::{OpenOutcome, SHELF_ROWS, Store, Watermark};
use city_protocol::ids::BlockId;

use super::whole::{open, open_shelving};
use super::{Dice, block, with_id};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// Commits one group with these rows.
fn commit(store: &Store, n: u64, rows: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Watermark {
    let header = block(n, 80);
    let at = store.append_group(&[with_id(&header)]).unwrap();
    let mark = Watermark::after(&at[0], BlockId::of(&header), n + 1);
    store.commit_rows(rows, &mark).unwrap();
    mark
}

/// Every way of reading says what the model says.
fn check(store: &Store, model: &Model, dice: &mut Dice, story: &str) {
    let key = name(dice);
    assert_eq!(
        store.get(&key).unwrap().as_ref(),
        model.get(&key),
        "{story}"
    );
    let prefix = &key[..dice.place(3)];
    let from = name(dice);
    let wanted = |at: &[u8]| {
        let all = model.iter().filter(|(key, _)| key.starts_with(prefix));
        all.filter(|(key, _)| key.as_slice() >= at)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect::<Vec<_>>()
    };
    let found: Vec<_> = store.scan_prefix(prefix).map(Result::unwrap).collect();
    assert_eq!(found, wanted(b""), "{story}");
    let wanted = wanted(&from);
    let back = store.scan_prefix_from(prefix, &from).rev();
    let mut back: Vec<_> = back.map(Result::unwrap).collect();
    back.reverse();
    assert_eq!(back, wanted, "{story}, from the back");
    // From both ends, as they come.
    let (mut front, mut back) = (Vec::new(), Vec::new());
    let mut rows = store.scan_prefix_from(prefix, &from);
    loop {
        let (row, list) = match dice.below(2) {
            0 => (rows.next(), &mut front),
            _ => (rows.next_back(), &mut back),
        };
        match row {
            Some(row) => list.push(row.unwrap()),
            None => break,
        }
    }
    front.extend(back.into_iter().rev());
    assert_eq!(front, wanted, "{story}, from both ends");
}

/// How many shelves stand in a directory.
fn shelves(dir: &std::path::Path) -> usize {
    let names = std::fs::read_dir(dir.join("index")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name());
    names
        .filter(|name| name.to_str().unwrap().starts_with("shelf-"))
        .count()
}

/// A key of few, so that rows are replaced and removed often.
fn name(dice: &mut Dice) -> Vec<u8> {
    let byte = |dice: &mut Dice| b'a' + dice.below(4) as u8;
    vec![byte(dice), byte(dice), byte(dice)]
}

/// Some thousand rows go through sled alone; through sled, a shelf for twenty or fewer of them, and many merges; and
/// through shelves without sled.
#[test]
fn pending_and_written_rows_read_as_one_index() {
    let mut dice = Dice::new();
    for shelf_rows in [SHELF_ROWS, 20, 4] {
        reads_as_one_index(&mut dice, shelf_rows);
    }
}

fn reads_as_one_index(dice: &mut Dice, shelf_rows: usize) {
    let open = |dir: &std::path::Path| open_shelving(dir, "this boot", shelf_rows);
    let dir = tempfile::tempdir().unwrap();
    let mut model = Model::new();
    let mut n = 0;
    for life in 0..4 {
        let (store, _) = open(dir.path());
        let mut last = None;
        for step in 0..200 {
            let count = dice.below(12);
            let rows: Vec<_> = (0..count)
                .map(|_| {
                    let value = (dice.below(3) > 0).then(|| dice.next().to_be_bytes().to_vec());
                    (name(dice), value)
                })
                .collect();
            for (key, value) in &rows {
                match value {
                    Some(value) => model.insert(key.clone(), value.clone()),
                    None => model.remove(key),
                };
            }
            let mark = commit(&store, n, rows);
            n += 1;
            assert_eq!(store.watermark(), Some(mark));
            last = Some(mark);
            match dice.below(9) {
                0 => store.settle().unwrap(),
                2 => store.folding(dice.below(2) == 0),
                // The writer is at what was in a segment that is over: it writes under the next reads.
                1 => thread::sleep(Duration::from_millis(dice.below(60))),
                _ => {}
            }
            let story = format!("life {life}, step {step}");
            check(&store, &model, dice, &story);
        }
        let shelves = shelves(dir.path());
        assert_eq!(shelf_rows < SHELF_ROWS, shelves > 0);
        // Four of one size become one.
        assert!(shelves < 200, "{shelves} of {n} commits");
        if life % 2 == 0 {
            store.close().unwrap();
        } else {
            drop(store);
        }
        let (store, report) = open(dir.path());
        assert_eq!(report.index, OpenOutcome::Current(last.unwrap()));
        for step in 0..20 {
            check(&store, &model, dice, &format!("life {life} over, {step}"));
        }
        // An index that was opened, took nothing and was not closed would not be believed.
        store.close().unwrap();
    }
}

#[test]
fn readers_see_each_commit_whole_while_it_goes_down() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let keys = [b"one".to_vec(), b"two".to_vec()];
    let both = |n: u64| {
        let value = n.to_be_bytes().to_vec();
        let rows = keys.iter().map(|key| (key.clone(), Some(value.clone())));
        commit(&store, n, rows.collect())
    };
    both(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1..400 {
                both(n);
                if n % 16 == 0 {
                    store.settle().unwrap();
                }
            }
        });
        // Rows only grow, so a second look never shows less than the first.
        let mut seen = 0;
        while seen < 399 {
            for key in &keys {
                let value = store.get(key).unwrap().expect("it was committed before");
                let value = u64::from_be_bytes(value.try_into().unwrap());
                assert!(value >= seen, "{value} after {seen}");
                seen = value;
            }
        }
    });
}
