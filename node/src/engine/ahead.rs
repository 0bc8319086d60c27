//! Reading the log ahead of the fold, on a thread of its own: hashes, DAG-CBOR and signed JSON, which need no
//! state. The fold gets whole vertices in the log's order.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use city_protocol::Refusal;
use city_protocol::vertex::{Entry, Known, SignedHeader, decode_body};

use crate::store::{Block, Position, ReadError, Store};

/// Vertices that are read ahead: each has a body of at most 1 MiB, and what was read of it takes some three times that.
const AHEAD: usize = 4;

/// What stands next in the log.
pub(super) enum Ahead {
    /// A body right before its header, which was stored so because the vertex is valid; read.
    Vertex(Box<Body>, Block, Box<SignedHeader>),
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
        let entries = decode_body(&block.bytes);
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
    let mut body: Option<Block> = None;
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
            if let Some(alone) = body.replace(block) {
                tell(Ahead::Block(alone))?;
            }
            continue;
        };
        let header = Box::new(header);
        match body.take() {
            Some(body) if body.id == header.header.body => {
                tell(Ahead::Vertex(Box::new(Body::read(body)), block, header))?;
            }
            alone => {
                alone.map_or(Ok(()), |alone| tell(Ahead::Block(alone)))?;
                tell(Ahead::Header(block, header))?;
            }
        }
    }
    body.map_or(Ok(()), |alone| tell(Ahead::Block(alone)))
}

/// Nobody folds any more.
struct Stopped;
