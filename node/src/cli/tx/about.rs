//! What a receipt is about: the identity of what was signed, a transfer's hash, and of an answer which transfer it is to.

use city_protocol::Refusal;
use city_protocol::body::{Answer, AnsweredBy, Kind, Transfer, identity, read_person_body};
use city_protocol::ids::Digest;
use city_protocol::vertex::Entry;
use serde_json::{Value, json};

use crate::ledger::read::tag_of;

/// What an entry says, as far as people ask for it.
pub(super) struct About {
    /// Identity of the submission; what a home writes by itself has none.
    pub(super) identity: Option<Digest>,
    /// What it is.
    pub(super) what: What,
}

/// What an entry is.
pub(super) enum What {
    /// A transfer.
    Transfer(Box<Transfer>),
    /// The answer to one.
    Answer(Box<Answer>),
    /// Anything else.
    Other,
}

impl About {
    /// Reads an entry.
    ///
    /// # Errors
    /// The refusals of its body's form.
    pub(super) fn read(entry: &Entry) -> Result<Self, Refusal> {
        let is_signed = !entry.sig.is_empty();
        let tag = tag_of(entry.kind).filter(|_| is_signed);
        let what = match entry.kind {
            Kind::Transfer => What::Transfer(Box::new(read_person_body(&entry.body)?)),
            Kind::Accept | Kind::Reject => {
                What::Answer(Box::new(Answer::read(entry.kind, &entry.body)?))
            }
            _ => What::Other,
        };
        Ok(Self {
            identity: tag.map(|tag| identity(tag, &entry.body)),
            what,
        })
    }

    /// Its fields beside others of a JSON object.
    pub(super) fn put(&self, fields: &mut Value) {
        fields["identity"] = json!(self.identity);
        match &self.what {
            What::Transfer(transfer) => {
                fields["transaction_hash"] = json!(transfer.transaction_hash());
            }
            What::Answer(answer) => fields["answer"] = of_answer(answer),
            What::Other => {}
        }
    }

    /// The same as lines.
    pub(super) fn text(&self) -> String {
        let mut text = match self.identity {
            Some(identity) => format!("identity   {identity}\n"),
            None => String::new(),
        };
        match &self.what {
            What::Transfer(transfer) => {
                text += &format!(
                    "hash       {}\nsender     {} ({})\nreceiver   {} ({})\namount     {}\n",
                    transfer.transaction_hash(),
                    transfer.sender,
                    transfer.sender_municipality,
                    transfer.receiver,
                    transfer.receiver_municipality,
                    transfer.amount,
                );
            }
            What::Answer(answer) => {
                text += &format!(
                    "transfer   {}\nsender     {} (log {})\namount     {}\nanswer     {}\n",
                    answer.transfer,
                    answer.sender,
                    answer.sender_home,
                    answer.amount,
                    told(answer),
                );
            }
            What::Other => {}
        }
        text
    }
}

fn of_answer(answer: &Answer) -> Value {
    let (by, reason) = match &answer.by {
        AnsweredBy::Receiver(_) => ("receiver", None),
        AnsweredBy::Order(..) => ("order", None),
        AnsweredBy::Home(_, reason) => ("home", Some(reason)),
    };
    json!({
        "accepts": answer.accepts, "by": by, "reason": reason, "receiver": answer.receiver(),
        "transfer": answer.transfer, "transfer_id": answer.transfer_id, "sender": answer.sender,
        "sender_home": answer.sender_home, "amount": answer.amount,
    })
}

/// Who said what.
fn told(answer: &Answer) -> String {
    let verb = match answer.accepts {
        true => "accepted",
        false => "rejected",
    };
    match &answer.by {
        AnsweredBy::Receiver(common) => {
            format!("{verb} by its receiver, with the key {}", common.key)
        }
        AnsweredBy::Order(receiver, _) => {
            format!("{verb} for {receiver}, by their standing order")
        }
        AnsweredBy::Home(receiver, reason) => {
            format!("{verb} by the home of {receiver}: {}", reason.code())
        }
    }
}

#[cfg(test)]
mod tests {
    use city_protocol::amount::Amount;
    use city_protocol::body::{RejectReason, StandingReject};
    use city_protocol::codec;
    use city_protocol::ids::{AccountId, KeyId, LogId, TransferId};

    use super::*;

    #[test]
    fn what_a_home_answered_by_itself_is_told_with_the_transfer_and_the_reason() {
        let home = LogId([1; 32]);
        let account = |n| AccountId::new(&home, &KeyId([n; 32]));
        let body = StandingReject {
            v: 1,
            transfer: Digest([2; 32]),
            transfer_id: TransferId([3; 16]),
            sender: account(4),
            sender_home: home,
            receiver: account(5),
            amount: Amount::from_hundredths(150),
            reason: RejectReason::UnknownReceiver,
        };
        let entry = Entry::home_authored(Kind::Reject, codec::encode(&body));
        let about = About::read(&entry).unwrap();
        let (text, mut fields) = (about.text(), json!({}));
        let expected = format!("rejected by the home of {}: unknown-receiver", account(5));
        assert!(text.contains(&expected), "{text}");
        assert!(text.contains("amount     1.50") && !text.contains("identity"));
        about.put(&mut fields);
        assert_eq!(fields["identity"], Value::Null);
        let answer = &fields["answer"];
        assert_eq!(
            (&answer["reason"], &answer["transfer"], &answer["accepts"]),
            (
                &"unknown-receiver".into(),
                &json!(body.transfer),
                &false.into()
            )
        );
    }
}
