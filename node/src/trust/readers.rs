//! Who may connect only to read: who is listed by nobody, and recommended by enough peers that are listed for it. Pure.

use std::collections::BTreeMap;

use city_protocol::amount::Timestamp;
use city_protocol::region::Region;

use super::fold::Fold;
use super::record::Role;

/// A peer that may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    /// Until when, if nothing is taken back before.
    pub until: Timestamp,
    /// Who recommends it, in the order of their ids; some may be over before the others.
    pub by: Vec<String>,
    /// The municipality that its certificate has to name, if a recommendation names one.
    pub region: Option<Region>,
}

impl Fold {
    /// Until when what this peer recommends counts, if it is listed for that at all: the end of its permission, or none.
    fn recommends_until(&self, peer: &str) -> Option<Timestamp> {
        let entries = self.listed.get(peer)?.entries();
        let entries = entries.filter(|entry| entry.roles.contains(&Role::Recommend));
        let ends = entries.map(|entry| entry.expires_at.unwrap_or(Timestamp(u64::MAX)));
        ends.max()
    }

    /// Everybody who may read because at least `needed` listed peers recommend it; nobody where that is 0. Who is or was listed
    /// is no reader: its permission ended when an operator said so; nor is who is not heard. What is over already is among them,
    /// with its time.
    #[must_use]
    pub fn readers(&self, needed: u64) -> BTreeMap<String, Reader> {
        let needed = usize::try_from(needed).unwrap_or(usize::MAX);
        if needed == 0 {
            return BTreeMap::new();
        }
        let mut said: BTreeMap<&String, Vec<(Timestamp, &String)>> = BTreeMap::new();
        for ((about, by), word) in &self.recommended {
            if self.listed.contains_key(about) || self.ignored.contains_key(about) {
                continue;
            }
            if let Some(until) = self.recommends_until(by) {
                let until = until.min(word.expires_at);
                said.entry(about).or_default().push((until, by));
            }
        }
        let enough = said.into_iter().filter_map(|(about, mut words)| {
            // So long there are enough of them, because nothing begins later than now.
            words.sort_unstable_by(|a, b| b.cmp(a));
            let until = words.get(needed - 1)?.0;
            let mut by: Vec<String> = words.iter().map(|(_, by)| (*by).clone()).collect();
            by.sort_unstable();
            let regions = by.iter().filter_map(|by| {
                let word = self.recommended.get(&(about.clone(), by.clone()))?;
                word.region.clone()
            });
            let region = regions.into_iter().next();
            Some((about.clone(), Reader { until, by, region }))
        });
        enough.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::{Decision, Record};

    fn record(decision: Decision, peer: &str, until: Option<u64>) -> Record {
        Record {
            expires_at: until.map(Timestamp),
            ..Record::of(decision, peer, Timestamp(1), "hanako")
        }
    }

    fn lists(fold: &mut Fold, peer: &str, roles: &[Role], until: Option<u64>) {
        fold.take(Record {
            roles: roles.iter().copied().collect(),
            ..record(Decision::WhitelistAdd, peer, until)
        });
    }

    fn recommends(fold: &mut Fold, by: &str, about: &str, until: u64) {
        fold.take(Record {
            recommender: Some(by.into()),
            ..record(Decision::Recommend, about, Some(until))
        });
    }

    #[test]
    fn who_is_recommended_by_enough_reads_as_long_as_there_are_enough() {
        let both = [Role::Sync, Role::Recommend];
        let mut fold = Fold::default();
        lists(&mut fold, "a", &both, None);
        lists(&mut fold, "b", &both, Some(50));
        lists(&mut fold, "c", &[Role::Sync], None);
        for by in ["a", "b", "c", "nobody"] {
            recommends(&mut fold, by, "x", 100);
        }
        let until = |fold: &Fold, needed| {
            let readers = fold.readers(needed);
            readers.get("x").map(|reader| reader.until.0)
        };
        // One is enough until its word ends, two until the first of them may not speak any more; the others do not count.
        assert_eq!(until(&fold, 0), None);
        assert_eq!(until(&fold, 1), Some(100));
        assert_eq!(until(&fold, 2), Some(50));
        assert_eq!(until(&fold, 3), None);
        assert_eq!(fold.readers(1)["x"].by, ["a", "b"]);

        // It ends with its recommender, with the role, and with the word.
        fold.take(record(Decision::WhitelistRemove, "a", None));
        assert_eq!(until(&fold, 1), Some(50));
        lists(&mut fold, "b", &[Role::Sync], None);
        assert_eq!(until(&fold, 1), None);
        lists(&mut fold, "b", &both, None);
        assert_eq!(until(&fold, 1), Some(100));
        fold.take(Record {
            recommender: Some("b".into()),
            ..record(Decision::RecommendRevoke, "x", None)
        });
        assert_eq!(until(&fold, 1), None);
    }

    #[test]
    fn whom_an_operator_decided_about_is_no_reader() {
        let mut fold = Fold::default();
        lists(&mut fold, "a", &[Role::Sync, Role::Recommend], None);
        recommends(&mut fold, "a", "x", 100);
        recommends(&mut fold, "a", "y", 100);
        lists(&mut fold, "x", &[Role::Sync], Some(2));
        fold.take(record(Decision::EnrolIgnore, "y", None));
        assert!(
            fold.readers(1).is_empty(),
            "an ended permission stays ended"
        );
    }
}
