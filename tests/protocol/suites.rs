//! Which algorithms may stand where: what a genesis record lists, what a charter and an account may mix.

use std::sync::Arc;

use city_protocol::Refusal;
use city_protocol::amount::Timestamp;
use city_protocol::body::{Charter, Der, Kind, Officer, Officers};
use city_protocol::crypto::{Algorithm, KemAlgorithm, KemSecretKey, PublicKey, SecretKey, Suite};
use city_protocol::genesis::{Genesis, Purpose};
use city_protocol::ids::{AccountId, sha256};
use city_protocol::json;
use city_protocol::trust::TransportSigner as _;
use city_protocol::vertex::Authority;

use super::ca::Ca;
use super::keys::{Transport, signing_key};
use super::people::Person;
use super::world::World;

const BEGIN: Timestamp = Timestamp(1_774_828_800_000);

fn fips_key(name: &str) -> Arc<SecretKey> {
    Arc::new(SecretKey::from_seed(&sha256(&[name.as_bytes()])).unwrap())
}

fn genesis(ca: &[&Ca], suites: &[Suite]) -> Genesis {
    Genesis {
        v: 1,
        name: "test".into(),
        purpose: Purpose::Test,
        created_at: BEGIN,
        roots: ca.iter().map(|ca| ca.root.clone()).collect(),
        suites: suites.to_vec(),
    }
}

/// 金沢市's charter in this network, judged.
fn chartered(
    genesis: &Genesis,
    ca: &Ca,
    node: &PublicKey,
    suite: Suite,
    officers: &[PublicKey],
) -> Result<Authority, Refusal> {
    let region = "Asia/JP/17/17201".parse().unwrap();
    let peer = Transport::new("金沢市").peer_id().to_string();
    let officer = |key: &PublicKey| Officer {
        alg: key.algorithm(),
        key: key.as_bytes().to_vec(),
    };
    let charter = Charter {
        version: 1,
        kind: Kind::Charter,
        network: genesis.network(),
        node_certificate: Der(ca.node(&region, node, &peer)),
        region,
        created_at: BEGIN,
        suite,
        chain: Vec::new(),
        officers: Officers {
            k: 1,
            keys: officers.iter().map(officer).collect(),
        },
        witnesses: Vec::new(),
    };
    Authority::from_charter(genesis, &json::canonical(&charter))
}

#[test]
fn a_network_admits_the_suites_that_its_genesis_lists() {
    let old = Ca::new("old root", BEGIN.minus_ms(1000));
    let new = Ca::with_key("new root", fips_key("new root"), BEGIN.minus_ms(1000));
    let read = |genesis: Genesis| Genesis::read(&genesis.to_block()).map(|_| ());
    let (ntru, fips) = (Suite::Dilithium5Ntru, Suite::Fips);
    assert_eq!(read(genesis(&[&old], &[ntru])), Ok(()));
    assert_eq!(read(genesis(&[&new], &[fips])), Ok(()));
    assert_eq!(read(genesis(&[&old, &new], &[fips, ntru])), Ok(()));
    assert_eq!(read(genesis(&[&old], &[])), Err(Refusal::BadField));
    assert_eq!(
        read(genesis(&[&old], &[ntru, ntru])),
        Err(Refusal::BadField)
    );
    let foreign = Err(Refusal::SuiteNotAdmitted);
    assert_eq!(read(genesis(&[&old, &new], &[ntru])), foreign);
    assert_eq!(read(genesis(&[&old], &[fips])), foreign);
    let twin = Ca::with_key("twin", Arc::new(twin_of(&fips_key("new root"))), BEGIN);
    let twins = genesis(&[&new, &twin], Suite::ALL);
    assert_eq!(read(twins), Err(Refusal::WrongAlgorithm));
}

/// The same key pair under `dilithium5`: its secret half works in both schemes.
fn twin_of(key: &SecretKey) -> SecretKey {
    use fips204::traits::{KeyGen as _, SerDes as _};
    let seed = key.expose_secret().try_into().unwrap();
    let (_, secret) = fips204::ml_dsa_87::KG::keygen_from_seed(seed);
    let public = key.public().as_bytes();
    SecretKey::from_parts(Algorithm::Dilithium5, public, &secret.into_bytes()).unwrap()
}

#[test]
fn a_charter_names_the_suite_that_its_node_has() {
    let ca = Ca::new("root", BEGIN.minus_ms(1000));
    let both = genesis(&[&ca], Suite::ALL);
    let (old, new) = (signing_key("node"), fips_key("node"));
    let officers = [signing_key("one"), fips_key("two")].map(|key| key.public().clone());
    let check = |genesis: &Genesis, node: &SecretKey, suite, officers: &[PublicKey]| {
        let authority = chartered(genesis, &ca, node.public(), suite, officers);
        authority.map(|authority| authority.charter.suite)
    };
    let (ntru, fips) = (Suite::Dilithium5Ntru, Suite::Fips);
    assert_eq!(check(&both, &old, ntru, &officers), Ok(ntru));
    assert_eq!(check(&both, &new, fips, &officers), Ok(fips));
    let foreign = Err(Refusal::SuiteNotAdmitted);
    assert_eq!(check(&both, &old, fips, &officers), foreign);
    assert_eq!(check(&both, &new, ntru, &officers), foreign);
    let one = genesis(&[&ca], &[ntru]);
    assert_eq!(check(&one, &new, fips, &officers[..1]), foreign);
    assert_eq!(check(&one, &old, ntru, &officers), foreign);
    assert_eq!(check(&one, &old, ntru, &officers[..1]), Ok(ntru));
}

#[test]
fn one_raw_key_stands_under_one_algorithm() {
    let ca = Ca::new("root", BEGIN.minus_ms(1000));
    let both = genesis(&[&ca], Suite::ALL);
    let (node, officer) = (fips_key("node"), fips_key("officer"));
    let [node_twin, twin] = [&node, &officer].map(|key| twin_of(key).public().clone());
    let officer = officer.public().clone();
    let check = |officers: &[PublicKey]| {
        chartered(&both, &ca, node.public(), Suite::Fips, officers).map(|_| ())
    };
    let refused = Err(Refusal::WrongAlgorithm);
    assert_eq!(check(std::slice::from_ref(&officer)), Ok(()));
    assert_eq!(check(&[officer.clone(), twin.clone()]), refused);
    assert_eq!(check(&[officer.clone(), node_twin.clone()]), refused);

    let authority = chartered(&both, &ca, node.public(), Suite::Fips, &[officer]).unwrap();
    let admits = |key| authority.admits(key, 1, &authority.charter_hash);
    assert_eq!(admits(&twin), refused);
    assert_eq!(admits(&node_twin), refused);
    assert_eq!(admits(signing_key("somebody").public()), Ok(()));
}

#[test]
fn an_account_has_one_suite_and_the_networks_admission() {
    let mut world = World::new();
    let somebody = world.person("千代女", 0);
    let with = |key: Arc<SecretKey>, kem: KemAlgorithm| Person {
        account: AccountId::new(&somebody.home_log, &key.public().id()),
        kem: KemSecretKey::generate(kem).public().clone(),
        key,
        ..somebody.clone()
    };
    let mut check = |person: Person| {
        let body = world.enrol_body(&person);
        world.enrol(&person, body).map(|_| ())
    };
    let mixed = Err(Refusal::SuiteNotAdmitted);
    assert_eq!(
        check(with(signing_key("a"), KemAlgorithm::MlKem1024)),
        mixed
    );
    assert_eq!(
        check(with(fips_key("b"), KemAlgorithm::NtruHps4096821)),
        mixed
    );
    // Of one suite, but this network lists only the other.
    assert_eq!(check(with(fips_key("c"), KemAlgorithm::MlKem1024)), mixed);
    assert_eq!(
        check(with(signing_key("d"), KemAlgorithm::NtruHrss701)),
        Ok(())
    );
}
