//! What the records of a trust log come to.

use super::*;

fn decided(decision: Decision, at: u64, by: &str, until: Option<u64>) -> Record {
    let record = Record::of(decision, "p1", Timestamp(at), "hanako");
    Record {
        by: by.into(),
        expires_at: until.map(Timestamp),
        ..record
    }
}

#[test]
fn what_the_file_and_what_operators_say_stand_beside_each_other() {
    use Decision::{WhitelistAdd, WhitelistRemove};
    let mut fold = Fold::default();
    fold.take(decided(WhitelistAdd, 1, "config", Some(50)));
    fold.take(decided(WhitelistAdd, 2, "uid 0", Some(90)));
    let p1 = &fold.listed["p1"];
    assert_eq!(p1.expires_at(), Some(Timestamp(90)));
    assert!(p1.is_in_force(Timestamp(89)) && !p1.is_in_force(Timestamp(90)));
    // A decision of one leaves the other's alone.
    fold.take(decided(WhitelistRemove, 3, "config", None));
    let p1 = &fold.listed["p1"];
    assert_eq!((p1.config.is_none(), p1.operator.is_some()), (true, true));
    fold.take(decided(WhitelistAdd, 4, "config", None));
    assert_eq!(fold.listed["p1"].expires_at(), None);
    fold.take(decided(WhitelistRemove, 5, "uid 0", None));
    assert!(fold.listed["p1"].operator.is_none());
    fold.take(decided(WhitelistRemove, 6, "config", None));
    let ended = Delisted {
        at: Some(Timestamp(6)),
        by: "config".into(),
    };
    let nobody = Fold {
        once_listed: BTreeMap::from([("p1".into(), ended)]),
        ..Fold::default()
    };
    assert_eq!(fold, nobody);
}

#[test]
fn a_request_waits_until_it_is_decided_or_old() {
    let mut fold = Fold::default();
    let asks = |at| Record {
        name: "小松市".into(),
        ..decided(Decision::EnrolRequest, at, "stranger", None)
    };
    fold.take(asks(1));
    assert_eq!(fold.pending["p1"].name, "小松市");
    fold.take(decided(Decision::EnrolIgnore, 2, "uid 0", None));
    assert!(fold.pending.is_empty());
    let ignored = &fold.ignored["p1"];
    assert_eq!(ignored.request.as_ref().unwrap().at, Timestamp(1));
    fold.take(decided(Decision::WhitelistAdd, 3, "uid 0", None));
    assert!(fold.ignored.is_empty() && fold.listed.contains_key("p1"));
    // Old ones go when others come.
    fold.take(asks(4));
    let other = Record {
        peer: "p2".into(),
        ..asks(4 + PENDING_MS)
    };
    fold.take(other);
    assert_eq!(fold.pending.keys().collect::<Vec<_>>(), ["p2"]);
}

#[test]
fn a_recommendation_falls_with_its_time_its_recommender_and_its_role() {
    use Decision::{Recommend, RecommendRevoke, WhitelistAdd, WhitelistRemove};
    let lists = |peer: &str, roles: &[Role]| Record {
        peer: peer.into(),
        roles: roles.iter().copied().collect(),
        ..decided(WhitelistAdd, 1, "uid 0", None)
    };
    let says = |decision, at| Record {
        peer: "p9".into(),
        recommender: Some("p1".into()),
        ..decided(decision, at, "peer", Some(at + 10))
    };
    let mut fold = Fold::default();
    fold.take(lists("p1", &Role::ALL));
    fold.take(says(Recommend, 2));
    let count = |fold: &Fold, now| fold.recommenders("p9", Timestamp(now)).count();
    assert_eq!((count(&fold, 11), count(&fold, 12)), (1, 0));
    // Without the role it counts no more, and with it again.
    fold.take(lists("p1", &[Role::Sync]));
    assert_eq!(count(&fold, 3), 0);
    fold.take(lists("p1", &Role::ALL));
    assert_eq!(count(&fold, 3), 1);
    fold.take(says(RecommendRevoke, 4));
    assert_eq!(count(&fold, 4), 0);
    fold.take(says(Recommend, 5));
    fold.take(decided(WhitelistRemove, 6, "uid 0", None));
    fold.take(lists("p1", &Role::ALL));
    assert!(fold.recommended.is_empty(), "it fell with its recommender");
    // It is no entry.
    assert!(!fold.listed.contains_key("p9"));
}

#[test]
fn keys_are_held_once_and_the_oldest_certificate_gives_way() {
    let key = |kind, n: u8| HeldKey {
        kind,
        data: vec![n],
        chain: Vec::new(),
    };
    let mut fold = Fold::default();
    let given = |decision, key: &HeldKey| Record {
        keys: vec![key.clone()],
        ..decided(decision, 1, "uid 0", None)
    };
    let transport = key(KeyKind::Transport, 0);
    fold.take(given(Decision::WhitelistAdd, &transport));
    for n in [1, 2, 3, 3, 4] {
        let certificate = key(KeyKind::NodeCertificate, n);
        fold.take(given(Decision::WhitelistKey, &certificate));
    }
    let held: Vec<u8> = fold.listed["p1"]
        .keys
        .iter()
        .map(|key| key.data[0])
        .collect();
    assert_eq!(held, [0, 2, 3, 4]);
    fold.take(decided(Decision::WhitelistRemove, 9, "uid 0", None));
    // Nobody's keys are held who is not listed.
    fold.take(given(Decision::WhitelistKey, &transport));
    assert!(fold.listed.is_empty());
}

#[test]
fn what_was_taken_back_is_remembered_until_it_would_have_ended() {
    use Decision::{Recommend, RecommendRevoke, WhitelistAdd, WhitelistRemove};
    let mut fold = Fold::default();
    fold.take(decided(WhitelistAdd, 1, "uid 0", None));
    fold.take(decided(Recommend, 2, "uid 0", Some(50)));
    assert!(fold.withdrawn.is_empty());
    fold.take(decided(RecommendRevoke, 3, "uid 0", None));
    assert_eq!(fold.withdrawn, [("p1".into(), Timestamp(50))].into());
    // Said again, it is not taken back any more; with the entry it is.
    fold.take(decided(Recommend, 4, "uid 0", Some(60)));
    assert!(fold.withdrawn.is_empty());
    fold.take(decided(WhitelistRemove, 5, "uid 0", None));
    assert_eq!(fold.withdrawn, [("p1".into(), Timestamp(60))].into());
    fold.take(decided(Decision::Cleanup, 60, "uid 0", None));
    assert!(fold.withdrawn.is_empty());
}

#[test]
fn a_peer_id_that_another_followed_recommends_nobody() {
    let mut fold = Fold::default();
    let entry = Record {
        roles: Role::ALL.into(),
        ..decided(Decision::WhitelistAdd, 1, "config", None)
    };
    fold.take(entry);
    assert!(fold.may_recommend("p1", Timestamp(2)));
    let listed = fold.listed.get_mut("p1").unwrap();
    listed.rotated = Some(Rotated {
        to: "p2".into(),
        at: Timestamp(2),
    });
    assert!(!fold.may_recommend("p1", Timestamp(2)));
}
