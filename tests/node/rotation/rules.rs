//! Which rotations are followed, and what passes over with them: the keeper of one node, without a network.

use std::sync::Arc;

use city_node::engine::{TransportKey, libp2p_peer, utc};
use city_node::pki::read_crls;
use city_node::setup::load_identity;
use city_node::store::{Store, StoreOptions};
use city_node::trust::keyfile::Judges;
use city_node::trust::{
    Bringer, ChangeError, Following, Keeper, MAX_CARRIED, Moved, Needed, Role, Terms, Wanted,
    wanted,
};
use city_protocol::amount::Timestamp;
use city_protocol::ids::NetworkId;
use city_protocol::pki::{Crls, Role as NodeRole, Root};
use city_protocol::trust::{ROTATION_MS, Rotation, SignedRotation, TransportSigner as _};
use libp2p::PeerId;
use libp2p::identity::Keypair;

use super::certified;
use crate::daemon::city::{City, directory, found};

const HOUR: u64 = 60 * 60 * 1000;
/// How often a node's key is followed by peers' words in 90 days.
const OFTEN: usize = 4;

/// One node's keeper of the whitelist.
struct Side {
    keeper: Keeper,
    network: NetworkId,
    roots: Vec<Root>,
    crls: Crls,
}

impl Side {
    fn open(city: &City, config: &Wanted) -> Self {
        let identity = load_identity(&city.data).unwrap();
        let dir = city.data.path().join("other-store");
        let (store, _) = Store::open(&dir, identity.network, StoreOptions::new()).unwrap();
        city_node::trust::reconcile(store.trust(), None, config, utc()).unwrap();
        let needed = Needed {
            to_approve: 1,
            to_read: 0,
            depth: 1,
        };
        let own = city.report.peer_id;
        Self {
            keeper: Keeper::open(Arc::new(store), None, config, own, needed).unwrap(),
            network: identity.network,
            roots: identity.genesis.roots.clone(),
            crls: read_crls(&city.data.crls()).unwrap(),
        }
    }

    fn judges(&self, now: Timestamp) -> Judges<'_> {
        Judges {
            roots: &self.roots,
            crls: &self.crls,
            now,
        }
    }

    fn follows(&self, signed: &SignedRotation, by: Bringer<'_>) -> Result<Following, ChangeError> {
        self.keeper
            .follow(signed, &self.network, self.judges(utc()), by)
    }

    /// Whether the gate lets a peer in now.
    fn admits(&self, peer: &PeerId) -> bool {
        self.keeper.admits(peer, utc())
    }
}

/// A peer with the keys that it had, one after the other.
struct Peer<'a> {
    city: &'a City,
    network: NetworkId,
    keys: Vec<TransportKey>,
}

impl<'a> Peer<'a> {
    fn of(city: &'a City) -> Self {
        let identity = load_identity(&city.data).unwrap();
        Self {
            city,
            network: identity.network,
            keys: vec![TransportKey::new(identity.transport).unwrap()],
        }
    }

    fn id(&self, at: usize) -> PeerId {
        libp2p_peer(&self.keys[at].peer_id())
    }

    fn moved(&self, old: usize, new: usize) -> Moved {
        Moved {
            old: self.id(old),
            new: self.id(new),
        }
    }

    /// Makes another key, and says where it stands.
    fn another(&mut self) -> usize {
        self.keys
            .push(TransportKey::new(Keypair::generate_ed25519()).unwrap());
        self.keys.len() - 1
    }

    fn rotation(&self, old: usize, new: usize, made_at: Timestamp) -> SignedRotation {
        let region = self.city.config.node.region.as_str();
        let peer = self.id(new).to_string();
        let said = Rotation {
            network: self.network,
            old: self.keys[old].peer_id(),
            new: self.keys[new].peer_id(),
            certificate: certified(self.city, &peer, region, NodeRole::Home),
            chain: Vec::new(),
            made_at,
            expires_at: made_at.plus_ms(ROTATION_MS),
        };
        said.sign(&self.keys[old], &self.keys[new])
    }
}

fn listed(side: &Side, peer: &PeerId) -> Option<city_node::trust::Listed> {
    side.keeper.listed(&peer.to_string())
}

#[test]
fn an_entry_passes_over_with_its_terms_and_is_the_same_after_a_restart() {
    let root = directory();
    let cities = found(root.path(), 3);
    let (own, third) = (&cities[1], cities[2].report.peer_id);
    let side = Side::open(own, &Wanted::new());
    let mut peer = Peer::of(&cities[0]);
    let (first, second, third_key) = (0, peer.another(), peer.another());
    let by = Bringer::Operator("uid 7");
    let now = utc();
    let terms = Terms {
        name: Some("金沢市".into()),
        hours: Some(5),
        roles: Role::ALL.into(),
        region: Some(cities[0].config.node.region.clone()),
        addresses: vec!["/ip4/192.0.2.1/tcp/7420".into()],
        ..Terms::default()
    };
    side.keeper
        .add(&peer.id(first), terms, side.judges(now), "uid 5")
        .unwrap();
    let before = listed(&side, &peer.id(first)).unwrap().operator.unwrap();
    side.keeper
        .recommend(&peer.id(first), None, None, now, "uid 5")
        .unwrap();

    // By a peer that hands it on, then the next one by an operator.
    let one = peer.rotation(first, second, now);
    let followed = side.follows(&one, Bringer::Peer(&third)).unwrap();
    assert_eq!(followed, Following::Moved(peer.moved(first, second)));
    let known = Following::Known(peer.moved(first, second));
    assert_eq!(side.follows(&one, by).unwrap(), known);
    let two = peer.rotation(second, third_key, now.plus_ms(1));
    let followed = side.follows(&two, by).unwrap();
    assert_eq!(followed, Following::Moved(peer.moved(second, third_key)));
    // The earlier ones again change nothing.
    assert_eq!(side.follows(&one, Bringer::Peer(&third)).unwrap(), known);
    let ids = [first, second, third_key].map(|at| peer.id(at));
    assert_eq!(ids.map(|id| side.admits(&id)), [false, false, true]);
    let after = listed(&side, &ids[2]).unwrap();
    assert_eq!(after.operator.as_ref(), Some(&before));
    assert_eq!(after.keys.len(), 1, "the new certificate");
    assert!(listed(&side, &ids[0]).is_none() && listed(&side, &ids[1]).is_none());
    let own_words = side.keeper.recommends(now);
    assert_eq!(own_words[0].peer, peer.keys[third_key].peer_id().to_bytes());
    // Who comes later is told both, the older one first.
    let carried = side.keeper.carried(now);
    let carried: Vec<_> = carried.iter().map(|signed| (**signed).clone()).collect();
    assert_eq!(carried, [one, two.clone()]);
    assert!(side.keeper.carried(now.plus_ms(ROTATION_MS + 1)).is_empty());
    let fold = side.keeper.fold(Clone::clone);
    drop(side);
    let side = Side::open(own, &Wanted::new());
    assert_eq!(side.keeper.fold(Clone::clone), fold);
    assert!(side.admits(&ids[2]));

    // Taken off by hand it does not come back, neither by this rotation nor by a further one that leads to a former key.
    side.keeper
        .remove(&ids[2].to_string(), now, "uid 5")
        .unwrap();
    assert!(matches!(side.follows(&two, by), Ok(Following::Known(_))));
    assert!(!side.admits(&ids[2]));
    let fourth = peer.another();
    let three = peer.rotation(third_key, fourth, now);
    assert!(matches!(
        side.follows(&three, by),
        Err(ChangeError::NotListed(_))
    ));
    side.keeper
        .add(
            &peer.id(fourth),
            Terms {
                key: None,
                region: Some(cities[0].config.node.region.clone()),
                ..Terms::default()
            },
            side.judges(now),
            "uid 5",
        )
        .unwrap();
    for back in [first, second, third_key] {
        let back = peer.rotation(fourth, back, now);
        assert!(matches!(
            side.follows(&back, by),
            Err(ChangeError::NotBroughtBack(_))
        ));
    }
    assert!(side.admits(&peer.id(fourth)));
}

#[test]
fn what_ended_is_not_revived_and_two_successors_are_told() {
    let root = directory();
    let cities = found(root.path(), 3);
    let (own, third) = (&cities[1], cities[2].report.peer_id);
    let side = Side::open(own, &Wanted::new());
    let mut peer = Peer::of(&cities[0]);
    let (old, new, other) = (0, peer.another(), peer.another());
    let by = Bringer::Peer(&third);
    let now = utc();
    let signed = peer.rotation(old, new, now);
    let refused = |signed: &SignedRotation, by, at: Timestamp| {
        let followed = side
            .keeper
            .follow(signed, &side.network, side.judges(at), by);
        followed.unwrap_err()
    };
    assert!(matches!(
        refused(&signed, by, now),
        ChangeError::NotListed(_)
    ));
    let list = |terms| {
        side.keeper
            .add(&peer.id(old), terms, side.judges(now), "uid 5")
            .unwrap()
    };
    // Nobody said of which municipality it is.
    list(Terms::default());
    assert!(matches!(
        refused(&signed, by, now),
        ChangeError::NoMunicipality(_)
    ));
    let region = Some(cities[0].config.node.region.clone());
    let terms = || Terms {
        hours: Some(1),
        region: region.clone(),
        ..Terms::default()
    };
    list(terms());
    let late = now.plus_ms(HOUR + 60_000);
    assert!(matches!(
        refused(&signed, by, late),
        ChangeError::NotInForce(_)
    ));
    // Of another municipality than the entry, or of another network, or too old, or of nobody's CA.
    list(Terms {
        region: Some(cities[2].config.node.region.clone()),
        ..terms()
    });
    let said = refused(&signed, by, now).to_string();
    assert!(said.contains("the old peer id belongs to"), "{said}");
    list(terms());
    let elsewhere = side.keeper.follow(
        &signed,
        &city_protocol::ids::BlockId::of(b"x"),
        side.judges(now),
        by,
    );
    assert!(
        elsewhere
            .unwrap_err()
            .to_string()
            .contains("another network")
    );
    let old_one = peer.rotation(old, new, now.minus_ms(ROTATION_MS));
    assert!(
        refused(&old_one, by, now)
            .to_string()
            .contains("too long ago")
    );
    let strangers = Judges {
        roots: &[],
        crls: &side.crls,
        now,
    };
    let unknown = side.keeper.follow(&signed, &side.network, strangers, by);
    assert!(unknown.unwrap_err().to_string().contains("not good here"));
    // Whoever is ignored is not brought in.
    side.keeper.ignore(&peer.id(new), now, "uid 5").unwrap();
    assert!(matches!(
        refused(&signed, by, now),
        ChangeError::NotBroughtBack(_)
    ));
    assert!(side.admits(&peer.id(old)) && !side.admits(&peer.id(new)));
    assert!(side.keeper.fold(|fold| fold.followed.is_empty()));

    // Two successors: the first stands, the second is refused and written down once, and neither is handed on.
    let (first, second) = (peer.rotation(old, other, now), signed);
    assert!(matches!(side.follows(&first, by), Ok(Following::Moved(_))));
    assert_eq!(side.keeper.carried(now).len(), 1);
    for _ in 0..2 {
        let said = refused(&second, by, now).to_string();
        let both = [peer.id(other), peer.id(new)].map(|peer| said.contains(&peer.to_string()));
        assert_eq!(both, [true; 2], "{said}");
    }
    let followed = side
        .keeper
        .fold(|fold| fold.followed[&peer.id(old).to_string()].clone());
    assert_eq!(followed.new, peer.id(other).to_string());
    let contested = followed.contested.unwrap();
    assert_eq!(
        (contested.new, contested.from),
        (peer.id(new).to_string(), Some(third.to_string()))
    );
    assert!(side.keeper.carried(now).is_empty());
    assert!(side.admits(&peer.id(other)) && !side.admits(&peer.id(new)));
    let fold = side.keeper.fold(Clone::clone);
    drop(side);
    let side = Side::open(own, &Wanted::new());
    assert_eq!(side.keeper.fold(Clone::clone), fold);
}

#[test]
fn what_the_configuration_names_has_no_force_until_it_is_corrected() {
    let root = directory();
    let cities = found(root.path(), 2);
    let own = &cities[1];
    let side = Side::open(own, &wanted(&own.config, utc()));
    let mut peer = Peer::of(&cities[0]);
    let (old, new) = (0, peer.another());
    let now = utc();
    let signed = peer.rotation(old, new, now);
    let id = peer.id(old);
    assert!(side.admits(&id));
    // The node itself says so.
    side.follows(&signed, Bringer::Peer(&id)).unwrap();
    let check = |side: &Side| {
        assert_eq!(
            (side.admits(&id), side.admits(&peer.id(new))),
            (false, true)
        );
        let outdated = |fold: &city_node::trust::Fold| {
            let outdated = fold.outdated();
            outdated
                .map(|(old, rotated)| (old.clone(), rotated.to.clone()))
                .collect::<Vec<_>>()
        };
        let expected = (id.to_string(), peer.id(new).to_string());
        assert_eq!(side.keeper.fold(outdated), [expected]);
        let entry = listed(side, &peer.id(new)).unwrap().operator.unwrap();
        let named = &own.config.network.peers[0];
        let addresses: Vec<_> = named.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(
            (entry.name, entry.region, entry.addresses),
            (named.name.clone(), Some(named.region.clone()), addresses)
        );
    };
    check(&side);
    // Read again, and after a restart: the file changes nothing of that.
    side.keeper.relist(&wanted(&own.config, now), now).unwrap();
    check(&side);
    drop(side);
    let side = Side::open(own, &wanted(&own.config, now));
    check(&side);
    // What the file says of the old one holds for its successor, and ends with it.
    let mut config = own.config.clone();
    config.network.peers[0].expires_at = Some(now.plus_ms(HOUR));
    side.keeper.relist(&wanted(&config, now), now).unwrap();
    assert!(side.keeper.admits(&peer.id(new), now));
    assert!(!side.keeper.admits(&peer.id(new), now.plus_ms(HOUR)));
    config.network.peers.clear();
    side.keeper.relist(&wanted(&config, now), now).unwrap();
    assert!(!side.admits(&id) && !side.admits(&peer.id(new)));
    // Corrected: nothing is outdated any more.
    let mut config = own.config.clone();
    config.network.peers[0].peer_id = peer.id(new);
    side.keeper.relist(&wanted(&config, now), now).unwrap();
    assert_eq!(side.keeper.fold(|fold| fold.outdated().count()), 0);
    assert_eq!(
        (side.admits(&id), side.admits(&peer.id(new))),
        (false, true)
    );
    // An operator who lists the old one again means it.
    let terms = Terms {
        region: Some(config.network.peers[0].region.clone()),
        ..Terms::default()
    };
    side.keeper
        .add(&id, terms, side.judges(now), "uid 5")
        .unwrap();
    assert!(side.admits(&id));
    assert!(matches!(
        side.follows(&signed, Bringer::Peer(&id)),
        Ok(Following::Known(_))
    ));
    assert!(side.admits(&id));
}

#[test]
fn the_newest_are_handed_on_and_no_more_than_that() {
    let root = directory();
    let cities = found(root.path(), 2);
    let side = Side::open(&cities[1], &wanted(&cities[1].config, utc()));
    let mut peer = Peer::of(&cities[0]);
    let now = utc();
    for at in 0..MAX_CARRIED + 2 {
        let next = peer.another();
        let signed = peer.rotation(at, next, now.plus_ms(at as u64));
        let from = Bringer::Peer(&peer.id(at));
        if at < OFTEN {
            side.follows(&signed, from).unwrap();
        } else {
            // A peer's word moves one node no further in 90 days; an operator's file does.
            let refused = side.follows(&signed, from);
            assert!(matches!(refused, Err(ChangeError::TooMuchSaid)), "{at}");
            side.follows(&signed, Bringer::Operator("uid 5")).unwrap();
        }
    }
    assert_eq!(
        side.keeper.newest(&peer.id(0).to_string()),
        peer.id(MAX_CARRIED + 2).to_string()
    );
    let carried = side.keeper.carried(now);
    let olds: Vec<_> = carried
        .iter()
        .map(|signed| signed.said().unwrap().old)
        .collect();
    let newest: Vec<_> = (2..MAX_CARRIED + 2)
        .map(|at| peer.keys[at].peer_id())
        .collect();
    assert_eq!(olds, newest);
    // What this node says of its own key comes beside them.
    let own = Peer::of(&cities[1]);
    let mut own = own;
    let next = own.another();
    side.keeper.carry(own.rotation(0, next, now));
    assert_eq!(side.keeper.carried(now).len(), MAX_CARRIED + 1);
}
