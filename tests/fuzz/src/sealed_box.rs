//! Sealed boxes: whatever arrives as one is refused with the code that fits, and what its sender made opens for its
//! receiver in its context, and changed anywhere it never opens. Keys are made anew by each process (nothing here
//! makes them from a seed), so that an input tells which bytes were changed and how, and not what they were.

use std::sync::OnceLock;

use arbitrary::Arbitrary;
use city_protocol::Refusal;
use city_protocol::crypto::{
    AEAD_IV_LEN, AEAD_OVERHEAD, KemAlgorithm, KemSecretKey, SealedBox, SealedBoxContext,
    decapsulate,
};
use city_protocol::ids::{AccountId, KeyId, LogId, NetworkId, TransferId};
use city_protocol::json;

use crate::edits::{Edit, Input, apply};
use crate::memory;

/// What one opening may hold beside some copies of the bytes: a KEM's own buffers are C's, and on the stack.
const MEMORY: usize = 64 << 10;
/// Bytes held for each byte that is read: a JSON value's nodes.
const MEMORY_PER_BYTE: usize = 64;

/// A message, and what happens to its box.
#[derive(Arbitrary, Debug)]
struct Story {
    alg: u8,
    message: Vec<u8>,
    change: Change,
}

#[derive(Arbitrary, Debug)]
enum Change {
    /// The KEM ciphertext.
    Encapsulated(Vec<Edit>),
    /// The box itself.
    Sealed(Vec<Edit>),
    /// All of it, as it stands in a transfer.
    Json(Vec<Edit>),
    /// Where it is said to belong: network, sender, receiver, transfer.
    Context(u8),
    /// It is said to be of another algorithm.
    Algorithm(u8),
    /// Somebody else tries.
    Receiver,
}

/// The receivers, one of each algorithm, and somebody else with the same algorithm.
fn receivers() -> &'static [(KemSecretKey, KemSecretKey)] {
    static KEYS: OnceLock<Vec<(KemSecretKey, KemSecretKey)>> = OnceLock::new();
    KEYS.get_or_init(|| {
        let pair =
            |alg: &KemAlgorithm| (KemSecretKey::generate(*alg), KemSecretKey::generate(*alg));
        KemAlgorithm::ALL.iter().map(pair).collect()
    })
}

fn context() -> SealedBoxContext {
    let account = |n: u8| AccountId::new(&LogId([n; 32]), &KeyId([n; 32]));
    SealedBoxContext {
        network: NetworkId::of(b"genesis"),
        sender: account(1),
        receiver: account(2),
        transfer_id: TransferId([3; 16]),
    }
}

/// Runs the target.
pub fn run(data: &[u8]) {
    let receivers = receivers();
    match Input::of(data) {
        Some(Input::Raw(bytes)) => {
            memory::within(MEMORY_PER_BYTE * bytes.len() + MEMORY, || read(bytes));
            for (receiver, _) in receivers {
                memory::within(8 * bytes.len() + MEMORY, || noise(receiver, bytes));
            }
        }
        Some(Input::Story(mut story)) => {
            if let Ok(story) = Story::arbitrary(&mut story) {
                tell(&story);
            }
        }
        None => {}
    }
}

/// What a box that its sender did not make for this receiver is refused with.
fn refusal(receiver: &KemSecretKey, sealed: &SealedBox) -> Refusal {
    let key = receiver.public();
    if sealed.key != key.id() {
        Refusal::WrongKey
    } else if sealed.alg != key.algorithm() {
        Refusal::WrongAlgorithm
    } else if sealed.encapsulated.len() != key.algorithm().ciphertext_len() {
        Refusal::TooLarge
    } else {
        Refusal::BadSignature
    }
}

fn refused(receiver: &KemSecretKey, sealed: &SealedBox) {
    let told = receiver
        .open(&context(), sealed)
        .expect_err("nobody sealed that");
    assert_eq!(told, refusal(receiver, sealed));
}

/// The bytes as a box in JSON: one spelling, and nobody's.
fn read(bytes: &[u8]) {
    if let Ok(sealed) = json::read::<SealedBox>(bytes, json::MAX_SIGNED_BODY) {
        assert_eq!(json::canonical(&sealed), bytes);
        for (receiver, _) in receivers() {
            refused(receiver, &sealed);
        }
    }
}

/// The bytes as a KEM ciphertext and a box for this receiver, at their own length and at the one that a ciphertext
/// has; and as somebody's secret key.
fn noise(receiver: &KemSecretKey, bytes: &[u8]) {
    let alg = receiver.public().algorithm();
    let sealed = |encapsulated: Vec<u8>, sealed: &[u8]| SealedBox {
        alg,
        key: receiver.public().id(),
        encapsulated,
        sealed: sealed.to_vec(),
    };
    refused(receiver, &sealed(bytes.to_vec(), bytes));
    let mut ciphertext = bytes.to_vec();
    ciphertext.resize(alg.ciphertext_len(), 0xa5);
    let rest = bytes.get(ciphertext.len()..).unwrap_or_default();
    refused(receiver, &sealed(ciphertext.clone(), rest));
    refused(receiver, &sealed(ciphertext.clone(), &[]));

    // A key that is none may be refused; it may not read beyond itself, nor give two answers.
    let mut secret = bytes.to_vec();
    secret.resize(alg.secret_key_len(), 0x5a);
    let answer = || decapsulate(alg, &secret, &ciphertext).map(|shared| *shared.expose_secret());
    let first = answer();
    assert!(matches!(first, Ok(_) | Err(Refusal::BadKey)), "{first:?}");
    assert_eq!(first, answer());
    let short = &secret[1..];
    let told = decapsulate(alg, short, &ciphertext).expect_err("a byte is missing");
    assert_eq!(told, Refusal::BadKey);
    let told = decapsulate(alg, receiver.expose_secret(), &ciphertext[1..]).expect_err("missing");
    assert_eq!(told, Refusal::TooLarge);
}

fn tell(story: &Story) {
    let which = usize::from(story.alg) % receivers().len();
    let (receiver, other) = &receivers()[which];
    let good = receiver.public().seal(&context(), &story.message);
    assert_eq!(good.encapsulated.len(), good.alg.ciphertext_len());
    assert_eq!(
        good.sealed.len(),
        story.message.len() + AEAD_OVERHEAD - AEAD_IV_LEN
    );
    let opened = receiver.open(&context(), &good).expect("just sealed");
    assert_eq!(*opened, story.message);

    let mut sealed = good.clone();
    match &story.change {
        Change::Encapsulated(edits) => apply(&mut sealed.encapsulated, edits),
        Change::Sealed(edits) => apply(&mut sealed.sealed, edits),
        Change::Json(edits) => {
            let mut bytes = json::canonical(&good);
            apply(&mut bytes, edits);
            match json::read(&bytes, usize::MAX) {
                Ok(read) => sealed = read,
                Err(_) => return,
            }
        }
        Change::Context(bit) => {
            let mut elsewhere = context();
            match bit % 4 {
                0 => elsewhere.network = NetworkId::of(b"another genesis"),
                1 => elsewhere.sender = context().receiver,
                2 => elsewhere.receiver = context().sender,
                _ => elsewhere.transfer_id.0[usize::from(bit / 16)] ^= 1 << (bit / 4 % 4),
            }
            let told = receiver.open(&elsewhere, &good).map(|_| ());
            assert_eq!(told, Err(Refusal::BadSignature));
        }
        Change::Algorithm(to) => {
            sealed.alg = KemAlgorithm::ALL[usize::from(*to) % KemAlgorithm::ALL.len()];
        }
        Change::Receiver => {
            refused(other, &good);
            // Also if the box is said to be theirs.
            sealed.key = other.public().id();
            refused(other, &sealed);
        }
    }
    if sealed != good {
        refused(receiver, &sealed);
    }
}

/// Inputs to begin with: a box that some key opens, noise of the lengths that matter, and stories.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![Input::raw(b"{}")];
    for (receiver, _) in receivers() {
        let sealed = receiver.public().seal(&context(), "ありがとう".as_bytes());
        seeds.push(Input::raw(&json::canonical(&sealed)));
        seeds.push(Input::raw(&sealed.encapsulated));
        seeds.push(Input::raw(&[sealed.encapsulated, sealed.sealed].concat()));
        seeds.push(Input::raw(receiver.expose_secret()));
    }
    for step in 0..36_u8 {
        let story: Vec<u8> = (0..96_u8)
            .map(|n| n.wrapping_mul(37).wrapping_add(step * 7))
            .collect();
        seeds.push([&[1], &*story].concat());
    }
    seeds
}
