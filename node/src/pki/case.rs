//! Paths of other systems as files and JSON lines bring them: PEM texts, a time, a usage. `ca verify` asks;
//! what is judged how is `city_protocol::pki::foreign`.

use std::collections::BTreeMap;

use city_protocol::amount::Timestamp;
use city_protocol::pki::foreign::{self, Question, Usage};
use city_protocol::pki::{
    CertificateRefusal, Crl, CrlRefusal, Crls, RevocationPolicy, UnknownStatus,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use serde::Deserialize;
use serde_json::{Value, json};

/// Longest line of a batch in bytes: the largest list that is read, in base64, and room for certificates.
pub const MAX_CASE_LINE: usize = 16 * 1024 * 1024;

/// Longest id that is echoed, in bytes of JSON: more is no id.
const MAX_ID: usize = 1024;

/// How much of an unknown field's name is said again, in characters.
const MAX_FIELD_SHOWN: usize = 64;

/// A path to judge, with all that was given for it.
#[derive(Debug, Default)]
pub struct Case {
    /// Trusted certificates in DER.
    pub roots: Vec<Vec<u8>>,
    /// Others in DER.
    pub intermediates: Vec<Vec<u8>>,
    /// The certificate in DER.
    pub leaf: Vec<u8>,
    /// The lists that could be read.
    pub crls: Vec<Crl>,
    /// Why the first of the others could not.
    pub crl_refused: Option<CrlRefusal>,
    /// For what.
    pub usage: Option<Usage>,
    /// For whom.
    pub name: Option<String>,
}

/// How strictly lists are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CrlOptions {
    /// For how many milliseconds past its nextUpdate a list still counts.
    pub grace_ms: u64,
    /// Whether there must be a list for every certificate of the path.
    pub required: bool,
}

/// What a case comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// `valid`, or the code of the refusal.
    pub reason: &'static str,
    /// What there is to say in words, if it was refused.
    pub detail: Option<String>,
    /// Codes of warnings.
    pub warnings: Vec<&'static str>,
    /// Until when it holds, if it is valid.
    pub valid_until: Option<Timestamp>,
}

impl Verdict {
    /// Whether the path is valid.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        self.valid_until.is_some()
    }

    /// A no.
    #[must_use]
    pub fn refused(reason: &'static str, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: Some(detail.into()),
            warnings: Vec::new(),
            valid_until: None,
        }
    }
}

impl Case {
    /// Adds the certificates of a PEM text to `into`; other sections are passed over.
    ///
    /// # Errors
    /// [`CertificateRefusal::Malformed`] if it is not PEM or holds no certificate.
    pub fn read_certificates(pem: &str, into: &mut Vec<Vec<u8>>) -> Result<(), CertificateRefusal> {
        let before = into.len();
        for der in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            into.push(der.map_err(|_| CertificateRefusal::Malformed)?.to_vec());
        }
        if into.len() == before {
            return Err(CertificateRefusal::Malformed);
        }
        Ok(())
    }

    /// Takes the first certificate of a PEM text as the leaf, and those behind it as intermediates.
    ///
    /// # Errors
    /// As [`Case::read_certificates`].
    pub fn read_leaf(&mut self, pem: &str) -> Result<(), CertificateRefusal> {
        let mut chain = Vec::new();
        Self::read_certificates(pem, &mut chain)?;
        self.leaf = chain.remove(0);
        self.intermediates.append(&mut chain);
        Ok(())
    }

    /// Adds the lists of a PEM text. One that cannot be read is remembered: it proves nothing, and where a
    /// list is needed, it is the reason that there is none.
    pub fn read_crls(&mut self, pem: &str) {
        let mut any = false;
        for der in CertificateRevocationListDer::pem_slice_iter(pem.as_bytes()) {
            any = true;
            match der
                .map_err(|_| CrlRefusal::Malformed)
                .and_then(|der| Crl::read(&der))
            {
                Ok(crl) => self.crls.push(crl),
                Err(refusal) => self.crl_refused = self.crl_refused.or(Some(refusal)),
            }
        }
        if !any {
            self.crl_refused = self.crl_refused.or(Some(CrlRefusal::Malformed));
        }
    }

    /// Judges the path at a moment.
    #[must_use]
    pub fn judge(self, at: Timestamp, options: CrlOptions) -> Verdict {
        let unreadable = self.crl_refused;
        let unknown = if options.required || unreadable.is_some() {
            UnknownStatus::Refuse
        } else {
            RevocationPolicy::STRICT.unknown
        };
        let judged = Crls::new(self.crls).map_err(Into::into).and_then(|crls| {
            foreign::verify(&Question {
                roots: &self.roots,
                intermediates: &self.intermediates,
                leaf: &self.leaf,
                crls: &crls,
                revocation: RevocationPolicy {
                    grace_ms: options.grace_ms,
                    unknown,
                },
                at,
                usage: self.usage,
                name: self.name.as_deref(),
            })
        });
        match judged {
            Ok(admitted) => Verdict {
                reason: "valid",
                detail: None,
                warnings: admitted
                    .warnings
                    .iter()
                    .map(|warning| warning.code())
                    .collect(),
                valid_until: Some(admitted.valid_until),
            },
            Err(CertificateRefusal::CrlNone) if let Some(refusal) = unreadable => {
                Verdict::refused(refusal.code(), refusal.to_string())
            }
            Err(refusal) => Verdict::refused(refusal.code(), refusal.to_string()),
        }
    }
}

/// One text or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    Many(Vec<String>),
}

impl Texts {
    fn list(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        }
    }
}

/// RFC 3339, or seconds since 1970.
#[derive(Deserialize)]
#[serde(untagged)]
enum Time {
    Text(String),
    Seconds(u64),
}

/// A name, or x509-limbo's `{"kind": …, "value": …}`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Name {
    Text(String),
    Kind { value: String },
}

/// A line of a batch, under every name that its fields are taken under.
#[derive(Deserialize)]
struct Line {
    #[serde(alias = "cert", alias = "peer_certificate", alias = "certificate")]
    leaf: Option<String>,
    #[serde(alias = "root", alias = "trusted_certs")]
    roots: Option<Texts>,
    #[serde(alias = "intermediate", alias = "untrusted_intermediates")]
    intermediates: Option<Texts>,
    #[serde(alias = "crl")]
    crls: Option<Texts>,
    #[serde(alias = "validation_time")]
    time: Option<Time>,
    #[serde(alias = "validation_kind")]
    usage: Option<String>,
    #[serde(alias = "peer_name", alias = "expected_peer_name")]
    name: Option<Name>,
    require_crl: Option<bool>,
    /// What else stands in it.
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

/// What a line may say beside: what it is about, what is expected of it, and fields of x509-limbo that no
/// verdict here depends on. Whatever else stands in a line might be meant to matter, and is refused.
const PASSED_OVER: &[&str] = &[
    "comment",
    "conflicts_with",
    "description",
    "expected",
    "expected_peer_names",
    "expected_result",
    "extended_key_usage",
    "features",
    "importance",
    "key_usage",
    "max_chain_depth",
    "note",
    "notes",
    "peer_certificate_key",
    "reason",
    "result",
    "signature_algorithms",
    "source",
    "tcId",
    "title",
];

/// Answers one line of a batch: `{"id":…,"ok":…,"reason":…,"warnings":[…]}`, with a `detail` if refused.
///
/// A line that cannot be read is answered with `bad-case`, one with a field that is not known with
/// `unknown-field`.
#[must_use]
pub fn answer(line: &[u8], now: Timestamp, options: CrlOptions) -> Value {
    let (id, verdict) = if line.len() > MAX_CASE_LINE {
        let detail = format!("the line is longer than {MAX_CASE_LINE} bytes");
        (Value::Null, Verdict::refused("bad-case", detail))
    } else {
        match serde_json::from_slice::<Value>(line) {
            Err(error) => (Value::Null, Verdict::refused("bad-case", error.to_string())),
            Ok(mut value) => {
                let object = value.as_object_mut();
                let id = object.and_then(|object| object.remove("id"));
                let id = id.unwrap_or_default();
                let short = serde_json::to_vec(&id).is_ok_and(|id| id.len() <= MAX_ID);
                let verdict = judge_line(value, now, options)
                    .unwrap_or_else(|detail| Verdict::refused("bad-case", detail));
                (if short { id } else { Value::Null }, verdict)
            }
        }
    };
    let mut answer = json!({
        "id": id,
        "ok": verdict.is_valid(),
        "reason": verdict.reason,
        "warnings": verdict.warnings,
    });
    if let Some(detail) = verdict.detail {
        answer["detail"] = detail.into();
    }
    answer
}

fn judge_line(value: Value, now: Timestamp, options: CrlOptions) -> Result<Verdict, String> {
    let line: Line = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let mut fields = line.rest.keys();
    if let Some(field) = fields.find(|field| !PASSED_OVER.contains(&field.as_str())) {
        let field: String = field.chars().take(MAX_FIELD_SHOWN).collect();
        let detail = format!("a case has no field {field:?}; `ca verify --help` names them");
        return Ok(Verdict::refused("unknown-field", detail));
    }
    let leaf = line.leaf.ok_or("there is no leaf to judge")?;
    let at = match line.time {
        None => now,
        Some(Time::Seconds(seconds)) => Timestamp(seconds.saturating_mul(1000)),
        Some(Time::Text(text)) => read_time(&text)?,
    };
    let usage = line
        .usage
        .map(|usage| read_usage(&usage))
        .transpose()?
        .flatten();
    let mut case = Case {
        usage,
        name: line.name.map(|name| match name {
            Name::Text(value) | Name::Kind { value } => value,
        }),
        ..Case::default()
    };
    let certificates = |texts: Option<Texts>, into: &mut Vec<Vec<u8>>| {
        texts
            .map_or_else(Vec::new, Texts::list)
            .iter()
            .filter(|pem| !pem.trim().is_empty())
            .try_for_each(|pem| Case::read_certificates(pem, into))
    };
    let read = certificates(line.roots, &mut case.roots)
        .and_then(|()| certificates(line.intermediates, &mut case.intermediates))
        .and_then(|()| case.read_leaf(&leaf));
    if let Err(refusal) = read {
        return Ok(Verdict::refused(refusal.code(), refusal.to_string()));
    }
    for pem in line.crls.map_or_else(Vec::new, Texts::list) {
        if !pem.trim().is_empty() {
            case.read_crls(&pem);
        }
    }
    let required = options.required || line.require_crl.unwrap_or(false);
    Ok(case.judge(
        at,
        CrlOptions {
            required,
            ..options
        },
    ))
}

/// Reads a time in RFC 3339.
///
/// # Errors
/// What is wrong with it.
pub fn read_time(text: &str) -> Result<Timestamp, String> {
    let wrong = || format!("{text:?} is not a time since 1970, such as 2026-04-01T00:00:00Z");
    let time: jiff::Timestamp = text.trim().parse().map_err(|_| wrong())?;
    u64::try_from(time.as_millisecond())
        .map(Timestamp)
        .map_err(|_| wrong())
}

/// Reads `client` or `server`, or the name of its extended key usage, in any case; `any` and nothing ask for
/// neither.
fn read_usage(text: &str) -> Result<Option<Usage>, String> {
    match text.to_ascii_lowercase().as_str() {
        "client" | "clientauth" => Ok(Some(Usage::Client)),
        "server" | "serverauth" => Ok(Some(Usage::Server)),
        "" | "any" | "none" => Ok(None),
        _ => Err(format!("usage {text:?} is neither client, server nor any")),
    }
}
