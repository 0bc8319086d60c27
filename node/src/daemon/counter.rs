//! The TPM's counter at a start: whether this data directory is the newest, or an old copy that was put back.

use super::open::OpenError;
use crate::config::Config;
use crate::engine::{Counter, CounterVerdict, Hold, compare};
use crate::keys::KeystoreError;
use crate::store::Store;

/// What the counter says at a start.
pub(super) struct Counted {
    /// The counter, to be moved while the node runs.
    pub(super) counter: Option<Box<dyn Counter>>,
    /// What it shows, if it agrees: this directory is then known to be the newest.
    pub(super) confirmed: Option<u64>,
    /// Why nothing is signed because of it.
    pub(super) hold: Option<Hold>,
}

impl Counted {
    const fn held(hold: Hold) -> Self {
        Self {
            counter: None,
            confirmed: None,
            hold: Some(hold),
        }
    }
}

/// The counter that the configuration names.
///
/// # Errors
/// [`KeystoreError`] if this program has no TPM support, or the TPM's address is none.
pub(super) fn configured(config: &Config) -> Result<Option<Box<dyn Counter>>, KeystoreError> {
    match config.keys.tpm_counter {
        None => Ok(None),
        Some(index) => Ok(Some(crate::keys::counter(&config.keys.tpm, index)?)),
    }
}

/// Judges the directory, and notes what follows. Before anything is signed.
pub(super) fn judge(
    store: &Store,
    counter: Option<Box<dyn Counter>>,
) -> Result<Counted, OpenError> {
    let Some(mut counter) = counter else {
        return Ok(Counted {
            counter: None,
            confirmed: None,
            hold: None,
        });
    };
    let notes = store.notes();
    let shown = match counter.read() {
        Ok(shown) => shown,
        Err(why) => {
            tracing::error!(why, "the TPM's counter cannot be read");
            return Ok(Counted::held(Hold::Counter));
        }
    };
    let noted = notes.counter().map_err(OpenError::Notes)?;
    let verdict = match compare(shown, noted) {
        // A first start that was cut off between making the counter and noting what it shows.
        CounterVerdict::RolledBack
            if noted == Some(0) && notes.never_begun().map_err(OpenError::Notes)? =>
        {
            CounterVerdict::First
        }
        verdict => verdict,
    };
    let hold = match verdict {
        CounterVerdict::Agrees => None,
        CounterVerdict::RolledBack => {
            tracing::error!(?shown, ?noted, "an old data directory was put back");
            // Durable before it is forgotten why: from now on only peers can tell what the own log was.
            notes.note_gone().map_err(OpenError::Notes)?;
            Some(Hold::RolledBack)
        }
        CounterVerdict::Other => {
            tracing::warn!(
                ?shown,
                ?noted,
                "the TPM was cleared or is another one: its counter begins again"
            );
            None
        }
        CounterVerdict::First => None,
    };
    let shown = match (shown, verdict) {
        (Some(shown), _) => shown,
        (None, _) => {
            // Before it is made: a copy of this directory from before its first start has no such note, and is known by
            // that as soon as the counter is there.
            notes.note_counter(0).map_err(OpenError::Notes)?;
            match counter.make() {
                Ok(shown) => shown,
                Err(why) => {
                    tracing::error!(why, "the TPM's counter cannot be made");
                    return Ok(Counted::held(Hold::Counter));
                }
            }
        }
    };
    if verdict != CounterVerdict::Agrees {
        notes.note_counter(shown).map_err(OpenError::Notes)?;
    }
    Ok(Counted {
        counter: Some(counter),
        confirmed: (verdict == CounterVerdict::Agrees).then_some(shown),
        hold,
    })
}
