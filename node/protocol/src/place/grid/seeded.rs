//! Random tests of outlines: their seed.

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// A runner whose seed is printed and taken back from `CITY_NODE_SEED`.
pub(in super::super) fn runner(cases: u32) -> TestRunner {
    #[expect(
        clippy::disallowed_methods,
        reason = "a random test takes its seed from outside"
    )]
    let given = std::env::var("CITY_NODE_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let fresh = || u64::from_ne_bytes(rand_seed());
    let seed: u64 = given.unwrap_or_else(fresh);
    eprintln!("CITY_NODE_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, rng)
}

/// The address of a fresh allocation and of the stack differ from run to run; enough for a test's seed.
fn rand_seed() -> [u8; 8] {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0_u8).to_ne_bytes()
}
