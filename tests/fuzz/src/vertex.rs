//! Vertices: of bytes that no home signed none verify. And what a lying home signs, with a person's help or
//! without, is judged the same twice; where it is valid, the sums are conserved, every balance moved as the
//! sums say, and nothing was granted that no officers signed.

use std::collections::BTreeSet;

use arbitrary::{Arbitrary, Unstructured};
use city_protocol::amount::{Amount, Timestamp};
use city_protocol::body::Kind;
use city_protocol::codec;
use city_protocol::crypto::SecretKey;
use city_protocol::ids::{BlockId, Digest};
use city_protocol::json;
use city_protocol::ledger::{AccountRow, Changes, LogRow, Rows as _, Table, Verdict, read_row};
use city_protocol::place::Grade;
use city_protocol::vertex::{
    Cite, Entry, EntrySignature, MAX_BODY, MAX_ENTRIES, MAX_HEADER, SignedHeader, VerifiedVertex,
    decode_body, encode_body, merkle_root,
};
use serde_json::Value;

use crate::disk::Disk;
use crate::edits::{Edit, Input, apply};
use crate::home::Home;
use crate::memory;
use crate::town::{Written, judge, town};

/// What verifying and judging may hold beside some copies of the bytes: keys, one enrolment, rows.
const MEMORY: usize = 4 << 20;
/// All that the officers of the story granted, in hundredths.
const GRANTED: u64 = 100_000;

/// How a liar changed a vertex before signing it.
#[derive(Arbitrary, Debug)]
struct Lie {
    base: u8,
    entries: Vec<EntryLie>,
    /// Count, root and body id are not brought in line with the entries.
    careless: bool,
    header: Vec<HeaderLie>,
    body: Vec<Edit>,
    after_signing: Vec<Edit>,
}

#[derive(Arbitrary, Debug)]
enum HeaderLie {
    Version(u64),
    Epoch(u64),
    Seq(i8),
    Prev(u8),
    Parents(Vec<u8>),
    To(Vec<u8>),
    Time(i32),
    Count(u64),
    Root([u8; 32]),
    Network,
    Charter,
    Log(u8),
}

#[derive(Arbitrary, Debug)]
enum EntryLie {
    Swap(u8, u8),
    Remove(u8),
    Twice(u8),
    Foreign(u8, u8),
    Start(u8),
    Kind(u8, u8),
    Body(u8, Edit),
    /// The person signs another amount, and the home books it.
    Amount(u8, u32),
    /// The person signs another value of some field.
    Field(u8, u8, u64),
    Received(u8, Option<i32>),
    Balance(u8, Option<u32>),
    Debit(u8, Option<u16>),
    Place(u8, u8),
    Unconfirmed(u8, Option<bool>),
    Signature(u8, Edit),
    NoSignature(u8),
    SignatureOf(u8, u8),
    NoCites(u8),
    CitesOf(u8, u8),
    CiteIndex(u8, u8),
}

/// Runs the target.
pub fn run(data: &[u8]) {
    match Input::of(data) {
        Some(Input::Raw(bytes)) => noise(bytes),
        Some(Input::Story(story)) => drop(tell(story)),
        None => {}
    }
}

/// Inputs to begin with: every vertex of the story as it is, and again as its home would sign it.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let vertices = &town().vertices;
    let raw = vertices.iter().map(|vertex| {
        let len = u16::try_from(vertex.header.len()).expect("a header is short");
        Input::raw(&[&len.to_be_bytes(), &vertex.header[..], &vertex.body].concat())
    });
    let signed =
        (0..vertices.len()).map(|n| [vec![1, u8::try_from(n).expect("few")], vec![0; 32]].concat());
    raw.chain(signed).collect()
}

/// Two bytes of length, the header block, the body block.
fn noise(bytes: &[u8]) {
    let Some((len, rest)) = bytes.split_first_chunk() else {
        return;
    };
    let (header, body) = rest.split_at(rest.len().min(u16::from_be_bytes(*len).into()));
    let known = &town().vertices;
    if let Some(vertex) = verified(header, body) {
        assert!(
            known
                .iter()
                .any(|one| one.header == header && one.body == body)
        );
        assert!(vertex.entries.is_ok());
    }
    if let Ok(entries) = decode_body(body) {
        assert!(entries.len() <= MAX_ENTRIES && body.len() <= MAX_BODY);
        assert_eq!(encode_body(&entries), body, "read is what is written");
    }
}

fn verified(header: &[u8], body: &[u8]) -> Option<VerifiedVertex> {
    let town = town();
    let size = header.len() + body.len();
    memory::within(MEMORY + 32 * size, || {
        let read = SignedHeader::read(header);
        if let Ok(read) = &read {
            assert!(header.len() <= MAX_HEADER && read.block == header);
            assert_eq!(read.id, BlockId::of(header));
            let h = codec::encode(&read.header);
            assert!(
                header.windows(h.len()).any(|part| part == h),
                "one spelling"
            );
        }
        let vertex =
            VerifiedVertex::verify(&town.world.genesis, &town.keys, header, body.to_vec()).ok()?;
        assert_eq!(
            (&vertex.header, &vertex.body_block[..]),
            (&read.expect("it verifies"), body)
        );
        if let Ok(entries) = &vertex.entries {
            assert_eq!(encode_body(entries), body);
            let leaves: Vec<_> = entries.iter().map(Entry::leaf).collect();
            assert_eq!(vertex.header.header.entries_root.0, merkle_root(&leaves));
            assert_eq!(vertex.known.len(), entries.len());
        }
        Some(vertex)
    })
}

fn tell(mut story: Unstructured<'_>) -> arbitrary::Result<()> {
    let lie: Lie = story.arbitrary()?;
    let vertices = &town().vertices;
    let base = &vertices[usize::from(lie.base) % vertices.len()];
    let mut header = SignedHeader::read(&base.header)
        .expect("a home wrote it")
        .header;
    let mut entries = decode_body(&base.body).expect("a home wrote it");
    let home = home_of(&header.log);
    for change in lie.entries {
        change.apply(&mut entries);
        entries.truncate(MAX_ENTRIES + 1);
    }
    let mut body = encode_body(&entries);
    apply(&mut body, &lie.body);
    if !lie.careless {
        let leaves: Vec<_> = entries.iter().map(Entry::leaf).collect();
        header.count = entries.len() as u64;
        header.entries_root = Digest(merkle_root(&leaves));
        header.body = BlockId::of(&body);
    }
    for change in lie.header {
        change.apply(&mut header);
    }
    let signed = SignedHeader::sign(header, &*home.key);
    let mut block = signed.block.clone();
    apply(&mut block, &lie.after_signing);
    if let Some(vertex) = verified(&block, &body) {
        assert_eq!(block, signed.block, "bytes that nobody signed");
        weigh(&vertex, base);
    }
    Ok(())
}

fn home_of(log: &city_protocol::ids::LogId) -> &'static Home {
    let homes = &town().world.homes;
    homes
        .iter()
        .find(|home| home.log() == *log)
        .expect("of the story")
}

/// The verdict where the true vertex would have gone.
fn weigh(vertex: &VerifiedVertex, base: &Written) {
    let before = &base.before;
    let size = vertex.body_block.len();
    let (first, second) = memory::within(MEMORY + 64 * size, || {
        let town = town();
        let judge = || judge(&town.world, &town.keys, vertex, before, 1);
        (judge(), judge())
    });
    match (first, second) {
        (Verdict::Valid(first), Verdict::Valid(second)) => {
            assert_eq!(
                (&first.changes.rows, &first.row),
                (&second.changes.rows, &second.row)
            );
            sound(vertex, before, &first.changes, &first.row);
        }
        (first, second) => {
            assert_eq!(format!("{first:?}"), format!("{second:?}"));
            assert_ne!(
                vertex.header.block, base.header,
                "what an honest home wrote is valid"
            );
        }
    }
}

fn sound(vertex: &VerifiedVertex, before: &Disk, changes: &Changes, row: &LogRow) {
    let log = vertex.header.header.log;
    let old = before.read().log(&log);
    let (seq, sums) = old.map_or((0, Default::default()), |old| (old.seq, old.totals));
    assert_eq!((row.seq, row.head), (seq + 1, vertex.id()));
    assert!(row.totals.conserved(), "{:?}", row.totals);
    assert!(row.totals.granted <= GRANTED);
    let signed = |sum: u64| i128::from(sum);
    let (mut available, mut open) = (0, 0);
    for (key, value) in &changes.rows {
        let value = value.as_ref().filter(|_| key[0] == Table::Account as u8);
        let Some(new) = value.map(|value| read_row::<AccountRow>(value)) else {
            continue;
        };
        let old = before.rows.get(key).map(|old| read_row::<AccountRow>(old));
        let of_old =
            |take: fn(&AccountRow) -> Amount| old.as_ref().map_or(0, |old| take(old).hundredths());
        available += signed(new.available.hundredths()) - signed(of_old(|row| row.available));
        open += signed(new.open_out.hundredths()) - signed(of_old(|row| row.open_out));
        assert!(old.is_none_or(|old| old.key == new.key && old.next_sequence <= new.next_sequence));
    }
    assert_eq!(
        available,
        signed(row.totals.available) - signed(sums.available)
    );
    assert_eq!(open, signed(row.totals.open_out) - signed(sums.open_out));
}

impl HeaderLie {
    fn apply(self, h: &mut city_protocol::vertex::Header) {
        let town = town();
        let log = |n: &u8| town.world.homes[usize::from(*n) % town.world.homes.len()].log();
        let vertex =
            |n: &u8| BlockId::of(&town.vertices[usize::from(*n) % town.vertices.len()].header);
        match self {
            Self::Version(v) => h.v = v,
            Self::Epoch(epoch) => h.epoch = epoch,
            Self::Seq(more) => h.seq = h.seq.wrapping_add_signed(more.into()),
            Self::Prev(n) => h.prev = vertex(&n),
            Self::Parents(picks) => h.parents = picks.iter().take(32).map(vertex).collect(),
            Self::To(picks) => {
                h.to = picks
                    .iter()
                    .map(log)
                    .collect::<BTreeSet<_>>()
                    .into_iter()
                    .collect();
            }
            Self::Time(seconds) => h.time = later(h.time, seconds),
            Self::Count(count) => h.count = count,
            Self::Root(root) => h.entries_root = Digest(root),
            Self::Network => h.network = BlockId::of(b"another network"),
            Self::Charter => h.charter = Digest([0; 32]),
            Self::Log(n) => h.log = log(&n),
        }
    }
}

fn later(time: Timestamp, seconds: i32) -> Timestamp {
    Timestamp(time.0.saturating_add_signed(i64::from(seconds) * 1000))
}

impl EntryLie {
    fn apply(self, entries: &mut Vec<Entry>) {
        let count = entries.len();
        if count == 0 {
            return;
        }
        let place = |n: u8| usize::from(n) % count;
        let foreign = |n: u8| ENTRIES.with(|all| all[usize::from(n) % all.len()].clone());
        match self {
            Self::Swap(a, b) => entries.swap(place(a), place(b)),
            Self::Remove(n) => drop(entries.remove(place(n))),
            Self::Twice(n) => entries.insert(place(n), entries[place(n)].clone()),
            Self::Foreign(n, which) => entries.insert(place(n), foreign(which)),
            Self::Start(n) => {
                let start = ENTRIES.with(|all| all.iter().find(|e| e.kind == Kind::Start).cloned());
                entries.insert(place(n), start.expect("every log has one"));
            }
            Self::Kind(n, which) => entries[place(n)].kind = foreign(which).kind,
            Self::Body(n, edit) => apply(&mut entries[place(n)].body, &[edit]),
            Self::Amount(n, amount) => amount_of(&mut entries[place(n)], amount),
            Self::Field(n, field, value) => field_of(&mut entries[place(n)], field, value),
            Self::Received(n, shift) => {
                let at = &mut entries[place(n)].booked.received_at;
                *at = shift.map(|seconds| later(at.unwrap_or_default(), seconds));
            }
            Self::Balance(n, balance) => {
                let balance = balance.map(|balance| Amount::from_hundredths(balance.into()));
                entries[place(n)].booked.balance_after = balance;
            }
            Self::Debit(n, code) => entries[place(n)].booked.debit = code,
            Self::Place(n, grade) => {
                let grades = [
                    Grade::None,
                    Grade::Suspect,
                    Grade::Claimed,
                    Grade::Plausible,
                    Grade::Attested,
                ];
                entries[place(n)].booked.place = grades.get(usize::from(grade)).copied();
            }
            Self::Unconfirmed(n, said) => entries[place(n)].booked.unconfirmed = said,
            Self::Signature(n, edit) => {
                for sig in &mut entries[place(n)].sig {
                    apply(&mut sig.sig, std::slice::from_ref(&edit));
                }
            }
            Self::NoSignature(n) => drop(entries[place(n)].sig.pop()),
            Self::SignatureOf(n, which) => entries[place(n)].sig = foreign(which).sig,
            Self::NoCites(n) => entries[place(n)].cites.clear(),
            Self::CitesOf(n, which) => entries[place(n)].cites = foreign(which).cites,
            Self::CiteIndex(n, index) => {
                for cite in &mut entries[place(n)].cites {
                    match cite {
                        Cite::Entry(cite) => cite.index = index.into(),
                        Cite::Own(own) => own.index = index.into(),
                        // It names no index.
                        Cite::Vertex(_) => {}
                    }
                }
            }
        }
    }
}

thread_local! {
    static ENTRIES: Vec<Entry> = town().receipts().into_iter().map(|receipt| receipt.entry).collect();
}

/// Another amount in the person's body; the home books what follows from it.
fn amount_of(entry: &mut Entry, amount: u32) {
    let new = Amount::from_hundredths(amount.into());
    let mut old = None;
    signed_again(entry, |body| {
        old = body
            .get("amount")
            .and_then(Value::as_str)
            .and_then(|text| text.parse::<Amount>().ok());
        body["amount"] = new.to_string().into();
    });
    let spends = entry.kind == Kind::Transfer;
    if let (Some(old), Some(balance)) = (old, &mut entry.booked.balance_after) {
        let (more, less) = if spends { (old, new) } else { (new, old) };
        let sum = balance.hundredths().wrapping_add(more.hundredths());
        *balance = Amount::from_hundredths(sum.wrapping_sub(less.hundredths()));
    }
}

/// Another number in the person's body, or the value of another field.
fn field_of(entry: &mut Entry, field: u8, value: u64) {
    signed_again(entry, |body| {
        let Some(fields) = body.as_object_mut() else {
            return;
        };
        let names: Vec<_> = fields.keys().cloned().collect();
        let name = &names[usize::from(field) % names.len()];
        let new = match fields.get(name) {
            Some(Value::Number(_)) => Value::from(value),
            _ => fields[&names[usize::try_from(value).unwrap_or(0) % names.len()]].clone(),
        };
        fields.insert(name.clone(), new);
    });
}

/// Changes a person's body and has the person sign it; grants stay what their officers signed.
fn signed_again(entry: &mut Entry, change: impl FnOnce(&mut Value)) {
    let tag = match entry.kind {
        Kind::Transfer => city_protocol::crypto::TAG_TRANSFER,
        Kind::Accept => city_protocol::crypto::TAG_ACCEPT,
        Kind::Enrol => city_protocol::crypto::TAG_ENROL,
        _ => return,
    };
    let Ok(mut body) = serde_json::from_slice::<Value>(&entry.body) else {
        return;
    };
    let Some(person) = entry.sig.first().and_then(person) else {
        return;
    };
    change(&mut body);
    entry.body = json::canonical(&body);
    let signature = city_protocol::crypto::Signer::sign(&*person, tag, &entry.body);
    entry.sig = vec![EntrySignature::new(person.public().id(), &signature)];
}

fn person(sig: &EntrySignature) -> Option<std::sync::Arc<SecretKey>> {
    let people = &town().people;
    let found = people
        .iter()
        .find(|person| person.key.public().id() == sig.key);
    found.map(|person| person.key.clone())
}
