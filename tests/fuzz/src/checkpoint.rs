//! Checkpoints, the blocks of their snapshots, and the proofs that stand on them. What reads is written again byte for
//! byte; blocks that are not the snapshot's are found out; and whoever holds the genesis record believes only what the
//! homes of the story signed.

use std::collections::BTreeSet;

use arbitrary::{Arbitrary, Unstructured};
use city_protocol::body::Kind;
use city_protocol::checkpoint::{
    Checkpoint, Leaf, MAX_PROOF, Proof, SnapshotWriter, StatePart, leaves_of, read_block,
    read_list, take, verify_snapshot, vertex_leaf,
};
use city_protocol::codec;
use city_protocol::ids::{BlockId, Digest};
use city_protocol::ledger::{Changes, Layers, LogRow, Rows as _, tree_of};
use city_protocol::vertex::{Authority, Entry, KeySource as _, Receipt, SignedHeader, merkle_path};

use crate::edits::{Edit, Input, apply};
use crate::liar::Liar;
use crate::memory;
use crate::town::{NOMI, town};
use crate::world::{HAKUSAN, KANAZAWA};

/// What reading and verifying may hold beside some copies of the bytes: the keys and certificates of two paths.
const MEMORY: usize = 4 << 20;

/// How a proof was put together from known pieces.
#[derive(Arbitrary, Debug)]
struct Forgery {
    entry: Option<u8>,
    path_of: Option<u8>,
    leaf: Option<(u8, u8, u64)>,
    checkpoint: Option<u8>,
    changes: Vec<Change>,
}

#[derive(Arbitrary, Debug)]
enum Change {
    Path(u8, [u8; 32]),
    PathLonger([u8; 32]),
    PathShorter,
    StatePath(u8, [u8; 32]),
    Checkpoint(Edit),
    Entry(Edit),
    Header(Edit),
}

/// What happened to the blocks of the snapshot.
#[derive(Arbitrary, Debug)]
enum Spoilt {
    Leaves(Vec<Edit>),
    List(Vec<Edit>),
    Missing(bool),
    Body(Vec<Edit>),
}

/// Runs the target.
pub fn run(data: &[u8]) {
    match Input::of(data) {
        Some(Input::Raw(bytes)) => check(bytes),
        Some(Input::Story(story)) => drop(tell(story)),
        None => {}
    }
}

/// Inputs to begin with: every proof, the checkpoints, and the blocks behind them.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    KNOWN.with(|known| {
        let blocks = known.states.iter().flat_map(|state| &state.blocks);
        let blocks = blocks.map(|(_, block)| block);
        let bodies = known.states.iter().map(|state| codec::encode(&state.body));
        let bodies: Vec<_> = bodies.collect();
        let all = known.proofs.iter().chain(blocks).chain(&bodies);
        all.map(|bytes| Input::raw(bytes)).collect()
    })
}

struct Known {
    /// What 金沢市's log comes to, and 能美市's, which has had other officers and several epochs.
    states: Vec<State>,
    /// Receipts of both, with the paths of their vertices under the log's checkpoint; the checkpoints' own have none.
    entries: Vec<(Receipt, Vec<Digest>)>,
    /// Every proof that holds.
    proofs: BTreeSet<Vec<u8>>,
}

/// What a log comes to.
struct State {
    body: Checkpoint,
    /// The snapshot's blocks, the list last.
    blocks: Vec<(BlockId, Vec<u8>)>,
    leaves: Vec<StatePart>,
}

thread_local! {
    static KNOWN: &'static Known = Box::leak(Box::new(known()));
}

/// A proof of nothing.
const NONE: Proof = Proof {
    v: 1,
    entry: None,
    path: None,
    state: None,
    checkpoint: None,
};

fn known() -> Known {
    let mut known = Known {
        states: Vec::new(),
        entries: Vec::new(),
        proofs: BTreeSet::new(),
    };
    // An entry alone is a proof, too, of whichever log.
    for receipt in town().receipts() {
        let alone = Proof {
            entry: Some(receipt),
            ..NONE
        };
        known.proofs.insert(alone.to_bytes());
    }
    known.add(KANAZAWA);
    known.add(NOMI);
    known
}

impl Known {
    /// The state of a home's log as 白山市 has it, a checkpoint of it that the home signs, and all that stands under it.
    fn add(&mut self, home: usize) {
        let holds = "the story holds";
        let world = &town().world;
        let log = world.homes[home].log();
        let authority = town().keys.authority(&log).expect(holds);
        let nothing = Changes::default();
        let rows = Layers {
            history: world.homes[HAKUSAN].disk.read(),
            batch: &nothing,
            vertex: None,
        };
        let row = rows.log(&log).expect(holds);
        let (tree, first) = (tree_of(&rows, &log), authority.charter_hash);
        let (body, snapshot, _) = take(&rows, world.network(), first, log, tree).expect(holds);
        let mut leaves: Vec<Leaf> = Vec::new();
        leaves_of(&rows, world.network(), first, log, |leaf| {
            leaves.push(leaf);
            Ok(())
        })
        .expect(holds);
        let hashes: Vec<_> = leaves
            .iter()
            .map(|leaf| Leaf::hash(&leaf.to_bytes()))
            .collect();
        let digests = |path: Vec<[u8; 32]>| path.into_iter().map(Digest).collect::<Vec<_>>();
        let part = |(index, leaf): (usize, &Leaf)| StatePart {
            leaf: leaf.clone(),
            index: index as u64,
            path: digests(merkle_path(&hashes, index)),
        };
        let leaves: Vec<_> = leaves.iter().enumerate().map(part).collect();
        let chain: Vec<_> = (1..=body.position.seq)
            .map(|seq| rows.vertex_on_chain(&log, row.epoch, seq).expect(holds))
            .collect();
        let of_vertices: Vec<_> = chain.iter().map(vertex_leaf).collect();
        let place = |receipt: &Receipt| {
            let id = BlockId::of(&receipt.header);
            chain.iter().position(|one| *one == id)
        };
        let under = town().receipts().into_iter().filter_map(|receipt| {
            let path = merkle_path(&of_vertices, place(&receipt)?);
            Some((receipt, digests(path)))
        });
        let under: Vec<_> = under.collect();
        let checkpoint = signed(home, &body, &authority, &row);
        for part in &leaves {
            let proof = Proof {
                state: Some(part.clone()),
                checkpoint: Some(checkpoint.clone()),
                ..NONE
            };
            self.proofs.insert(proof.to_bytes());
        }
        for (receipt, path) in &under {
            let proof = Proof {
                entry: Some(receipt.clone()),
                path: Some(path.clone()),
                checkpoint: Some(checkpoint.clone()),
                ..NONE
            };
            self.proofs.insert(proof.to_bytes());
        }
        let alone = Proof {
            entry: Some(checkpoint.clone()),
            ..NONE
        };
        self.proofs.insert(alone.to_bytes());
        self.entries.extend(under);
        self.entries.push((checkpoint, Vec::new()));
        self.states.push(State {
            body,
            blocks: snapshot.blocks,
            leaves,
        });
    }
}

/// The receipt of a checkpoint that the home signs behind the head of its log.
fn signed(home: usize, body: &Checkpoint, authority: &Authority, row: &LogRow) -> Receipt {
    let world = &town().world;
    let entry = Entry::home_authored(Kind::Checkpoint, codec::encode(body));
    let liar = Liar::new(world, home);
    let vertex = liar.sign(std::slice::from_ref(&entry));
    let mut header = SignedHeader::read(&vertex.header)
        .expect("just signed")
        .header;
    header.charter = row.charter.unwrap_or(authority.charter_hash);
    (header.epoch, header.seq, header.prev) = (row.epoch, row.seq + 1, row.head);
    header.key = authority.key_of(row.epoch).expect("it has begun").id();
    let authority = authority.entries(row.epoch, Some(header.charter));
    let key = &town().secrets[&header.key];
    let signed = SignedHeader::sign(header, &**key);
    Receipt {
        v: 1,
        authority: authority.into(),
        header: signed.block,
        entry,
        index: 0,
        path: Vec::new(),
    }
}

fn tell(mut story: Unstructured<'_>) -> arbitrary::Result<()> {
    let known = KNOWN.with(|known| *known);
    if story.arbitrary()? {
        let state = usize::from(story.arbitrary::<u8>()?) % known.states.len();
        spoilt(&known.states[state], story.arbitrary()?);
        return Ok(());
    }
    let forgery: Forgery = story.arbitrary()?;
    let edits: Vec<Edit> = story.arbitrary()?;
    let nth = |n: u8, len: usize| usize::from(n) % len.max(1);
    let of = |n: u8| &known.entries[nth(n, known.entries.len())];
    let part = |(leaf, path, index): (u8, u8, u64)| {
        let leaves: Vec<_> = known
            .states
            .iter()
            .flat_map(|state| &state.leaves)
            .collect();
        let part = |n: u8| leaves[nth(n, leaves.len())];
        StatePart {
            leaf: part(leaf).leaf.clone(),
            index: if leaf == path {
                part(path).index
            } else {
                index
            },
            path: part(path).path.clone(),
        }
    };
    let mut proof = Proof {
        v: 1,
        entry: forgery.entry.map(|n| of(n).0.clone()),
        path: forgery.path_of.map(|n| of(n).1.clone()),
        state: forgery.leaf.map(part),
        checkpoint: forgery.checkpoint.map(|n| of(n).0.clone()),
    };
    for change in forgery.changes {
        change.apply(&mut proof);
    }
    let mut bytes = proof.to_bytes();
    apply(&mut bytes, &edits);
    check(&bytes);
    Ok(())
}

impl Change {
    fn apply(self, proof: &mut Proof) {
        let set = |path: &mut Vec<Digest>, n: u8, hash| {
            let n = usize::from(n) % path.len().max(1);
            if let Some(at) = path.get_mut(n) {
                *at = Digest(hash);
            }
        };
        match (self, proof) {
            (
                Self::Path(n, hash),
                Proof {
                    path: Some(path), ..
                },
            ) => set(path, n, hash),
            (
                Self::PathLonger(hash),
                Proof {
                    path: Some(path), ..
                },
            ) => path.push(Digest(hash)),
            (
                Self::PathShorter,
                Proof {
                    path: Some(path), ..
                },
            ) => drop(path.pop()),
            (
                Self::StatePath(n, hash),
                Proof {
                    state: Some(part), ..
                },
            ) => {
                set(&mut part.path, n, hash);
            }
            (
                Self::Checkpoint(edit),
                Proof {
                    checkpoint: Some(receipt),
                    ..
                },
            ) => {
                apply(&mut receipt.entry.body, &[edit]);
            }
            (
                Self::Header(edit),
                Proof {
                    checkpoint: Some(receipt),
                    ..
                },
            ) => {
                apply(&mut receipt.header, &[edit]);
            }
            (
                Self::Entry(edit),
                Proof {
                    entry: Some(receipt),
                    ..
                },
            ) => {
                apply(&mut receipt.entry.body, &[edit]);
            }
            _ => {}
        }
    }
}

/// Blocks of which one was changed, and a checkpoint that was: nothing but the truth is the snapshot.
fn spoilt(known: &State, spoilt: Spoilt) {
    let (mut body, mut blocks) = (known.body.clone(), known.blocks.clone());
    let last = blocks.len() - 1;
    let mut missing = None;
    match spoilt {
        Spoilt::Leaves(edits) => apply(&mut blocks[0].1, &edits),
        Spoilt::List(edits) => apply(&mut blocks[last].1, &edits),
        Spoilt::Missing(list) => missing = Some(if list { last } else { 0 }),
        Spoilt::Body(edits) => {
            let mut bytes = codec::encode(&body);
            apply(&mut bytes, &edits);
            match Checkpoint::read(&bytes) {
                Ok(read) => body = read,
                Err(_) => return,
            }
        }
    }
    let whole = blocks == known.blocks && missing.is_none();
    // What the chain of vertices comes to is not the snapshot's to say.
    let same = Checkpoint {
        vertices_root: known.body.vertices_root,
        ..body.clone()
    } == known.body;
    let block = |id: &BlockId| {
        let at = blocks.iter().position(|(name, _)| name == id)?;
        (missing != Some(at)).then(|| blocks[at].1.clone())
    };
    let mut seen = 0;
    let verdict = memory::within(MEMORY, || verify_snapshot(&body, block, |_| seen += 1));
    assert_eq!(verdict.is_ok(), whole && same, "{verdict:?}");
    if verdict.is_ok() {
        assert_eq!(seen, known.body.leaves);
    }
}

fn check(bytes: &[u8]) {
    let genesis = &town().world.genesis;
    let known = KNOWN.with(|known| *known);
    memory::within(MEMORY + 32 * bytes.len(), || {
        let holds = known.proofs.contains(bytes);
        match Proof::read(bytes) {
            Ok(proof) => {
                assert!(bytes.len() <= MAX_PROOF);
                assert_eq!(proof.to_bytes(), bytes, "read is what is written");
                let verdict = proof.verify(genesis);
                assert_eq!(verdict.is_ok(), holds, "{:?}", verdict.err());
            }
            Err(refusal) => assert!(!holds, "{refusal:?}"),
        }
        if let Ok(body) = Checkpoint::read(bytes) {
            assert_eq!(codec::encode(&body), bytes, "read is what is written");
        }
        if let Ok(list) = read_list(bytes) {
            assert_eq!(codec::encode(&list), bytes, "read is what is written");
        }
        if let Ok(leaf) = Leaf::read(bytes) {
            assert_eq!(leaf.to_bytes(), bytes, "read is what is written");
        }
        if let Ok(leaves) = read_block(bytes) {
            assert_eq!(codec::encode(&leaves), bytes, "read is what is written");
            let mut writer = SnapshotWriter::default();
            if leaves.iter().all(|leaf| writer.push(leaf).is_ok()) {
                let snapshot = writer.finish().expect("one block is not too much");
                assert_eq!(snapshot.leaves, leaves.len() as u64);
            }
        }
    });
}
