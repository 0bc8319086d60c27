//! Reading the log ahead of the fold, on a thread of its own: hashes, DAG-CBOR and signed JSON, which need no
//! state. The fold gets whole vertices in the log's order.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use city_protocol::Refusal;
use city_protocol::ids::BlockId;
use city_protocol::vertex::{Entry, Known, SignedHeader, Stub, decode_stored_body};

use crate::store::{Block, Position, ReadError, Store};

/// Vertices that are read ahead: each has a body of at most 1 MiB, and what was read of it takes some three times that.
const AHEAD: usize = 4;

/// What stands next in the log.
pub(super) enum Ahead {
    /// A body right before its header, which was stored so because the vertex is valid; read.
    Vertex(Box<Body>, Block, Box<SignedHeader>),
    /// What is left of a body that was pruned right before its header.
    Pruned(Block, Box<Stub>, Block, Box<SignedHeader>),
    /// A header without its body before it.
    Header(Block, Box<SignedHeader>),
    /// A block that is neither.
    Block(Block),
    /// A place that cannot be read.
    Damaged,
    /// The log cannot be read any further.
    Failed(ReadError),
}

/// The body of a vertex that was found valid.
pub(super) struct Body {
    pub(super) block: Block,
    pub(super) entries: Result<Vec<Entry>, Refusal>,
    pub(super) known: Vec<Known>,
}

impl Body {
    fn read(block: Block) -> Self {
        let entries = decode_stored_body(&block.bytes);
        let known = entries.iter().flatten().map(Known::stored).collect();
        Self {
            block,
            entries,
            known,
        }
    }
}

/// Reads the log from this position on.
pub(super) fn read_ahead<'scope>(
    scope: &'scope Scope<'scope, '_>,
    store: &'scope Store,
    from: Position,
) -> Receiver<Ahead> {
    let (found, ahead) = sync_channel(AHEAD);
    scope.spawn(move || {
        // Who folds may have stopped at an error.
        let _stopped = read(store, from, &found);
    });
    ahead
}

fn read(store: &Store, from: Position, found: &SyncSender<Ahead>) -> Result<(), Stopped> {
    let tell = |ahead| found.send(ahead).map_err(|_| Stopped);
    let mut beside: Option<Beside> = None;
    let mut named: Option<BlockId> = None;
    for block in store.blocks_from(from) {
        let block = match block {
            Ok(block) => block,
            Err(ReadError::Damaged(_)) => {
                tell(Ahead::Damaged)?;
                continue;
            }
            Err(error) => {
                tell(Ahead::Failed(error))?;
                break;
            }
        };
        let Ok(header) = SignedHeader::read(&block.bytes) else {
            if let Some(alone) = beside.replace(Beside::new(block, named.take())) {
                tell(Ahead::Block(alone.block))?;
            }
            continue;
        };
        let header = Box::new(header);
        match beside.take() {
            // What stands behind the header that names it was not found valid, whoever else names it.
            Some(beside) if !beside.is_unjudged && beside.block.id == header.header.body => {
                let body = Box::new(Body::read(beside.block));
                tell(Ahead::Vertex(body, block, header))?;
                continue;
            }
            Some(other) => {
                if let Some(stub) = other.stub_of(&header) {
                    tell(Ahead::Pruned(other.block, Box::new(stub), block, header))?;
                    continue;
                }
                tell(Ahead::Block(other.block))?;
            }
            None => {}
        }
        // Its body may stand behind it; whose stood before it has none there, and what comes next is another's.
        named = Some(header.header.body);
        tell(Ahead::Header(block, header))?;
    }
    beside.map_or(Ok(()), |alone| tell(Ahead::Block(alone.block)))
}

/// A block that is no header, and waits for what stands behind it.
pub(super) struct Beside {
    pub(super) block: Block,
    /// Whether the header right before it names it and has no body before itself: then it came from whoever signed that, unjudged.
    is_unjudged: bool,
}

impl Beside {
    /// A block, and the body that the header right before it names.
    pub(super) fn new(block: Block, named: Option<BlockId>) -> Self {
        let is_unjudged = named == Some(block.id);
        Self { block, is_unjudged }
    }

    /// The stub that it is, if the header behind it vouches for it and this node wrote it: what a liar sent as a body may
    /// have the form of one.
    pub(super) fn stub_of(&self, header: &SignedHeader) -> Option<Stub> {
        if self.is_unjudged {
            return None;
        }
        let stub = Stub::read(&self.block.bytes).ok();
        stub.filter(|stub| stub.belongs_to(&header.header))
    }
}

/// Nobody folds any more.
struct Stopped;

#[cfg(test)]
mod tests {
    use city_protocol::amount::{Amount, Timestamp};
    use city_protocol::body::Kind;
    use city_protocol::crypto::{Algorithm, SecretKey};
    use city_protocol::ids::{Digest, LogId, NetworkId};
    use city_protocol::vertex::{ClosedStub, EntryStub, Header, encode_body, merkle_root};

    use super::*;
    use crate::store::StoreOptions;

    fn header(body: BlockId, leaves: &[Digest]) -> SignedHeader {
        let key = SecretKey::generate(Algorithm::MlDsa87);
        let leaves: Vec<_> = leaves.iter().map(|leaf| leaf.0).collect();
        let header = Header {
            v: 1,
            network: NetworkId::of(b"genesis"),
            log: LogId([1; 32]),
            epoch: 1,
            seq: 2,
            prev: BlockId::of(b"before"),
            parents: Vec::new(),
            to: Vec::new(),
            time: Timestamp(1),
            count: leaves.len() as u64,
            entries_root: Digest(merkle_root(&leaves)),
            body,
            alg: key.public().algorithm(),
            key: key.public().id(),
            charter: Digest([2; 32]),
        };
        SignedHeader::sign(header, &key)
    }

    /// How often a stub is found where these blocks stand in a log.
    fn stubs_in(blocks: &[Vec<u8>]) -> usize {
        count_in(blocks, |next| matches!(next, Ahead::Pruned(..)))
    }

    /// How many vertices count as found valid.
    fn vertices_in(blocks: &[Vec<u8>]) -> usize {
        count_in(blocks, |next| matches!(next, Ahead::Vertex(..)))
    }

    fn count_in(blocks: &[Vec<u8>], wanted: fn(&Ahead) -> bool) -> usize {
        let dir = tempfile::tempdir().unwrap();
        let genesis = NetworkId::of(b"genesis");
        let (store, _) = Store::open(dir.path(), genesis, StoreOptions::new()).unwrap();
        let group: Vec<_> = blocks
            .iter()
            .map(|block| (BlockId::of(block), &block[..]))
            .collect();
        store.append_group(&group).unwrap();
        std::thread::scope(|scope| {
            let ahead = read_ahead(scope, &store, Position::START);
            ahead.iter().filter(wanted).count()
        })
    }

    /// Else two liars' invalid vertices with one body, kept as evidence one behind the other, would have its signatures counted as
    /// checked when the index is made again.
    #[test]
    fn a_body_that_came_with_its_header_is_not_found_valid_for_the_next() {
        let body = encode_body(&[Entry::home_authored(Kind::Place, vec![1])]);
        let id = BlockId::of(&body);
        let [one, other] = [3, 4].map(|n| header(id, &[Digest([n; 32])]).block);
        assert_eq!(vertices_in(&[body.clone(), one.clone()]), 1, "found valid");
        assert_eq!(vertices_in(&[one.clone(), body.clone()]), 0);
        assert_eq!(vertices_in(&[one, body.clone(), other, body]), 0);
    }

    /// Homes write the same body where they say the same: what their CAs revoked, a note, nothing at all.
    #[test]
    fn vertices_of_one_body_behind_each_other_are_each_found_valid() {
        let body = encode_body(&[]);
        let id = BlockId::of(&body);
        let [one, other] = [3, 4].map(|n| header(id, &[Digest([n; 32])]).block);
        let (one, other) = (&one, &other);
        let valid = |blocks: &[&Vec<u8>]| {
            let blocks: Vec<Vec<u8>> = blocks.iter().copied().cloned().collect();
            vertices_in(&blocks)
        };
        assert_eq!(valid(&[&body, one, &body, other]), 2);
        assert_eq!(valid(&[&body, one, &body, other, &body, one]), 3);
        // The first is kept as evidence with its body, the second found valid.
        assert_eq!(valid(&[one, &body, &body, other]), 1);
    }

    /// Else a liar would have others fold what it never wrote when they make their index again: an invalid vertex, kept
    /// as evidence, whose body is the stub of another one.
    #[test]
    fn a_body_that_came_with_its_header_is_no_stub_of_the_next() {
        let leaves = vec![Digest([3; 32])];
        let body = BlockId::of(b"nobody has it");
        let stub = Stub {
            v: 1,
            pruned: Digest(*body.digest()),
            leaves: leaves.clone(),
            entries: vec![EntryStub::Settle(ClosedStub {
                transfer: Digest([4; 32]),
                amount: Amount::from_hundredths(5),
            })],
        };
        let stub = stub.to_block();
        let next = header(body, &leaves).block;
        assert_eq!(
            stubs_in(&[stub.clone(), next.clone()]),
            1,
            "its own writing"
        );
        let evidence = header(BlockId::of(&stub), &leaves).block;
        assert_eq!(stubs_in(&[evidence, stub, next]), 0);
    }
}
