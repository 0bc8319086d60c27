//! The rule of `trust`: its form alone. Lists of revoked certificates are for admission; no verdict about the past asks
//! them.

use super::checks::{Folded, plain};
use super::fold::Fold;
use crate::body::Trust;
use crate::vertex::Entry;

impl Fold {
    pub(super) fn trust(&self, entry: &Entry) -> Folded {
        Trust::read(&entry.body)?;
        Ok(plain(entry)?)
    }
}
