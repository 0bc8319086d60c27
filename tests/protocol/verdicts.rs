//! Signatures at the edge of what may verify, with one verdict on every machine: this file also runs on aarch64
//! (`just verdicts-aarch64`).
//!
//! Under a key whose t1 is zero everybody can sign, with any z: A·z does not depend on the challenge then. So signatures
//! are made here that fail for exactly one reason, which is how code was caught that skips the norm of z. The digests
//! in the table are of the vectors themselves: two machines that print other digests did not judge the same bytes.

use city_protocol::Refusal;
use city_protocol::crypto::{Algorithm, PublicKey, SecretKey};
use city_protocol::ids::sha256;
use data_encoding::HEXLOWER;
use fips204::ml_dsa_87;
use fips204::traits::{KeyGen as _, Signer as _};
use sha3::digest::{ExtendableOutput as _, Update as _, XofReader as _};
use sha3::{Shake128, Shake256};

use super::keys::signing_key;

/// The modulus (FIPS 204 table 1, ML-DSA-87; the draft has the same numbers).
const Q: i64 = 8_380_417;
/// Coefficients of a polynomial.
const N: usize = 256;
/// Rows of the matrix.
const K: usize = 8;
/// Columns of the matrix.
const L: usize = 7;
/// The range of z.
const GAMMA1: i64 = 1 << 19;
/// Half of what HighBits rounds to.
const GAMMA2: i64 = (Q - 1) / 32;
/// By how much z must stay inside its range.
const BETA: i64 = 120;
/// Most hints.
const OMEGA: usize = 75;
/// Where z stands in a signature, behind the challenge.
const Z: usize = 64;
/// Where the hints stand.
const HINTS: usize = Z + L * 640;

const MESSAGE: &[u8] = "千代女から与謝へ".as_bytes();

const GOOD: Result<(), Refusal> = Ok(());
const BAD: Result<(), Refusal> = Err(Refusal::BadSignature);
const LENGTH: Result<(), Refusal> = Err(Refusal::SignatureLength);

/// Name, digests of key ‖ signature under `dilithium5` and under `ml-dsa-87`, and the verdict of both.
#[rustfmt::skip]
const TABLE: &[(&str, [&str; 2], Result<(), Refusal>)] = &[
    ("honest", ["ae81d92be0034001", "be9333d39b3bb25a"], GOOD),
    ("honest, challenge bent", ["e2ad66a3447e7934", "6289869b293f6a95"], BAD),
    ("honest, last byte of the challenge bent", ["33333b36ee864f51", "edf59d76b486cc82"], BAD),
    ("honest, z bent", ["2efb494d71d90a4a", "7f39d70f04892e80"], BAD),
    ("honest, a byte short", ["e04b372967440aa7", "312305443f6a1b32"], LENGTH),
    ("honest, a byte long", ["88704e955740caa9", "7d8fb8679141dc3d"], LENGTH),
    ("honest, empty", ["2fef0986cf041ac3", "fb49f5afdaf7e1a4"], LENGTH),
    ("all zeros under an honest key", ["e929e90732359156", "59bad673df688b52"], BAD),
    ("all zeros under the zero key", ["0e93e0cfde61f45a", "0e93e0cfde61f45a"], BAD),
    ("z = 0", ["21a816b1d2b13e65", "f3ca8c4babedf25c"], GOOD),
    ("z at the last value inside", ["c018909f4783e0e8", "b5cd4f4f2366fa34"], GOOD),
    ("z at the last negative value inside", ["ddab3cb7c3a357a1", "44b648f2a73ab813"], GOOD),
    ("z at the bound", ["b9605ffc65c60cda", "0c19c5b5bc25e03a"], BAD),
    ("z at the negative bound", ["e2ccfb07b0964c1f", "3b76cd2b0cf185a8"], BAD),
    ("z at the largest that can be written", ["9b68cc1534ed58f3", "da860a5fbe1725f1"], BAD),
    ("z at the smallest that can be written", ["4ecf6b78f3393018", "487def1cc2cfd451"], BAD),
    ("two hints in order", ["6f6f2849752a04b4", "095d8ffd4a379b03"], GOOD),
    ("two hints out of order", ["9e95647a3852089a", "102459a4e7f2977e"], BAD),
    ("one hint twice", ["3e27268d1a4cde48", "5784af09051b1b5b"], BAD),
    ("a hint where none is counted", ["fa7525d72eac90d4", "a68fd980aa9ec6fb"], BAD),
    ("a hint behind the counted ones", ["9f15b0aabc256479", "0738005fd6a76f63"], BAD),
    ("counts that fall", ["786d13e4c2c8342a", "8e8c388d5e85d388"], BAD),
    ("more hints counted than there is room for", ["18e03a280198a245", "fa06c3de1f8334e7"], BAD),
    ("as many hints counted as there is room for, all the same", ["0a749d64a7dafe38", "0a5fd518c4d35f68"], BAD),
];

/// The key that is all zeros: rho too, so the matrix is the same for everybody.
fn zero_key(algorithm: Algorithm) -> PublicKey {
    PublicKey::new(algorithm, &[0; 2592]).unwrap()
}

fn shake256(parts: &[&[u8]], length: usize) -> Vec<u8> {
    let mut hash = Shake256::default();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize_boxed(length).into_vec()
}

/// A[row, 0] of the zero key as a polynomial: sampled in the transformed domain (algorithm 30) and brought back by
/// evaluating the inverse transform plainly.
fn matrix(row: usize) -> Vec<i64> {
    let mut hash = Shake128::default();
    hash.update(&[0; 32]);
    hash.update(&[0, u8::try_from(row).unwrap()]);
    let mut bytes = hash.finalize_xof();
    let mut transformed = Vec::new();
    while transformed.len() < N {
        let mut three = [0; 3];
        bytes.read(&mut three);
        let [low, middle, high] = three.map(i64::from);
        let sample = low | middle << 8 | (high & 0x7f) << 16;
        transformed.extend((sample < Q).then_some(sample));
    }
    // zeta = 1753 is a 512th root of unity, so its inverse is its 511th power; 8,347,681 is the inverse of 256.
    let inverse_zeta = (0..511).fold(1, |product, _| product * 1753 % Q);
    let inverse_n = 8_347_681;
    let powers: Vec<i64> = (0..512)
        .scan(1, |product, _| {
            let now = *product;
            *product = now * inverse_zeta % Q;
            Some(now)
        })
        .collect();
    let point = |i: usize| 2 * usize::from(u8::try_from(i).unwrap().reverse_bits()) + 1;
    (0..N)
        .map(|j| {
            let sum: i64 = (0..N)
                .map(|i| transformed[i] * powers[point(i) * j % 512] % Q)
                .sum();
            sum % Q * inverse_n % Q
        })
        .collect()
}

/// HighBits and the sign of LowBits (algorithm 36).
fn decompose(r: i64) -> (i64, bool) {
    let low = match r % (2 * GAMMA2) {
        low if low > GAMMA2 => low - 2 * GAMMA2,
        low => low,
    };
    if r - low == Q - 1 {
        (0, low > 1)
    } else {
        ((r - low) / (2 * GAMMA2), low > 0)
    }
}

/// A signature of MESSAGE under the zero key: z is the constant `a` in its first polynomial and 0 elsewhere; `hints`
/// are positions in the first polynomial, counted as a reader would who sorts them out for himself.
fn forge(algorithm: Algorithm, a: i64, hints: &[usize], encoded: &dyn Fn(&mut [u8])) -> Vec<u8> {
    let mut packed = Vec::new();
    for row in 0..K {
        let high: Vec<u8> = matrix(row)
            .into_iter()
            .enumerate()
            .map(|(at, coefficient)| {
                let (high, positive) = decompose((coefficient * a).rem_euclid(Q));
                let hinted = row == 0 && hints.contains(&at);
                let shift = match (hinted, positive) {
                    (false, _) => 0,
                    (true, true) => 1,
                    (true, false) => 15,
                };
                u8::try_from((high + shift) % 16).unwrap()
            })
            .collect();
        packed.extend(high.chunks(2).map(|two| two[0] | two[1] << 4));
    }
    let tr = shake256(&[&[0; 2592]], 64);
    let mu = match algorithm {
        Algorithm::Dilithium5 => shake256(&[&tr, MESSAGE], 64),
        Algorithm::MlDsa87 => shake256(&[&tr, &[0, 0], MESSAGE], 64),
    };
    let mut signature = shake256(&[&mu, &packed], 64);
    // Twenty bits a coefficient, from gamma1 downwards.
    for at in (0..L * N).step_by(2) {
        let first = if at == 0 { GAMMA1 - a } else { GAMMA1 };
        let both = (first | GAMMA1 << 20).to_le_bytes();
        signature.extend_from_slice(&both[..5]);
    }
    signature.resize(algorithm.signature_len(), 0);
    encoded(&mut signature[HINTS..]);
    signature
}

/// Hints of the first polynomial as they should stand: positions, and one count for each polynomial.
fn hints_at(positions: &[u8]) -> impl Fn(&mut [u8]) + use<'_> {
    move |bytes: &mut [u8]| {
        bytes[..positions.len()].copy_from_slice(positions);
        bytes[OMEGA..].fill(u8::try_from(positions.len()).unwrap());
    }
}

/// Every vector: name, key, signature.
fn vectors(algorithm: Algorithm) -> Vec<(&'static str, PublicKey, Vec<u8>)> {
    let zero = |a, hints: &[usize], encoded: &dyn Fn(&mut [u8])| {
        (zero_key(algorithm), forge(algorithm, a, hints, encoded))
    };
    let none: &dyn Fn(&mut [u8]) = &|_| ();
    let edge = GAMMA1 - BETA;
    let (key, good) = honest(algorithm);
    let altered = |alter: &dyn Fn(&mut Vec<u8>)| {
        let mut signature = good.clone();
        alter(&mut signature);
        (key.clone(), signature)
    };
    let named: Vec<(&'static str, (PublicKey, Vec<u8>))> = vec![
        ("honest", altered(&|_| ())),
        ("honest, challenge bent", altered(&|s| s[0] ^= 1)),
        (
            "honest, last byte of the challenge bent",
            altered(&|s| s[63] ^= 1),
        ),
        ("honest, z bent", altered(&|s| s[Z] ^= 1)),
        ("honest, a byte short", altered(&|s| s.truncate(4626))),
        ("honest, a byte long", altered(&|s| s.push(0))),
        ("honest, empty", altered(&Vec::clear)),
        ("all zeros under an honest key", altered(&|s| s.fill(0))),
        (
            "all zeros under the zero key",
            (zero_key(algorithm), vec![0; 4627]),
        ),
        ("z = 0", zero(0, &[], none)),
        ("z at the last value inside", zero(edge - 1, &[], none)),
        (
            "z at the last negative value inside",
            zero(1 - edge, &[], none),
        ),
        ("z at the bound", zero(edge, &[], none)),
        ("z at the negative bound", zero(-edge, &[], none)),
        (
            "z at the largest that can be written",
            zero(GAMMA1, &[], none),
        ),
        (
            "z at the smallest that can be written",
            zero(1 - GAMMA1, &[], none),
        ),
        ("two hints in order", zero(1, &[3, 7], &hints_at(&[3, 7]))),
        (
            "two hints out of order",
            zero(1, &[3, 7], &hints_at(&[7, 3])),
        ),
        ("one hint twice", zero(1, &[3], &hints_at(&[3, 3]))),
        (
            "a hint where none is counted",
            zero(1, &[], &|h: &mut [u8]| h[OMEGA - 1] = 9),
        ),
        (
            "a hint behind the counted ones",
            zero(1, &[3], &|h: &mut [u8]| {
                hints_at(&[3])(h);
                h[1] = 7;
            }),
        ),
        (
            "counts that fall",
            zero(1, &[3], &|h: &mut [u8]| {
                hints_at(&[3])(h);
                h[OMEGA + 1] = 0;
            }),
        ),
        (
            "more hints counted than there is room for",
            zero(1, &[], &|h: &mut [u8]| {
                h[OMEGA + K - 1] = 76;
            }),
        ),
        (
            "as many hints counted as there is room for, all the same",
            zero(1, &[0], &|h: &mut [u8]| {
                h[OMEGA..].fill(75);
            }),
        ),
    ];
    named
        .into_iter()
        .map(|(name, (key, signature))| (name, key, signature))
        .collect()
}

/// A key from a seed and its signature, both the same on every machine: `dilithium5` signs without chance, for
/// `ml-dsa-87` fips204 does.
fn honest(algorithm: Algorithm) -> (PublicKey, Vec<u8>) {
    match algorithm {
        Algorithm::Dilithium5 => {
            let key = signing_key("the edge of what verifies");
            let signature = key.sign_raw(MESSAGE).as_bytes().to_vec();
            (key.public().clone(), signature)
        }
        Algorithm::MlDsa87 => {
            let seed = sha256(&[b"the edge of what verifies"]);
            let key = SecretKey::from_seed(&seed).unwrap();
            let (_, secret) = ml_dsa_87::KG::keygen_from_seed(&seed);
            let signature = secret.try_sign_with_seed(&[7; 32], MESSAGE, &[]).unwrap();
            (key.public().clone(), signature.to_vec())
        }
    }
}

#[test]
fn signatures_at_the_edge_have_the_same_verdict_everywhere() {
    for (column, algorithm) in [Algorithm::Dilithium5, Algorithm::MlDsa87]
        .into_iter()
        .enumerate()
    {
        let vectors = vectors(algorithm);
        assert_eq!(vectors.len(), TABLE.len());
        for ((name, key, signature), expected) in vectors.iter().zip(TABLE) {
            let digest = HEXLOWER.encode(&sha256(&[key.as_bytes(), signature])[..8]);
            let verdict = key.verify_raw(MESSAGE, signature);
            let told = (*name, digest.as_str(), verdict);
            assert_eq!(
                told,
                (expected.0, expected.1[column], expected.2),
                "{algorithm}"
            );
        }
    }
}
