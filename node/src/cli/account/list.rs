//! `account list`: the accounts of a home, asked at its admin socket.

use city_protocol::ids::AccountId;
use clap::Args;
use serde_json::json;

use super::super::exit::{Exit, Outcome};
use super::super::launch::{asked, runtime};
use super::super::output;
use super::super::run::PlaceArgs;
use crate::admin::pages::AccountShown;
use crate::client::AdminClient;
use crate::config::rfc3339;

/// Most accounts in one JSON object: a city; the text has no end.
const MAX_JSON: usize = 1_000_000;

/// Arguments of `account list`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  city-node account list --data-dir data
  city-node account list --revoked --json

Each line: the account, what it may send, what it sent and is not settled, since when it has its key, the key's algorithm.
Exit code 3: the node is not running.")]
pub struct ListArgs {
    /// Which node.
    #[command(flatten)]
    place: PlaceArgs,
    /// Only accounts whose key is closed.
    #[arg(long)]
    revoked: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ListArgs) -> Outcome {
    let socket = args.place.locate().data.admin_socket();
    let runtime = runtime()?;
    let admin = asked(runtime.block_on(AdminClient::connect(&socket)))?;
    let mut after: Option<AccountId> = None;
    let mut shown: Vec<AccountShown> = Vec::new();
    let mut count = 0_u64;
    loop {
        let page = asked(runtime.block_on(admin.accounts(after.as_ref())))?;
        let wanted = page
            .accounts
            .into_iter()
            .filter(|account| account.revoked || !args.revoked);
        for account in wanted {
            count += 1;
            if !args.json {
                output::text(&line(&account))?;
            } else if shown.len() < MAX_JSON {
                shown.push(account);
            }
        }
        match page.next {
            Some(next) if after != Some(next) => after = Some(next),
            _ => break,
        }
    }
    if args.json {
        output::object(json!({
            "count": count, "truncated": count > shown.len() as u64, "accounts": shown,
        }))?;
    } else {
        output::text(&format!("{count} accounts\n"))?;
    }
    Ok(Exit::Ok)
}

fn line(account: &AccountShown) -> String {
    let alg = account.alg.map_or("?", |alg| alg.id());
    let since = account.key_since.map_or_else(|| "?".into(), rfc3339);
    let closed = match account.revoked {
        true => "  CLOSED: officers can give it a new key (account recover)",
        false => "",
    };
    format!(
        "{}  {:>16}  {:>12}  {since}  {alg}{closed}\n",
        account.account,
        account.available.to_string(),
        account.open_out.to_string(),
    )
}
