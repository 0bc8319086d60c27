//! The counter outside of the data directory (DESIGN §6.9): a directory that was put back from an old copy shows less
//! than it, and is not believed.
//!
//! It is moved with the first own vertex of a run, before that is visible, and afterwards at most each quarter of an
//! hour. What it will show is noted before it moves: a cut between the two leaves a note that is one ahead, never one
//! behind.

use std::time::{Duration, Instant};

use crate::store::Store;

/// How often it is moved at most: a TPM's memory wears out after some hundred thousand writes, at this pace in three
/// years without a pause.
const MOVE_EVERY: Duration = Duration::from_secs(15 * 60);

/// A counter that nobody can turn back.
pub trait Counter: Send {
    /// What it shows; none if it was never made.
    ///
    /// # Errors
    /// Why it could not be read, for people.
    fn read(&mut self) -> Result<Option<u64>, String>;

    /// Makes it; gives what it shows then.
    ///
    /// # Errors
    /// Why it could not be made.
    fn make(&mut self) -> Result<u64, String>;

    /// Moves it by one; gives what it shows then.
    ///
    /// # Errors
    /// Why it could not be moved.
    fn count(&mut self) -> Result<u64, String>;
}

/// What the counter says about a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterVerdict {
    /// There was none, and it was not noted: the first start with it.
    First,
    /// The directory is the newest.
    Agrees,
    /// The directory is an older copy.
    RolledBack,
    /// It is another counter: the TPM was cleared or exchanged, which says nothing about the directory.
    Other,
}

/// Compares what the counter shows with what the directory notes.
#[must_use]
pub const fn compare(shown: Option<u64>, noted: Option<u64>) -> CounterVerdict {
    match (shown, noted) {
        (None, None) => CounterVerdict::First,
        // Made, and cut off before it was noted; or the note was taken away with an old copy.
        (Some(_), None) => CounterVerdict::RolledBack,
        (None, Some(_)) => CounterVerdict::Other,
        (Some(shown), Some(noted)) => {
            if noted < shown {
                CounterVerdict::RolledBack
            } else if noted <= shown + 1 {
                CounterVerdict::Agrees
            } else {
                CounterVerdict::Other
            }
        }
    }
}

/// Moves the counter while the node runs.
pub(super) struct Mover {
    counter: Option<Box<dyn Counter>>,
    moved_at: Option<Instant>,
}

impl Mover {
    pub(super) const fn new(counter: Option<Box<dyn Counter>>) -> Self {
        Self {
            counter,
            moved_at: None,
        }
    }

    /// Whether it moves with the next own vertex.
    pub(super) fn is_due(&self) -> bool {
        self.counter.is_some() && self.moved_at.is_none_or(|at| at.elapsed() >= MOVE_EVERY)
    }

    /// An own vertex became durable, and is not visible yet.
    pub(super) fn appended(&mut self, store: &Store) {
        if !self.is_due() {
            return;
        }
        let Some(counter) = &mut self.counter else {
            return;
        };
        self.moved_at = Some(Instant::now());
        if let Err(why) = advance(&mut **counter, store) {
            // Tried again in a quarter of an hour: until then an old copy of this run is not noticed.
            tracing::error!(why, "the TPM's counter could not be moved");
        }
    }
}

fn advance(counter: &mut dyn Counter, store: &Store) -> Result<(), String> {
    let shown = counter.read()?.ok_or("it is gone")?;
    let notes = store.notes();
    notes
        .note_counter(shown + 1)
        .map_err(|error| format!("COUNTER: {error}"))?;
    counter.count()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_copy_shows_less_than_the_counter() {
        use CounterVerdict::{Agrees, First, Other, RolledBack};
        let check = |shown, noted, expected| {
            assert_eq!(compare(shown, noted), expected, "{shown:?} {noted:?}");
        };
        check(None, None, First);
        check(Some(7), Some(7), Agrees);
        // Cut off between the note and the move.
        check(Some(7), Some(8), Agrees);
        check(Some(7), Some(6), RolledBack);
        check(Some(7), Some(0), RolledBack);
        check(Some(7), None, RolledBack);
        check(Some(7), Some(9), Other);
        check(None, Some(3), Other);
        check(Some(u64::MAX), Some(3), RolledBack);
    }
}
