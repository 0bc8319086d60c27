//! How much of a log is followed: the operator's policy by region, and which logs are followed whole whatever it says, because this
//! home has to do with them or they are convicted. `headers` follows the others.

use std::collections::BTreeSet;

use super::{Replica, head_rows};
use crate::ids::{BlockId, LogId};
use crate::ledger::{ClearingRow, HeadersRow, History, IncomingRow, Rows, Table, key, read_row};
use crate::region::{Region, RegionPrefix, closest};
use crate::sync::MAX_FRONTIER;

/// Most regions with a follow policy of their own.
pub const MAX_FOLLOW_POLICIES: usize = 256;

/// How a log is followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FollowPolicy {
    /// Headers and bodies: every rule is checked.
    #[default]
    Full,
    /// Headers only, as long as nobody here has to do with it.
    Headers,
}

impl FollowPolicy {
    /// Its name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Headers => "headers",
        }
    }
}

impl std::str::FromStr for FollowPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "full" => Ok(Self::Full),
            "headers" => Ok(Self::Headers),
            other => Err(format!("{other} is no policy: full or headers")),
        }
    }
}

/// The policy of `[follow]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Follow {
    /// For every region that is not named.
    pub policy: FollowPolicy,
    /// Others by region; the longest prefix counts.
    pub policies: Vec<(RegionPrefix, FollowPolicy)>,
}

impl Follow {
    /// The policy for the log of this municipality.
    #[must_use]
    pub fn policy_of(&self, region: &Region) -> FollowPolicy {
        let said = closest(&self.policies, region).copied();
        said.unwrap_or(self.policy)
    }

    /// Whether any log may be followed by its headers.
    #[must_use]
    pub fn has_headers(&self) -> bool {
        let mut all = self.policies.iter().map(|(_, policy)| *policy);
        self.policy == FollowPolicy::Headers || all.any(|policy| policy == FollowPolicy::Headers)
    }
}

/// Which logs are followed whole although the policy says otherwise, and which lack bodies that are wanted.
#[derive(Debug, Default)]
pub(super) struct Following {
    pub(super) follow: Follow,
    /// Logs that this home has to do with in this run, or that stand still.
    pub(super) whole: BTreeSet<LogId>,
    /// Logs whose headers go on behind what is folded, although they are to be followed whole.
    pub(super) lacking: BTreeSet<LogId>,
}

impl Following {
    pub(super) fn new(follow: Follow) -> Self {
        Self {
            follow,
            ..Self::default()
        }
    }
}

impl Replica {
    /// The same with another policy of what is followed than all of everything.
    #[must_use]
    pub fn with_follow(self, follow: Follow) -> Self {
        Self {
            following: Following::new(follow),
            ..self
        }
    }

    /// Whether a log is followed by its headers alone. Its first vertex is always folded.
    pub(super) fn by_headers(&self, log: &LogId) -> bool {
        let Following {
            follow,
            whole,
            lacking,
        } = &self.following;
        let Some(authority) = self.authorities.0.get(log) else {
            return false;
        };
        follow.policy_of(authority.region()) == FollowPolicy::Headers
            && *log != self.home.log()
            && !whole.contains(log)
            && !lacking.contains(log)
            && !self.is_witness_of(log)
            && !self.home.authority.witnesses().contains(log)
    }

    /// What a hello says of that: the logs that are followed whole, or nothing where all are.
    pub(super) fn followed_whole(&self) -> Vec<LogId> {
        if !self.following.follow.has_headers() {
            return Vec::new();
        }
        let known = self.authorities.0.keys().copied();
        let whole = known.filter(|log| !self.by_headers(log));
        whole.take(MAX_FRONTIER).collect()
    }

    /// Which logs this home has to do with, and which of those end at a header.
    pub(super) fn recall_followed(&mut self, history: &dyn History) {
        self.following.lacking.clear();
        if self.following.follow.has_headers() {
            let partners = self.partners(history);
            self.following.whole.extend(partners);
        }
        for (log, row) in head_rows(history) {
            if row.frozen.is_some() {
                self.following.whole.insert(log);
            }
            let headers = history.headers(&log);
            if headers.is_some_and(|headers| headers.wanted || !self.by_headers(&log)) {
                self.following.lacking.insert(log);
            }
        }
    }

    /// The logs that owe this home, or are owed.
    fn partners(&self, history: &dyn History) -> BTreeSet<LogId> {
        let own = self.home.log();
        let mut found = BTreeSet::new();
        let ended = |name: &[u8]| name.last_chunk::<32>().copied().map(LogId);
        for (name, value) in self.all_rows(&key(Table::Clearing, &[&own.0]), history) {
            let row: ClearingRow = read_row(&value);
            found.extend(ended(&name).filter(|_| row != ClearingRow::default()));
        }
        for (_, value) in self.all_rows(&key(Table::Open, &[&own.0]), history) {
            found.insert(read_row::<LogId>(&value));
        }
        for (_, value) in self.all_rows(&key(Table::Incoming, &[&own.0]), history) {
            found.insert(read_row::<IncomingRow>(&value).log);
        }
        found
    }

    /// From here on a log is followed whole: its bodies are asked for from behind what is folded.
    pub(super) fn follow_whole(&mut self, log: LogId, history: &dyn History) {
        self.following.whole.insert(log);
        if let Some(headers) = self.layers(history).headers(&log) {
            self.following.lacking.insert(log);
            self.in_flight.remove(&log);
            if !headers.wanted {
                let wanted = true;
                let row = HeadersRow { wanted, ..headers };
                self.batch.put(key(Table::Headers, &[&log.0]), &row);
            }
        }
    }

    /// Somebody says that a log's officers began this epoch twice: where it is known by its headers only, its bodies tell.
    pub(super) fn fold_up_to(
        &mut self,
        log: &LogId,
        epoch: u64,
        beginning: Option<BlockId>,
        history: &dyn History,
    ) {
        let rows = self.layers(history);
        let folded = rows.log(log).map_or(epoch, |row| row.epoch);
        let another = rows
            .epoch(log, epoch)
            .is_some_and(|row| Some(row.id) != beginning);
        if folded < epoch && another {
            self.follow_whole(*log, history);
        }
    }

    /// The own log addresses these: what they answer is to be read.
    pub(super) fn follow_addressed(&mut self, to: &[LogId], history: &dyn History) {
        for log in to {
            if self.by_headers(log) {
                self.follow_whole(*log, history);
            }
        }
    }

    /// Whether the policy asks for a log's bodies.
    pub(super) fn is_to_be_whole(&self, log: &LogId) -> bool {
        let authority = self.authorities.0.get(log);
        authority.is_none_or(|authority| {
            self.following.follow.policy_of(authority.region()) == FollowPolicy::Full
        })
    }

    /// Whether a missing vertex's body is lacking behind its header: it is asked for with the others of its log.
    pub(super) fn comes_in_a_range(&self, id: &BlockId, history: &dyn History) -> bool {
        let vertex = self.layers(history).vertex(id);
        vertex.is_some_and(|vertex| self.following.lacking.contains(&vertex.log))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_region_has_its_policy() {
        let policies = [
            ("Asia/JP", FollowPolicy::Headers),
            ("Asia/JP/17", FollowPolicy::Full),
            ("Asia/JP/17/17407", FollowPolicy::Headers),
        ];
        let follow = Follow {
            policy: FollowPolicy::Full,
            policies: policies
                .map(|(prefix, policy)| (prefix.parse().unwrap(), policy))
                .into(),
        };
        let check = |region: &str, policy| {
            assert_eq!(follow.policy_of(&region.parse().unwrap()), policy);
        };
        check("Asia/JP/13/13101", FollowPolicy::Headers);
        check("Asia/JP/17/17201", FollowPolicy::Full);
        check("Asia/JP/17/17407", FollowPolicy::Headers);
        check("Europe/DE/BY/9162", FollowPolicy::Full);
        assert!(follow.has_headers());
        assert!(!Follow::default().has_headers());
    }
}
