//! The rule of `trust`: its form alone. Lists of revoked certificates are for admission; no verdict about the past asks
//! them. Where a log's newest entry stands is kept, for who admits by it.

use super::checks::{Folded, plain};
use super::fold::Fold;
use super::rows::{Table, key};
use crate::body::Trust;
use crate::vertex::Entry;

impl Fold {
    pub(super) fn trust(&mut self, entry: &Entry) -> Folded {
        Trust::read(&entry.body)?;
        plain(entry)?;
        let at = self.next_position();
        self.changes.put(key(Table::Trust, &[&self.log.0]), &at);
        Ok(())
    }
}
