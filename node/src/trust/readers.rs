//! Who may connect only to read: who is listed by nobody, and recommended by enough peers, each of them listed for that or, as far as
//! recommendations go here, itself a reader. Pure.

use std::collections::{BTreeMap, BTreeSet};

use city_protocol::amount::Timestamp;
use city_protocol::region::Region;

use super::fold::{Fold, Recommendation};
use super::record::Role;

/// How many steps a recommendation may go at most, from a listed peer to who reads: so many municipalities an operator still
/// overlooks on one line, and with each step one more decides whom nobody here knows.
pub const MAX_DEPTH: u64 = 3;

/// A peer that may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    /// Until when, if nothing is taken back before.
    pub until: Timestamp,
    /// By which ways recommendations lead to it, each from a listed peer to who recommends it; the shortest first.
    pub paths: Vec<Vec<String>>,
    /// The municipality that its certificate has to name.
    pub region: Option<Region>,
}

/// Everybody who may read, and why.
pub struct Readers<'a> {
    /// What is said of each that nobody here decided about, in the order of who says it.
    said: BTreeMap<&'a str, Vec<(&'a str, &'a Recommendation)>>,
    /// First the listed peers that may recommend, each until its permission ends; then who reads through one step, through at
    /// most two, and so on, each until when.
    levels: Vec<BTreeMap<&'a str, Timestamp>>,
}

impl Fold {
    /// Until when what this peer recommends counts, if it is listed for that at all: the end of its permission, or none.
    pub(super) fn recommends_until(&self, peer: &str) -> Option<Timestamp> {
        let listed = self.listed.get(peer);
        let entries = listed.filter(|one| one.rotated.is_none())?.entries();
        let entries = entries.filter(|entry| entry.roles.contains(&Role::Recommend));
        let ends = entries.map(|entry| entry.expires_at.unwrap_or(Timestamp(u64::MAX)));
        ends.max()
    }

    /// Whether somebody decided about this peer, so that nothing that others say of it has it read.
    #[must_use]
    pub fn is_decided(&self, peer: &str) -> bool {
        self.listed.contains_key(peer)
            || self.ignored.contains_key(peer)
            || self.once_listed.contains_key(peer)
    }

    /// Everybody who may read because at least `needed` others recommend it, each of them a listed peer with the role or, where
    /// `depth` is more than 1, who reads through fewer steps; nobody where `needed` is 0. So each reader has at least as many
    /// listed peers behind it, whoever makes up others. Who is or was listed is no reader: its permission ended when an operator
    /// said so; nor is who is not heard. What is over already is among them, with its time.
    #[must_use]
    pub fn readers(&self, needed: u64, depth: u64) -> Readers<'_> {
        let mut said: BTreeMap<&str, Vec<(&str, &Recommendation)>> = BTreeMap::new();
        let mut listed = BTreeMap::new();
        for ((about, by), word) in &self.recommended {
            if about != by && !self.is_decided(about) {
                said.entry(about).or_default().push((by, word));
            }
            if let Some(until) = self.recommends_until(by) {
                listed.insert(by.as_str(), until);
            }
        }
        let mut readers = Readers {
            said,
            levels: vec![listed],
        };
        let enough = usize::try_from(needed).unwrap_or(usize::MAX);
        if let Some(but_one) = enough.checked_sub(1) {
            for _ in 0..depth.min(MAX_DEPTH) {
                let next = readers.next(but_one);
                readers.levels.push(next);
            }
        }
        readers
    }

    /// Ends for good what those said who are not listed, and to whom no words of others lead from a listed peer any more: when such
    /// words come again, these have to be said again, too. Asks for no role and no number, so that the log comes to the same
    /// whatever the configuration says.
    pub(super) fn hush(&mut self) {
        if self.said_by_readers().next().is_none() {
            return;
        }
        let mut heard: BTreeSet<&String> = self.listed.keys().collect();
        for _ in 1..MAX_DEPTH {
            let words = self.recommended.keys();
            let words = words.filter(|(about, by)| heard.contains(by) && !self.is_decided(about));
            let further: Vec<&String> = words.map(|(about, _)| about).collect();
            heard.extend(further);
        }
        let words = self.recommended.keys();
        let gone = words.filter(|(_, by)| !heard.contains(by));
        let gone: Vec<(String, String)> = gone.cloned().collect();
        for word in gone {
            self.recommended.remove(&word);
        }
    }

    /// What those said who are not listed: about whom, and who.
    pub(super) fn said_by_readers(&self) -> impl Iterator<Item = &(String, String)> {
        let words = self.recommended.keys();
        words.filter(|(_, by)| !self.listed.contains_key(by))
    }
}

impl<'a> Readers<'a> {
    /// Who reads through one step more than the last of the levels.
    fn next(&self, but_one: usize) -> BTreeMap<&'a str, Timestamp> {
        let speaks = |by: &str| {
            let nearest = self.levels.first()?.get(by);
            nearest.or_else(|| self.levels.last()?.get(by)).copied()
        };
        let enough = self.said.iter().filter_map(|(about, words)| {
            let ends = words.iter();
            let ends = ends.filter_map(|(by, word)| Some(word.expires_at.min(speaks(by)?)));
            let mut ends: Vec<Timestamp> = ends.collect();
            // So long there are enough of them, because nothing begins later than now.
            ends.sort_unstable_by_key(|end| std::cmp::Reverse(*end));
            Some((*about, *ends.get(but_one)?))
        });
        enough.collect()
    }

    /// Until when each may read, if nothing is taken back before.
    pub fn all(&self) -> impl Iterator<Item = (&'a str, Timestamp)> {
        let last = self.levels.iter().skip(1).last();
        last.into_iter()
            .flat_map(|last| last.iter().map(|(peer, until)| (*peer, *until)))
    }

    /// Whether what this reader says of others counts at this time.
    #[must_use]
    pub fn hears(&self, reader: &str, now: Timestamp) -> bool {
        self.steps(reader, now)
            .is_some_and(|(steps, _)| steps > 0 && steps + 1 < self.levels.len())
    }

    /// Why this peer may read at this time, if it may.
    #[must_use]
    pub fn of(&self, peer: &str, now: Timestamp) -> Option<Reader> {
        let (_, until) = self.all().find(|(reader, _)| *reader == peer)?;
        let words = self.said.get(peer).filter(|_| now < until)?;
        let live = words.iter().filter(|(_, word)| now < word.expires_at);
        let live = live.filter_map(|(by, word)| Some((self.path(by, peer, now)?, *word)));
        let mut words: Vec<(Vec<&str>, &Recommendation)> = live.collect();
        words.sort_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));
        // What listed peers name goes before what readers name: nobody loosens it.
        let mut named = words
            .iter()
            .filter_map(|(path, word)| Some((path.len(), word.region.as_ref()?)));
        let first = named.next();
        let region = first.filter(|(length, first)| {
            named.all(|(other, region)| other != *length || region == *first)
        });
        let owned = |path: &Vec<&str>| path.iter().map(|&peer| peer.to_owned()).collect();
        Some(Reader {
            until,
            region: region.map(|(_, region)| region.clone()),
            paths: words.iter().map(|(path, _)| owned(path)).collect(),
        })
    }

    /// The shortest way from a listed peer to who says something of another, if that counts at this time. It does not lead over whom
    /// it is about.
    #[must_use]
    pub fn path(&self, by: &str, about: &str, now: Timestamp) -> Option<Vec<&'a str>> {
        let (steps, by) = self.steps(by, now)?;
        if steps + 1 >= self.levels.len() {
            return None;
        }
        if steps == 0 {
            return Some(vec![by]);
        }
        let words = self.said.get(by)?.iter();
        let words = words.filter(|(before, word)| now < word.expires_at && *before != about);
        let nearer = words.filter_map(|(before, _)| self.steps(before, now));
        let (_, before) = nearer.filter(|(other, _)| *other < steps).min()?;
        let mut path = self.path(before, about, now)?;
        path.push(by);
        Some(path)
    }

    /// Through how many steps this peer reads at this time; 0: it is listed, and may recommend.
    fn steps(&self, peer: &str, now: Timestamp) -> Option<(usize, &'a str)> {
        let mut levels = self.levels.iter().enumerate();
        levels.find_map(|(steps, level)| {
            let (peer, until) = level.get_key_value(peer)?;
            (now < *until).then_some((steps, *peer))
        })
    }
}

#[cfg(test)]
#[path = "readers_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "readers_oracle.rs"]
mod oracle;
