//! Municipalities with their people, founded once and shared by all stories of their size: enrolling hundreds
//! costs seconds, and is the same for every seed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use city_protocol::amount::{Amount, Timestamp};
use city_protocol::crypto::{PublicKey, SecretKey};
use city_protocol::ids::KeyId;
use city_protocol::replica::FollowPolicy;
use city_protocol::stage::Submission;

use super::citizens::enrolment;
use super::dice::Dice;
use super::plan::Plan;
use crate::disk::Disk;
use crate::home::Identity;
use crate::memo::Memo;
use crate::people::{Person, decided_by};
use crate::world::World;

/// 石川県's municipalities: the first ones are founded.
const CODES: [&str; 9] = [
    "17201", "17202", "17203", "17204", "17205", "17206", "17207", "17209", "17210",
];

/// What a home takes from another in the stories where that is little.
const LIMIT: Amount = Amount::from_hundredths(1_200);

/// What a story begins with.
pub(crate) struct Foundation {
    homes: Vec<(Identity, Disk)>,
    /// People by home.
    pub(crate) people: Vec<Vec<Person>>,
    keys: BTreeMap<KeyId, Arc<PublicKey>>,
    now: Timestamp,
}

impl Foundation {
    /// So many municipalities with so many people each.
    pub(crate) fn of(homes: usize, crowd: usize) -> Arc<Self> {
        static FOUNDED: Mutex<BTreeMap<(usize, usize), Arc<Foundation>>> =
            Mutex::new(BTreeMap::new());
        let mut founded = FOUNDED.lock().unwrap_or_else(PoisonError::into_inner);
        let found = || Arc::new(Self::found(homes, crowd));
        founded.entry((homes, crowd)).or_insert_with(found).clone()
    }

    fn found(homes: usize, crowd: usize) -> Self {
        let mut world = World::empty();
        world.memo = Some(Memo::default());
        for code in &CODES[..homes] {
            // Everybody names the two who were there before.
            let named = world.homes.iter().rev().take(2);
            world.witnesses = named.map(|home| home.log()).collect();
            let home = world.add_home(code);
            world.homes[home].pool_knows_people = true;
        }
        let people = (0..homes)
            .map(|home| settle(&mut world, home, crowd))
            .collect();
        for a in 0..homes {
            for b in a + 1..homes {
                world.connect(a, b);
            }
        }
        world.run();
        let everybody: Vec<_> = (0..homes).collect();
        assert!(world.in_step(&everybody), "the foundation is even");
        Self {
            homes: world
                .homes
                .into_iter()
                .map(|home| (home.identity, home.disk))
                .collect(),
            people,
            keys: world.people,
            now: world.now,
        }
    }

    /// The keys with which everybody enrolled.
    pub(crate) fn signing_keys(&self) -> BTreeMap<KeyId, Arc<SecretKey>> {
        let people = self.people.iter().flatten();
        people
            .map(|person| (person.key.public().id(), person.key.clone()))
            .collect()
    }

    /// A world in which these homes have just been switched on and are not connected yet.
    pub(crate) fn world(&self, plan: &Plan, dice: &mut Dice) -> World {
        let mut world = World::empty();
        if plan.limited {
            world.clearing.limit = LIMIT;
            world.clearing.reject_over_limit = dice.percent(50);
        }
        if plan.headed {
            world.follow.policy = FollowPolicy::Headers;
        }
        world.checkpoint_every = plan.checkpoint_every;
        world.memo = Some(Memo::default());
        world.people.clone_from(&self.keys);
        world.now = self.now.plus_ms(3_600_000);
        for (identity, disk) in &self.homes {
            let home = world.add_box(identity.clone(), disk.clone());
            world.homes[home].pool_knows_people = true;
        }
        world
    }
}

/// People enrol and are given something, a few vertices for all of them.
fn settle(world: &mut World, home: usize, crowd: usize) -> Vec<Person> {
    let names = (0..crowd).map(|n| format!("citizen {n} of {home}"));
    let people: Vec<_> = names.map(|name| world.person(&name, home)).collect();
    for person in &people {
        let enrol = enrolment(world, person);
        world.ask(home, enrol);
    }
    world.commit(home);
    let officers = world.homes[home].officers[..2].to_vec();
    for (turn, person) in people.iter().enumerate() {
        let mut body = world.grant_body(person, "100.00");
        body.officers_sequence += turn as u64;
        world.ask(home, Submission::Grant(decided_by(&body, &officers)));
    }
    world.commit(home);
    let answers = std::mem::take(&mut world.homes[home].answers);
    assert!(answers.values().all(Result::is_ok), "everybody is enrolled");
    people
}
