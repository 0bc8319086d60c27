//! Checkpoints, the blocks of their snapshots, and the proofs that stand on them. What reads is written again byte for
//! byte; blocks that are not the snapshot's are found out; and whoever holds the genesis record believes only what the
//! home of the story signed.

use std::collections::BTreeSet;

use arbitrary::{Arbitrary, Unstructured};
use city_protocol::body::Kind;
use city_protocol::checkpoint::{
    Checkpoint, Leaf, MAX_PROOF, Proof, SnapshotWriter, StatePart, leaves_of, read_block,
    read_list, take, verify_snapshot, vertex_leaf,
};
use city_protocol::codec;
use city_protocol::ids::{BlockId, Digest};
use city_protocol::ledger::{Changes, Layers, Rows as _, tree_of};
use city_protocol::vertex::{Entry, Receipt, merkle_path};

use crate::edits::{Edit, Input, apply};
use crate::liar::Liar;
use crate::memory;
use crate::town::town;
use crate::world::KANAZAWA;

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

/// Inputs to begin with: every proof, the checkpoint, and the blocks behind it.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    KNOWN.with(|known| {
        let blocks = known.blocks.iter().map(|(_, block)| block);
        let body = codec::encode(&known.body);
        let all = known.proofs.iter().chain(blocks).chain([&body]);
        all.map(|bytes| Input::raw(bytes)).collect()
    })
}

struct Known {
    body: Checkpoint,
    /// The snapshot's blocks, the list last.
    blocks: Vec<(BlockId, Vec<u8>)>,
    leaves: Vec<StatePart>,
    /// Receipts of 金沢市's log, with the paths of their vertices under the checkpoint; the last is the checkpoint's own,
    /// which has none.
    entries: Vec<(Receipt, Vec<Digest>)>,
    /// Every proof that holds.
    proofs: BTreeSet<Vec<u8>>,
}

thread_local! {
    static KNOWN: &'static Known = Box::leak(Box::new(known()));
}

fn known() -> Known {
    let holds = "the story holds";
    let world = &town().world;
    let home = &world.homes[KANAZAWA];
    let (log, charter) = (home.log(), home.authority.charter_hash);
    let nothing = Changes::default();
    let rows = Layers {
        history: home.disk.read(),
        batch: &nothing,
        vertex: None,
    };
    let tree = tree_of(&rows, &log);
    let (body, snapshot, _) = take(&rows, world.network(), charter, log, tree).expect(holds);
    let mut leaves: Vec<Leaf> = Vec::new();
    leaves_of(&rows, world.network(), charter, log, |leaf| {
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
        .map(|seq| rows.vertex_on_chain(&log, 1, seq).expect(holds))
        .collect();
    let of_vertices: Vec<_> = chain.iter().map(vertex_leaf).collect();
    let place = |receipt: &Receipt| {
        chain
            .iter()
            .position(|id| *id == BlockId::of(&receipt.header))
    };
    let mut entries: Vec<_> = town()
        .receipts()
        .into_iter()
        .filter_map(|receipt| {
            let path = merkle_path(&of_vertices, place(&receipt)?);
            Some((receipt, digests(path)))
        })
        .collect();
    let entry = Entry::home_authored(Kind::Checkpoint, codec::encode(&body));
    let vertex = Liar::new(world, KANAZAWA).sign(std::slice::from_ref(&entry));
    let checkpoint = Receipt {
        v: 1,
        authority: home.authority.entries(1, None).into(),
        header: vertex.header,
        entry,
        index: 0,
        path: Vec::new(),
    };
    let none = Proof {
        v: 1,
        entry: None,
        path: None,
        state: None,
        checkpoint: None,
    };
    let mut proofs = Vec::new();
    for part in &leaves {
        proofs.push(Proof {
            state: Some(part.clone()),
            checkpoint: Some(checkpoint.clone()),
            ..none.clone()
        });
    }
    for (receipt, path) in &entries {
        proofs.push(Proof {
            entry: Some(receipt.clone()),
            path: Some(path.clone()),
            checkpoint: Some(checkpoint.clone()),
            ..none.clone()
        });
    }
    entries.push((checkpoint.clone(), Vec::new()));
    // An entry alone is a proof, too, of whichever log.
    let alone = town().receipts().into_iter().chain([checkpoint]);
    proofs.extend(alone.map(|receipt| Proof {
        entry: Some(receipt),
        ..none.clone()
    }));
    Known {
        body,
        blocks: snapshot.blocks,
        leaves,
        entries,
        proofs: proofs.iter().map(Proof::to_bytes).collect(),
    }
}

fn tell(mut story: Unstructured<'_>) -> arbitrary::Result<()> {
    let known = KNOWN.with(|known| *known);
    if story.arbitrary()? {
        spoilt(known, story.arbitrary()?);
        return Ok(());
    }
    let forgery: Forgery = story.arbitrary()?;
    let edits: Vec<Edit> = story.arbitrary()?;
    let nth = |n: u8, len: usize| usize::from(n) % len.max(1);
    let of = |n: u8| &known.entries[nth(n, known.entries.len())];
    let part = |(leaf, path, index): (u8, u8, u64)| {
        let part = |n: u8| &known.leaves[nth(n, known.leaves.len())];
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
fn spoilt(known: &Known, spoilt: Spoilt) {
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
