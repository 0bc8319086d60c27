//! `journal chart`: the chart of accounts, which needs no node.

use std::fmt::Write as _;

use city_protocol::journal::{CHART, CHART_VERSION};
use clap::Args;
use serde_json::{Value, json};

use super::super::exit::{Exit, Outcome};
use super::super::output;

/// Arguments of `journal chart`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  city-node journal chart
  city-node journal chart --json

Codes never change their meaning: they stand in the ledger. The version counts additions.")]
pub struct ChartArgs {
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ChartArgs) -> Outcome {
    if args.json {
        let accounts = CHART.iter().map(|account| {
            json!({
                "code": account.code,
                "class": account.class().id(),
                "id": account.id,
                "ja": account.name,
                "en": account.english,
            })
        });
        let accounts: Vec<Value> = accounts.collect();
        output::object(json!({ "version": CHART_VERSION, "accounts": accounts }))?;
        return Ok(Exit::Ok);
    }
    let mut out = format!("chart of accounts, version {CHART_VERSION}\n");
    let mut class = None;
    for account in &CHART {
        if class.replace(account.class()) != Some(account.class()) {
            let class = account.class();
            let _ = writeln!(out, "{} {}", class.id(), class.name());
        }
        let (code, id, name, english) = (account.code, account.id, account.name, account.english);
        let _ = writeln!(out, "  {code}  {id:<24}  {name}  {english}");
    }
    output::text(&out)?;
    Ok(Exit::Ok)
}
