//! `ca revoke` and `ca crl`: takes certificates back, and writes the lists that say so.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use city_protocol::pki::MAX_CRL_ENTRIES;
use clap::Args;
use serde_json::json;

use super::{CaArgs, now};
use crate::cli::exit::{Exit, Outcome};
use crate::cli::output;
use crate::config::rfc3339;
use crate::pki::Authority;
use crate::pki::authority::{ListFile, Selector, Withdrawn};
use crate::pki::revocation::Reason;
use crate::setup::{LIST_DAYS, validity};

/// How many certificates make a list long: nine tenths of what nodes take.
const LONG_LIST: usize = MAX_CRL_ENTRIES / 10 * 9;

/// Arguments of `ca revoke`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  city-node ca revoke --ca ishikawa-ca --reason key-compromise hanako.pem
  city-node ca revoke --ca ishikawa-ca --reason cessation-of-operation 4f20c1…

Reasons: unspecified, key-compromise, ca-compromise, affiliation-changed, superseded, cessation-of-operation,
privilege-withdrawn. A revocation is for good. It works where the new lists are: copy them into crls/ of each node's
data directory; a running node reads them without a restart.")]
pub struct RevokeArgs {
    #[command(flatten)]
    ca: CaArgs,
    /// A certificate file, a serial number or a SHA-256 fingerprint (hex).
    #[arg(value_name = "SERIAL|CERT.pem|FINGERPRINT")]
    which: String,
    /// Why.
    #[arg(long, value_name = "REASON")]
    reason: Reason,
    #[command(flatten)]
    lists: ListArgs,
}

/// Arguments of `ca crl`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  city-node ca crl --ca ishikawa-ca
  city-node ca crl --ca ishikawa-ca && cp ishikawa-ca/*.crl.pem /var/lib/city-node/data/crls/

Run it well before the lists' nextUpdate, every month at least, on every CA: a node warns of a list that is past it, and
45 days later it admits nobody under that CA.")]
pub struct CrlArgs {
    #[command(flatten)]
    ca: CaArgs,
    #[command(flatten)]
    lists: ListArgs,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// For how many days the new lists are in date.
    #[arg(long, value_name = "DAYS", default_value_t = LIST_DAYS, value_parser = clap::value_parser!(u64).range(1..=365))]
    days: u64,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn revoke(args: &RevokeArgs) -> Outcome {
    let which = select(&args.which)?;
    let authority = args.ca.open()?;
    let now = now()?;
    let Withdrawn {
        issued,
        at,
        reason,
        already,
    } = authority.revoke(&which, args.reason, now)?;
    // Also of one that was revoked before: perhaps the lists could not be written then.
    let lists = authority
        .write_lists(validity(now, args.lists.days))
        .context(
            "the certificate is revoked, but not every list says so; mend this and run `ca crl`",
        )?;
    warn_of_long(&lists);
    if args.lists.json {
        output::object(json!({
            "revoked": { "serial": issued.serial, "kind": issued.kind, "subject": issued.subject, "reason": reason, "at": rfc3339(at) },
            "already": already,
            "crls": lists.iter().map(listed).collect::<Vec<_>>(),
        }))?;
    } else {
        let when = if already {
            format!("revoked already, on {}, which stands", rfc3339(at))
        } else {
            "revoked".to_owned()
        };
        output::text(&format!(
            "{when}: {} {} ({reason}), serial number {}\n{}",
            issued.kind.name(),
            issued.subject,
            issued.serial,
            told(&lists)
        ))?;
    }
    Ok(Exit::Ok)
}

pub(super) fn crl(args: &CrlArgs) -> Outcome {
    let authority: Authority = args.ca.open()?;
    let lists = authority.write_lists(validity(now()?, args.lists.days))?;
    warn_of_long(&lists);
    if args.lists.json {
        let lists: Vec<_> = lists.iter().map(listed).collect();
        output::object(json!({ "crls": lists }))?;
    } else {
        output::text(&told(&lists))?;
    }
    Ok(Exit::Ok)
}

/// Warns of lists that come near to what nodes take.
fn warn_of_long(lists: &[ListFile]) {
    for list in lists.iter().filter(|list| list.listed.entries > LONG_LIST) {
        eprintln!(
            "warning: {}: {} of the {MAX_CRL_ENTRIES} certificates that nodes take on a list; begin a further root \
             (ca init --add-root) before it is full",
            list.path.display(),
            list.listed.entries
        );
    }
}

fn select(which: &str) -> anyhow::Result<Selector> {
    let path = Path::new(which);
    if !path.is_file() {
        return which.parse().map_err(|error| {
            anyhow::anyhow!("{error}, and there is no such file; name one of the three")
        });
    }
    // A certificate has some 10,000 bytes; what is larger is no file of certificates.
    let too_large = fs::metadata(path)?.len() > crate::keys::file::MAX_KEY_FILE;
    let pem = if too_large {
        Vec::new()
    } else {
        fs::read(path)?
    };
    Selector::of_certificate(&pem)
        .ok_or_else(|| anyhow::anyhow!("{which}: no certificate in PEM stands in it"))
}

fn listed(list: &ListFile) -> serde_json::Value {
    json!({
        "file": list.path, "issuer": list.listed.issuer, "number": list.listed.number, "entries": list.listed.entries,
        "this_update": rfc3339(list.listed.this_update), "next_update": rfc3339(list.listed.next_update),
    })
}

fn told(lists: &[ListFile]) -> String {
    lists
        .iter()
        .map(|list| {
            format!(
                "{}: list {} of {}, {} certificates, next update {}\n",
                list.path.display(),
                list.listed.number,
                list.listed.issuer,
                list.listed.entries,
                rfc3339(list.listed.next_update)
            )
        })
        .collect()
}
