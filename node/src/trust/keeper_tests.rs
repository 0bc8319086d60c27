//! Many strangers, one peer's many words, and a keeper that stays small.

use super::*;
use crate::engine::{TransportKey, libp2p_peer};
use crate::store::{StoreError, StoreOptions};
use crate::trust::{Decision, MAX_PENDING, PENDING_MS};
use city_protocol::ids::BlockId;
use city_protocol::pki::Crls;
use city_protocol::trust::{
    EnrolVerdict, PeerId as ProtocolPeer, RECOMMENDATION_MS, SIGNED_DATA_LIFETIME_MS, SignedData,
    TransportSigner as _, TrustRecommendation, WhitelistRequest,
};
use libp2p::identity::Keypair;
use std::time::{Duration, Instant};

const NOW: Timestamp = Timestamp(1_800_000_000_000);

struct City {
    _dir: tempfile::TempDir,
    keeper: Keeper,
    own: ProtocolPeer,
}

impl City {
    fn new() -> Self {
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
        let keeper = Keeper::open(store, None, &Wanted::new(), libp2p_peer(&own), 1).unwrap();
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
    let says = |by: &TransportKey, about: ProtocolPeer, until: Timestamp| -> SignedData {
        let said = TrustRecommendation {
            v: 1,
            peer: about.to_bytes(),
            name: String::new(),
            region: None,
            expires_at: until,
        };
        said.sign(by, [7; 16], NOW)
    };
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
