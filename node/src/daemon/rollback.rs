//! Whether the own log may be extended in this run: never at a position that may have been signed before.
//!
//! The high-water mark in the data directory says how far the own log ever was. It is compared with what the index
//! holds once everything readable was folded, so where blocks stand, and what recovery or a rebuild moved, does
//! not matter; when the log was fetched or restored, the next start sees that by itself.
//!
//! An old copy of the whole directory has an old mark, too: that is noticed by the TPM's counter (`counter`), or by what peers
//! say before the first signature of the run (`city_protocol::replica`, [`Confirmation`]).

use std::sync::Arc;

use city_protocol::ids::LogId;
use city_protocol::ledger::{History, LogRow, Rows as _, Table, key, try_read_row};
use city_protocol::replica::Confirmation;
use city_protocol::vertex::SignedHeader;

use super::open::OpenError;
use crate::config::Config;
use crate::engine::{Hold, StoreHistory, high_water_of};
use crate::store::{HighWater, Position, ReadError, Store, StoreError};

/// Key of the index's row of a log.
pub(super) fn row_key(log: &LogId) -> Vec<u8> {
    key(Table::Log, &[&log.0])
}

/// Whether this directory was made by `init` and its log was not begun: there is nothing newer of it anywhere.
pub(super) fn is_first_start(store: &Arc<Store>, log: &LogId) -> Result<bool, OpenError> {
    let history = StoreHistory::new(Arc::clone(store));
    let history: &dyn History = &history;
    let never_begun = store.notes().never_begun().map_err(OpenError::Notes)?;
    Ok(never_begun && history.log(log).is_none())
}

/// What is known of the own log where neither this directory nor a counter tells: nothing, until a peer is heard.
pub(super) const fn unconfirmed(config: &Config, peers: bool) -> Confirmation {
    Confirmation::Unconfirmed {
        wait_ms: if peers {
            config.home.confirm_wait_s * 1000
        } else {
            0
        },
        limit: config.home.unconfirmed_limit,
    }
}

/// Raises the mark to what an index knew that was set aside because the log does not reach it.
pub(super) fn remember_kept(store: &Store) -> Result<(), OpenError> {
    let row = store.notes().kept_row().map_err(OpenError::Notes)?;
    raise(store, row)?;
    store.notes().forget_row().map_err(OpenError::Notes)
}

/// Raises the mark to what the index knows, before it is set aside.
pub(super) fn remember(store: &Store, log: &LogId) -> Result<(), OpenError> {
    raise(store, store.get(&row_key(log))?)
}

fn raise(store: &Store, row: Option<Vec<u8>>) -> Result<(), OpenError> {
    // A row that cannot be read is no witness.
    match row.and_then(|row| try_read_row::<LogRow>(&row)) {
        Some(row) => store
            .notes()
            .raise(&high_water_of(&row))
            .map_err(OpenError::Notes),
        None => Ok(()),
    }
}

/// Decides, with the index up to date. Notes that do not hold any more are cleared.
pub(super) fn judge(
    store: &Arc<Store>,
    log: &LogId,
    damaged: bool,
) -> Result<Option<Hold>, OpenError> {
    let history = StoreHistory::new(Arc::clone(store));
    let history: &dyn History = &history;
    let notes = store.notes();
    let row = history.log(log);
    let bad = if damaged {
        survey(store, log)?
    } else {
        Vec::new()
    };
    let mark = notes.high_water().map_err(OpenError::Notes)?;
    let whole = match (&row, &mark) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(row), Some(mark)) => {
            let at = |mark: &HighWater| history.vertex_at(log, mark.epoch, mark.seq);
            // A frozen log stands at its cut, and is not extended anyway.
            row.frozen.is_some()
                // What the mark knows was closed by the officers, at a cut that may be lower.
                || row.epoch > mark.epoch
                || (row.epoch, row.seq) >= (mark.epoch, mark.seq)
                    && mark.head.is_some_and(|head| at(mark) == Some(head))
        }
    };
    let ledger = store.ledger();
    if !whole {
        // The damage may have been met only now, by folding.
        if let Some(at) = bad.first() {
            ledger.note_damage(*at).map_err(StoreError::Log)?;
        }
        let readable = mark.is_some_and(|mark| mark.head.is_some());
        return Ok(Some(match (damaged, row) {
            (true, _) => Hold::Damaged,
            (false, None) => {
                // The mark may be a moment behind: only peers can tell when all of it is here again.
                notes.note_gone().map_err(OpenError::Notes)?;
                Hold::Gone
            }
            (false, Some(_)) if !readable => Hold::Mark,
            (false, Some(_)) => Hold::Lost,
        }));
    }
    if damaged {
        // The index was made from what can be read, and the own log is whole in it.
        ledger.note_repaired(&bad).map_err(StoreError::Log)?;
        ledger.clear_damage().map_err(StoreError::Log)?;
        tracing::warn!("the own log is whole in spite of the damage: going on");
    }
    let begun = match row {
        Some(row) => {
            // On a full disk the engine tries again each second.
            if let Err(error) = notes.raise(&high_water_of(&row)) {
                tracing::warn!(%error, "HIGHWATER could not be written");
            }
            notes.begun()
        }
        None if notes.never_begun().map_err(OpenError::Notes)? => return Ok(None),
        None => notes.note_gone(),
    };
    begun.map_err(OpenError::Notes)?;
    let gone = notes.is_gone().map_err(OpenError::Notes)?;
    Ok(gone.then_some(Hold::Gone))
}

/// At a terminal, which signs nothing: what cannot be read is fetched again from its home, whatever log it is of.
pub(super) fn go_on(store: &Arc<Store>, log: &LogId, damaged: bool) -> Result<(), OpenError> {
    if damaged {
        let (bad, ledger) = (survey(store, log)?, store.ledger());
        ledger.note_repaired(&bad).map_err(StoreError::Log)?;
        ledger.clear_damage().map_err(StoreError::Log)?;
        tracing::warn!("the ledger is damaged: what cannot be read is fetched again");
    }
    Ok(())
}

/// Looks through the whole of a damaged log: the places that are bad, and own headers whose vertices could not be
/// folded, which the mark may not know of yet.
fn survey(store: &Store, log: &LogId) -> Result<Vec<Position>, OpenError> {
    let mut bad = Vec::new();
    let mut highest: Option<HighWater> = None;
    for block in store.blocks_from(Position::START) {
        let block = match block {
            Ok(block) => block,
            Err(ReadError::Damaged(at)) => {
                bad.push(at);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let Ok(header) = SignedHeader::read(&block.bytes) else {
            continue;
        };
        let h = &header.header;
        if h.log == *log && highest.is_none_or(|high| (high.epoch, high.seq) < (h.epoch, h.seq)) {
            highest = Some(HighWater {
                epoch: h.epoch,
                seq: h.seq,
                head: Some(header.id),
            });
        }
    }
    if let Some(highest) = highest {
        store.notes().raise(&highest).map_err(OpenError::Notes)?;
    }
    Ok(bad)
}
