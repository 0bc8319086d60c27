//! A log in memory with more grants than a page takes: 12 vertices of 256, one a minute.

use std::collections::BTreeMap;

use city_protocol::amount::Amount;
use city_protocol::body::{BODY_VERSION, Grant, Label};
use city_protocol::codec;
use city_protocol::ids::{Digest, KeyId, LogId, NetworkId};
use city_protocol::json;
use city_protocol::ledger::{Table, key};
use city_protocol::vertex::encode_body;

use super::*;

const LOG: LogId = LogId([7; 32]);
const VERTICES: u64 = 12;
const IN_ONE: u64 = 256;
const MINUTE: u64 = 60_000;

struct Memory {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    blocks: BTreeMap<BlockId, Vec<u8>>,
}

impl History for Memory {
    fn row(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.rows.get(key).cloned()
    }

    fn rows(&self, _: &[u8], _: Option<&[u8]>, _: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        unreachable!("pages ask for single rows")
    }

    fn block(&self, id: &BlockId) -> Option<Vec<u8>> {
        self.blocks.get(id).cloned()
    }
}

fn person(n: u64) -> AccountId {
    AccountId::new(&LOG, &KeyId([n.to_le_bytes()[0]; 32]))
}

/// The n-th grant gives the person n mod 7 so many hundredths.
fn grant(n: u64) -> Entry {
    let body = Grant {
        version: BODY_VERSION,
        kind: Kind::Grant,
        network: NetworkId::of(b"network"),
        home: LOG,
        officers_sequence: n + 1,
        created_at: Timestamp(0),
        account: person(n % 7),
        amount: Amount::from_hundredths(n + 1),
        reason: Label::new("始め").unwrap(),
    };
    Entry::home_authored(Kind::Grant, json::canonical(&body))
}

fn memory() -> Memory {
    let mut memory = Memory {
        rows: BTreeMap::new(),
        blocks: BTreeMap::new(),
    };
    for seq in 1..=VERTICES {
        let first = (seq - 1) * IN_ONE;
        let entries: Vec<Entry> = (first..first + IN_ONE).map(grant).collect();
        let body = encode_body(&entries);
        let (id, body_id) = (BlockId::of(&seq.to_be_bytes()), BlockId::of(&body));
        let row = VertexRow {
            depth: 1,
            log: LOG,
            epoch: 1,
            seq,
            time: Timestamp(seq * MINUTE),
            count: IN_ONE,
            entries_root: Digest([0; 32]),
            body: body_id,
            order: seq,
        };
        let at = key(
            Table::Position,
            &[&LOG.0, &1_u64.to_be_bytes(), &seq.to_be_bytes()],
        );
        memory.rows.insert(at, codec::encode(&id));
        let name = key(Table::Vertex, &[id.digest()]);
        memory.rows.insert(name, codec::encode(&row));
        memory.blocks.insert(body_id, body);
    }
    memory
}

/// All pages of a question, and how many there were.
fn all(history: &dyn History, mut ask: Ask) -> (Vec<Line>, usize) {
    let (mut found, mut pages) = (Vec::new(), 0);
    loop {
        let page = lines(history, &ask).unwrap();
        assert!(page.lines.len() as u64 <= PAGE_LINES as u64 + 2 * IN_ONE);
        pages += 1;
        found.extend(page.lines);
        match page.next {
            Some(next) => ask.after = next,
            None => return (found, pages),
        }
    }
}

#[test]
fn pages_one_after_the_other_are_the_whole_journal() {
    let memory = memory();
    let ask = Ask::all(LOG, 1, VERTICES);
    let (found, pages) = all(&memory, ask.clone());
    assert_eq!(found.len() as u64, VERTICES * IN_ONE * 2);
    assert!(pages >= 3, "{pages} pages");
    let amounts = found.iter().filter_map(|line| line.debit);
    let expected = (1..=VERTICES * IN_ONE).map(Amount::from_hundredths);
    assert!(amounts.eq(expected), "none twice, none missing, in order");
    // What comes behind the position that is asked for is another question's.
    let (found, _) = all(&memory, Ask { upto: 2, ..ask });
    assert_eq!(found.len() as u64, 2 * IN_ONE * 2);
}

#[test]
fn a_question_is_narrowed_by_time_account_and_code() {
    let memory = memory();
    let whole = Ask::all(LOG, 1, VERTICES);
    let seqs = |from: Option<u64>, until: Option<u64>| {
        let ask = Ask {
            from: from.map(Timestamp),
            until: until.map(Timestamp),
            ..whole.clone()
        };
        let (found, _) = all(&memory, ask);
        let seqs: std::collections::BTreeSet<u64> = found.iter().map(|line| line.seq).collect();
        seqs.first()
            .zip(seqs.last())
            .map(|(first, last)| (*first, *last))
    };
    assert_eq!(seqs(None, None), Some((1, 12)));
    assert_eq!(seqs(Some(3 * MINUTE), Some(5 * MINUTE)), Some((3, 4)));
    assert_eq!(
        seqs(Some(3 * MINUTE + 1), Some(5 * MINUTE + 1)),
        Some((4, 5))
    );
    assert_eq!(seqs(Some(0), Some(MINUTE)), None);
    assert_eq!(seqs(Some(13 * MINUTE), None), None);
    assert_eq!(seqs(Some(12 * MINUTE), None), Some((12, 12)));
    assert_eq!(seqs(None, Some(0)), None);
    let ask = Ask {
        account: Some(person(3)),
        code: Some(305),
        ..whole
    };
    let (found, _) = all(&memory, ask);
    let credits = found.iter().map(|line| line.credit.unwrap().hundredths());
    let expected = (0..VERTICES * IN_ONE).filter(|n| n % 7 == 3).map(|n| n + 1);
    assert!(credits.eq(expected));
    assert!(found.iter().all(|line| line.account == person(3)));
}

#[test]
fn sums_are_those_of_the_lines() {
    let memory = memory();
    let page = sums(&memory, &Ask::all(LOG, 1, VERTICES)).unwrap();
    assert_eq!(page.next, None);
    assert_eq!(
        page.sums.len(),
        14,
        "seven people, two accounts of the chart"
    );
    assert_eq!(page.sums.iter().map(|sum| sum.hundredths).sum::<i64>(), 0);
    let of = |n: u64, code| {
        let sum = page
            .sums
            .iter()
            .find(|sum| sum.account == person(n) && sum.code == code);
        sum.unwrap().hundredths
    };
    let expected: u64 = (0..VERTICES * IN_ONE)
        .filter(|n| n % 7 == 3)
        .map(|n| n + 1)
        .sum();
    assert_eq!(of(3, 101), i64::try_from(expected).unwrap());
    assert_eq!(of(3, 305), -of(3, 101));
}

/// A log that is not there up to the position asked for: the index is being made again, or a fork was cut.
#[test]
fn what_is_not_there_is_no_empty_page() {
    let mut memory = memory();
    let beyond = lines(&memory, &Ask::all(LOG, 1, VERTICES + 1));
    assert!(
        beyond.is_ok_and(|page| page.next.is_some()),
        "the first page is there"
    );
    let ask = Ask {
        after: VERTICES,
        ..Ask::all(LOG, 1, VERTICES + 1)
    };
    assert_eq!(lines(&memory, &ask), Err(Refusal::BadVertex));
    memory.blocks.clear();
    let gone = lines(&memory, &Ask::all(LOG, 1, VERTICES));
    assert_eq!(gone, Err(Refusal::BadVertex));
}
