//! The outbox over restarts, limits, other keys and damage.

use std::path::Path;

use city_protocol::client::person::Person;
use city_protocol::client::{Home, Order};
use city_protocol::crypto::Suite;
use city_protocol::ids::{LogId, NetworkId};

use super::*;
use crate::api::wire::{SignatureForm, TransferForm};
use crate::keys::{Access, BackendKind, Keystore, TpmSettings, backend, exchange};

const NOW: Timestamp = Timestamp(1_775_001_600_000);
const LATER: u64 = 11 * 60 * 1000;

fn ring(directory: &Path) -> Arc<Keyring> {
    let store = Arc::new(Keystore::open(directory, &mut Access::unattended()).unwrap());
    if !store.has_keyring() {
        let file = backend(BackendKind::File, None, &TpmSettings::default()).unwrap();
        exchange(&store, Some(file), &[]).unwrap();
    }
    Arc::new(Keyring::open(store).unwrap().unwrap())
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.keys()).unwrap();
        place
    }

    fn keys(&self) -> PathBuf {
        self.0.path().join("keys")
    }

    fn drafts(&self) -> PathBuf {
        self.0.path().join("outbox")
    }

    fn open(&self) -> Outbox {
        Outbox::open(self.drafts(), ring(&self.keys())).unwrap()
    }
}

fn somebody() -> Person {
    Person::generate(home())
}

fn home() -> Home {
    Home {
        network: NetworkId::of(b"genesis"),
        log: LogId([7; 32]),
        region: "Asia/JP/17/17201".parse().unwrap(),
        suite: Suite::Fips,
    }
}

/// A transfer as it comes over HTTPS, signed at this moment.
fn transfer(person: &Person, sequence: u64, at: Timestamp) -> (String, Signed<Transfer>) {
    let receiver = AccountId::new(&LogId([7; 32]), &city_protocol::ids::KeyId([9; 32]));
    let mut order = Order::new(receiver, home(), Amount::from_hundredths(100));
    order.sequence = sequence;
    order.created_at = at;
    (order.subject, order.details, order.location) = ("野菜".into(), "葱".into(), "市場".into());
    let (signed, private) = person.transfer(&order).unwrap();
    let form = TransferForm {
        body: String::from_utf8(signed.bytes().to_vec()).unwrap(),
        signature: SignatureForm::from(signed.signature()),
        certificate: None,
        chain: Vec::new(),
        certificate_fingerprint: None,
        private: Some(private),
    };
    (serde_json::to_string(&form).unwrap(), signed)
}

#[test]
fn what_is_kept_is_there_after_a_restart_byte_for_byte_and_once() {
    let place = Place::new();
    let hanako = somebody();
    let (form, signed) = transfer(&hanako, 1, NOW);
    let kept = place.open().keep(&form, &signed, None, NOW).unwrap();
    let outbox = place.open();
    assert_eq!(outbox.list().first(), Some(&kept));
    let again = outbox.keep(&form, &signed, None, NOW.plus_ms(1)).unwrap();
    assert_eq!(again, kept, "the same again changes nothing");
    let content = outbox.content(&kept.identity, NOW).unwrap().unwrap();
    assert_eq!(*content.form, form);
    assert!(content.place.is_none());
    assert!(outbox.forget(&kept.identity).unwrap());
    assert!(!outbox.forget(&kept.identity).unwrap());
    assert!(place.open().list().is_empty());
    assert!(outbox.content(&kept.identity, NOW).unwrap().is_none());
}

#[test]
fn nobody_fills_it_alone_and_what_expired_makes_room() {
    let place = Place::new();
    let outbox = place.open();
    let hanako = somebody();
    let keep = |number: u64, at: Timestamp| {
        let (form, signed) = transfer(&hanako, number, at);
        outbox.keep(&form, &signed, None, at)
    };
    for number in 1..=PER_ACCOUNT as u64 {
        keep(number, NOW).unwrap();
    }
    let numbers: Vec<u64> = outbox.list().iter().map(|draft| draft.sequence).collect();
    assert!(numbers.is_sorted(), "in the order in which they are booked");
    assert!(matches!(keep(9, NOW), Err(OutboxError::Full)));
    let (form, signed) = transfer(&somebody(), 1, NOW);
    outbox.keep(&form, &signed, None, NOW).unwrap();
    // Nothing is sent, and nothing kept, after its own end.
    let old = outbox.list()[0].identity;
    let late = NOW.plus_ms(LATER);
    assert!(matches!(
        outbox.content(&old, late),
        Err(OutboxError::Expired)
    ));
    let (form, signed) = transfer(&somebody(), 1, NOW);
    assert!(matches!(
        outbox.keep(&form, &signed, None, late),
        Err(OutboxError::Expired)
    ));
    keep(9, late).unwrap();
    assert_eq!(outbox.list().len(), 1);
    assert_eq!(place.open().list().len(), 1);
}

#[test]
fn another_data_key_opens_it_and_a_damaged_file_stays_where_it_is() {
    let place = Place::new();
    let (form, signed) = transfer(&somebody(), 1, NOW);
    let kept = place.open().keep(&form, &signed, None, NOW).unwrap();
    let keys = ring(&place.keys());
    keys.rotate().unwrap();
    assert_eq!(seal_again(&place.drafts(), &keys).unwrap(), 1);
    keys.forget_old().unwrap();
    drop(keys);
    let content = place.open().content(&kept.identity, NOW).unwrap().unwrap();
    assert_eq!(*content.form, form);
    let file = fs::read_dir(place.drafts())
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let mut bytes = fs::read(file.path()).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(file.path(), bytes).unwrap();
    let outbox = place.open();
    assert!(outbox.list().is_empty());
    assert!(file.path().exists(), "its owner may look at it");
    // Under another transfer's name it opens as nothing.
    let other = place.drafts().join(format!("{}{ENDING}", "0".repeat(64)));
    fs::rename(file.path(), &other).unwrap();
    assert!(place.open().list().is_empty());
    // No directory, no drafts.
    let nowhere = place.0.path().join("nowhere");
    assert_eq!(seal_again(&nowhere, &ring(&place.keys())).unwrap(), 0);
}
