//! What officers decide together, kind by kind: how each is told to whom signs it, and where it is handed in. A new kind
//! is one line in `DECISIONS` and what it says.

use city_protocol::Refusal;
use city_protocol::body::{
    Amendment, Correct, EpochStart, Grant, Kind, OfficersBody, OfficersRevoke, Recover, Ungrant,
    officer_message, read_officers_body,
};
use city_protocol::crypto::{DomainTag, SecretKey, Signer as _};
use city_protocol::vertex::EntrySignature;

/// One kind of decision.
pub(super) struct DecisionKind {
    /// Its kind.
    pub(super) kind: Kind,
    /// Where it is handed in with its signatures alone; none where more belongs to it.
    pub(super) path: Option<&'static str>,
    tag: DomainTag,
    read: fn(&[u8]) -> Result<String, Refusal>,
}

/// All that officers sign.
static DECISIONS: [DecisionKind; 7] = [
    DecisionKind::of::<Grant>(Some("/send/api/grants")),
    DecisionKind::of::<Ungrant>(Some("/send/api/ungrants")),
    DecisionKind::of::<Correct>(Some("/send/api/corrections")),
    DecisionKind::of::<OfficersRevoke>(Some("/send/api/revocations")),
    DecisionKind::of::<Amendment>(Some("/send/api/charters")),
    DecisionKind::of::<Recover>(None),
    DecisionKind::of::<EpochStart>(None),
];

/// What a decision says to the officer who is asked to sign it.
trait Told: OfficersBody {
    fn told(&self) -> String;
}

impl Told for Grant {
    fn told(&self) -> String {
        let (amount, account) = (self.amount, self.account);
        format!("grant {amount} to {account}: {}", self.reason.as_str())
    }
}

impl Told for Ungrant {
    fn told(&self) -> String {
        let (amount, account) = (self.amount, self.account);
        format!(
            "take {amount} back from {account}: {}",
            self.reason.as_str()
        )
    }
}

impl Told for Correct {
    fn told(&self) -> String {
        let (amount, account) = (self.amount, self.account);
        let what = match self.transfer {
            Some(transfer) => {
                format!("give {account} back {amount} of the transfer {transfer}, never answered")
            }
            None => format!("{account} makes good {amount} of the log's shortfall"),
        };
        format!("{what}: {}", self.reason.as_str())
    }
}

impl Told for OfficersRevoke {
    fn told(&self) -> String {
        let account = self.account;
        format!("close the key of {account}: {}", self.reason.as_str())
    }
}

impl Told for Recover {
    fn told(&self) -> String {
        let (alg, account) = (self.new.alg, self.account);
        format!("new {alg} keys for {account}: {}", self.reason.as_str())
    }
}

impl Told for EpochStart {
    fn told(&self) -> String {
        let key = match self.node_certificate {
            Some(_) => "with a new node key",
            None => "with the same node key",
        };
        format!(
            "end epoch {} of log {} at position {} and begin the next {key}: {}",
            self.old_epoch,
            self.home,
            self.cut_seq,
            self.reason.as_str()
        )
    }
}

impl Told for Amendment {
    fn told(&self) -> String {
        let keys = self.officers.public_keys().unwrap_or_default();
        let ids: Vec<_> = keys.iter().map(|key| key.id().to_string()).collect();
        let witnesses: Vec<_> = self.witnesses.iter().map(ToString::to_string).collect();
        let witnesses = match witnesses.as_slice() {
            [] => "no witnesses".into(),
            all => format!("witnesses {}", all.join(", ")),
        };
        format!(
            "charter {} of {} (log {}): {} of {} officers decide from now on, {}; {witnesses}: {}",
            self.number,
            self.region,
            self.home,
            self.officers.k,
            ids.len(),
            ids.join(", "),
            self.reason.as_str()
        )
    }
}

/// A decision that was read.
pub(super) struct Read {
    /// Its kind.
    pub(super) kind: &'static DecisionKind,
    /// What it says.
    pub(super) told: String,
}

impl DecisionKind {
    const fn of<B: Told>(path: Option<&'static str>) -> Self {
        Self {
            kind: B::KIND,
            path,
            tag: B::TAG,
            read: |bytes| Ok(read_officers_body::<B>(bytes)?.told()),
        }
    }

    /// One officer's signature over exactly these bytes.
    pub(super) fn sign(&self, bytes: &[u8], key: &SecretKey) -> EntrySignature {
        let public = key.public();
        let message = officer_message(public.algorithm(), &public.id(), bytes);
        EntrySignature::new(public.id(), &key.sign(self.tag, &message))
    }
}

/// Reads the exact bytes of a decision.
///
/// # Errors
/// The refusal of the kind that it claims to be.
pub(super) fn read(bytes: &[u8]) -> Result<Read, Refusal> {
    let mut refused = Refusal::BadField;
    // One kind at most reads it: each names its own.
    for kind in &DECISIONS {
        match (kind.read)(bytes) {
            Ok(told) => return Ok(Read { kind, told }),
            Err(Refusal::BadField) => {}
            Err(refusal) if refused == Refusal::BadField => refused = refusal,
            Err(_) => {}
        }
    }
    Err(refused)
}
