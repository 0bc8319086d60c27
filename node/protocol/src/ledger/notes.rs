//! The rule of `note`, and what stands on the board: of one key in several logs that counts whose vertex has most behind
//! it, and of two alike that of the higher log id.

use std::collections::BTreeMap;

use super::checks::{Folded, plain};
use super::fold::{Fold, FoldContext};
use super::rows::{NoteRow, Table, key};
use super::view::{History, Rows, read_row};
use crate::body::Note;
use crate::ids::{Digest, LogId, sha256};
use crate::refusal::Refusal;
use crate::vertex::Entry;

/// Most keys of one log, deleted ones among them: a checkpoint has a leaf for each, of at most 400 bytes.
pub const MAX_NOTES: u64 = 4096;
/// Most bytes of the values that stand in one log: what a node with every municipality of a prefecture can hold twice.
pub const MAX_NOTES_BYTES: u64 = 16 * 1024 * 1024;
/// Rows read at once.
const PAGE: usize = 1024;

impl Fold {
    pub(super) fn note(&mut self, ctx: &FoldContext<'_>, entry: &Entry) -> Folded {
        let note = Note::read(&entry.body)?;
        plain(entry)?;
        if !note.may_be_of(ctx.authority.region()) {
            return Err(Refusal::NoteKey.into());
        }
        let rows = self.rows(ctx);
        let name = note_name(note.key.as_str());
        let before = rows.note(&self.log, &name);
        let mut sums = rows.notes(&self.log);
        sums.count += u64::from(before.is_none());
        sums.bytes -= before.map_or(0, |row| row.bytes);
        sums.bytes += note.bytes() as u64;
        if sums.count > MAX_NOTES || sums.bytes > MAX_NOTES_BYTES {
            return Err(Refusal::NotesFull.into());
        }
        let row = NoteRow {
            bytes: note.bytes() as u64,
            gone: note.value.is_none(),
            key: note.key,
            at: self.next_position(),
        };
        self.changes
            .put(key(Table::Note, &[&self.log.0, &name.0]), &row);
        self.changes.put(key(Table::Notes, &[&self.log.0]), &sums);
        Ok(())
    }
}

/// By what a key is found: SHA-256 of its bytes, because keys of the index are short.
#[must_use]
pub fn note_name(key: &str) -> Digest {
    Digest(sha256(&[key.as_bytes()]))
}

/// What counts under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteFound {
    /// In whose log.
    pub log: LogId,
    /// What the log has of it; it may be deleted.
    pub row: NoteRow,
    /// How many vertices the longest way back from it has, itself among them, as far as this node knows them.
    pub depth: u64,
}

impl NoteFound {
    fn of(history: &dyn History, log: LogId, row: NoteRow) -> Self {
        let vertex = history.vertex_at(&log, row.at.epoch, row.at.seq);
        let depth = vertex.and_then(|id| history.vertex(&id));
        Self {
            log,
            row,
            depth: depth.map_or(0, |vertex| vertex.depth),
        }
    }

    /// By this the largest counts.
    const fn order(&self) -> (u64, LogId) {
        (self.depth, self.log)
    }

    /// The value, if its body is here; none where it is deleted.
    #[must_use]
    pub fn value(&self, history: &dyn History) -> Option<Vec<u8>> {
        let body = history.entry(&self.log, &self.row.at)?.body;
        Some(Note::read(&body).ok()?.value?.into_vec())
    }
}

/// What counts under a key over these logs.
#[must_use]
pub fn note_of(history: &dyn History, logs: &[LogId], key: &str) -> Option<NoteFound> {
    let name = note_name(key);
    let found = logs.iter().filter_map(|log| {
        let row = history.note(log, &name)?;
        Some(NoteFound::of(history, *log, row))
    });
    found.max_by_key(NoteFound::order)
}

/// What counts under the keys with this prefix that come after `after`, in order of the keys, deleted ones among them:
/// at most `limit`, and whether there are more. Reads every note of these logs.
#[must_use]
pub fn notes_of(
    history: &dyn History,
    logs: &[LogId],
    prefix: &str,
    after: &str,
    limit: usize,
) -> (Vec<NoteFound>, bool) {
    let mut found: BTreeMap<String, NoteFound> = BTreeMap::new();
    let mut more = false;
    for log in logs {
        let table = key(Table::Note, &[&log.0]);
        let mut last: Option<Vec<u8>> = None;
        loop {
            let page = history.rows(&table, last.as_deref(), PAGE);
            for (_, value) in &page {
                let row: NoteRow = read_row(value);
                let name = row.key.as_str();
                if !name.starts_with(prefix) || name <= after {
                    continue;
                }
                let name = name.to_owned();
                let note = NoteFound::of(history, *log, row);
                let known = found.get(&name).map(NoteFound::order);
                if known.is_none_or(|known| known < note.order()) {
                    found.insert(name, note);
                }
                // What goes can only be followed by what goes, too: no key below it is left out.
                if found.len() > limit {
                    found.pop_last();
                    more = true;
                }
            }
            if page.len() < PAGE {
                break;
            }
            last = page.into_iter().last().map(|(name, _)| name);
        }
    }
    (found.into_values().collect(), more)
}
