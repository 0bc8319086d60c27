//! What lies under the pending rows: sled, and the shelves below it, as one thing that is exchanged at once.

use std::path::PathBuf;
use std::sync::{Arc, RwLock};

use super::shelf::{Shelf, ShelfError, ShelfRange};
use super::young::Young;
use super::{IndexError, list};
use crate::store::files::Files;

/// Where an index stands.
pub(super) struct Place {
    pub(super) files: Arc<dyn Files>,
    /// The index's own directory.
    pub(super) dir: PathBuf,
}

impl Place {
    /// A shelf that cannot be read is never believed again: the next start makes the index anew.
    pub(super) fn unreadable(&self, error: ShelfError) -> IndexError {
        if let Err(error) = list::disown(&*self.files, &self.dir) {
            tracing::error!(%error, "a shelf is damaged, and that could not be noted: remove the index");
        }
        IndexError::Failed(Box::new(error))
    }
}

/// One state of it.
#[derive(Clone)]
pub(super) struct Under {
    pub(super) young: Arc<Young>,
    /// The oldest first.
    pub(super) shelves: Vec<Arc<Shelf>>,
}

/// The state as it is now.
pub(super) struct Base {
    pub(super) place: Arc<Place>,
    now: RwLock<Arc<Under>>,
}

impl Base {
    pub(super) fn new(place: Arc<Place>, under: Under) -> Self {
        Self {
            place,
            now: RwLock::new(Arc::new(under)),
        }
    }

    pub(super) fn now(&self) -> Arc<Under> {
        let now = self.now.read().expect("no holder panics");
        Arc::clone(&now)
    }

    /// Only its writer changes it.
    pub(super) fn set(&self, under: Under) {
        let before = {
            let mut now = self.now.write().expect("no holder panics");
            std::mem::replace(&mut *now, Arc::new(under))
        };
        // A sled may close here: not under the lock.
        drop(before);
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        let under = self.now();
        if let Some(value) = under.young.get(key)? {
            return Ok(value);
        }
        for shelf in under.shelves.iter().rev() {
            let found = shelf.get(key);
            if let Some(value) = found.map_err(|error| self.place.unreadable(error))? {
                return Ok(value);
            }
        }
        Ok(None)
    }
}

/// A part of a shelf, and who is to know if it is damaged.
pub(super) struct Part {
    range: ShelfRange,
    place: Arc<Place>,
}

impl Part {
    pub(super) fn new(range: ShelfRange, place: &Arc<Place>) -> Self {
        Self {
            range,
            place: Arc::clone(place),
        }
    }

    pub(super) fn next(&mut self) -> Option<Result<super::Row, IndexError>> {
        let next = self.range.next()?;
        Some(next.map_err(|error| self.place.unreadable(error)))
    }

    pub(super) fn next_back(&mut self) -> Option<Result<super::Row, IndexError>> {
        let next = self.range.next_back()?;
        Some(next.map_err(|error| self.place.unreadable(error)))
    }
}
