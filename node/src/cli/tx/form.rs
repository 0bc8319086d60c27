//! The two files of a transfer on its way: a draft, and what was signed. JSON of one object each, for their owner only,
//! because the private values stand in them.
//!
//! A draft has the transfer's fields but for those that are settled last: the sequence number, the proof of place and the
//! two moments. Signing settles them; nothing else of a draft changes any more.

use std::path::Path;

use anyhow::{Context as _, bail};
use city_protocol::Refusal;
use city_protocol::amount::Timestamp;
use city_protocol::body::{PrivateValues, Transfer, read_person_body};
use city_protocol::client::EXPIRES_MS;
use city_protocol::crypto::Signer;
use city_protocol::ids::Digest;
use city_protocol::json;
use city_protocol::place::PlaceProof;
use city_protocol::stage::{Draft, Signed};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::super::input::read_whole;
use crate::api::wire::{PlacePage, SignatureForm};
use crate::keys::file::replace_secret;

/// Form of both files.
const SCHEMA: u64 = 1;
/// Longest of them in bytes: 16 KiB that are signed, a signature in base64, 32 KiB of private values, and escapes.
const MAX_FORM: usize = 256 * 1024;
/// What signing settles.
const OPEN: [&str; 4] = ["created_at", "expires_at", "proof_of_place", "sequence"];

/// A draft, as it is kept.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DraftForm {
    schema: u64,
    /// The transfer's fields, without those that signing settles; `sequence` and `proof_of_place` if they are known.
    draft: Map<String, Value>,
    private: PrivateValues,
}

/// What was signed, as it is kept and sent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignedForm {
    schema: u64,
    /// The exact JSON text that was signed.
    body: String,
    signature: SignatureForm,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    private: Option<PrivateValues>,
}

/// One of the two.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Form {
    Draft(DraftForm),
    Signed(SignedForm),
}

/// What signing settles.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settled {
    /// The sender's next number.
    pub(super) sequence: Option<u64>,
    /// Digest of the proof of place.
    pub(super) proof_of_place: Option<Digest>,
    /// When it is signed.
    pub(super) now: Timestamp,
    /// How long the home may book it from then, in milliseconds.
    pub(super) valid_ms: u64,
}

impl Settled {
    /// Puts what is known into a transfer's fields.
    fn put(&self, fields: &mut Map<String, Value>) {
        if let Some(sequence) = self.sequence {
            fields.insert("sequence".into(), sequence.into());
        }
        if let Some(proof) = self.proof_of_place {
            fields.insert("proof_of_place".into(), proof.to_string().into());
        }
    }
}

impl Form {
    /// Reads a file, or standard input for `-`.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = read_whole(path, MAX_FORM)?;
        let form: Self = serde_json::from_slice(&bytes).map_err(|_| {
            anyhow::anyhow!(
                "{}: neither a draft nor a signed transfer, as `tx draft` and `tx sign` write them",
                path.display()
            )
        })?;
        let (Self::Draft(DraftForm { schema, .. }) | Self::Signed(SignedForm { schema, .. })) =
            &form;
        if *schema != SCHEMA {
            bail!(
                "{}: schema {schema}, which this version does not know; use the version that wrote it",
                path.display()
            );
        }
        Ok(form)
    }
}

impl DraftForm {
    /// A draft with what is known of the open fields.
    pub(super) fn new(transfer: &Transfer, private: PrivateValues, settled: &Settled) -> Self {
        let fields = serde_json::to_value(transfer).expect("a body has a JSON form");
        let Value::Object(mut draft) = fields else {
            unreachable!("a body is an object")
        };
        draft.retain(|name, _| !OPEN.contains(&name.as_str()));
        settled.put(&mut draft);
        Self {
            schema: SCHEMA,
            draft,
            private,
        }
    }

    /// Whether the sequence number is known.
    pub(super) fn has_sequence(&self) -> bool {
        self.draft.contains_key("sequence")
    }

    /// Whether the proof of place is known.
    pub(super) fn has_proof(&self) -> bool {
        self.draft.contains_key("proof_of_place")
    }

    /// Reads the draft as a transfer, what is open filled in with this.
    pub(super) fn transfer(&self, settled: &Settled) -> Result<Transfer, Refusal> {
        let mut whole = self.draft.clone();
        settled.put(&mut whole);
        let mut put = |name: &str, at: Timestamp| whole.insert(name.into(), at.0.into());
        put("created_at", settled.now);
        put("expires_at", settled.now.plus_ms(settled.valid_ms));
        let bytes = json::canonical(&whole);
        let transfer: Transfer = read_person_body(&bytes)?;
        self.private.check(&transfer)?;
        Ok(transfer)
    }

    /// The same where open fields do not matter: who sends what to whom.
    pub(super) fn shown(&self) -> Result<Transfer, Refusal> {
        self.transfer(&Settled {
            sequence: (!self.has_sequence()).then_some(1),
            proof_of_place: (!self.has_proof()).then_some(Digest([0; 32])),
            now: Timestamp(0),
            valid_ms: EXPIRES_MS,
        })
    }

    /// Signs it.
    pub(super) fn sign(&self, settled: &Settled, key: &dyn Signer) -> Result<SignedForm, Refusal> {
        let signed = Draft(self.transfer(settled)?).sign(key)?;
        Ok(SignedForm {
            schema: SCHEMA,
            body: String::from_utf8(signed.bytes().to_vec()).expect("JSON is text"),
            signature: signed.signature().into(),
            private: Some(self.private.clone()),
        })
    }

    pub(super) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        bytes_of(self)
    }
}

impl SignedForm {
    /// What was signed, not verified.
    pub(super) fn signed(&self) -> Result<Signed<Transfer>, Refusal> {
        let signed = Signed::read(self.body.as_bytes(), self.signature.clone().read()?)?;
        if let Some(private) = &self.private {
            private.check(signed.body())?;
        }
        Ok(signed)
    }

    /// What stands behind its private fields.
    pub(super) const fn private(&self) -> Option<&PrivateValues> {
        self.private.as_ref()
    }

    pub(super) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        bytes_of(self)
    }

    /// Keeps it under this name, in place of what an earlier try left: durable before it is sent.
    pub(super) fn keep(&self, path: &Path) -> anyhow::Result<()> {
        Ok(replace_secret(path, &self.to_bytes())?)
    }
}

fn bytes_of<T: Serialize>(form: &T) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(serde_json::to_vec(form).expect("a form has text keys"));
    bytes.push(b'\n');
    bytes
}

/// Reads what `tx place` wrote, for this transfer.
pub(super) fn read_proof(path: &Path, draft: &Transfer) -> anyhow::Result<Digest> {
    let bytes = read_whole(path, MAX_FORM)?;
    let page: PlacePage = serde_json::from_slice(&bytes).with_context(|| {
        format!(
            "{}: not a proof of place as `tx place` writes it",
            path.display()
        )
    })?;
    let proof = PlaceProof::decode(&page.proof)?;
    proof
        .binds(&draft.network, &draft.sender, &draft.transfer_id)
        .with_context(|| {
            format!(
                "{}: made for another account or transfer; ask for one with: city-node tx place",
                path.display()
            )
        })?;
    Ok(proof.digest())
}

#[cfg(test)]
mod tests {
    use city_protocol::client::person::Person;
    use city_protocol::client::{Home, Order};
    use city_protocol::crypto::Suite;
    use city_protocol::ids::{BlockId, LogId};

    use super::*;

    fn written() -> (Person, DraftForm) {
        let home = Home {
            network: BlockId::of(b"network"),
            log: LogId([1; 32]),
            region: "Asia/JP/17/17201".parse().unwrap(),
            suite: Suite::Fips,
        };
        let (chiyo, yosa) = (
            Person::generate(home.clone()),
            Person::generate(home.clone()),
        );
        let mut order = Order::new(yosa.account(), home, "1.00".parse().unwrap());
        order.subject = "葱".into();
        let (draft, private) = chiyo.draft(&order).unwrap();
        let nothing = Settled {
            sequence: None,
            proof_of_place: None,
            now: Timestamp(0),
            valid_ms: EXPIRES_MS,
        };
        (chiyo, DraftForm::new(&draft.0, private, &nothing))
    }

    fn back<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> T {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn a_draft_is_settled_by_signing_and_by_nothing_else() {
        let (chiyo, draft) = written();
        let draft: DraftForm = back(&draft.to_bytes());
        assert!(!draft.has_sequence() && !draft.has_proof());
        let mut settled = Settled {
            sequence: Some(7),
            proof_of_place: None,
            now: Timestamp(1_774_828_800_000),
            valid_ms: EXPIRES_MS,
        };
        let refused = draft.sign(&settled, chiyo.signing()).map(drop);
        assert_eq!(
            refused,
            Err(Refusal::BadField),
            "there is no proof of place"
        );
        settled.proof_of_place = Some(Digest([5; 32]));
        let form: SignedForm = back(&draft.sign(&settled, chiyo.signing()).unwrap().to_bytes());
        let signed = form.signed().unwrap();
        let body = signed.body();
        assert_eq!((body.sequence, body.proof_of_place), (7, Digest([5; 32])));
        assert_eq!(body.expires_at, settled.now.plus_ms(EXPIRES_MS));
        assert_eq!(body.transfer_id, draft.shown().unwrap().transfer_id);
        assert!(signed.verify(chiyo.signing().public()).is_ok());
    }

    #[test]
    fn a_private_value_that_was_changed_in_the_file_is_noticed() {
        let (chiyo, draft) = written();
        let text = String::from_utf8(draft.to_bytes().to_vec()).unwrap();
        let changed: DraftForm = back(text.replace('葱', "蕪").as_bytes());
        let settled = Settled {
            sequence: Some(1),
            proof_of_place: Some(Digest([5; 32])),
            now: Timestamp(1),
            valid_ms: EXPIRES_MS,
        };
        let refused = changed.sign(&settled, chiyo.signing()).map(drop);
        assert_eq!(refused, Err(Refusal::PrivateMismatch));
    }
}
