//! Files of secrets: whatever they hold, nothing is derived, believed or taken before their form was judged, and what
//! reads is what writing it again gives.

use std::path::Path;

use city_protocol::crypto::AEAD_OVERHEAD;
use zeroize::Zeroizing;

use crate::keys::master::MasterSecret;
use crate::keys::passphrase::{self, Passphrase, PassphraseError, Purpose};
use crate::keys::wrap;
use crate::memory;

/// What reading one may hold beside some copies of the bytes.
const MEMORY: usize = 64 << 10;
/// The name that the wrapped file stands under.
const NAME: &str = "ledger.key";

fn secret() -> MasterSecret {
    MasterSecret::from_bytes(&[7; 32]).expect("32 bytes")
}

/// Runs the target.
pub fn run(data: &[u8]) {
    let bound = 8 * data.len() + MEMORY;
    memory::within(bound, || wrapped(data));
    memory::within(bound, || sealed(data));
}

/// Without the master secret nothing opens; nobody but its holder made what does.
fn wrapped(data: &[u8]) {
    let opened = wrap::unwrap(Path::new(NAME), data, [&secret()]);
    if let Ok(content) = opened {
        assert!(wrap::is_wrapped(data));
        assert_eq!(wrap::master_of(data), Ok(secret().id()));
        assert!(data.len() > content.len() + AEAD_OVERHEAD);
        assert!(wrap::unwrap(Path::new("kem.key"), data, [&secret()]).is_err());
        let other = MasterSecret::from_bytes(&[8; 32]).expect("32 bytes");
        assert!(wrap::unwrap(Path::new(NAME), data, [&other]).is_err());
    }
    // Whatever stands there, wrapping and unwrapping gives it back.
    let again = wrap::wrap(Path::new(NAME), data, &secret()).expect("a name that is text");
    let again = wrap::unwrap(Path::new(NAME), &again, [&secret()]).expect("just wrapped");
    assert_eq!(*again, data);
}

/// argon2id is too slow to be fuzzed; what stands before it is not.
fn sealed(data: &[u8]) {
    match passphrase::purpose_of(data) {
        Some(purpose) => {
            if let Ok(compact) = passphrase::to_compact(data) {
                let again = passphrase::from_compact(&compact).expect("its own form");
                assert_eq!(passphrase::purpose_of(&again), Some(purpose));
                assert_eq!(passphrase::to_compact(&again).expect("read before"), compact);
            }
        }
        None => {
            let words = Zeroizing::new("correct horse battery".to_owned());
            let words = Passphrase::new(words).expect("long enough");
            let refused = passphrase::open(Purpose::Master, &words, data).expect_err("no form");
            assert!(matches!(
                refused,
                PassphraseError::Form(_) | PassphraseError::Cost { .. }
            ));
            assert!(passphrase::to_compact(data).is_err());
        }
    }
    if let Ok(content) = passphrase::from_compact(data) {
        assert!(passphrase::purpose_of(&content).is_some());
    }
}

/// Inputs to begin with.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let wrapped = wrap::wrap(Path::new(NAME), b"the secret", &secret()).expect("a name");
    let words = Zeroizing::new("correct horse battery".to_owned());
    let words = Passphrase::new(words).expect("long enough");
    let sealed = passphrase::seal(Purpose::Wallet, &words, b"the keys").expect("64 MiB");
    let compact = passphrase::to_compact(&sealed).expect("just sealed");
    vec![wrapped, sealed, compact, b"{}".to_vec()]
}
