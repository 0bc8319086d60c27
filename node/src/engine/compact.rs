//! Which blocks of the ledger nobody needs: what is in it twice, and bodies whose header was never written.

use std::collections::HashSet;

use city_protocol::ids::BlockId;
use city_protocol::vertex::{SignedHeader, Stub, decode_body};

use crate::store::{Block, CompactError, Compacted, Fate, Location, Position, ReadError, Store};

/// The dead blocks of a ledger.
///
/// A vertex's two blocks stand beside each other, and which of them comes first says whether it was found valid. So a
/// body stays with its header: one body of two vertices is kept twice.
#[derive(Default)]
pub struct Dead {
    places: HashSet<Position>,
    /// Bytes of them.
    pub bytes: u64,
}

/// How a block stands in the log.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Form {
    /// A header behind its body: found valid.
    Judged,
    /// A header before its body.
    Unjudged,
    /// A header behind the stub of its body.
    Pruned,
    /// A header without its body: half of a proof.
    Alone,
    /// Neither a header nor beside one.
    Other,
}

impl Dead {
    /// Looks through a whole ledger.
    ///
    /// # Errors
    /// [`ReadError`]; what is damaged is passed over.
    pub fn of(store: &Store) -> Result<Self, ReadError> {
        let mut dead = Self::default();
        let mut kept: HashSet<(BlockId, Form)> = HashSet::new();
        // Bodies that a header names which has none beside it.
        let mut lonely: HashSet<BlockId> = HashSet::new();
        let mut strays: Vec<(BlockId, Location, bool)> = Vec::new();
        let mut before: Option<Unpaired> = None;
        // Once more at the end, for the last block.
        let blocks = store.blocks_from(Position::START).map(Some).chain([None]);
        for block in blocks {
            let block = match block.transpose() {
                Ok(block) => block.map(Unpaired::read),
                // What stands behind a bad place is not beside what stood before it.
                Err(ReadError::Damaged(_)) => None,
                Err(error) => return Err(error),
            };
            let (first, second) = (before.take(), block);
            if let (Some(first), Some(second)) = (&first, &second)
                && let Some(form) = first.belongs_to(second)
            {
                let header = match form {
                    Form::Unjudged => first,
                    _ => second,
                };
                if !kept.insert((header.id, form)) {
                    dead.add(&first.at);
                    dead.add(&second.at);
                }
                continue;
            }
            before = second;
            let Some(alone) = first else { continue };
            match alone.names {
                Some(body) => {
                    lonely.insert(body);
                    if !kept.insert((alone.id, Form::Alone)) {
                        dead.add(&alone.at);
                    }
                }
                None => strays.push((alone.id, alone.at, alone.is_body)),
            }
        }
        for (id, at, is_body) in strays {
            // The rest of a group that was never acknowledged. What is no body, others know what for.
            let torn = is_body && !lonely.contains(&id);
            if torn || !kept.insert((id, Form::Other)) {
                dead.add(&at);
            }
        }
        Ok(dead)
    }

    /// How many there are.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.places.len() as u64
    }

    /// Whether the block at this place is one of them.
    pub(super) fn holds(&self, at: &Location) -> bool {
        self.places.contains(&at.start())
    }

    fn add(&mut self, at: &Location) {
        self.places.insert(at.start());
        self.bytes += u64::from(at.len);
    }
}

/// Writes a ledger again without its dead blocks.
///
/// `None` if there are none: then nothing is written. After this the index has to be made again.
///
/// # Errors
/// [`CompactError`].
pub fn compact(store: Store) -> Result<Option<Compacted>, CompactError> {
    let dead = Dead::of(&store).map_err(CompactError::Read)?;
    if dead.places.is_empty() && store.ledger().repaired().is_empty() {
        // One that is not closed in order costs the index, which is made again.
        let _closed = store.close();
        return Ok(None);
    }
    let mut fate = |block: &Block| match dead.holds(&block.at) {
        true => Fate::Goes,
        false => Fate::Stays,
    };
    store.compact(&mut fate).map(Some)
}

/// A block that waits for the one beside it.
struct Unpaired {
    id: BlockId,
    at: Location,
    /// The body that it names, if it is a header.
    names: Option<BlockId>,
    /// Whether it has the form of a body.
    is_body: bool,
    /// The body in whose place it is, if it is a stub.
    pruned: Option<BlockId>,
}

impl Unpaired {
    fn read(block: Block) -> Self {
        let header = SignedHeader::read(&block.bytes).ok();
        let names = header.map(|header| header.header.body);
        let stub = match names {
            Some(_) => None,
            None => Stub::read(&block.bytes).ok(),
        };
        Self {
            id: block.id,
            at: block.at,
            is_body: names.is_none() && decode_body(&block.bytes).is_ok(),
            names,
            pruned: stub.map(|stub| stub.body()),
        }
    }

    /// How two blocks are one vertex, if they are.
    fn belongs_to(&self, next: &Self) -> Option<Form> {
        match (self.names, next.names) {
            (None, Some(body)) if body == self.id => Some(Form::Judged),
            (None, Some(body)) if self.pruned == Some(body) => Some(Form::Pruned),
            (Some(body), None) if body == next.id => Some(Form::Unjudged),
            _ => None,
        }
    }
}
