//! An entry in a sentence. What cannot be read is named by its kind alone: looking at a ledger refuses nothing.

use city_protocol::body::{
    Adopt, Answer, AnsweredBy, Fault, Kind, Note, Refund, RefundReason, Settle, Start, Transfer,
    Trust, is_home_authored, read_person_body,
};
use city_protocol::checkpoint::{Checkpoint, StatePosition};
use city_protocol::codec;
use city_protocol::pki::Crl;
use city_protocol::place::PlaceProof;
use city_protocol::vertex::{Cite, Entry};
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
        Kind::Refund => Refund::read(&entry.body).ok().map(|refund| {
            let why = match refund.reason {
                RefundReason::Rejected => "it was rejected",
                RefundReason::Expired => "nobody answered in time",
            };
            let (amount, transfer) = (refund.amount, refund.transfer);
            format!("{amount} of transfer {transfer} goes back to its sender: {why}")
        }),
        Kind::Adopt => adopted(entry),
        Kind::Checkpoint => Checkpoint::read(&entry.body).ok().map(|body| {
            let StatePosition { epoch, seq } = body.position;
            let (leaves, root) = (body.leaves, body.state_root);
            format!("the state at position {seq} of epoch {epoch}: {leaves} leaves, root {root}")
        }),
        Kind::Accept | Kind::Reject if is_home_authored(&entry.body) => {
            let answer = Answer::read(entry.kind, &entry.body);
            answer.ok().and_then(|answer| by_home(&answer))
        }
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

/// What a home answered by itself.
fn by_home(answer: &Answer) -> Option<String> {
    let (amount, sender, transfer) = (answer.amount, answer.sender, answer.transfer);
    Some(match &answer.by {
        AnsweredBy::Receiver(_) => return None,
        AnsweredBy::Order(receiver, _) => format!(
            "{amount} from {sender} is accepted by the standing order of {receiver}: transfer {transfer}"
        ),
        AnsweredBy::Home(receiver, reason) => format!(
            "{amount} from {sender} to {receiver} is not taken by the home ({}): transfer {transfer}",
            reason.code()
        ),
    })
}

/// What a home answers for that its log lost at a cut.
fn adopted(entry: &Entry) -> Option<String> {
    let body = Adopt::read(&entry.body).ok()?;
    let (amount, transfer) = (body.amount, body.transfer);
    let lost = match entry.cites.first()? {
        Cite::Entry(lost) => lost,
        Cite::Own(_) | Cite::Vertex(_) => return None,
    };
    let what = match lost.kind {
        Kind::Transfer => {
            let sent: Transfer = read_person_body(&lost.body).ok()?;
            format!("{} sent {amount} to {}", sent.sender, sent.receiver)
        }
        kind => {
            let answer = Answer::read(kind, &lost.body).ok()?;
            let sender = answer.sender;
            match answer.accepts {
                true => format!("{amount} from {sender} was accepted"),
                false => format!("{amount} from {sender} was not taken"),
            }
        }
    };
    Some(format!(
        "lost at a cut and answered for: {what}, transfer {transfer}"
    ))
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
    use city_protocol::amount::Amount;
    use city_protocol::body::{OwnEntry, RejectReason, StandingAccept, StandingReject};
    use city_protocol::ids::{AccountId, BlockId, Digest, KeyId, LogId, TransferId};
    use city_protocol::vertex::{Booked, EntryCite};
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

    #[test]
    fn what_a_home_wrote_by_itself_is_told_with_amount_account_and_transfer() {
        let home = LogId([1; 32]);
        let account = |n| AccountId::new(&home, &KeyId([n; 32]));
        let (sender, receiver) = (account(4), account(5));
        let (transfer, amount) = (Digest([2; 32]), Amount::from_hundredths(150));
        let own = OwnEntry {
            epoch: 1,
            seq: 2,
            index: 0,
        };
        let check = |kind: Kind, body: Vec<u8>, expected: String| {
            let entry = Entry::home_authored(kind, body);
            assert_eq!(words(&entry, &Value::Null), expected);
        };
        let (transfer_id, sender_home) = (TransferId([3; 16]), home);
        let accept = StandingAccept {
            v: 1,
            transfer,
            transfer_id,
            sender,
            sender_home,
            receiver,
            amount,
            order: own,
        };
        check(
            Kind::Accept,
            codec::encode(&accept),
            format!(
                "1.50 from {sender} is accepted by the standing order of {receiver}: transfer {transfer}"
            ),
        );
        let reject = StandingReject {
            v: 1,
            transfer,
            transfer_id,
            sender,
            sender_home,
            receiver,
            amount,
            reason: RejectReason::UnknownReceiver,
        };
        check(
            Kind::Reject,
            codec::encode(&reject),
            format!(
                "1.50 from {sender} to {receiver} is not taken by the home (unknown-receiver): transfer {transfer}"
            ),
        );
        let refund = Refund {
            v: 1,
            transfer,
            own,
            amount,
            reason: RefundReason::Expired,
        };
        check(
            Kind::Refund,
            codec::encode(&refund),
            format!("1.50 of transfer {transfer} goes back to its sender: nobody answered in time"),
        );
        let checkpoint = Checkpoint {
            v: 1,
            position: StatePosition { epoch: 1, seq: 7 },
            vertices_root: transfer,
            state_root: transfer,
            leaves: 9,
            snapshot: BlockId::of(b"x"),
        };
        check(
            Kind::Checkpoint,
            codec::encode(&checkpoint),
            format!("the state at position 7 of epoch 1: 9 leaves, root {transfer}"),
        );
        let adopt = Adopt {
            v: 1,
            transfer,
            amount,
        };
        let mut entry = Entry::home_authored(Kind::Adopt, codec::encode(&adopt));
        entry.cites = vec![Cite::Entry(Box::new(EntryCite {
            vertex: BlockId::of(b"x"),
            index: 0,
            path: Vec::new(),
            kind: Kind::Accept,
            body: codec::encode(&accept),
            sig_hash: transfer,
            booked: Booked::default(),
            cites_hash: transfer,
        }))];
        assert_eq!(
            words(&entry, &Value::Null),
            format!(
                "lost at a cut and answered for: 1.50 from {sender} was accepted, transfer {transfer}"
            )
        );
    }
}
