//! A home that lies: it signs vertices that no honest software would write.

use std::sync::Arc;

use city_protocol::amount::Timestamp;
use city_protocol::body::Kind;
use city_protocol::crypto::SecretKey;
use city_protocol::ids::{BlockId, Digest, LogId, NetworkId};
use city_protocol::ledger::Rows as _;
use city_protocol::replica::Input;
use city_protocol::vertex::{Entry, Header, SignedHeader, encode_body, merkle_root};

use super::world::World;

/// A signed vertex: header block and body block.
#[derive(Clone)]
pub(crate) struct Vertex {
    pub(crate) id: BlockId,
    pub(crate) header: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

/// Writes vertices with a home's key, behind the back of its replica.
pub(crate) struct Liar {
    network: NetworkId,
    pub(crate) log: LogId,
    charter: Digest,
    /// The epoch that the head is of, and its key.
    pub(crate) epoch: u64,
    key: Arc<SecretKey>,
    /// What the next vertex stands on.
    pub(crate) prev: BlockId,
    pub(crate) seq: u64,
    pub(crate) time: Timestamp,
    pub(crate) parents: Vec<BlockId>,
    pub(crate) to: Vec<LogId>,
}

impl Liar {
    /// Goes on after the head of this home's log.
    pub(crate) fn new(world: &World, home: usize) -> Self {
        let h = &world.homes[home];
        let row = h.row(&h.log());
        let key = h.key_of(row.epoch);
        Self {
            network: world.network(),
            log: h.log(),
            charter: h.authority.charter_hash,
            epoch: row.epoch,
            key,
            prev: row.head,
            seq: row.seq + 1,
            time: world.now,
            parents: Vec::new(),
            to: Vec::new(),
        }
    }

    /// Signs a vertex of these entries at the present position.
    pub(crate) fn sign(&self, entries: &[Entry]) -> Vertex {
        self.sign_body(entries, encode_body(entries))
    }

    /// The same with whatever bytes as the body.
    pub(crate) fn sign_body(&self, entries: &[Entry], body: Vec<u8>) -> Vertex {
        let leaves: Vec<_> = entries.iter().map(Entry::leaf).collect();
        let header = Header {
            v: 1,
            network: self.network,
            log: self.log,
            epoch: self.epoch,
            seq: self.seq,
            prev: self.prev,
            parents: self.parents.clone(),
            to: self.to.clone(),
            time: self.time,
            count: entries.len() as u64,
            entries_root: Digest(merkle_root(&leaves)),
            body: BlockId::of(&body),
            alg: self.key.public().algorithm(),
            key: self.key.public().id(),
            charter: self.charter,
        };
        self.sign_header(header, body)
    }

    /// The same with whatever header.
    pub(crate) fn sign_header(&self, header: Header, body: Vec<u8>) -> Vertex {
        let signed = SignedHeader::sign(header, &*self.key);
        Vertex {
            id: signed.id,
            header: signed.block,
            body,
        }
    }

    /// Goes on after this vertex.
    pub(crate) fn follow(&mut self, vertex: &Vertex) {
        self.prev = vertex.id;
        self.seq += 1;
    }
}

/// An entry without effect that makes two vertices differ.
pub(crate) fn start(software: &str) -> Entry {
    let body = city_protocol::body::Start {
        v: 1,
        software: software.into(),
        clock: "ntp".into(),
        trust: None,
    };
    Entry::home_authored(Kind::Start, city_protocol::codec::encode(&body))
}

/// Gives a vertex to a home as if this peer had sent it.
pub(crate) fn give(world: &mut World, from: usize, to: usize, vertex: &Vertex) {
    let peer = world.homes[from].peer();
    let input = match world.verify(to, &vertex.header, vertex.body.clone()) {
        Ok(verified) => Input::Vertex(peer, Box::new(verified), 0),
        Err(refusal) => Input::Garbage(peer, refusal, 0),
    };
    world.tell(to, input);
    world.commit(to);
}

/// The head of a log as a home has it.
pub(crate) fn head(world: &World, home: usize, log: &LogId) -> (u64, BlockId) {
    let row = world.homes[home].disk.read().log(log).unwrap();
    (row.seq, row.head)
}
