//! Vertices: of bytes that no home signed none verify. And what a lying home signs, with the help of people and officers or
//! without (`entries`), out of old entries or of such as it makes for the purpose (`tricks`), is judged the same twice; where
//! it is valid, everything holds that a valid vertex may be held to (`oracles`).

mod entries;
mod oracles;
mod oracles_others;
mod tricks;
mod tricks_officers;

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::{Arbitrary, Unstructured};
use city_protocol::amount::Timestamp;
use city_protocol::codec;
use city_protocol::ids::{BlockId, Digest};
use city_protocol::ledger::{Rows as _, Verdict};
use city_protocol::vertex::{
    Entry, Header, KeySource as _, MAX_BODY, MAX_ENTRIES, MAX_HEADER, SignedHeader, VerifiedVertex,
    decode_body, encode_body, merkle_root,
};

use self::entries::EntryLie;
use self::oracles::sound;
use self::tricks::{Scene, Trick, variant};
use crate::disk::Disk;
use crate::edits::{Edit, Input, apply};
use crate::memory;
use crate::town::{NOMI, Written, judge, town};
use crate::world::{BEGIN, HAKUSAN};

/// What verifying and judging may hold beside some copies of the bytes: keys, one enrolment, rows.
const MEMORY: usize = 4 << 20;

/// Most tricks in one vertex.
const MAX_TRICKS: usize = 4;

/// How a liar changed a vertex before signing it.
#[derive(Arbitrary, Debug)]
struct Lie {
    base: u8,
    /// It is the vertex after the last one of the base's log, and holds only tricks.
    behind: bool,
    tricks: Vec<(u8, Trick)>,
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
    CharterOf(u8),
    Log(u8),
}

/// Runs the target.
pub fn run(data: &[u8]) {
    match Input::of(data) {
        Some(Input::Raw(bytes)) => noise(bytes),
        Some(Input::Story(story)) => drop(tell(story)),
        None => {}
    }
}

/// Inputs to begin with: every vertex of the story as it is, and again as its home would sign it; and every trick behind
/// the end of every log, and in its youth.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let vertices = &town().vertices;
    let raw = vertices.iter().map(|vertex| {
        let len = u16::try_from(vertex.header.len()).expect("a header is short");
        Input::raw(&[&len.to_be_bytes(), &vertex.header[..], &vertex.body].concat())
    });
    let base = |n: usize| u8::try_from(n).expect("few");
    let signed = (0..vertices.len()).map(|n| vec![1, base(n)]);
    let log = |n: usize| {
        let header = SignedHeader::read(&vertices[n].header);
        header.expect("a home wrote it").header.log
    };
    // The last vertex of each log, and the last one before half a year passes: what waits for an answer is not late there.
    let time = |n: usize| {
        let header = SignedHeader::read(&vertices[n].header);
        header.expect("a home wrote it").header.time
    };
    let ends: BTreeMap<_, _> = (0..vertices.len()).map(|n| (log(n), n)).collect();
    let young = |n: &usize| time(*n) < BEGIN.plus_ms(100 * 86_400_000);
    let in_time: BTreeMap<_, _> = (0..vertices.len())
        .filter(young)
        .map(|n| (log(n), n))
        .collect();
    // And each goes on behind what 能美市 wrote last, which lies beyond a cut.
    let beyond = base(ends[&town().world.homes[NOMI].log()]);
    let rests = ends.values().map(|n| {
        let parents = [&variant(13, 4)[..], &[1, beyond, 0]].concat();
        [&[1, base(*n), 1, 0, 0, 0, 1][..], &parents].concat()
    });
    let rests: Vec<_> = rests.collect();
    let places = ends.into_values().map(|n| [base(n), 1]);
    let places = places.chain(in_time.into_values().map(|n| [base(n), 0]));
    let tricks = places.flat_map(|[base, behind]| {
        let seeds = Trick::seeds().into_iter();
        seeds.map(move |seed| [vec![1, base, behind, 1, 0], seed].concat())
    });
    raw.chain(signed).chain(tricks).chain(rests).collect()
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
    let (before, mut entries) = if lie.behind {
        (behind(&mut header), Vec::new())
    } else {
        (
            &base.before,
            decode_body(&base.body).expect("a home wrote it"),
        )
    };
    let key = &town().secrets[&header.key];
    for (at, trick) in lie.tricks.into_iter().take(MAX_TRICKS) {
        let first = trick.goes_first();
        let mut scene = Scene {
            before,
            header: &mut header,
        };
        let Some(entry) = trick.entry(&mut scene) else {
            continue;
        };
        let at = usize::from(at) % (entries.len() + 1);
        entries.insert(if first { 0 } else { entries.len() - at }, entry);
    }
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
    let signed = SignedHeader::sign(header, &**key);
    let mut block = signed.block.clone();
    apply(&mut block, &lie.after_signing);
    if let Some(vertex) = verified(&block, &body) {
        assert_eq!(block, signed.block, "bytes that nobody signed");
        weigh(&vertex, before);
    }
    Ok(())
}

/// The header goes on behind the end of its log; gives what 白山市 has at the end of the story.
fn behind(header: &mut Header) -> &'static Disk {
    let world = &town().world;
    let disk = &world.homes[HAKUSAN].disk;
    let row = disk.read().log(&header.log).expect("of the story");
    header.epoch = row.epoch;
    header.seq = row.seq + 1;
    header.prev = row.head;
    header.time = world.now.max(row.time);
    header.parents = Vec::new();
    header.to = Vec::new();
    let authority = town().keys.authority(&header.log).expect("of the story");
    let key = authority.key_of(row.epoch).expect("it has begun");
    header.key = key.id();
    if let Some(charter) = row.charter {
        header.charter = charter;
    }
    disk
}

/// The verdict on a vertex that comes after this.
fn weigh(vertex: &VerifiedVertex, before: &Disk) {
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
            sound(vertex, before, &first);
        }
        (first, second) => {
            assert_eq!(format!("{first:?}"), format!("{second:?}"));
            let true_one = |one: &Written| one.header == vertex.header.block;
            assert!(
                !town().vertices.iter().any(true_one),
                "what an honest home wrote is valid"
            );
        }
    }
}

impl HeaderLie {
    fn apply(self, h: &mut Header) {
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
            Self::CharterOf(n) => {
                let other = &town.vertices[usize::from(n) % town.vertices.len()].header;
                h.charter = SignedHeader::read(other)
                    .expect("a home wrote it")
                    .header
                    .charter;
            }
            Self::Log(n) => h.log = log(&n),
        }
    }
}

fn later(time: Timestamp, seconds: i32) -> Timestamp {
    Timestamp(time.0.saturating_add_signed(i64::from(seconds) * 1000))
}
