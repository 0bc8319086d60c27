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
    /// What is said of it, in the order of who says it; some may be over before the others.
    words: Vec<Word>,
}

/// What one peer says of another.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    by: String,
    /// Until when it counts: its own time, and that of the recommender's permission.
    until: Timestamp,
    region: Option<Region>,
}

impl Reader {
    /// Who recommends it at this time.
    #[must_use]
    pub fn by(&self, now: Timestamp) -> Vec<String> {
        self.live(now).map(|word| word.by.clone()).collect()
    }

    /// The municipality that its certificate has to name: the one on which all agree that name one at this time.
    #[must_use]
    pub fn region(&self, now: Timestamp) -> Option<Region> {
        let mut named = self.live(now).filter_map(|word| word.region.as_ref());
        let first = named.next()?;
        named.all(|other| other == first).then(|| first.clone())
    }

    fn live(&self, now: Timestamp) -> impl Iterator<Item = &Word> {
        self.words.iter().filter(move |word| now < word.until)
    }
}

impl Fold {
    /// Until when what this peer recommends counts, if it is listed for that at all: the end of its permission, or none.
    fn recommends_until(&self, peer: &str) -> Option<Timestamp> {
        let entries = self.listed.get(peer)?.entries();
        let entries = entries.filter(|entry| entry.roles.contains(&Role::Recommend));
        let ends = entries.map(|entry| entry.expires_at.unwrap_or(Timestamp(u64::MAX)));
        ends.max()
    }

    /// Whether somebody decided about this peer, so that nothing that others say of it has it read.
    #[must_use]
    pub fn is_decided(&self, peer: &str) -> bool {
        self.listed.contains_key(peer)
            || self.ignored.contains_key(peer)
            || self.once_listed.contains(peer)
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
        let mut said: BTreeMap<&String, Vec<Word>> = BTreeMap::new();
        for ((about, by), word) in &self.recommended {
            if self.is_decided(about) {
                continue;
            }
            if let Some(until) = self.recommends_until(by) {
                said.entry(about).or_default().push(Word {
                    by: by.clone(),
                    until: until.min(word.expires_at),
                    region: word.region.clone(),
                });
            }
        }
        let enough = said.into_iter().filter_map(|(about, mut words)| {
            // So long there are enough of them, because nothing begins later than now.
            words.sort_unstable_by_key(|word| std::cmp::Reverse(word.until));
            let until = words.get(needed - 1)?.until;
            words.sort_unstable_by(|a, b| a.by.cmp(&b.by));
            Some((about.clone(), Reader { until, words }))
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
        let by = |now| fold.readers(1)["x"].by(Timestamp(now));
        assert_eq!(
            (by(49), by(50)),
            (vec!["a".into(), "b".into()], vec!["a".into()])
        );

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
    fn a_municipality_is_required_that_all_live_words_agree_on() {
        let mut fold = Fold::default();
        for (by, region, until) in [("a", "17203", 50), ("b", "17210", 100), ("c", "17210", 70)] {
            lists(&mut fold, by, &[Role::Sync, Role::Recommend], None);
            fold.take(Record {
                recommender: Some(by.into()),
                region: format!("Asia/JP/17/{region}").parse().ok(),
                ..record(Decision::Recommend, "x", Some(until))
            });
        }
        lists(&mut fold, "d", &[Role::Sync, Role::Recommend], None);
        recommends(&mut fold, "d", "x", 100);
        let region = |now| fold.readers(1)["x"].region(Timestamp(now));
        assert_eq!(region(49), None, "they contradict each other");
        assert_eq!(region(50), "Asia/JP/17/17210".parse().ok());
    }

    #[test]
    fn whoever_was_taken_off_reads_again_only_after_an_operators_word() {
        let both = [Role::Sync, Role::Recommend];
        let mut fold = Fold::default();
        lists(&mut fold, "a", &both, None);
        // One is removed, one has expired and is cleaned up, one stood in the file.
        lists(&mut fold, "x", &[Role::Sync], None);
        lists(&mut fold, "y", &[Role::Sync], Some(2));
        fold.take(Record {
            by: crate::trust::record::CONFIG.into(),
            ..record(Decision::WhitelistAdd, "z", None)
        });
        let all = ["w", "x", "y", "z"];
        let recommend = |fold: &mut Fold| all.map(|about| recommends(fold, "a", about, 100));
        recommend(&mut fold);
        fold.take(record(Decision::WhitelistRemove, "x", None));
        fold.take(Record {
            at: Timestamp(3),
            ..record(Decision::Cleanup, "own", None)
        });
        super::super::config::lay_over(&mut fold, &BTreeMap::new());
        assert!(fold.listed.keys().eq(["a"]), "{:?}", fold.listed);
        recommend(&mut fold);
        assert!(fold.readers(1).keys().eq(["w"]), "{:?}", fold.readers(1));
        // Also who is removed that nobody had listed.
        fold.take(record(Decision::WhitelistRemove, "w", None));
        assert!(fold.readers(1).contains_key("w"));
        lists(&mut fold, "x", &[Role::Sync], None);
        assert!(!fold.once_listed.contains("x"));
        fold.take(record(Decision::WhitelistRemove, "x", None));
        assert!(!fold.readers(1).contains_key("x"));
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
