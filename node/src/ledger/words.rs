//! An entry in a sentence. What cannot be read is named by its kind alone: looking at a ledger refuses nothing.

use city_protocol::body::{Fault, Kind, Note, Settle, Start, Trust};
use city_protocol::codec;
use city_protocol::pki::Crl;
use city_protocol::place::PlaceProof;
use city_protocol::vertex::Entry;
use serde_json::Value;

use crate::config::rfc3339;

/// Longest body that a home writes itself, in bytes (docs/formats.md, section 3.3).
const MAX_OWN: usize = 32 * 1024;

/// What happened.
pub(super) fn words(entry: &Entry, body: &Value) -> String {
    let said = match entry.kind {
        Kind::Start => read(entry).map(|start: Start| {
            format!(
                "the node started: {}, clock by {}",
                start.software, start.clock
            )
        }),
        Kind::Settle => read(entry)
            .map(|settle: Settle| format!("{} of transfer {}", settle.amount, settle.transfer)),
        Kind::Fault => read(entry).map(|fault: Fault| {
            format!(
                "log {} convicted itself in epoch {}: it counts up to position {}",
                fault.log, fault.epoch, fault.cut
            )
        }),
        Kind::Place => PlaceProof::decode(&entry.body).ok().map(|proof| {
            let place = proof.municipality.as_deref().unwrap_or("no municipality");
            format!(
                "place of {}: {} in {place}",
                proof.account,
                proof.grade.code()
            )
        }),
        Kind::Note => Note::read(&entry.body).ok().map(|note| match note.value {
            Some(value) => format!("{}: {} bytes", note.key.as_str(), value.len()),
            None => format!("{}: deleted", note.key.as_str()),
        }),
        Kind::Trust => Trust::read(&entry.body).ok().map(|body| trust(&body)),
        _ => of_json(entry.kind, body),
    };
    said.unwrap_or_else(|| entry.kind.to_string())
}

/// What a home says of its CAs.
fn trust(body: &Trust) -> String {
    let list = |list: Crl| {
        let (issuer, revoked) = (list.issuer_name(), list.entries());
        let until = rfc3339(list.next_update());
        format!("{issuer}: {revoked} revoked, next list by {until}")
    };
    let lists: Vec<String> = body.read_lists().map(list).collect();
    let cas = match body.certificates.len() {
        0 => String::new(),
        n => format!(" ({n} CA certificates)"),
    };
    format!("what the CAs revoked{cas}: {}", lists.join("; "))
}

fn read<T: serde::de::DeserializeOwned + serde::Serialize>(entry: &Entry) -> Option<T> {
    codec::decode(&entry.body, MAX_OWN).ok()
}

/// What people and officers signed; of the same kinds that a home wrote by itself, as far as the fields are there.
fn of_json(kind: Kind, body: &Value) -> Option<String> {
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let number = |name: &str| body.get(name).and_then(Value::as_u64);
    let because = || {
        text("reason")
            .map(|why| format!(": {why}"))
            .unwrap_or_default()
    };
    Some(match kind {
        Kind::Charter => {
            let officers = body.get("officers")?;
            let k = officers.get("k").and_then(Value::as_u64)?;
            let n = officers.get("keys").and_then(Value::as_array)?.len();
            let number = body.get("number").and_then(Value::as_u64).unwrap_or(1);
            let region = text("region")?;
            format!(
                "charter {number} of {region}: {k} of {n} officers decide{}",
                because()
            )
        }
        Kind::Enrol => format!(
            "the key {} opens an account ({})",
            text("key")?,
            text("alg")?
        ),
        Kind::Rotate => {
            let alg = body.get("new")?.get("alg").and_then(Value::as_str)?;
            format!("{} gets new {alg} keys", text("account")?)
        }
        Kind::Recover => {
            let alg = body.get("new")?.get("alg").and_then(Value::as_str)?;
            format!(
                "officers give {} new {alg} keys{}",
                text("account")?,
                because()
            )
        }
        Kind::Revoke => format!("the key of {} is closed{}", text("account")?, because()),
        Kind::EpochStart => format!(
            "epoch {} ends at position {} and the next begins{}",
            number("old_epoch")?,
            number("cut_seq")?,
            because()
        ),
        Kind::Grant => format!(
            "{} is given {}{}",
            text("account")?,
            text("amount")?,
            because()
        ),
        Kind::Ungrant => format!(
            "{} is taken back from {}{}",
            text("amount")?,
            text("account")?,
            because()
        ),
        Kind::Correct => format!(
            "officers put {} of {} right{}",
            text("amount")?,
            text("account")?,
            because()
        ),
        Kind::Transfer => format!(
            "{} sends {} to {}",
            text("sender")?,
            text("amount")?,
            text("receiver")?
        ),
        Kind::Accept => format!("{} from {} is accepted", text("amount")?, text("sender")?),
        Kind::Reject => format!(
            "{} from {} is not taken{}",
            text("amount")?,
            text("sender")?,
            because()
        ),
        Kind::Order => match body.get("accept").and_then(Value::as_bool)? {
            true => format!("{} has what comes accepted by the home", text("account")?),
            false => format!("{} answers again itself", text("account")?),
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_person_signed_is_told_and_what_cannot_be_read_is_named() {
        let check = |kind: Kind, body: Value, expected: &str| {
            let entry = Entry::home_authored(kind, body.to_string().into_bytes());
            assert_eq!(words(&entry, &body), expected);
        };
        check(
            Kind::Transfer,
            json!({ "sender": "a", "receiver": "b", "amount": "1.00" }),
            "a sends 1.00 to b",
        );
        check(
            Kind::Grant,
            json!({ "account": "a", "amount": "1.00", "reason": "始め" }),
            "a is given 1.00: 始め",
        );
        check(Kind::Transfer, json!({ "sender": "a" }), "transfer");
        check(Kind::Settle, json!({}), "settle");
        let start = Start {
            v: 1,
            software: "city-node 1".into(),
            clock: "ntp".into(),
            trust: None,
        };
        let entry = Entry::home_authored(Kind::Start, codec::encode(&start));
        let told = words(&entry, &Value::Null);
        assert_eq!(told, "the node started: city-node 1, clock by ntp");
    }
}
