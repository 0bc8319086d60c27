//! The JSON of requests and replies, shared by the server and the client library.
//!
//! Requests refuse unknown fields; replies may grow, so clients ignore what they do not know. Every reply has
//! `schema`. Moments are milliseconds since the Unix epoch, amounts text, bytes standard base64. `home` what a node says of
//! itself · `transfers` what was sent, waits or was answered; here what people hand in, and what they are told of it.

mod home;
mod transfers;

use std::collections::BTreeMap;

use city_protocol::Refusal;
use city_protocol::amount::{Amount, Timestamp};
use city_protocol::body::{OwnEntry, PrivateField, PrivateValues, Salted};
use city_protocol::crypto::Suite;
use city_protocol::ids::{AccountId, BlockId, Digest, KeyId, LogId, NetworkId};
use city_protocol::json::base64_bytes;
use city_protocol::ledger::{Finality, History, Rows as _, witnesses_of};
use city_protocol::place::{Claim, Grade, Point, SignedPlace};
use city_protocol::region::Region;
use city_protocol::replica::BookedEntry;
use city_protocol::vertex::{Booked, EntrySignature};
use serde::{Deserialize, Serialize};

use crate::pki::ShownCertificate;

pub use home::{CharterPage, ClearingPage, ClockPage, NodePage, OfficerPage, OfficersPage};
pub use transfers::{
    AnswerFrom, AnswerSaid, IncomingItem, IncomingPage, OutgoingPage, ReceivedItem, ReceivedPage,
    StatePage, TransferPage,
};

/// Form of every reply of this version.
pub const SCHEMA: u64 = 1;

/// A signature beside the body that it covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignatureForm {
    /// Algorithm id.
    pub alg: String,
    /// Key id.
    pub key: String,
    /// Signature, base64.
    #[serde(with = "base64_bytes")]
    pub sig: Vec<u8>,
}

impl SignatureForm {
    /// The signature as entries carry it.
    ///
    /// # Errors
    /// [`Refusal::UnknownAlgorithm`] or [`Refusal::BadId`].
    pub fn read(self) -> Result<EntrySignature, Refusal> {
        Ok(EntrySignature {
            alg: self.alg.parse()?,
            key: self.key.parse()?,
            sig: self.sig,
        })
    }
}

impl From<&EntrySignature> for SignatureForm {
    fn from(signature: &EntrySignature) -> Self {
        Self {
            alg: signature.alg.to_string(),
            key: signature.key.to_string(),
            sig: signature.sig.clone(),
        }
    }
}

/// `POST /send/api/accepts`, `/rejects` and `/orders`, and within [`TransferForm`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedForm {
    /// The exact JSON text that was signed.
    pub body: String,
    /// Its signature.
    pub signature: SignatureForm,
    /// The client certificate; needed only when the home has not admitted it before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Der>,
    /// Its intermediates towards a genesis root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<Der>,
    /// SHA-256 of the client certificate that is meant, where the home has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_fingerprint: Option<String>,
}

/// `POST /send/api/transfers`: a [`SignedForm`], and what stands behind the private fields.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferForm {
    /// The exact JSON text that was signed.
    pub body: String,
    /// Its signature.
    pub signature: SignatureForm,
    /// The client certificate; needed only when the home has not admitted it before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Der>,
    /// Its intermediates towards a genesis root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<Der>,
    /// SHA-256 of the client certificate that is meant, where the home has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_fingerprint: Option<String>,
    /// Values of private fields, each with its salt, for the two homes alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private: Option<PrivateValues>,
}

impl TransferForm {
    /// What is signed, and what is private.
    pub(super) fn split(self) -> (SignedForm, Option<PrivateValues>) {
        let form = SignedForm {
            body: self.body,
            signature: self.signature,
            certificate: self.certificate,
            chain: self.chain,
            certificate_fingerprint: self.certificate_fingerprint,
        };
        (form, self.private)
    }
}

impl SignedForm {
    /// The same with values of private fields.
    #[must_use]
    pub fn with_private(self, private: Option<PrivateValues>) -> TransferForm {
        TransferForm {
            body: self.body,
            signature: self.signature,
            certificate: self.certificate,
            chain: self.chain,
            certificate_fingerprint: self.certificate_fingerprint,
            private,
        }
    }

    /// What the form says of the client certificate.
    pub(super) fn shown(&mut self) -> Result<Shown, Refusal> {
        let chain = std::mem::take(&mut self.chain);
        let named = self.certificate_fingerprint.take();
        let leaf = self.certificate.take();
        Ok(Shown {
            certificate: leaf.map(|Der(leaf)| ShownCertificate {
                leaf,
                chain: chain.into_iter().map(|Der(der)| der).collect(),
            }),
            named: named.map(|named| named.parse()).transpose()?,
        })
    }
}

/// The client certificate of a submission: sent along, named, both or neither.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) certificate: Option<ShownCertificate>,
    pub(super) named: Option<Digest>,
}

/// DER in base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Der(#[serde(with = "base64_bytes")] pub Vec<u8>);

/// `POST /send/api/login/challenge`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChallengePage {
    /// 1.
    pub schema: u64,
    /// What to sign: 32 bytes, base64.
    #[serde(with = "base64_bytes")]
    pub challenge: Vec<u8>,
    /// Until when.
    pub expires_at: Timestamp,
}

/// `POST /send/api/login`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginForm {
    /// The exact JSON text that was signed.
    pub body: String,
    /// Its signature.
    pub signature: SignatureForm,
}

/// What a login gives.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginPage {
    /// 1.
    pub schema: u64,
    /// The token, for the Authorization header.
    pub token: String,
    /// `Bearer`.
    pub token_type: String,
    /// The account.
    pub account: AccountId,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

impl std::fmt::Debug for LoginPage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LoginPage({}, token redacted)", self.account)
    }
}

/// `POST /send/api/logout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogoutPage {
    /// 1.
    pub schema: u64,
}

/// `POST /send/api/enrol`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolForm {
    /// The exact JSON text that was signed.
    pub body: String,
    /// Its signature.
    pub signature: SignatureForm,
    /// The client certificate.
    pub certificate: Der,
    /// Its intermediates towards a genesis root.
    #[serde(default)]
    pub chain: Vec<Der>,
}

/// `POST /send/api/rotations` and `/send/api/recoveries`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysForm {
    /// The exact JSON text that was signed.
    pub body: String,
    /// Its signatures: by the old and the new key, or by officers.
    pub signatures: Vec<SignatureForm>,
    /// The client certificate for the new keys.
    pub certificate: Der,
    /// Its intermediates towards a genesis root.
    #[serde(default)]
    pub chain: Vec<Der>,
}

/// `POST /send/api/grants`, `/ungrants`, `/corrections`, `/charters` and `/revocations`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TogetherForm {
    /// The exact JSON text that was signed.
    pub body: String,
    /// Its signatures.
    pub signatures: Vec<SignatureForm>,
}

/// `POST /send/api/place`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaceForm {
    /// The account that is going to send.
    pub account: String,
    /// The transfer it is for.
    pub transfer_id: String,
    /// 16 fresh random bytes, 32 lower-case hexadecimal digits.
    pub nonce: String,
    /// Where the app says that it is. None: the node's antenna is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<PositionForm>,
}

/// Somebody's own coordinates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PositionForm {
    /// Latitude, 1e-7 degrees, north positive.
    pub lat_e7: i32,
    /// Longitude, 1e-7 degrees, east positive.
    pub lon_e7: i32,
    /// How exact it is, one sigma, millimetres, if the app knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy_mm: Option<u32>,
}

impl PositionForm {
    /// As it is judged.
    ///
    /// # Errors
    /// [`Refusal::OutOfRange`] if it is not on the Earth.
    pub fn read(self) -> Result<Claim, Refusal> {
        Ok(Claim {
            point: Point::new(self.lat_e7, self.lon_e7)?,
            accuracy_mm: self.accuracy_mm,
        })
    }
}

impl From<&Claim> for PositionForm {
    fn from(claim: &Claim) -> Self {
        Self {
            lat_e7: claim.point.lat_e7(),
            lon_e7: claim.point.lon_e7(),
            accuracy_mm: claim.accuracy_mm,
        }
    }
}

/// `POST /send/api/place/signed`: what a terminal of this municipality proved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedPlaceForm {
    /// The proof's DAG-CBOR, base64.
    #[serde(with = "base64_bytes")]
    pub proof: Vec<u8>,
    /// The terminal's signature over it, with the tag `city-node/place/v1`.
    pub signature: SignatureForm,
    /// The terminal's node certificate.
    pub certificate: Der,
    /// Its intermediates towards a genesis root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<Der>,
}

impl SignedPlaceForm {
    /// What a node's key signed, with its certificate.
    #[must_use]
    pub fn of(
        place: &SignedPlace,
        key: KeyId,
        certificate: &[u8],
        chain: impl IntoIterator<Item = Vec<u8>>,
    ) -> Self {
        Self {
            proof: place.proof.clone(),
            signature: SignatureForm::from(&EntrySignature::new(key, &place.signature)),
            certificate: Der(certificate.to_vec()),
            chain: chain.into_iter().map(Der).collect(),
        }
    }
}

/// A terminal, as it shows itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalPage {
    /// Where its home's API is.
    pub home: String,
    /// Whether the home answers.
    pub reachable: bool,
    /// Since when it does, or does not.
    pub since: Timestamp,
    /// Why it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// `POST /send/api/outbox/transfers` of a terminal: what it keeps of a transfer that could not be delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptPage {
    /// 1.
    pub schema: u64,
    /// Identity of the transfer.
    pub identity: Digest,
    /// When it was kept.
    pub kept_at: Timestamp,
    /// Until when it can be sent.
    pub expires_at: Timestamp,
}

/// The answer to whatever was booked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmittedPage {
    /// 1.
    pub schema: u64,
    /// Identity of the submission.
    pub identity: Digest,
    /// Vertex.
    pub vertex: BlockId,
    /// Where it stands in this home's log.
    pub at: OwnEntry,
    /// The receipt's DAG-CBOR, base64.
    #[serde(with = "base64_bytes")]
    pub receipt: Vec<u8>,
    /// Whether it had been booked before; this is the first receipt then.
    pub repeated: bool,
    /// `sequenced`; of what had been booked before also `witnessed`, and of a transfer `settled`.
    pub finality: String,
    /// How many other municipalities witness the vertex that it stands in.
    #[serde(default)]
    pub witnesses: u64,
    /// What the home decided.
    pub booked: Booked,
}

impl SubmittedPage {
    /// The answer to a submission. What has just been written is sequenced and no more.
    pub(super) fn of(entry: BookedEntry, history: &dyn History, log: &LogId) -> Self {
        let position = (entry.at.epoch, entry.at.seq);
        let (finality, witnesses) = if entry.repeated {
            let finality = match history.transfer(log, &entry.identity) {
                Some(row) => Finality::of_transfer(history, log, &row),
                None => Finality::at(history, log, position),
            };
            (finality, witnesses_of(history, log, position))
        } else {
            (Finality::Sequenced, 0)
        };
        Self {
            schema: SCHEMA,
            identity: entry.identity,
            vertex: entry.vertex,
            at: entry.at,
            receipt: entry.receipt.to_bytes(),
            repeated: entry.repeated,
            finality: finality.code().into(),
            witnesses,
            booked: entry.receipt.entry.booked,
        }
    }
}

/// One home that this one knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownHome {
    /// Its log.
    pub log: LogId,
    /// Its municipality.
    pub region: Region,
    /// Suite of its keys.
    pub suite: Suite,
}

/// `GET /send/api/homes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HomesPage {
    /// 1.
    pub schema: u64,
    /// Network.
    pub network: NetworkId,
    /// In order of their logs' ids; this one is among them.
    pub homes: Vec<KnownHome>,
}

/// The answer to `POST /send/api/place`. Coordinates are rounded by the municipality's policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlacePage {
    /// 1.
    pub schema: u64,
    /// The proof's DAG-CBOR, base64.
    #[serde(with = "base64_bytes")]
    pub proof: Vec<u8>,
    /// What the transfer names as `proof_of_place`.
    pub digest: Digest,
    /// Strength of the evidence.
    pub grade: Grade,
    /// Why it is not stronger, as codes.
    pub reasons: Vec<String>,
    /// Code of the municipality.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub municipality: Option<String>,
    /// Latitude, decimal degrees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lat: Option<f64>,
    /// Longitude, decimal degrees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lon: Option<f64>,
    /// Satellites used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub satellites_used: Option<u8>,
    /// When it was made; it is held and fresh for five minutes.
    pub time: Timestamp,
    /// Whether a transfer with it would be admitted now.
    pub satisfies_policy: bool,
    /// If not, the code of the refusal that would follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// `GET /send/api/accounts/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountPage {
    /// 1.
    pub schema: u64,
    /// The account.
    pub account: AccountId,
    /// Its signing key.
    pub key: KeyId,
    /// Whether that key is closed: officers can give the account a new one.
    pub revoked: bool,
    /// What it may send.
    pub available: Amount,
    /// Sent and not yet settled.
    pub open_out: Amount,
    /// The number of its next transfer, answer or order.
    pub next_sequence: u64,
    /// The standing order in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderPage>,
}

/// What a home accepts for an account by itself; what is absent is not asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderPage {
    /// Where the order stands in the home's log.
    pub at: OwnEntry,
    /// From whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub senders: Option<Vec<AccountId>>,
    /// Up to which amount each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_amount: Option<Amount>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// What a node has of a transfer's private values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeptAs {
    /// Nothing: they were not given, or are not for this node, or did not arrive yet.
    Nothing,
    /// They were here and are erased.
    Erased,
    /// They are here.
    Values,
}

/// `GET /send/api/transfers/{identity}/private`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PrivatePage {
    /// 1.
    pub schema: u64,
    /// Identity of the transfer.
    pub transfer: Digest,
    /// What this node has of them.
    pub kept: KeptAs,
    /// The values, each with the salt by which it is proven.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<PrivateField, Salted>,
}
