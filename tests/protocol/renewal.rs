//! How an account changes its keys, as people and officers sign it: rotation, revocation, recovery.

use std::sync::Arc;

use city_protocol::body::{
    Kind, Label, NewKeys, OfficersRevoke, PersonBody as _, Recover, Revoke, Rotate,
};
use city_protocol::crypto::{SecretKey, Signer as _};
use city_protocol::ids::Digest;
use city_protocol::json;
use city_protocol::ledger::Rows as _;
use city_protocol::refusal::Refusal;
use city_protocol::replica::BookedEntry;
use city_protocol::stage::{SignedBySeveral, Submission};
use city_protocol::vertex::EntrySignature;

use super::keys::{kem_key, signing_key};
use super::people::{Person, decided_by, signed};
use super::world::World;

/// The same person with another key.
pub(crate) fn with_key(person: &Person, name: &str) -> Person {
    Person {
        key: signing_key(name),
        kem: kem_key(name),
        ..person.clone()
    }
}

/// Its keys, as their body names them.
fn new_keys(world: &World, person: &Person) -> NewKeys {
    let public = person.key.public();
    let certificate = world.ca.client(&person.account, public, &person.kem);
    NewKeys {
        alg: public.algorithm(),
        public_key: public.as_bytes().to_vec(),
        kem_alg: person.kem.algorithm(),
        kem_key: person.kem.as_bytes().to_vec(),
        certificate: Digest::of(&[&certificate]),
    }
}

/// Whose turn it is: of somebody without an account the first.
fn next_sequence(world: &World, person: &Person) -> u64 {
    let rows = world.homes[person.home].disk.read();
    let account = rows.account(&person.home_log, &person.account);
    account.map_or(1, |account| account.next_sequence)
}

pub(crate) fn rotate_body(world: &World, old: &Person, new: &Person) -> Rotate {
    Rotate {
        version: 1,
        kind: Kind::Rotate,
        network: world.network(),
        alg: old.key.public().algorithm(),
        key: old.key.public().id(),
        home: old.home_log,
        sequence: next_sequence(world, old),
        created_at: world.now,
        account: old.account,
        new: new_keys(world, new),
    }
}

pub(crate) fn signed_by(body: &Rotate, keys: &[&Arc<SecretKey>]) -> SignedBySeveral {
    let bytes = json::canonical(body);
    let sign = |key: &&Arc<SecretKey>| {
        EntrySignature::new(key.public().id(), &key.sign(Rotate::TAG, &bytes))
    };
    let signatures = keys.iter().map(sign).collect();
    SignedBySeveral { bytes, signatures }
}

pub(crate) fn rotate(
    world: &mut World,
    old: &Person,
    new: &Person,
) -> Result<BookedEntry, Refusal> {
    let body = rotate_body(world, old, new);
    let signed = signed_by(&body, &[&old.key, &new.key]);
    world.submit(old.home, Submission::Rotate(signed))
}

pub(crate) fn revoke_body(world: &World, person: &Person) -> Revoke {
    Revoke {
        version: 1,
        kind: Kind::Revoke,
        network: world.network(),
        alg: person.key.public().algorithm(),
        key: person.key.public().id(),
        home: person.home_log,
        sequence: next_sequence(world, person),
        created_at: world.now,
        account: person.account,
        reason: Label::new("紛失").unwrap(),
    }
}

pub(crate) fn revoke(world: &mut World, person: &Person) -> Result<BookedEntry, Refusal> {
    let body = revoke_body(world, person);
    let (_, bytes, signature) = signed(body, person)?.into_parts();
    let signatures = vec![signature];
    let revocation = SignedBySeveral { bytes, signatures };
    world.submit(person.home, Submission::Revoke(revocation))
}

/// The number of the next decision of a home's officers.
pub(crate) fn officers_sequence(world: &World, home: usize) -> u64 {
    let home = &world.homes[home];
    home.row(&home.log()).officers_sequence + 1
}

/// Officers close the account of somebody who lost everything.
pub(crate) fn officers_revoke_body(world: &World, person: &Person) -> OfficersRevoke {
    OfficersRevoke {
        version: 1,
        kind: Kind::Revoke,
        network: world.network(),
        home: person.home_log,
        officers_sequence: officers_sequence(world, person.home),
        created_at: world.now,
        account: person.account,
        reason: Label::new("盗難").unwrap(),
    }
}

pub(crate) fn recover_body(world: &World, person: &Person, new: &Person) -> Recover {
    Recover {
        version: 1,
        kind: Kind::Recover,
        network: world.network(),
        home: person.home_log,
        officers_sequence: officers_sequence(world, person.home),
        created_at: world.now,
        account: person.account,
        new: new_keys(world, new),
        reason: Label::new("本人確認済み").unwrap(),
    }
}

/// 2 of 3 officers give somebody new keys.
pub(crate) fn recover(
    world: &mut World,
    person: &Person,
    new: &Person,
) -> Result<BookedEntry, Refusal> {
    let body = recover_body(world, person, new);
    let officers = world.homes[person.home].officers[..2].to_vec();
    let signed = decided_by(&body, &officers);
    world.submit(person.home, Submission::Recover(signed))
}
