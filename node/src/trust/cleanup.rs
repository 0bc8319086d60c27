//! What is over, taken away at an operator's word: in one record, so that the fold is without it after a restart, too.

use city_protocol::amount::Timestamp;
use libp2p::PeerId;

use super::config::{asked_of, given_name_of, recommended_of};
use super::error::ChangeError;
use super::fold::Fold;
use super::keeper::Keeper;
use super::record::{Decision, Record};
use crate::keys::PrivatePlace;

/// What was over and is taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Peers whose entry, made by an operator, had expired.
    pub entries: Vec<String>,
    /// Recommendations that had ended, or whose recommender went with its entry: others' and this node's.
    pub recommendations: usize,
    /// Requests to be listed that had waited too long.
    pub requests: usize,
    /// Node certificates that had ended, or whose node went with its entry.
    pub certificates: usize,
    /// Signed messages of peers that are too old to be taken again, so need not be remembered.
    pub messages: usize,
}

impl Cleaned {
    /// What goes out of the fold at this time.
    fn of(fold: &Fold, after: &Fold, now: Timestamp) -> Self {
        let certificates = |fold: &Fold| -> usize {
            let held = fold.listed.values().flat_map(|listed| &listed.keys);
            held.count()
        };
        let said = |fold: &Fold| fold.recommended.len() + fold.own.len();
        Self {
            entries: entries_over(fold, now).cloned().collect(),
            recommendations: said(fold) - said(after),
            requests: fold.pending.len() - after.pending.len(),
            certificates: certificates(fold) - certificates(after),
            messages: 0,
        }
    }

    /// Whether the fold changes.
    const fn is_nothing(&self) -> bool {
        self.entries.is_empty()
            && self.recommendations == 0
            && self.requests == 0
            && self.certificates == 0
    }
}

impl Keeper {
    /// Takes away what is over; durable when this returns. Waits for the disk.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn clean_up(&self, now: Timestamp, by: &str) -> Result<Cleaned, ChangeError> {
        let changing = self.changing();
        // First: where this cannot be written, nothing is taken away.
        let messages = self.forget_messages(now)?;
        let mut cleaned = self.fold(|fold| Cleaned::of(fold, &cleaned_up(fold, now), now));
        if !cleaned.is_nothing() {
            let own = self.own().to_string();
            self.decide(&changing, Record::of(Decision::Cleanup, &own, now, by))?;
            for peer in &cleaned.entries {
                let until = self.listed(peer).map(|listed| listed.expires_at());
                if let Ok(id) = peer.parse::<PeerId>() {
                    self.admit(id, until);
                }
            }
        }
        cleaned.messages = messages;
        Ok(cleaned)
    }
}

fn cleaned_up(fold: &Fold, now: Timestamp) -> Fold {
    let mut after = fold.clone();
    // Who took it away is not looked at.
    after.clean_up(now, "");
    after
}

fn entries_over(fold: &Fold, now: Timestamp) -> impl Iterator<Item = &String> {
    let listed = fold.listed.iter();
    let over = listed.filter(move |(_, listed)| {
        let entry = listed.operator.as_ref();
        entry.is_some_and(|entry| entry.is_over(now))
    });
    over.map(|(peer, _)| peer)
}

/// Where names stand that belong to nobody any more when what is over at this time is taken away.
pub(super) fn names_over(fold: &Fold, now: Timestamp) -> Vec<PrivatePlace> {
    let after = cleaned_up(fold, now);
    let asked = fold.pending.keys();
    let asked = asked.filter(|peer| {
        // An ignored peer's name stands in the same place.
        !after.pending.contains_key(*peer) && !after.ignored.contains_key(*peer)
    });
    let others = fold.recommended.keys();
    let others = others.filter(|said| !after.recommended.contains_key(said));
    let own = fold
        .own
        .keys()
        .filter(|peer| !after.own.contains_key(*peer));
    entries_over(fold, now)
        .map(|peer| given_name_of(peer))
        .chain(asked.flat_map(|peer| asked_of(peer)))
        .chain(others.map(|(peer, by)| recommended_of(peer, Some(by))))
        .chain(own.map(|peer| recommended_of(peer, None)))
        .collect()
}
