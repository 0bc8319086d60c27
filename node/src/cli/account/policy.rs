//! `account policy`: what a home asks, before anything is written for it.

use clap::Args;

use super::super::exit::{Exit, Outcome};
use super::super::home::HomeArgs;
use super::super::launch::runtime;
use super::super::output;
use crate::api::wire::{ClearingPage, NodePage};
use crate::config::rfc3339;

/// Milliseconds of a day, and of a minute.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const MINUTE_MS: u64 = 60 * 1000;

/// Arguments of `account policy`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  city-node account policy --node https://node.example:8443 --tls-root tls-root.pem
  city-node account policy --node https://node.example:8443 --tls-root tls-root.pem --json > home.json

home.json is what `tx draft` and `grant propose` need to work without a network.")]
pub struct PolicyArgs {
    /// The home.
    #[command(flatten)]
    home: HomeArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &PolicyArgs) -> Outcome {
    let api = args.home.api()?;
    let page = runtime()?.block_on(api.node())?;
    if args.json {
        output::object(serde_json::to_value(&page)?)?;
    } else {
        output::text(&told(&page))?;
    }
    Ok(Exit::Ok)
}

fn told(page: &NodePage) -> String {
    let suites: Vec<_> = page.suites.iter().map(|suite| suite.id()).collect();
    let mut text = format!(
        "home        {} (log {})\n\
         network     {} ({})\n\
         place       a transfer needs at least {}, proven within {} minutes\n\
         answers     a receiver has {} days\n\
         keys        {}; the home itself has {}\n",
        page.region,
        page.log,
        page.network_name,
        page.network,
        page.place_required.code(),
        page.place_fresh_ms / MINUTE_MS,
        page.accept_deadline_ms / DAY_MS,
        suites.join(", "),
        page.suite.id(),
    );
    if let Some(clearing) = &page.clearing {
        text += &clearing_told(clearing);
    }
    for (id, last) in &page.not_after {
        text += &format!("            {id} is taken until {}\n", rfc3339(*last));
    }
    text += &format!(
        "officers    {} of {} decide; their next decision is number {}\n",
        page.officers.k, page.officers.n, page.officers.officers_sequence
    );
    text
}

fn clearing_told(clearing: &ClearingPage) -> String {
    let then = if clearing.reject_over_limit {
        "is rejected"
    } else {
        "waits"
    };
    let mut text = format!(
        "clearing    {} 愛貨 of each other municipality beyond what was settled to it; what is more {then}\n",
        clearing.limit
    );
    for (region, limit) in &clearing.limits {
        text += &format!("            {limit} 愛貨 of those in {region}\n");
    }
    text + &format!(
        "unknown     a transfer to an account that is unknown or closed waits {} days, then it is rejected\n",
        clearing.grace_ms / DAY_MS
    )
}
