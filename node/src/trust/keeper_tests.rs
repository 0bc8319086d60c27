//! Many strangers, one peer's many words, and a keeper that stays small.

use super::*;
use crate::engine::{TransportKey, libp2p_peer};
use crate::store::{StoreError, StoreOptions};
use crate::trust::{Cleaned, Decision, Entry, MAX_PENDING, PENDING_MS};
use city_protocol::ids::BlockId;
use city_protocol::pki::Crls;
use city_protocol::trust::{
    EnrolVerdict, MAX_RECOMMENDATION_MS, PeerId as ProtocolPeer, RECOMMENDATION_MS,
    SIGNED_DATA_LIFETIME_MS, SignedData, TransportSigner as _, TrustRecommendation,
    WhitelistRequest,
};
use libp2p::identity::Keypair;
use std::time::{Duration, Instant};

const ONE: Needed = Needed {
    to_approve: 1,
    to_read: 1,
    depth: 1,
};
const NOW: Timestamp = Timestamp(1_800_000_000_000);

struct City {
    _dir: tempfile::TempDir,
    keeper: Keeper,
    own: ProtocolPeer,
}

impl City {
    fn new() -> Self {
        Self::that_needs(ONE)
    }

    fn that_needs(needed: Needed) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let own = somebody().peer_id();
        let begun = Instant::now();
        let store = loop {
            match Store::open(dir.path(), BlockId::of(b"genesis"), StoreOptions::new()) {
                // A process that another test starts holds a copy of every lock for a moment.
                Err(StoreError::InUse { .. }) if begun.elapsed() < Duration::from_secs(5) => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                opened => break Arc::new(opened.unwrap().0),
            }
        };
        let keeper = Keeper::open(store, None, &Wanted::new(), libp2p_peer(&own), needed).unwrap();
        Self {
            _dir: dir,
            keeper,
            own,
        }
    }

    fn asks(&self, key: &TransportKey, signed: Timestamp, now: Timestamp) -> EnrolVerdict {
        let request = WhitelistRequest {
            v: 1,
            name: "誰か".into(),
            region: "Asia/JP/17/17210".parse().unwrap(),
            message: String::new(),
            addresses: Vec::new(),
        };
        let bytes = request.sign(key, &self.own, [7; 16], signed);
        let from = "/ip4/192.0.2.1/tcp/1".parse().unwrap();
        let peer = libp2p_peer(&key.peer_id());
        self.keeper.request(&peer, &from, &bytes, now)
    }

    fn lists(&self, key: &TransportKey, roles: &[Role], now: Timestamp) {
        let terms = Terms {
            hours: Some(1),
            roles: roles.iter().copied().collect(),
            ..Terms::default()
        };
        let peer = libp2p_peer(&key.peer_id());
        self.keeper
            .add(&peer, terms, judges(now), "hanako")
            .unwrap();
    }

    fn records(&self) -> usize {
        self.keeper.0.store.trust().iter().count()
    }
}

fn judges<'a>(now: Timestamp) -> Judges<'a> {
    static NONE: std::sync::LazyLock<Crls> = std::sync::LazyLock::new(Crls::default);
    Judges {
        roots: &[],
        crls: &NONE,
        now,
    }
}

fn somebody() -> TransportKey {
    TransportKey::new(Keypair::generate_ed25519()).unwrap()
}

#[test]
fn few_strangers_wait_each_once_and_not_for_ever() {
    let city = City::new();
    let first = somebody();
    assert_eq!(city.asks(&first, NOW, NOW), EnrolVerdict::Pending);
    for _ in 1..MAX_PENDING {
        assert_eq!(city.asks(&somebody(), NOW, NOW), EnrolVerdict::Pending);
    }
    assert_eq!(city.records(), MAX_PENDING);
    let late = somebody();
    assert_eq!(city.asks(&late, NOW, NOW), EnrolVerdict::Busy);
    // Whoever waits already is told so, and is one record.
    assert_eq!(city.asks(&first, NOW, NOW), EnrolVerdict::Pending);
    // An old request that is sent again proves nothing.
    let tomorrow = NOW.plus_ms(SIGNED_DATA_LIFETIME_MS + 1);
    assert_eq!(city.asks(&first, NOW, tomorrow), EnrolVerdict::Refused);
    let peer = libp2p_peer(&first.peer_id());
    city.keeper.ignore(&peer, NOW, "hanako").unwrap();
    assert_eq!(city.asks(&first, NOW, NOW), EnrolVerdict::Refused);
    assert_eq!(city.records(), MAX_PENDING + 1);
    assert_eq!(city.asks(&late, NOW, NOW), EnrolVerdict::Pending);
    // After their time there is room again.
    let later = NOW.plus_ms(PENDING_MS);
    assert_eq!(city.asks(&somebody(), later, later), EnrolVerdict::Pending);
    assert_eq!(city.keeper.fold(|fold| fold.pending.len()), 1);
    // Who is listed need not ask; whose permission is over may.
    city.lists(&late, &[Role::Sync], later);
    assert_eq!(city.asks(&late, later, later), EnrolVerdict::Listed);
    let over = later.plus_ms(HOUR_MS);
    assert_eq!(city.asks(&late, over, over), EnrolVerdict::Pending);
    // All of it stands in the log.
    let again = read(city.keeper.0.store.trust(), None).unwrap();
    assert_eq!(city.keeper.fold(Clone::clone), again);
}

#[test]
fn a_peers_word_counts_only_with_its_role_once_and_within_bounds() {
    let city = City::new();
    let (komatsu, hakusan) = (somebody(), somebody());
    let hears = |from: &TransportKey, said: &SignedData| {
        city.keeper.hear(&libp2p_peer(&from.peer_id()), said, NOW)
    };
    let week = NOW.plus_ms(RECOMMENDATION_MS);
    let word = says(&komatsu, hakusan.peer_id(), week);
    assert!(!hears(&komatsu, &word), "a stranger's");
    city.lists(&komatsu, &[Role::Sync], NOW);
    assert!(!hears(&komatsu, &word), "without the role");
    city.lists(&komatsu, &Role::ALL, NOW);
    let before = city.records();
    assert!(hears(&komatsu, &word));
    assert!(!hears(&komatsu, &word), "the same again");
    assert!(!hears(&hakusan, &word), "of another signer");
    assert!(
        !hears(&komatsu, &says(&komatsu, komatsu.peer_id(), week)),
        "of itself"
    );
    assert!(
        !hears(&komatsu, &says(&komatsu, city.own, week)),
        "of this node"
    );
    assert_eq!(city.records(), before + 1);
    let about = libp2p_peer(&hakusan.peer_id()).to_string();
    let listed = city.keeper.fold(|fold| fold.listed.contains_key(&about));
    assert!(!listed, "it lists nobody");
    // One that says one thing and the other for ever does not fill the log.
    for n in 0..1000 {
        let until = week.plus_ms(n % 2 * 2 * HOUR_MS + HOUR_MS);
        hears(&komatsu, &says(&komatsu, hakusan.peer_id(), until));
    }
    assert!(city.records() <= before + 128, "{}", city.records());
    // Nor the table.
    let mallory = somebody();
    city.lists(&mallory, &Role::ALL, NOW);
    for _ in 0..200 {
        hears(&mallory, &says(&mallory, somebody().peer_id(), week));
    }
    assert_eq!(city.keeper.fold(|fold| fold.recommended.len()), 65);
    let last = city.keeper.0.store.trust().iter().last().unwrap().unwrap();
    assert_eq!(
        Record::read(&last.bytes).unwrap().decision,
        Decision::Recommend
    );
}

/// What one says of another, signed.
fn says(by: &TransportKey, about: ProtocolPeer, until: Timestamp) -> SignedData {
    let said = TrustRecommendation {
        v: 1,
        peer: about.to_bytes(),
        name: String::new(),
        region: None,
        expires_at: until,
    };
    said.sign(by, [7; 16], NOW)
}

#[test]
fn what_a_reader_says_is_heard_where_it_counts_for_reading_and_for_nothing_else() {
    let heard = |depth, to_read| {
        let city = City::that_needs(Needed {
            to_approve: 1,
            to_read,
            depth,
        });
        let [komatsu, hakusan, kahoku, nomi] = [(); 4].map(|()| somebody());
        city.lists(&komatsu, &Role::ALL, NOW);
        let hears = |from: &TransportKey, about: &TransportKey, until| {
            let said = says(from, about.peer_id(), until);
            city.keeper.hear(&libp2p_peer(&from.peer_id()), &said, NOW)
        };
        let week = NOW.plus_ms(RECOMMENDATION_MS);
        assert!(!hears(&hakusan, &kahoku, week), "it does not read yet");
        assert!(hears(&komatsu, &hakusan, week));
        let heard = hears(&hakusan, &kahoku, week);
        if heard {
            assert!(!hears(&hakusan, &kahoku, week), "the same again");
            assert!(!hears(&hakusan, &komatsu, week), "of who is listed");
            let kahoku = libp2p_peer(&kahoku.peer_id());
            // As long as 小松市 may speak: an hour.
            let until = city.keeper.reads(&kahoku, NOW);
            assert_eq!(until, Some(NOW.plus_ms(HOUR_MS)));
            let approved = city
                .keeper
                .approve(&kahoku, None, [].into(), judges(NOW), "hanako");
            assert!(
                matches!(approved, Err(ChangeError::NotPending(_))),
                "{approved:?}"
            );
            // It stands in the log.
            let again = read(city.keeper.0.store.trust(), None).unwrap();
            assert_eq!(city.keeper.fold(Clone::clone), again);
        }
        let further = hears(&kahoku, &nomi, week);
        if further {
            // Taken back at the beginning of the way, all of it ends, at once and for good.
            assert!(hears(&komatsu, &hakusan, Timestamp(0)));
            for reader in [&hakusan, &kahoku, &nomi] {
                assert_eq!(
                    city.keeper.reads(&libp2p_peer(&reader.peer_id()), NOW),
                    None
                );
            }
            assert!(city.keeper.fold(|fold| fold.recommended.is_empty()));
        }
        (heard, further)
    };
    assert_eq!(heard(1, 1), (false, false));
    assert_eq!(heard(2, 1), (true, false));
    assert_eq!(heard(3, 1), (true, true));
    assert_eq!(heard(3, 2), (false, false), "one is too few");
    assert_eq!(heard(3, 0), (false, false));
}

#[test]
fn readers_fill_their_own_room_and_nobody_elses() {
    let city = City::that_needs(Needed { depth: 2, ..ONE });
    let week = NOW.plus_ms(RECOMMENDATION_MS);
    let hears = |from: &TransportKey, about: ProtocolPeer, until, now| {
        let said = says(from, about, until);
        city.keeper.hear(&libp2p_peer(&from.peer_id()), &said, now)
    };
    let [komatsu, hakusan] = [(); 2].map(|()| somebody());
    city.lists(&komatsu, &Role::ALL, NOW);
    let readers: Vec<TransportKey> = (0..20).map(|_| somebody()).collect();
    for reader in &readers {
        assert!(hears(&komatsu, reader.peer_id(), week, NOW));
    }
    // Each has a few, and all together a part of what listed peers have.
    let first = somebody();
    let said = readers.iter().map(|reader| {
        let others = (0..20).map(|_| somebody().peer_id());
        let about = std::iter::once(first.peer_id()).chain(others);
        about
            .filter(|about| hears(reader, *about, week, NOW))
            .count()
    });
    assert_eq!(said.sum::<usize>(), 256);
    let of_first = |fold: &Fold| {
        let by = libp2p_peer(&readers[0].peer_id()).to_string();
        fold.recommended
            .keys()
            .filter(|(_, other)| *other == by)
            .count()
    };
    assert_eq!(city.keeper.fold(of_first), 16);
    // A listed peer is heard all the same.
    assert!(hears(&komatsu, hakusan.peer_id(), week, NOW));
    // One that says one thing and the other for ever does not fill the log, and what it said it can always take back.
    let before = city.records();
    for n in 1..200 {
        let until = week.plus_ms(n % 2 * 2 * HOUR_MS + HOUR_MS);
        hears(&readers[0], first.peer_id(), until, NOW);
    }
    assert_eq!(city.records(), before + 16, "it had said as much before");
    assert!(hears(&readers[0], first.peer_id(), Timestamp(0), NOW));
    assert!(!hears(&readers[0], first.peer_id(), week, NOW));
    // Nor do all of them together: the last one has its place now, and then each says as much again.
    for reader in readers[1..].iter().rev() {
        for n in 1..40 {
            let until = week.plus_ms(n % 2 * 2 * HOUR_MS + HOUR_MS);
            hears(reader, first.peer_id(), until, NOW);
        }
    }
    let recommended = |record: Record| record.decision == Decision::Recommend;
    let log = city.keeper.0.store.trust();
    let records = log
        .iter()
        .map(|block| Record::read(&block.unwrap().bytes).unwrap());
    assert_eq!(
        records.filter(|record| recommended(record.clone())).count(),
        21 + 512
    );
}

#[test]
fn what_is_over_goes_in_one_record_and_stays_gone() {
    let city = City::new();
    let [short, long, stranger, other] = [(); 4].map(|()| somebody());
    city.lists(&short, &[Role::Sync, Role::Recommend], NOW);
    let peer = libp2p_peer(&long.peer_id());
    let terms = Terms {
        roles: [Role::Sync, Role::Recommend].into(),
        ..Terms::default()
    };
    city.keeper
        .add(&peer, terms, judges(NOW), "hanako")
        .unwrap();
    city.asks(&stranger, NOW, NOW);
    let recommends = |by: &TransportKey, until: Timestamp| {
        let said = TrustRecommendation {
            v: 1,
            peer: libp2p_peer(&other.peer_id()).to_bytes(),
            name: "白山市".into(),
            region: None,
            expires_at: until,
        };
        let signed = said.sign(by, [3; 16], NOW);
        let from = libp2p_peer(&by.peer_id());
        assert!(city.keeper.hear(&from, &signed, NOW));
    };
    // One falls with its recommender, the other ends by itself.
    recommends(&short, NOW.plus_ms(MAX_RECOMMENDATION_MS));
    recommends(&long, NOW.plus_ms(7_200_000));
    let before = city.records();
    assert_eq!(
        city.keeper.clean_up(NOW, "hanako").unwrap(),
        Cleaned::default()
    );
    assert_eq!(
        city.records(),
        before,
        "nothing was over: nothing is recorded"
    );

    let later = NOW.plus_ms(PENDING_MS);
    let cleaned = city.keeper.clean_up(later, "hanako").unwrap();
    let gone = Cleaned {
        entries: vec![libp2p_peer(&short.peer_id()).to_string()],
        recommendations: 2,
        requests: 1,
        ..Cleaned::default()
    };
    assert_eq!(cleaned, gone);
    assert_eq!(city.records(), before + 1);
    assert_eq!(city.keeper.allowed().len(), 1);
    let log = city.keeper.0.store.trust();
    let again = Fold::of(log).unwrap();
    assert_eq!(city.keeper.fold(Fold::clone), again);
    assert_eq!(again.listed.keys().collect::<Vec<_>>(), [&peer.to_string()]);
    assert!(again.pending.is_empty() && again.recommended.is_empty());
    assert_eq!(
        city.keeper.clean_up(later, "hanako").unwrap(),
        Cleaned::default()
    );
}

#[test]
fn what_cannot_be_forgotten_leaves_everything_as_it_was() {
    let city = City::new();
    let dir = tempfile::tempdir().unwrap();
    let hour = 3_600_000;
    let path = dir.path().join("below").join("seen.cbor");
    let below = || std::fs::create_dir(path.parent().unwrap()).unwrap();
    below();
    city.keeper.remember(path.clone(), hour, NOW);
    let peer = somebody();
    city.lists(&peer, &[Role::Sync], NOW);
    let from = libp2p_peer(&peer.peer_id());
    let noted = city
        .keeper
        .0
        .seen
        .lock()
        .unwrap()
        .note(&from, [1; 16], NOW, NOW);
    assert!(noted.unwrap());
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    let (later, before) = (NOW.plus_ms(2 * hour), city.records());
    assert!(city.keeper.clean_up(later, "hanako").is_err());
    assert_eq!(city.records(), before);
    assert!(city.keeper.listed(&from.to_string()).is_some());
    below();
    let cleaned = city.keeper.clean_up(later, "hanako").unwrap();
    assert_eq!((cleaned.entries.len(), cleaned.messages), (1, 1));
}

#[test]
fn the_file_read_again_lists_and_unlists_beside_what_operators_decided() {
    let city = City::new();
    let [a, b, c] = [(); 3].map(|()| libp2p_peer(&somebody().peer_id()));
    let entry = |code: &str| Entry {
        name: String::new(),
        region: Some(format!("Asia/JP/17/{code}").parse().unwrap()),
        expires_at: None,
        roles: [Role::Sync].into(),
        addresses: vec!["/ip4/192.0.2.1/tcp/1".into()],
        at: NOW,
        by: "config".into(),
    };
    let keeper = &city.keeper;
    keeper
        .add(&c, Terms::default(), judges(NOW), "hanako")
        .unwrap();
    let first = Wanted::from([
        (a.to_string(), entry("17201")),
        (b.to_string(), entry("17203")),
    ]);
    let told = keeper.relist(&first, NOW).unwrap();
    let mut both = vec![a, b];
    both.sort_by_key(ToString::to_string);
    assert_eq!((told.listed, told.moved), (both, Vec::new()));
    assert_eq!((told.addresses.len(), keeper.allowed().len()), (2, 3));
    assert!(keeper.relist(&first, NOW).unwrap().is_nothing());

    // One is another municipality's now, one is gone, and one that an operator lists is listed there, too.
    let second = Wanted::from([
        (a.to_string(), entry("17210")),
        (c.to_string(), entry("17201")),
    ]);
    let told = keeper.relist(&second, NOW).unwrap();
    assert_eq!((told.unlisted, told.gone), (vec![b], vec![b]));
    assert!(told.moved.contains(&a));
    assert!(keeper.admits(&a, NOW) && !keeper.admits(&b, NOW));
    let told = keeper.relist(&Wanted::new(), NOW).unwrap();
    assert_eq!((told.unlisted.len(), told.gone), (2, vec![a]));
    assert!(keeper.admits(&c, NOW), "an operator's entry stays");
    let again = Fold::of(city.keeper.0.store.trust()).unwrap();
    assert_eq!(keeper.fold(Fold::clone), again);
}
