//! `ca show`: roots, lists and what was issued.

use std::path::PathBuf;

use city_protocol::amount::Timestamp;
use city_protocol::pki::fingerprint;
use clap::Args;
use serde_json::{Value, json};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::now;
use crate::cli::exit::{Exit, Outcome};
use crate::cli::output;
use crate::config::rfc3339;
use crate::pki::authority::{IssuerState, Overview};
use crate::pki::register::{Issued, Revoked};

/// Arguments of `ca show`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  city-node ca show --ca data/ca
  city-node ca show --ca data/ca --json | jq '.issued[] | select(.state == \"valid\")'")]
pub struct ShowArgs {
    /// The CA's directory; its keys are not needed.
    #[arg(long, value_name = "DIR")]
    ca: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ShowArgs) -> Outcome {
    let now = now()?;
    let Overview {
        issuers,
        issued,
        sealed,
    } = Overview::read(&args.ca)?;
    let issuers: Vec<_> = issuers
        .into_iter()
        .map(Shown::of)
        .collect::<Result<_, _>>()?;
    if args.json {
        output::object(json!({
            "ca": args.ca,
            "encrypted": sealed,
            "issuers": issuers.iter().map(Shown::json).collect::<Vec<_>>(),
            "issued": issued.iter().map(|(one, revoked)| certificate(one, revoked.as_ref(), now)).collect::<Vec<_>>(),
        }))?;
        return Ok(Exit::Ok);
    }
    let mut text = String::new();
    if !sealed {
        text.push_str("warning: the keys of this CA are not encrypted; whoever reads the files can issue certificates\n");
    }
    for shown in &issuers {
        text.push_str(&shown.told(now));
    }
    for (one, revoked) in &issued {
        text.push_str(&format!(
            "{:12} {:9} until {}  {}  {}\n",
            one.kind.name(),
            state(one, revoked.as_ref(), now),
            rfc3339(one.not_after),
            one.serial,
            one.subject,
        ));
    }
    output::text(&text)?;
    Ok(Exit::Ok)
}

struct Shown {
    state: IssuerState,
    subject: String,
    fingerprint: String,
    not_after: Timestamp,
}

impl Shown {
    fn of(state: IssuerState) -> anyhow::Result<Self> {
        let read = Certificate::from_der(&state.certificate)?;
        let tbs = read.tbs_certificate();
        let end = tbs.validity().not_after.to_unix_duration();
        Ok(Self {
            subject: tbs.subject().to_string(),
            fingerprint: fingerprint(&state.certificate).to_string(),
            not_after: Timestamp(u64::try_from(end.as_millis())?),
            state,
        })
    }

    fn json(&self) -> Value {
        json!({
            "id": self.state.id,
            "subject": self.subject,
            "fingerprint": self.fingerprint,
            "not_after": rfc3339(self.not_after),
            "issues": self.state.newest,
            "crl": self.state.listed.as_ref().map(|list| json!({
                "number": list.number, "entries": list.entries, "next_update": rfc3339(list.next_update),
            })),
        })
    }

    fn told(&self, now: Timestamp) -> String {
        let list = match &self.state.listed {
            None => "no revocation list yet: run ca crl".to_owned(),
            Some(list) => format!(
                "list {} with {} certificates, next update {}{}",
                list.number,
                list.entries,
                rfc3339(list.next_update),
                if list.next_update <= now {
                    " (past it: run ca crl)"
                } else {
                    ""
                }
            ),
        };
        format!(
            "{:12} {}  until {}{}\n             {}\n             {list}\n",
            self.state.id,
            self.subject,
            rfc3339(self.not_after),
            if self.state.newest {
                ""
            } else {
                "  (older; issues only with --issuer)"
            },
            self.fingerprint,
        )
    }
}

fn state(issued: &Issued, revoked: Option<&Revoked>, now: Timestamp) -> &'static str {
    match revoked {
        Some(_) => "revoked",
        None if issued.not_after < now => "expired",
        None if now < issued.not_before => "to come",
        None => "valid",
    }
}

fn certificate(issued: &Issued, revoked: Option<&Revoked>, now: Timestamp) -> Value {
    json!({
        "kind": issued.kind,
        "issuer": issued.issuer,
        "serial": issued.serial,
        "subject": issued.subject,
        "fingerprint": format!("sha256:{}", issued.fingerprint),
        "not_before": rfc3339(issued.not_before),
        "not_after": rfc3339(issued.not_after),
        "state": state(issued, revoked, now),
        "revoked_at": revoked.map(|revoked| rfc3339(revoked.at)),
        "reason": revoked.map(|revoked| revoked.reason),
    })
}
