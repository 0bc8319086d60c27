//! People come and their keys change: they enrol in the middle of a story, take new keys, close them, and officers give
//! them others.

use std::sync::Arc;

use city_protocol::body::{Kind, Label, OfficersRevoke};
use city_protocol::crypto::SecretKey;
use city_protocol::ledger::{AccountRow, Rows as _};
use city_protocol::pki::{Crls, verify_client};
use city_protocol::stage::{Draft, SignedBySeveral, Submission};

use super::stage::Sim;
use crate::people::{Person, decided_by, signed};
use crate::renewal::{recover_body, revoke_body, rotate_body, signed_by, with_key};
use crate::world::World;

/// Most people who come to one home in a story: each costs two keys.
const NEWCOMERS: usize = 4;

impl Sim {
    /// Somebody moves here.
    pub(crate) fn somebody_enrols(&mut self) {
        let home = self.dice.index(self.plan.homes);
        let Some(boxed) = self.open_box(home) else {
            return;
        };
        let number = self.people[home].len();
        if number >= self.plan.crowd + NEWCOMERS {
            return;
        }
        let person = self
            .world
            .person(&format!("newcomer {number} of {home}"), home);
        let enrol = enrolment(&self.world, &person);
        self.ask(boxed, enrol, None);
        self.commit(boxed);
        if self.account_at(boxed, &person).is_some() {
            self.know_key(&person.key);
            self.people[home].push(person);
            self.count("enrolments");
        }
    }

    /// Somebody takes a new key, and says so with both.
    pub(crate) fn somebody_rotates(&mut self) {
        let home = self.dice.index(self.plan.homes);
        let Some(boxed) = self.open_box(home) else {
            return;
        };
        let old = self.somebody(home, boxed);
        if self.account_at(boxed, &old).is_none() {
            return;
        }
        let new = self.with_another_key(&old);
        let body = rotate_body(&self.world, &old, &new);
        let rotate = signed_by(&body, &[&old.key, &new.key]);
        self.ask(boxed, Submission::Rotate(rotate), None);
        self.commit(boxed);
        self.count("rotations");
    }

    /// A key is closed, by whoever has it or by officers.
    pub(crate) fn somebody_revokes(&mut self) {
        let home = self.dice.index(self.plan.homes);
        let Some(boxed) = self.open_box(home) else {
            return;
        };
        let person = self.somebody(home, boxed);
        if self.account_at(boxed, &person).is_none() {
            return;
        }
        let revocation = if self.dice.percent(50) {
            self.count("revocations by people");
            let body = revoke_body(&self.world, &person);
            let (_, bytes, signature) = signed(body, &person).unwrap().into_parts();
            let signatures = vec![signature];
            SignedBySeveral { bytes, signatures }
        } else {
            self.count("revocations by officers");
            let grant = self.world.grant_body(&person, "1.00");
            let body = OfficersRevoke {
                version: 1,
                kind: Kind::Revoke,
                network: grant.network,
                home: grant.home,
                officers_sequence: grant.officers_sequence,
                created_at: grant.created_at,
                account: person.account,
                reason: Label::new("盗難").unwrap(),
            };
            decided_by(&body, &self.world.homes[boxed].officers[..2])
        };
        self.ask(boxed, Submission::Revoke(revocation), None);
        self.commit(boxed);
    }

    /// Officers give one whose key is closed another.
    pub(crate) fn officers_recover(&mut self) {
        let home = self.dice.index(self.plan.homes);
        if let Some(boxed) = self.open_box(home)
            && let Some(person) = self.closed_at(home, boxed).first()
        {
            self.recover(boxed, person);
        }
    }

    /// Nobody of these homes is left without a key.
    pub(super) fn everybody_recovers(&mut self) {
        for home in self.honest() {
            for person in self.closed_at(home, home) {
                self.recover(home, &person);
            }
        }
    }

    fn recover(&mut self, boxed: usize, person: &Person) {
        let new = self.with_another_key(person);
        let body = recover_body(&self.world, person, &new);
        let officers = self.world.homes[boxed].officers[1..].to_vec();
        let recover = Submission::Recover(decided_by(&body, &officers));
        self.ask(boxed, recover, None);
        self.commit(boxed);
        self.count("recoveries");
    }

    /// People of a home whose keys are closed, as this box has it.
    fn closed_at(&self, home: usize, boxed: usize) -> Vec<Person> {
        let people = self.people[home].iter();
        let closed = people.filter(|person| {
            let row = self.account_at(boxed, person);
            row.is_some_and(|row| row.revoked)
        });
        closed.map(|person| self.at_box(person, boxed)).collect()
    }

    fn account_at(&self, boxed: usize, person: &Person) -> Option<AccountRow> {
        let rows = self.world.homes[boxed].disk.read();
        rows.account(&person.home_log, &person.account)
    }

    /// Somebody at this box of their home, with the key that their account has there.
    pub(super) fn at_box(&self, person: &Person, boxed: usize) -> Person {
        let row = self.account_at(boxed, person);
        let key = row.and_then(|row| self.keys.get(&row.key).cloned());
        Person {
            home: boxed,
            key: key.unwrap_or_else(|| person.key.clone()),
            ..person.clone()
        }
    }

    fn with_another_key(&mut self, person: &Person) -> Person {
        let name = format!("key {} of a story", self.keys.len());
        let new = with_key(person, &name);
        self.know_key(&new.key);
        new
    }

    pub(super) fn know_key(&mut self, key: &Arc<SecretKey>) {
        self.keys.insert(key.public().id(), key.clone());
    }
}

/// What somebody submits who has no account yet.
pub(super) fn enrolment(world: &World, person: &Person) -> Submission {
    let certificate = world
        .ca
        .client(&person.account, person.key.public(), &person.kem);
    let (roots, region) = (&world.genesis.roots, &person.region);
    let certificate =
        verify_client(roots, &certificate, &[], &Crls::none(), world.now, region).unwrap();
    let signed = Draft(world.enrol_body(person)).sign(&*person.key).unwrap();
    Submission::Enrol(signed.verify_enrolment(&certificate.certificate).unwrap())
}
