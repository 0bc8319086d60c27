//! `tx list`: what an account has sent, what waits for it, and what was answered.

use std::collections::HashSet;

use city_protocol::amount::Timestamp;
use city_protocol::ids::{AccountId, Digest};
use city_protocol::ledger::PeopleState;
use clap::Args;
use serde_json::{Value, json};

use super::super::account::again;
use super::super::exit::{Exit, Outcome};
use super::super::home::{HomeArgs, WalletArgs, person};
use super::super::launch::runtime;
use super::super::output;
use crate::api::wire::{AnswerFrom, IncomingItem, ReceivedItem, StatePage, TransferPage};
use crate::client::{ApiClient, ClientError};
use crate::config::rfc3339;

/// Most transfers that are read of each kind (sent, waiting, answered) for one listing: ten years of three a day. They come in the order of their ids.
const MAX_READ: usize = 10_000;
/// Most pages of them: a home gives fifty at once.
const MAX_PAGES: usize = MAX_READ / 50;

/// Arguments of `tx list`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  city-node tx list --wallet chiyo.wallet --node https://node.example:8443 --tls-root tls-root.pem
  city-node tx list --wallet chiyo.wallet --node … --tls-root … --incoming --json
  city-node tx list --wallet yosa.wallet --node … --tls-root … --incoming --state pending      (what waits for an answer)

Newest first. Incoming are those that wait for an answer, and those that were answered: by the account's owner, by their
standing order, or by the home where nobody could take them.")]
pub struct ListArgs {
    /// Whose wallet.
    #[command(flatten)]
    wallet: WalletArgs,
    /// The person's home.
    #[command(flatten)]
    home: HomeArgs,
    /// Only what was sent to this account: what waits, and what was answered.
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
    transfer: Digest,
    is_incoming: bool,
    state: StatePage,
    finality: String,
    witnesses: u64,
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
            // What waits first: what is answered in between stands in both, and what is said last counts.
            is_all &= incoming(&api, &account, &mut lines).await?;
            let waiting = lines.len();
            is_all &= received(&api, &account, &mut lines).await?;
            forget_answered(&mut lines, waiting);
        }
        Ok::<_, ClientError>((page, lines, is_all))
    });
    let (page, mut lines, is_all) = read.map_err(again)?;
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
            "only {MAX_READ} of a kind were read: ask the home's operator for the account's statement\n"
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
    read(lines, async |after| {
        let page = api.outgoing(account, after.as_ref()).await?;
        Ok((page.transfers.iter().map(Listed::sent).collect(), page.next))
    })
    .await
}

/// Reads what waits; whether that is all of it.
async fn incoming(
    api: &ApiClient,
    account: &AccountId,
    lines: &mut Vec<Listed>,
) -> Result<bool, ClientError> {
    read(lines, async |after| {
        let page = api.incoming(account, after.as_ref()).await?;
        let transfers = page.transfers.iter();
        Ok((transfers.map(Listed::waiting).collect(), page.next))
    })
    .await
}

/// Reads what was answered; whether that is all of it.
async fn received(
    api: &ApiClient,
    account: &AccountId,
    lines: &mut Vec<Listed>,
) -> Result<bool, ClientError> {
    let all = read(lines, async |after| {
        let page = api.received(account, after.as_ref()).await?;
        let transfers = page.transfers.iter();
        Ok((transfers.map(Listed::answered).collect(), page.next))
    });
    match all.await {
        // A home of before does not list them.
        Err(error) if error.status() == Some(404) => Ok(false),
        all => all,
    }
}

/// Reads page after page; whether that is all of it.
async fn read<Next>(
    lines: &mut Vec<Listed>,
    mut page: impl AsyncFnMut(Option<Next>) -> Result<(Vec<Listed>, Option<Next>), ClientError>,
) -> Result<bool, ClientError> {
    let mut after = None;
    for _ in 0..MAX_PAGES {
        let (found, next) = page(after.take()).await?;
        lines.extend(found);
        if next.is_none() {
            return Ok(true);
        }
        after = next;
    }
    Ok(false)
}

/// Takes away what waited when it was read and was answered when that was: the first so many lines are what waited, and
/// what was sent.
fn forget_answered(lines: &mut Vec<Listed>, waiting: usize) {
    let answered: HashSet<Digest> = lines[waiting..].iter().map(|line| line.transfer).collect();
    lines.retain(|line| {
        let waited = line.is_incoming && line.state.code == PeopleState::Pending.code();
        !(waited && answered.contains(&line.transfer))
    });
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
            output::finality(&page.finality, page.witnesses),
            page.transfer,
        );
        Self {
            at: page.received_at,
            transfer: page.transfer,
            is_incoming: false,
            state: page.state.clone(),
            finality: page.finality.clone(),
            witnesses: page.witnesses,
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
            "{}  ← {:>16}  {}  waits for your answer ({}), {}\n           {}\n",
            rfc3339(item.received_at),
            item.amount.to_string(),
            item.sender,
            state.ja,
            output::finality(&item.finality, item.witnesses),
            item.transfer,
        );
        Self {
            at: item.received_at,
            transfer: item.transfer,
            is_incoming: true,
            state,
            finality: item.finality.clone(),
            witnesses: item.witnesses,
            shown: json!({
                "transfer": item.transfer, "transfer_id": item.transfer_id, "amount": item.amount,
                "with": item.sender, "with_home": item.sender_home,
            }),
            text,
        }
    }

    fn answered(item: &ReceivedItem) -> Self {
        let at = item.received_at.unwrap_or(item.answered_at);
        let by = match item.by {
            AnswerFrom::Receiver => String::new(),
            AnswerFrom::Order => ", by your standing order".into(),
            AnswerFrom::Home => match item.reason {
                Some(reason) => format!(", by your home: {}", reason.code()),
                None => ", by your home".into(),
            },
        };
        let text = format!(
            "{}  ← {:>16}  {}  {} ({}){by}, {}\n           {}\n",
            rfc3339(at),
            item.amount.to_string(),
            item.sender,
            item.state.en,
            item.state.ja,
            output::finality(&item.finality, item.witnesses),
            item.transfer,
        );
        Self {
            at,
            transfer: item.transfer,
            is_incoming: true,
            state: item.state.clone(),
            finality: item.finality.clone(),
            witnesses: item.witnesses,
            shown: json!({
                "transfer": item.transfer, "transfer_id": item.transfer_id, "amount": item.amount,
                "with": item.sender, "with_home": item.sender_home, "answer": item.answer, "by": item.by,
                "reason": item.reason, "answered_at": rfc3339(item.answered_at),
            }),
            text,
        }
    }

    fn json(&self) -> Value {
        let mut shown = self.shown.clone();
        shown["direction"] = if self.is_incoming { "in" } else { "out" }.into();
        shown["state"] = json!(self.state);
        shown["received_at"] = rfc3339(self.at).into();
        shown["finality"] = self.finality.clone().into();
        shown["witnesses"] = self.witnesses.into();
        shown
    }
}
