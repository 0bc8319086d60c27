//! What people and officers sign: canonical JSON. Whatever reads is exactly what writing it again gives, keeps
//! the limits of docs/formats.md, and no other body stands under somebody's signature.

use arbitrary::Unstructured;
use city_protocol::body::{
    Accept, Amendment, Charter, Enrol, Grant, Order, PersonBody, Recover, Reject, Revoke, Rotate,
    Transfer, read_officers_body, read_person_body,
};
use city_protocol::json::{self, MAX_CHARTER_BODY, MAX_INTEGER, MAX_SIGNED_BODY};
use city_protocol::refusal::Refusal;
use city_protocol::stage::Signed;
use city_protocol::vertex::EntrySignature;
use serde_json::Value;

use crate::edits::Input;
use crate::memory;
use crate::respelled::respelled;
use crate::town::town;

/// What reading one body may hold: values, their canonical form and typed copies, a few dozen times the bytes.
const MEMORY: usize = 1 << 20;

/// Runs the target.
pub fn run(data: &[u8]) {
    match Input::of(data) {
        Some(Input::Raw(bytes)) => check(bytes),
        Some(Input::Story(story)) => drop(tell(story)),
        None => {}
    }
}

/// Inputs to begin with: every body of the story.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    bodies().iter().map(|body| Input::raw(body)).collect()
}

fn bodies() -> Vec<Vec<u8>> {
    let receipts = town().receipts();
    let json = |body: &Vec<u8>| body.starts_with(b"{");
    receipts
        .into_iter()
        .map(|receipt| receipt.entry.body)
        .filter(json)
        .collect()
}

thread_local! {
    static BODIES: Vec<Vec<u8>> = bodies();
}

fn tell(mut story: Unstructured<'_>) -> arbitrary::Result<()> {
    let bytes = BODIES.with(|bodies| respelled(&mut story, bodies))?;
    check(&bytes);
    Ok(())
}

fn check(bytes: &[u8]) {
    memory::within(MEMORY + 64 * bytes.len(), || {
        let object = json::read_object(bytes, MAX_SIGNED_BODY);
        if let Ok(value) = &object {
            assert!(bytes.len() <= MAX_SIGNED_BODY);
            assert_eq!(json::canonical(value), bytes, "read is what is written");
            assert!(integers_only(value, 1));
        }
        person::<Transfer>(bytes, object.is_ok());
        person::<Accept>(bytes, object.is_ok());
        person::<Enrol>(bytes, object.is_ok());
        person::<Rotate>(bytes, object.is_ok());
        person::<Revoke>(bytes, object.is_ok());
        person::<Reject>(bytes, object.is_ok());
        person::<Order>(bytes, object.is_ok());
        if let Ok(grant) = read_officers_body::<Grant>(bytes) {
            assert_eq!(json::canonical(&grant), bytes);
            assert!(grant.amount.hundredths() > 0 && grant.officers_sequence > 0);
        }
        if let Ok(recover) = read_officers_body::<Recover>(bytes) {
            assert_eq!(json::canonical(&recover), bytes);
            assert!(recover.account.is_of(&recover.home));
        }
        if let Ok(later) = read_officers_body::<Amendment>(bytes) {
            assert_eq!(json::canonical(&later), bytes);
            assert!(
                Charter::read(bytes).is_err(),
                "a charter is the first or a later one"
            );
        }
        if let Ok(charter) = Charter::read(bytes) {
            assert!(bytes.len() <= MAX_CHARTER_BODY);
            assert_eq!(json::canonical(&charter), bytes);
            let officers = &charter.officers;
            assert!((1..=officers.keys.len() as u64).contains(&officers.k));
        }
    });
    if let Ok(transfer) = read_person_body::<Transfer>(bytes) {
        consistent(&transfer);
        only_what_was_signed(bytes);
    }
}

fn person<B: PersonBody + std::fmt::Debug + PartialEq>(bytes: &[u8], is_json: bool) {
    match read_person_body::<B>(bytes) {
        Ok(body) => {
            assert!(is_json);
            assert_eq!(json::canonical(&body), bytes, "one spelling");
            assert_eq!(body.check(), Ok(()));
            assert_eq!((body.common().kind, body.common().version), (B::KIND, 1));
        }
        Err(refusal) => {
            let again = read_person_body::<B>(bytes);
            assert_eq!(again, Err(refusal), "the same answer twice");
            assert!(!is_json || refusal != Refusal::BadJson);
        }
    }
}

fn integers_only(value: &Value, depth: usize) -> bool {
    match value {
        Value::Object(map) => {
            depth <= 4 && map.values().all(|value| integers_only(value, depth + 1))
        }
        Value::Array(list) => {
            depth <= 4 && list.iter().all(|value| integers_only(value, depth + 1))
        }
        Value::Number(number) => number.as_u64().is_some_and(|number| number <= MAX_INTEGER),
        Value::Null => false,
        Value::Bool(_) | Value::String(_) => true,
    }
}

fn consistent(transfer: &Transfer) {
    assert!(transfer.amount.hundredths() > 0 && transfer.sequence > 0);
    assert_ne!(transfer.sender, transfer.receiver);
    assert!(transfer.sender.is_of(&transfer.home));
    assert!(transfer.receiver.is_of(&transfer.receiver_home));
    let hash = transfer.transaction_hash();
    let mut other = transfer.clone();
    other.attributes = None;
    other.created_at = other.created_at.plus_ms(1);
    assert_eq!(
        other.transaction_hash(),
        hash,
        "both stand outside the hash"
    );
    other.sequence += 1;
    assert_ne!(other.transaction_hash(), hash);
}

/// 花子's signatures say exactly what she signed.
fn only_what_was_signed(bytes: &[u8]) {
    thread_local! {
        static SIGNED: Vec<(Vec<u8>, EntrySignature)> = signed();
    }
    SIGNED.with(|signed| {
        for (original, signature) in signed {
            let read = Signed::<Transfer>::read(bytes, signature.clone());
            let verified = read.and_then(|read| read.verify(town().hanako.key.public()));
            assert_eq!(verified.is_ok(), bytes == original);
        }
    });
}

fn signed() -> Vec<(Vec<u8>, EntrySignature)> {
    let entries = town().receipts().into_iter().map(|receipt| receipt.entry);
    entries
        .filter(|entry| entry.kind == Transfer::KIND)
        .filter(|entry| entry.sig[0].key == town().hanako.key.public().id())
        // Each costs a verification of each transfer that is read.
        .take(3)
        .map(|entry| (entry.body, entry.sig[0].clone()))
        .collect()
}
