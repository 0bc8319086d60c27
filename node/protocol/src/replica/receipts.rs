//! Proofs out of what is stored: cites for the own log, receipts for submitters.

use std::sync::Arc;

use super::BookedEntry;
use crate::body::OwnEntry;
use crate::ids::{BlockId, Digest};
use crate::ledger::Rows;
use crate::vertex::{
    Authority, Cite, Entry, Receipt, SignedHeader, decode_stored_body, merkle_path, merkle_paths,
};

/// The entries of one stored vertex with their Merkle paths.
pub(super) struct VertexBody {
    pub(super) id: BlockId,
    entries: Vec<Entry>,
    paths: Vec<Vec<[u8; 32]>>,
}

impl VertexBody {
    pub(super) fn read(rows: &impl Rows, id: BlockId) -> Option<Self> {
        let row = rows.vertex(&id)?;
        let entries = decode_stored_body(&rows.get_block(&row.body)?).ok()?;
        let leaves: Vec<_> = entries.iter().map(Entry::leaf).collect();
        let (_, paths) = merkle_paths(&leaves);
        Some(Self { id, entries, paths })
    }

    /// The cite of the entry at this index, for another log.
    pub(super) fn cite(&self, index: u64) -> Option<Cite> {
        let i = usize::try_from(index).ok()?;
        Some(
            self.entries
                .get(i)?
                .to_cite(self.id, index, self.paths.get(i)?),
        )
    }
}

/// The receipt of an entry of this authority's log that is stored.
#[must_use]
pub fn stored_receipt(
    rows: &impl Rows,
    authority: &Authority,
    identity: Digest,
    at: OwnEntry,
) -> Option<BookedEntry> {
    let vertex = rows.vertex_at(&authority.log, at.epoch, at.seq)?;
    let row = rows.vertex(&vertex)?;
    let header = SignedHeader::read(&rows.get_block(&vertex)?).ok()?;
    let entries = decode_stored_body(&rows.get_block(&row.body)?).ok()?;
    let leaves: Vec<_> = entries.iter().map(Entry::leaf).collect();
    let index = usize::try_from(at.index).ok()?;
    let path = merkle_path(&leaves, index);
    let receipt = receipt(
        Arc::new(authority.entries(at.epoch, Some(header.header.charter))),
        &header,
        entries.into_iter().nth(index)?,
        at.index,
        &path,
    );
    Some(BookedEntry {
        identity,
        vertex,
        at,
        receipt,
        repeated: true,
    })
}

/// The receipt of one entry.
pub(super) fn receipt(
    authority: Arc<Vec<Entry>>,
    header: &SignedHeader,
    entry: Entry,
    index: u64,
    path: &[[u8; 32]],
) -> Receipt {
    Receipt {
        v: 1,
        authority,
        header: header.block.clone(),
        entry,
        index,
        path: path.iter().copied().map(Digest).collect(),
    }
}
