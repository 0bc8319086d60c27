//! Who reads by which words.

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

fn takes_back(fold: &mut Fold, by: &str, about: &str) {
    fold.take(Record {
        recommender: Some(by.into()),
        ..record(Decision::RecommendRevoke, about, None)
    });
}

fn until(fold: &Fold, needed: u64, depth: u64, peer: &str) -> Option<u64> {
    let readers = fold.readers(needed, depth);
    let mut all = readers.all();
    all.find(|(reader, _)| *reader == peer)
        .map(|(_, until)| until.0)
}

/// The ways that lead to a reader, as they are shown.
fn paths(fold: &Fold, needed: u64, depth: u64, peer: &str, now: u64) -> Vec<String> {
    let reader = fold.readers(needed, depth).of(peer, Timestamp(now));
    let paths = reader.map_or(Vec::new(), |reader| reader.paths);
    paths.iter().map(|path| path.join(" ")).collect()
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
    let until = |fold: &Fold, needed| until(fold, needed, 1, "x");
    // One is enough until its word ends, two until the first of them may not speak any more; the others do not count.
    assert_eq!(until(&fold, 0), None);
    assert_eq!(until(&fold, 1), Some(100));
    assert_eq!(until(&fold, 2), Some(50));
    assert_eq!(until(&fold, 3), None);
    assert_eq!(paths(&fold, 1, 1, "x", 49), ["a", "b"]);
    assert_eq!(paths(&fold, 1, 1, "x", 50), ["a"]);

    // It ends with its recommender, with the role, and with the word.
    fold.take(record(Decision::WhitelistRemove, "a", None));
    assert_eq!(until(&fold, 1), Some(50));
    lists(&mut fold, "b", &[Role::Sync], None);
    assert_eq!(until(&fold, 1), None);
    lists(&mut fold, "b", &both, None);
    assert_eq!(until(&fold, 1), Some(100));
    takes_back(&mut fold, "b", "x");
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
    let region = |now| fold.readers(1, 1).of("x", Timestamp(now)).unwrap().region;
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
    let reads = |fold: &Fold, peer| until(fold, 1, 1, peer).is_some();
    assert_eq!(
        all.map(|peer| reads(&fold, peer)),
        [true, false, false, false]
    );
    // Also who is removed that nobody had listed.
    fold.take(record(Decision::WhitelistRemove, "w", None));
    assert!(reads(&fold, "w"));
    lists(&mut fold, "x", &[Role::Sync], None);
    assert!(!fold.once_listed.contains_key("x"));
    fold.take(record(Decision::WhitelistRemove, "x", None));
    assert!(!reads(&fold, "x"));
}

#[test]
fn whom_an_operator_decided_about_is_no_reader() {
    let mut fold = Fold::default();
    lists(&mut fold, "a", &[Role::Sync, Role::Recommend], None);
    recommends(&mut fold, "a", "x", 100);
    recommends(&mut fold, "a", "y", 100);
    lists(&mut fold, "x", &[Role::Sync], Some(2));
    fold.take(record(Decision::EnrolIgnore, "y", None));
    let nobody = fold.readers(1, 3).all().next().is_none();
    assert!(nobody, "an ended permission stays ended");
}

const BOTH: [Role; 2] = [Role::Sync, Role::Recommend];

/// 小松市 is listed for it, and recommends 白山市, which recommends かほく市, which recommends 能美市.
fn a_way() -> Fold {
    let mut fold = Fold::default();
    lists(&mut fold, "komatsu", &BOTH, Some(90));
    recommends(&mut fold, "komatsu", "hakusan", 80);
    recommends(&mut fold, "hakusan", "kahoku", 70);
    recommends(&mut fold, "kahoku", "nomi", 100);
    fold
}

#[test]
fn a_readers_word_counts_as_far_as_recommendations_go() {
    let fold = a_way();
    let all = |depth| ["hakusan", "kahoku", "nomi"].map(|peer| until(&fold, 1, depth, peer));
    assert_eq!(all(1), [Some(80), None, None]);
    assert_eq!(all(2), [Some(80), Some(70), None]);
    assert_eq!(all(3), [Some(80), Some(70), Some(70)]);
    assert_eq!(all(9), all(MAX_DEPTH));
    let way = "komatsu hakusan kahoku";
    assert_eq!(paths(&fold, 1, 3, "nomi", 69), [way]);
    assert!(paths(&fold, 1, 3, "nomi", 70).is_empty());
    assert!(paths(&fold, 1, 2, "nomi", 69).is_empty());
    // Whose word counts: the last one's does not, and no listed peer is a reader.
    let hears = |depth, peer, now| fold.readers(1, depth).hears(peer, Timestamp(now));
    for (depth, peer, now, expected) in [
        (1, "hakusan", 1, false),
        (2, "hakusan", 79, true),
        (2, "hakusan", 80, false),
        (2, "kahoku", 1, false),
        (3, "kahoku", 1, true),
        (3, "nomi", 1, false),
        (3, "komatsu", 1, false),
        (3, "nobody", 1, false),
    ] {
        assert_eq!(hears(depth, peer, now), expected, "{depth} {peer} {now}");
    }
    assert!(
        !fold.may_recommend("hakusan", Timestamp(1)),
        "for reading only"
    );
}

#[test]
fn a_way_ends_with_each_of_its_links() {
    let reads = |fold: &Fold| until(fold, 1, 3, "nomi").is_some();
    let ends = |what: &str, change: &dyn Fn(&mut Fold)| {
        let mut fold = a_way();
        assert!(reads(&fold));
        change(&mut fold);
        assert!(!reads(&fold), "{what}");
    };
    ends("the role", &|fold| {
        lists(fold, "komatsu", &[Role::Sync], None);
    });
    ends("the recommender", &|fold| {
        fold.take(record(Decision::WhitelistRemove, "komatsu", None));
    });
    for (by, about) in [
        ("komatsu", "hakusan"),
        ("hakusan", "kahoku"),
        ("kahoku", "nomi"),
    ] {
        ends("a word", &|fold| takes_back(fold, by, about));
    }
    for peer in ["hakusan", "kahoku", "nomi"] {
        ends("ignored", &|fold| {
            fold.take(record(Decision::EnrolIgnore, peer, None));
        });
        // Who is listed only reads no more; for recommending it is listed by another role.
        ends("listed", &|fold| lists(fold, peer, &[Role::Sync], None));
    }
}

#[test]
fn what_a_reader_said_ends_for_good_with_its_reading() {
    let about = |fold: &Fold| -> Vec<String> {
        let said = fold.recommended.keys();
        said.map(|(about, _)| about.clone()).collect()
    };
    // Taken back, and said again: 白山市 and かほく市 have to say it again, too.
    let mut fold = a_way();
    takes_back(&mut fold, "komatsu", "hakusan");
    assert!(fold.recommended.is_empty(), "{:?}", fold.recommended);
    recommends(&mut fold, "komatsu", "hakusan", 80);
    assert_eq!(about(&fold), ["hakusan"]);
    // The same where its time was over before it is said again.
    let mut fold = a_way();
    recommends(&mut fold, "hakusan", "kahoku", 300);
    fold.take(Record {
        at: Timestamp(85),
        recommender: Some("komatsu".into()),
        ..record(Decision::Recommend, "hakusan", Some(200))
    });
    assert_eq!(about(&fold), ["hakusan"]);
    // Who is ignored takes along what stands on it, and nothing else.
    let mut fold = a_way();
    fold.take(record(Decision::EnrolIgnore, "kahoku", None));
    assert_eq!(about(&fold), ["hakusan", "kahoku"]);
    // A role that is missing for a while takes nothing: listed peers' words come back with it, and those behind them.
    let mut fold = a_way();
    lists(&mut fold, "komatsu", &[Role::Sync], None);
    lists(&mut fold, "komatsu", &BOTH, None);
    assert_eq!(until(&fold, 1, 3, "nomi"), Some(70));
    // Whoever is listed by an operator keeps its words.
    lists(&mut fold, "hakusan", &BOTH, None);
    takes_back(&mut fold, "komatsu", "hakusan");
    assert_eq!(paths(&fold, 1, 3, "nomi", 1), ["hakusan kahoku"]);
}

#[test]
fn one_listed_peer_does_not_make_two_words() {
    let mut fold = Fold::default();
    lists(&mut fold, "a", &BOTH, None);
    lists(&mut fold, "b", &BOTH, None);
    for made_up in ["y1", "y2"] {
        recommends(&mut fold, "a", made_up, 100);
        recommends(&mut fold, made_up, "x", 100);
    }
    assert_eq!(paths(&fold, 1, 2, "x", 1), ["a y1", "a y2"]);
    assert_eq!(until(&fold, 2, 3, "x"), None);
    // Nor does one reader, whoever stands behind it.
    recommends(&mut fold, "b", "y1", 90);
    assert_eq!(until(&fold, 2, 3, "y1"), Some(90));
    assert_eq!(until(&fold, 2, 3, "x"), None);
    recommends(&mut fold, "b", "y2", 80);
    assert_eq!(until(&fold, 2, 3, "x"), Some(80));
    assert_eq!(until(&fold, 3, 3, "x"), None);
}

#[test]
fn a_reader_loosens_nothing_that_a_listed_peer_named() {
    let mut fold = Fold::default();
    lists(&mut fold, "a", &BOTH, None);
    recommends(&mut fold, "a", "y", 100);
    let says = |fold: &mut Fold, by: &str, until, region: &str| {
        fold.take(Record {
            recommender: Some(by.into()),
            region: format!("Asia/JP/17/{region}").parse().ok(),
            ..record(Decision::Recommend, "x", Some(until))
        });
    };
    says(&mut fold, "a", 50, "17203");
    says(&mut fold, "y", 100, "17210");
    let region = |now| fold.readers(1, 2).of("x", Timestamp(now)).unwrap().region;
    assert_eq!(region(49), "Asia/JP/17/17203".parse().ok());
    assert_eq!(region(50), "Asia/JP/17/17210".parse().ok());
}

#[test]
fn the_shortest_way_is_shown_and_none_leads_in_a_circle() {
    let mut fold = a_way();
    // Back to who is on the way; and a shorter way beside it.
    recommends(&mut fold, "nomi", "hakusan", 1000);
    recommends(&mut fold, "kahoku", "hakusan", 1000);
    recommends(&mut fold, "kahoku", "kahoku", 1000);
    assert_eq!(until(&fold, 1, 3, "hakusan"), Some(80));
    assert_eq!(until(&fold, 1, 3, "kahoku"), Some(70));
    assert_eq!(paths(&fold, 1, 3, "hakusan", 1), ["komatsu"]);
    recommends(&mut fold, "hakusan", "nomi", 60);
    let both = ["komatsu hakusan", "komatsu hakusan kahoku"];
    assert_eq!(paths(&fold, 1, 3, "nomi", 59), both);
    assert_eq!(paths(&fold, 1, 3, "nomi", 60), both[1..]);
}
