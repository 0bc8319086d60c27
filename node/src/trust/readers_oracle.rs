//! Who reads, held beside an oracle that tries all ways, one after the other, at each time.

use std::collections::BTreeSet;

use super::*;
use crate::trust::fold::{Entry, Ignored, Listed};

/// Random numbers from a seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

const PEERS: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];
/// Everything ends before this.
const END: u64 = 12;

/// Some are listed, with the role or without, one may be ignored; most say something of some others, or of themselves.
fn drawn(dice: &mut Dice) -> Fold {
    let mut fold = Fold::default();
    for peer in PEERS {
        let of = dice.below(10);
        if of < 4 {
            let role = if of < 3 { Role::Recommend } else { Role::Sync };
            let until = (of > 0).then(|| Timestamp(1 + dice.below(END - 1)));
            let operator = Some(Entry {
                name: String::new(),
                region: None,
                expires_at: until,
                roles: BTreeSet::from([role]),
                addresses: Vec::new(),
                at: Timestamp(0),
                by: "hanako".into(),
            });
            let listed = Listed {
                operator,
                ..Listed::default()
            };
            fold.listed.insert(peer.into(), listed);
        } else if of == 4 {
            let ignored = Ignored {
                request: None,
                at: Timestamp(0),
                by: "hanako".into(),
            };
            fold.ignored.insert(peer.into(), ignored);
        }
    }
    let often = 1 + dice.below(4);
    for by in PEERS {
        for about in PEERS {
            if dice.below(5) >= often {
                continue;
            }
            let said = Recommendation {
                name: String::new(),
                region: None,
                at: Timestamp(0),
                expires_at: Timestamp(1 + dice.below(END - 1)),
                by: "peer".into(),
            };
            fold.recommended.insert((about.into(), by.into()), said);
        }
    }
    fold
}

/// The rule as an operator reads it, at one time.
struct Oracle<'a> {
    fold: &'a Fold,
    needed: usize,
    now: Timestamp,
}

impl<'a> Oracle<'a> {
    fn says(&self, about: &str) -> impl Iterator<Item = &'a str> {
        let (fold, now, about) = (self.fold, self.now, about.to_owned());
        let words = fold.recommended.iter();
        let words =
            words.filter(move |((of, by), said)| *of == about && of != by && now < said.expires_at);
        words.map(|((_, by), _)| by.as_str())
    }

    /// Whether a peer reads through at most so many steps, without those who stand on it.
    fn reads(&self, peer: &str, depth: u64, before: &[&str]) -> bool {
        if depth == 0 || self.fold.is_decided(peer) {
            return false;
        }
        let without = [before, &[peer]].concat();
        let counts = |by: &&str| {
            !without.contains(by)
                && (self.fold.may_recommend(by, self.now) || self.reads(by, depth - 1, &without))
        };
        self.says(peer).filter(counts).count() >= self.needed
    }

    /// All ways to a peer, through at most so many steps, without those who are on it already.
    fn ways(&self, peer: &str, depth: u64, before: &[&'a str]) -> Vec<Vec<&'a str>> {
        let mut ways = Vec::new();
        for by in self.says(peer).filter(|by| !before.contains(by)) {
            if self.fold.may_recommend(by, self.now) {
                ways.push(vec![by]);
            } else if self.reads(by, depth - 1, &[]) {
                for mut way in self.ways(by, depth - 1, &[before, &[by]].concat()) {
                    way.push(by);
                    ways.push(way);
                }
            }
        }
        ways
    }
}

fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    let given = std::env::var("CITY_NODE_SEED").ok();
    let given = given.and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| RandomState::new().hash_one(0_u8));
    println!("CITY_NODE_SEED={seed}");
    seed
}

#[test]
fn levels_come_to_what_all_ways_come_to() {
    let mut dice = Dice(seed());
    let (mut far, mut many) = (0, 0);
    for _ in 0..400 {
        let fold = drawn(&mut dice);
        let (needed, depth) = (1 + dice.below(3), 1 + dice.below(MAX_DEPTH));
        let readers = fold.readers(needed, depth);
        for (peer, now) in PEERS
            .iter()
            .flat_map(|peer| (0..END).map(move |now| (*peer, now)))
        {
            let now = Timestamp(now);
            let oracle = Oracle {
                fold: &fold,
                needed: usize::try_from(needed).unwrap(),
                now,
            };
            let told = format!("{peer} at {now:?}, {needed} needed, {depth} deep: {fold:#?}");
            let until = readers.all().find(|(reader, _)| *reader == peer);
            let reads = until.is_some_and(|(_, until)| now < until);
            assert_eq!(reads, oracle.reads(peer, depth, &[]), "{told}");
            assert_eq!(reads, readers.of(peer, now).is_some(), "{told}");
            let speaks = !fold.listed.contains_key(peer) && oracle.reads(peer, depth - 1, &[]);
            assert_eq!(readers.hears(peer, now), speaks, "{told}");
            let Some(reader) = readers.of(peer, now) else {
                continue;
            };
            // Each way that is shown is one, each peer that recommends it has one, and it is the shortest of that peer's.
            let ways = oracle.ways(peer, depth, &[peer]);
            let shortest = |by: &str| {
                let its = ways.iter().filter(|way| way.last() == Some(&by));
                its.map(Vec::len).min()
            };
            for way in &reader.paths {
                assert!(ways.iter().any(|other| other == way), "{way:?} {told}");
                assert_eq!(Some(way.len()), shortest(way.last().unwrap()), "{told}");
            }
            let shown: BTreeSet<&str> = reader
                .paths
                .iter()
                .filter_map(|way| Some(way.last()?.as_str()))
                .collect();
            let known: BTreeSet<&str> = ways.iter().filter_map(|way| way.last().copied()).collect();
            assert_eq!(shown, known, "{told}");
            assert!(reader.paths.is_sorted_by_key(Vec::len), "{told}");
            // As many listed peers stand behind it as are needed.
            let roots: BTreeSet<&str> =
                ways.iter().filter_map(|way| way.first()).copied().collect();
            assert!(roots.len() as u64 >= needed, "{told}");
            far += usize::from(reader.paths[0].len() > 1);
            many += usize::from(needed > 1);
        }
    }
    assert!(far > 100 && many > 100, "{far} {many}: nothing was tried");
}
