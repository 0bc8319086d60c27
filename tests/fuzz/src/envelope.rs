//! A field that is encrypted at rest: opens under its key at its place, or not at all; nothing of it is believed before.

use city_protocol::crypto::{DataKey, FIELD_OVERHEAD, FieldError, FieldPlace, sealed_by};
use zeroize::Zeroizing;

use crate::memory;

/// What opening one may hold beside some copies of the bytes.
const MEMORY: usize = 16 << 10;
/// Where it stands.
const PLACE: FieldPlace<'_> = FieldPlace {
    table: "whitelist",
    record: b"peer",
    field: "name",
};

fn key(byte: u8) -> DataKey {
    DataKey::new(Zeroizing::new([byte; 32]))
}

/// Runs the target.
pub fn run(data: &[u8]) {
    memory::within(4 * data.len() + MEMORY, || open(data));
    memory::within(8 * data.len() + MEMORY, || seal(data));
}

fn open(data: &[u8]) {
    let by = sealed_by(data);
    match key(1).open(PLACE, data) {
        Ok(text) => {
            assert_eq!(by, Ok(key(1).id()));
            assert_eq!(data.len(), text.len() + FIELD_OVERHEAD);
        }
        Err(FieldError::OtherKey(id)) => assert_eq!(by, Ok(id)),
        Err(FieldError::NotAuthentic) => assert_eq!(by, Ok(key(1).id())),
        Err(refused) => assert_eq!(by, Err(refused)),
    }
}

/// The bytes as a place and a text: it opens there, and one bit further nowhere.
fn seal(data: &[u8]) {
    let (record, text) = data.split_at(data.len() / 2);
    let place = FieldPlace { record, ..PLACE };
    let mut sealed = key(1).seal([9; 12], place, text);
    assert_eq!(*key(1).open(place, &sealed).expect("just sealed"), text);
    assert!(key(2).open(place, &sealed).is_err());
    let longer = [record, &[0]].concat();
    let elsewhere = FieldPlace {
        record: &longer,
        ..place
    };
    assert!(key(1).open(elsewhere, &sealed).is_err());
    let at = data.first().map_or(0, |byte| usize::from(*byte)) % sealed.len();
    sealed[at] ^= 1;
    assert!(key(1).open(place, &sealed).is_err());
}

/// Inputs to begin with.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let sealed = key(1).seal([3; 12], PLACE, "千代女".as_bytes());
    let other = key(2).seal([3; 12], PLACE, b"");
    vec![sealed, other, vec![0; FIELD_OVERHEAD], b"peer name".to_vec()]
}
