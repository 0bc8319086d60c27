//! `account show`: the public part of a wallet, and the account as its home has it.

use std::path::PathBuf;

use city_protocol::amount::Timestamp;
use city_protocol::ids::{AccountId, KeyId, LogId};
use clap::Args;
use serde_json::json;

use super::super::exit::{Exit, Outcome};
use super::super::home::person;
use super::super::launch::runtime;
use super::super::output;
use super::super::passphrase::PassphraseArgs;
use super::{again, certificates, fields, open, order, told};
use crate::api::wire::{AccountPage, NodePage};
use crate::client::wallet::Wallet;
use crate::client::{ApiClient, ClientError};
use crate::engine::utc;

/// Arguments of `account show`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  city-node account show chiyo.wallet --home ubqxbxvmedbb…                  (without a network: which account it opens there)
  city-node account show chiyo.wallet --node https://node.example:8443 --tls-root tls-root.pem
  city-node account show new.wallet --account ubqxbxvmedbbampu-… --node … --tls-root …      (after its keys were changed)

With --node the wallet logs in, and the home says what the account has.")]
pub struct ShowArgs {
    /// The wallet.
    file: PathBuf,
    /// The log of the home, as `city-node status` of the node shows it.
    #[arg(long, value_name = "LOG", conflicts_with = "node")]
    home: Option<LogId>,
    /// The home's address, to ask it for the account.
    #[arg(long, value_name = "URL", requires = "tls_root")]
    node: Option<String>,
    /// The network's TLS root (PEM).
    #[arg(long, value_name = "FILE", requires = "node")]
    tls_root: Option<PathBuf>,
    /// The account, if its keys were changed since it was opened.
    #[arg(long, requires = "node")]
    account: Option<AccountId>,
    /// The wallet's passphrase.
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ShowArgs) -> Outcome {
    let wallet = open(&args.file, &args.passphrase)?;
    if let (Some(node), Some(root)) = (&args.node, &args.tls_root) {
        let api = ApiClient::new(node, &certificates(root)?)?;
        return at_home(args, wallet, &api);
    }
    if args.json {
        output::object(fields(&wallet, args.home))?;
    } else {
        output::text(&told(&wallet, args.home))?;
    }
    Ok(Exit::Ok)
}

fn at_home(args: &ShowArgs, wallet: Wallet, api: &ApiClient) -> Outcome {
    let (mut object, mut text) = (fields(&wallet, None), told(&wallet, None));
    let done = runtime()?.block_on(async {
        let home = api.node().await?;
        let person = person(wallet, &home, args.account);
        api.login(&person).await?;
        let page = api.account(&person.account()).await?;
        Ok::<_, ClientError>((home, page))
    });
    let (home, page) = done.map_err(again)?;
    if args.json {
        object["home"] = json!(home.log);
        object["region"] = json!(home.region);
        object["account"] = json!(page.account);
        object["active_key"] = json!(page.key);
        object["revoked"] = page.revoked.into();
        object["available"] = json!(page.available);
        object["open_out"] = json!(page.open_out);
        object["next_sequence"] = page.next_sequence.into();
        object["order"] = json!(page.order);
        output::object(object)?;
    } else {
        text += &account(&home, &page, utc());
        output::text(&text)?;
    }
    Ok(Exit::Ok)
}

/// The account as people read it, below the wallet's keys.
fn account(home: &NodePage, page: &AccountPage, now: Timestamp) -> String {
    let opened_with = |key: &KeyId| AccountId::new(&home.log, key) == page.account;
    let key = match (page.revoked, opened_with(&page.key)) {
        (true, _) => "is closed: officers can give the account another",
        (false, true) => "the one that it was opened with",
        (false, false) => "changed since it was opened: name the account with --account",
    };
    let order = match &page.order {
        Some(_) => format!("\n{}", order::told(page.order.as_ref(), page.revoked, now)),
        None => "none: every transfer waits to be answered\n".into(),
    };
    format!(
        "account      {}\n\
         home         {} (log {})\n\
         key          {} ({key})\n\
         available    {} 愛貨, {} sent and not settled\n\
         next number  {}\n\
         order        {order}",
        page.account,
        home.region,
        home.log,
        page.key,
        page.available,
        page.open_out,
        page.next_sequence,
    )
}
