//! `tx list`: what an account has sent, and what waits for it.

use city_protocol::amount::Timestamp;
use city_protocol::ids::AccountId;
use city_protocol::ledger::PeopleState;
use clap::Args;
use serde_json::{Value, json};

use super::super::exit::{Exit, Outcome};
use super::super::home::{HomeArgs, WalletArgs, person};
use super::super::launch::runtime;
use super::super::output;
use crate::api::wire::{IncomingItem, StatePage, TransferPage};
use crate::client::{ApiClient, ClientError};
use crate::config::rfc3339;

/// Most transfers that are read each way for one listing: ten years of three a day. They come in the order of their ids.
const MAX_READ: usize = 10_000;
/// Most pages of them: a home gives fifty at once.
const MAX_PAGES: usize = MAX_READ / 50;

/// Arguments of `tx list`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  city-node tx list --wallet chiyo.wallet --node https://node.example:8443 --tls-root tls-root.pem
  city-node tx list --wallet chiyo.wallet --node … --tls-root … --incoming --json
  city-node tx list --wallet chiyo.wallet --node … --tls-root … --state pending

Newest first. Incoming are those that wait for an answer: what was accepted stands in the account's statement.")]
pub struct ListArgs {
    /// Whose wallet.
    #[command(flatten)]
    wallet: WalletArgs,
    /// The person's home.
    #[command(flatten)]
    home: HomeArgs,
    /// Only what waits for this account.
    #[arg(long, conflicts_with = "outgoing")]
    incoming: bool,
    /// Only what this account has sent.
    #[arg(long)]
    outgoing: bool,
    /// Only those in this state: pending, received, complete, rejected or expired.
    #[arg(long, value_parser = state)]
    state: Option<PeopleState>,
    /// At most so many.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

fn state(text: &str) -> Result<PeopleState, String> {
    text.parse().map_err(|_: city_protocol::Refusal| {
        let codes = PeopleState::ALL.map(PeopleState::code);
        format!("one of {}", codes.join(", "))
    })
}

/// One line.
struct Listed {
    at: Timestamp,
    is_incoming: bool,
    /// State and finality; of what waits the code of the state alone.
    state: StatePage,
    finality: Option<String>,
    shown: Value,
    text: String,
}

pub(super) fn run(args: &ListArgs) -> Outcome {
    let wallet = args.wallet.open()?;
    let api = args.home.api()?;
    let read = runtime()?.block_on(async {
        let home = api.node().await?;
        let person = person(wallet, &home, args.wallet.account);
        api.login(&person).await?;
        let account = person.account();
        let page = api.account(&account).await?;
        let mut lines = Vec::new();
        let mut is_all = true;
        if !args.incoming {
            is_all &= outgoing(&api, &account, &mut lines).await?;
        }
        if !args.outgoing {
            is_all &= incoming(&api, &account, &mut lines).await?;
        }
        Ok::<_, ClientError>((page, lines, is_all))
    });
    let (page, mut lines, is_all) = read?;
    if let Some(state) = args.state {
        lines.retain(|line| line.state.code == state.code());
    }
    lines.sort_by_key(|line| std::cmp::Reverse(line.at));
    let all = lines.len();
    lines.truncate(args.limit.unwrap_or(usize::MAX));
    if args.json {
        let shown: Vec<Value> = lines.iter().map(Listed::json).collect();
        output::object(json!({
            "account": page.account, "available": page.available, "open_out": page.open_out,
            "next_sequence": page.next_sequence, "transfers": shown, "found": all, "truncated": !is_all,
        }))?;
        return Ok(Exit::Ok);
    }
    let mut text = format!(
        "account    {}\navailable  {} 愛貨, {} sent and not settled; the next entry is number {}\n",
        page.account, page.available, page.open_out, page.next_sequence
    );
    for line in &lines {
        text += &line.text;
    }
    if lines.len() < all {
        text += &format!(
            "and {} more: a higher --limit shows them\n",
            all - lines.len()
        );
    }
    if all == 0 {
        text += "no transfers\n";
    }
    if !is_all {
        text += &format!(
            "only {MAX_READ} each way were read: ask the home's operator for the account's statement\n"
        );
    }
    output::text(&text)?;
    Ok(Exit::Ok)
}

/// Reads what was sent; whether that is all of it.
async fn outgoing(
    api: &ApiClient,
    account: &AccountId,
    lines: &mut Vec<Listed>,
) -> Result<bool, ClientError> {
    let mut after = None;
    for _ in 0..MAX_PAGES {
        let page = api.outgoing(account, after.as_ref()).await?;
        lines.extend(page.transfers.iter().map(Listed::sent));
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(true),
        }
    }
    Ok(false)
}

/// Reads what waits; whether that is all of it.
async fn incoming(
    api: &ApiClient,
    account: &AccountId,
    lines: &mut Vec<Listed>,
) -> Result<bool, ClientError> {
    let mut after = None;
    for _ in 0..MAX_PAGES {
        let page = api.incoming(account, after.as_ref()).await?;
        lines.extend(page.transfers.iter().map(Listed::waiting));
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(true),
        }
    }
    Ok(false)
}

impl Listed {
    fn sent(page: &TransferPage) -> Self {
        let text = format!(
            "{}  → {:>16}  {}  {} ({}), {}\n           {}\n",
            rfc3339(page.received_at),
            page.amount.to_string(),
            page.receiver,
            page.state.en,
            page.state.ja,
            page.finality,
            page.transfer,
        );
        Self {
            at: page.received_at,
            is_incoming: false,
            state: page.state.clone(),
            finality: Some(page.finality.clone()),
            shown: json!({
                "transfer": page.transfer, "transfer_id": page.transfer_id, "amount": page.amount,
                "with": page.receiver, "with_home": page.receiver_home,
            }),
            text,
        }
    }

    fn waiting(item: &IncomingItem) -> Self {
        let state = StatePage::from(PeopleState::Pending);
        let text = format!(
            "{}  ← {:>16}  {}  waits for your answer ({})\n           {}\n",
            rfc3339(item.received_at),
            item.amount.to_string(),
            item.sender,
            state.ja,
            item.transfer,
        );
        Self {
            at: item.received_at,
            is_incoming: true,
            state,
            finality: None,
            shown: json!({
                "transfer": item.transfer, "transfer_id": item.transfer_id, "amount": item.amount,
                "with": item.sender, "with_home": item.sender_home,
            }),
            text,
        }
    }

    fn json(&self) -> Value {
        let mut shown = self.shown.clone();
        shown["direction"] = if self.is_incoming { "in" } else { "out" }.into();
        shown["state"] = json!(self.state);
        shown["received_at"] = rfc3339(self.at).into();
        if let Some(finality) = &self.finality {
            shown["finality"] = finality.clone().into();
        }
        shown
    }
}
