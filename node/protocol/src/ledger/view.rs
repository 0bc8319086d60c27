//! Reading: one narrow trait, and layers of what is not yet durable over what is.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::rows::{
    AccountRow, AnswerRow, CharterRow, ClearingRow, EpochRow, FaultRow, HeadersRow, LogRow,
    NoteRow, NotesRow, Table, TransferRow, VertexRow, WitnessRow, key, position_key, read,
};
use crate::body::{OwnEntry, PersonBody as _, Transfer, identity};
use crate::codec;
use crate::ids::{AccountId, BlockId, Digest, KeyId, LogId};
use crate::vertex::{
    Cite, Entry, EntryStub, Header, Known, Stub, decode_stored_body, entry_of_body,
};

/// Rows read at once where all of a table are looked at.
const PAGE: usize = 1024;

/// What the core may read: rows and blocks that are durable.
pub trait History {
    /// The row under this key.
    fn row(&self, key: &[u8]) -> Option<Vec<u8>>;
    /// Rows whose keys begin with `prefix` and come after `after`, in order, at most `limit`.
    fn rows(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Vec<(Vec<u8>, Vec<u8>)>;
    /// The block with this id, its hash checked.
    fn block(&self, id: &BlockId) -> Option<Vec<u8>>;
    /// The block that is stored under this id, its hash not checked: for who checks what it takes out of it.
    fn unchecked_block(&self, id: &BlockId) -> Option<Vec<u8>> {
        self.block(id)
    }
    /// What is left of the body with this id, if this node pruned it.
    fn stub(&self, _body: &BlockId) -> Option<Stub> {
        None
    }
}

/// Rows and blocks that are to be written together.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// New row values; `None` deletes.
    pub rows: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// New blocks in the order in which they are to be stored: the body of a valid vertex before its header, that
    /// of any other behind it.
    pub blocks: Vec<(BlockId, Vec<u8>)>,
}

impl Changes {
    /// Sets a row.
    pub fn put<T: Serialize>(&mut self, key: Vec<u8>, value: &T) {
        self.rows.insert(key, Some(codec::encode(value)));
    }

    /// Deletes a row.
    pub fn delete(&mut self, key: Vec<u8>) {
        self.rows.insert(key, None);
    }

    /// Adds what `later` says on top.
    pub fn absorb(&mut self, later: Self) {
        if self.rows.is_empty() {
            self.rows = later.rows;
        } else {
            self.rows.extend(later.rows);
        }
        self.blocks.extend(later.blocks);
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.blocks.is_empty()
    }

    /// Bytes of the blocks.
    #[must_use]
    pub fn block_bytes(&self) -> usize {
        self.blocks.iter().map(|(_, bytes)| bytes.len()).sum()
    }
}

/// What is durable, with layers of changes over it, the last on top.
#[derive(Clone, Copy)]
pub struct Layers<'a> {
    /// What is durable.
    pub history: &'a dyn History,
    /// The batch that is being collected.
    pub batch: &'a Changes,
    /// The vertex that is being folded.
    pub vertex: Option<&'a Changes>,
}

impl<'a> Layers<'a> {
    /// The same with one more layer on top.
    #[must_use]
    pub const fn with(self, vertex: &'a Changes) -> Self {
        Self {
            vertex: Some(vertex),
            ..self
        }
    }

    fn layers(&self) -> impl Iterator<Item = &'a Changes> {
        self.vertex.into_iter().chain(std::iter::once(self.batch))
    }

    /// Looks at every row under a prefix, in order, until one is refused.
    ///
    /// # Errors
    /// What `look` says.
    pub fn try_each_row<E>(
        &self,
        prefix: &[u8],
        mut look: impl FnMut(&[u8], &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut pending: BTreeMap<&[u8], Option<&[u8]>> = BTreeMap::new();
        for changes in self.layers() {
            let rows = changes.rows.range(prefix.to_vec()..);
            for (name, value) in rows.take_while(|(name, _)| name.starts_with(prefix)) {
                // The layer on top comes first.
                pending.entry(name).or_insert(value.as_deref());
            }
        }
        let mut pending = pending.into_iter().peekable();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = self.history.rows(prefix, after.as_deref(), PAGE);
            for (name, value) in &page {
                while let Some((new, change)) = pending.next_if(|(new, _)| *new < name.as_slice()) {
                    change.map_or(Ok(()), |value| look(new, value))?;
                }
                match pending.next_if(|(new, _)| *new == name.as_slice()) {
                    Some((_, None)) => {}
                    Some((_, Some(value))) => look(name, value)?,
                    None => look(name, value)?,
                }
            }
            if page.len() < PAGE {
                break;
            }
            after = page.into_iter().last().map(|(name, _)| name);
        }
        pending.try_for_each(|(new, change)| change.map_or(Ok(()), |value| look(new, value)))
    }
}

/// A row's value.
///
/// # Panics
/// On a damaged index: see [`Rows`].
#[must_use]
pub fn read_row<T: DeserializeOwned>(bytes: &[u8]) -> T {
    read(bytes).expect("the index holds what this software wrote")
}

/// Reads a row that may have come from elsewhere than the index.
#[must_use]
pub fn try_read_row<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    read(bytes).ok()
}

/// Typed reading. Rows are this software's own writing; one that does not read is a damaged index,
/// which the release build answers by aborting, and the next start by rebuilding.
pub trait Rows {
    /// The raw row.
    fn get(&self, key: &[u8]) -> Option<Vec<u8>>;
    /// The block.
    fn get_block(&self, id: &BlockId) -> Option<Vec<u8>>;
    /// The block, its hash not checked.
    fn get_unchecked_block(&self, id: &BlockId) -> Option<Vec<u8>>;
    /// What is left of a body that was pruned.
    fn get_stub(&self, body: &BlockId) -> Option<Stub>;

    /// A row of a known type.
    fn typed<T: DeserializeOwned>(&self, key: &[u8]) -> Option<T> {
        self.get(key).map(|bytes| read_row(&bytes))
    }

    /// A log's head and sums.
    fn log(&self, log: &LogId) -> Option<LogRow> {
        self.typed(&key(Table::Log, &[&log.0]))
    }

    /// Where the headers of a log end, if they go on behind what is folded.
    fn headers(&self, log: &LogId) -> Option<HeadersRow> {
        self.typed(&key(Table::Headers, &[&log.0]))
    }

    /// A log's row with the head that its headers have; the sums are those of what is folded.
    fn head(&self, log: &LogId) -> Option<LogRow> {
        let row = self.log(log)?;
        Some(match self.headers(log) {
            Some(headers) => row.headed(headers),
            None => row,
        })
    }

    /// An account.
    fn account(&self, log: &LogId, account: &AccountId) -> Option<AccountRow> {
        self.typed(&key(Table::Account, &[&log.0, account.as_str().as_bytes()]))
    }

    /// The account that got this key by `rotate` or `recover`.
    fn key_owner(&self, log: &LogId, id: &KeyId) -> Option<AccountId> {
        self.typed(&key(Table::Key, &[&log.0, &id.0]))
    }

    /// The account that signs with this key, or would if it had enrolled with it.
    fn account_of_key(&self, log: &LogId, id: &KeyId) -> AccountId {
        let owner = self.key_owner(log, id);
        owner.unwrap_or_else(|| AccountId::new(log, id))
    }

    /// A transfer in its sender's log.
    fn transfer(&self, log: &LogId, identity: &Digest) -> Option<TransferRow> {
        self.typed(&key(Table::Transfer, &[&log.0, &identity.0]))
    }

    /// How a transfer was answered in the receiver's log.
    fn answer(&self, log: &LogId, identity: &Digest) -> Option<AnswerRow> {
        self.typed(&key(Table::Answer, &[&log.0, &identity.0]))
    }

    /// Where a transfer was accepted in the receiver's log.
    fn accepted(&self, log: &LogId, identity: &Digest) -> Option<OwnEntry> {
        let answer = self.answer(log, identity);
        answer
            .filter(|answer| !answer.rejected)
            .map(|answer| answer.at)
    }

    /// What passed between two homes, as the first booked it.
    fn clearing(&self, log: &LogId, other: &LogId) -> ClearingRow {
        let row = self.typed(&key(Table::Clearing, &[&log.0, &other.0]));
        row.unwrap_or_default()
    }

    /// Up to where `log` is an ancestor of vertices of `witness`.
    fn witness(&self, log: &LogId, witness: &LogId) -> Option<WitnessRow> {
        self.typed(&key(Table::Witness, &[&log.0, &witness.0]))
    }

    /// Where a submission that is not a transfer or acceptance stands.
    fn submission(&self, log: &LogId, identity: &Digest) -> Option<OwnEntry> {
        self.typed(&key(Table::Submission, &[&log.0, &identity.0]))
    }

    /// The vertex at a position.
    fn vertex_at(&self, log: &LogId, epoch: u64, seq: u64) -> Option<BlockId> {
        self.typed(&position_key(log, epoch, seq))
    }

    /// The position of an epoch's first vertex.
    fn first_of_epoch(&self, log: &LogId, epoch: u64) -> Option<u64> {
        if epoch == 1 {
            return Some(1);
        }
        self.epoch(log, epoch).map(|first| first.seq)
    }

    /// The first vertex of an epoch after the first.
    fn epoch(&self, log: &LogId, epoch: u64) -> Option<EpochRow> {
        self.typed(&key(Table::Epoch, &[&log.0, &epoch.to_be_bytes()]))
    }

    /// A charter after the first.
    fn charter(&self, log: &LogId, charter: &Digest) -> Option<CharterRow> {
        self.typed(&key(Table::Charter, &[&log.0, &charter.0]))
    }

    /// The epoch in which a position stands, on the chain whose newest epoch is `newest`.
    fn epoch_of(&self, log: &LogId, newest: u64, seq: u64) -> u64 {
        let begun = |epoch: &u64| {
            let first = self.first_of_epoch(log, *epoch);
            first.is_some_and(|first| first <= seq)
        };
        (2..=newest).rev().find(begun).unwrap_or(1)
    }

    /// The vertex at a position of the chain whose newest epoch is `newest`.
    fn vertex_on_chain(&self, log: &LogId, newest: u64, seq: u64) -> Option<BlockId> {
        self.vertex_at(log, self.epoch_of(log, newest, seq), seq)
    }

    /// A verified header.
    fn vertex(&self, id: &BlockId) -> Option<VertexRow> {
        self.typed(&key(Table::Vertex, &[id.digest()]))
    }

    /// Where a log's newest `trust` entry stands.
    fn trust_entry(&self, log: &LogId) -> Option<OwnEntry> {
        self.typed(&key(Table::Trust, &[&log.0]))
    }

    /// What a log has under a key of the board, by the key's name.
    fn note(&self, log: &LogId, name: &Digest) -> Option<NoteRow> {
        self.typed(&key(Table::Note, &[&log.0, &name.0]))
    }

    /// How much a log has on the board.
    fn notes(&self, log: &LogId) -> NotesRow {
        self.typed(&key(Table::Notes, &[&log.0]))
            .unwrap_or_default()
    }

    /// How many vertices the longest way back from a vertex with this header has, itself among them.
    fn depth_of(&self, header: &Header) -> u64 {
        let before = std::iter::once(&header.prev).chain(&header.parents);
        let depths = before.filter_map(|id| self.vertex(id));
        1 + depths.map(|row| row.depth).max().unwrap_or(0)
    }

    /// The cut up to which `log` accepts cites of `accused` in this epoch, if it entered a fault.
    fn fault_cut(&self, log: &LogId, accused: &LogId, epoch: u64) -> Option<u64> {
        self.typed(&key(
            Table::FaultEntry,
            &[&log.0, &accused.0, &epoch.to_be_bytes()],
        ))
    }

    /// Proof of an equivocation that this node holds.
    fn fault(&self, log: &LogId, epoch: u64) -> Option<FaultRow> {
        self.typed(&key(Table::Fault, &[&log.0, &epoch.to_be_bytes()]))
    }

    /// The vertex of a log that broke a rule.
    fn invalid(&self, log: &LogId, epoch: u64) -> Option<BlockId> {
        self.typed(&key(Table::Invalid, &[&log.0, &epoch.to_be_bytes()]))
    }

    /// The entry at a position of a log.
    fn entry(&self, log: &LogId, at: &OwnEntry) -> Option<Entry> {
        let vertex = self.vertex(&self.vertex_at(log, at.epoch, at.seq)?)?;
        entry_of_body(
            &self.get_block(&vertex.body)?,
            usize::try_from(at.index).ok()?,
        )
    }

    /// What a transfer's sender signed. The transfer's identity is the hash of that, so the block around it, up to 256
    /// entries, is hashed only if it does not hold what it should, to have the damage noticed.
    fn transfer_body(&self, log: &LogId, at: &OwnEntry, transfer: &Digest) -> Option<Vec<u8>> {
        let vertex = self.vertex(&self.vertex_at(log, at.epoch, at.seq)?)?;
        let index = usize::try_from(at.index).ok()?;
        let block = self.get_unchecked_block(&vertex.body);
        let body = block.and_then(|block| Some(entry_of_body(&block, index)?.body));
        let is_it = |body: &Vec<u8>| identity(Transfer::TAG, body) == *transfer;
        body.filter(is_it).or_else(|| {
            let entry = self.entry(log, at)?;
            // What was adopted stands in what the adoption cites.
            let cited = entry.cites.into_iter().filter_map(|cite| match cite {
                Cite::Entry(cite) => Some(cite.body),
                _ => None,
            });
            std::iter::once(entry.body).chain(cited).find(is_it)
        })
    }

    /// What is left of the entry at a position of a log, if its body was pruned.
    fn entry_stub(&self, log: &LogId, at: &OwnEntry) -> Option<EntryStub> {
        let vertex = self.vertex(&self.vertex_at(log, at.epoch, at.seq)?)?;
        let entries = self.get_stub(&vertex.body)?.entries;
        entries.into_iter().nth(usize::try_from(at.index).ok()?)
    }

    /// The entries of a stored body that was found valid, or what is left of them.
    fn stored_entries(&self, body: &BlockId) -> Option<Vec<(Entry, Known)>> {
        if let Some(bytes) = self.get_block(body) {
            let entries = decode_stored_body(&bytes).ok()?.into_iter();
            let with_known = |entry| {
                let known = Known::stored(&entry);
                (entry, known)
            };
            return Some(entries.map(with_known).collect());
        }
        let stub = self.get_stub(body)?;
        Some(stub.entries.into_iter().map(Known::pruned).collect())
    }
}

impl Rows for Layers<'_> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        match self.layers().find_map(|changes| changes.rows.get(key)) {
            Some(value) => value.clone(),
            None => self.history.row(key),
        }
    }

    fn get_block(&self, id: &BlockId) -> Option<Vec<u8>> {
        let pending = self
            .layers()
            .find_map(|changes| changes.blocks.iter().find(|(block, _)| block == id));
        match pending {
            Some((_, bytes)) => Some(bytes.clone()),
            None => self.history.block(id),
        }
    }

    fn get_unchecked_block(&self, id: &BlockId) -> Option<Vec<u8>> {
        let pending = self
            .layers()
            .any(|changes| changes.blocks.iter().any(|(block, _)| block == id));
        if pending {
            self.get_block(id)
        } else {
            self.history.unchecked_block(id)
        }
    }

    fn get_stub(&self, body: &BlockId) -> Option<Stub> {
        self.history.stub(body)
    }
}

impl Rows for dyn History + '_ {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.row(key)
    }

    fn get_block(&self, id: &BlockId) -> Option<Vec<u8>> {
        self.block(id)
    }

    fn get_unchecked_block(&self, id: &BlockId) -> Option<Vec<u8>> {
        self.unchecked_block(id)
    }

    fn get_stub(&self, body: &BlockId) -> Option<Stub> {
        self.stub(body)
    }
}
