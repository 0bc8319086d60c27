//! What a receiver says to a transfer that waits: `tx accept` and `tx reject`. Every answer goes the same way: the transfer is found
//! among those that wait, signed as the account's next entry, submitted; `Answer` says what differs.

use std::path::PathBuf;

use anyhow::anyhow;
use city_protocol::Refusal;
use city_protocol::ids::Digest;
use clap::Args;
use serde_json::json;

use super::super::account::again;
use super::super::exit::{Exit, Outcome};
use super::super::home::{CertificateArgs, HomeArgs, WalletArgs, person};
use super::super::input::keep;
use super::super::launch::runtime;
use super::super::output;
use super::{is_unconfirmed, note};
use crate::api::wire::{Der, IncomingItem, SubmittedPage, TransferPage};
use crate::client::person::Person;
use crate::client::{ApiClient, ClientError};
use crate::engine::utc;

/// Arguments of an answer.
#[derive(Debug, Args)]
pub struct AnswerArgs {
    /// Identity of the transfer: sha256: and 64 hexadecimal digits (city-node tx list).
    identity: Digest,
    /// The receiver's wallet.
    #[command(flatten)]
    wallet: WalletArgs,
    /// The receiver's home.
    #[command(flatten)]
    home: HomeArgs,
    #[command(flatten)]
    certificate: CertificateArgs,
    /// Write the receipt (DAG-CBOR) to this new file.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// What is said to a transfer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    /// It is taken.
    Accept,
    /// It is not.
    Reject,
}

impl Answer {
    /// What it makes of a transfer, for people.
    const fn told(self) -> &'static str {
        match self {
            Self::Accept => "accepted",
            Self::Reject => "rejected",
        }
    }

    /// Whether a transfer in this state was answered so.
    fn is_of(self, state: &str) -> bool {
        match self {
            Self::Accept => ["received", "complete"].contains(&state),
            Self::Reject => state == "rejected",
        }
    }

    async fn submit(
        self,
        api: &ApiClient,
        person: &Person,
        item: &IncomingItem,
        next: u64,
    ) -> Result<SubmittedPage, ClientError> {
        match self {
            Self::Accept => api.accept(&person.accept(item, next, utc())?).await,
            Self::Reject => api.reject(&person.reject(item, next, utc())?).await,
        }
    }
}

/// What asking came to.
enum Done {
    Booked(Box<SubmittedPage>),
    /// It waits no more: this is what became of it.
    Answered(Box<TransferPage>),
}

pub(super) fn run(args: &AnswerArgs, answer: Answer) -> Outcome {
    let wallet = args.wallet.open()?;
    let api = args.home.api()?;
    args.certificate
        .known_to(&api, wallet.signing_public().id())?;
    let done = runtime()?.block_on(async {
        let home = api.node().await?;
        let person = person(wallet, &home, args.wallet.account);
        api.login(&person).await?;
        let Some(item) = waiting(&api, &person, &args.identity).await? else {
            let page = api
                .transfer_state(&person.account(), &args.identity)
                .await?;
            // Somebody else's business, or not arrived: the home does not say which.
            return match page.receiver == person.account() {
                true => Ok(Done::Answered(Box::new(page))),
                false => Err(Refusal::UnknownTransfer.into()),
            };
        };
        let next = api.account(&person.account()).await?.next_sequence;
        let page = answer.submit(&api, &person, &item, next).await?;
        Ok::<_, ClientError>(Done::Booked(Box::new(page)))
    });
    match done.map_err(again)? {
        Done::Booked(page) => booked(args, answer, &page),
        Done::Answered(page) => answered(args, answer, *page),
    }
}

/// The transfer among those that wait for this person, who is logged in: they stand in order of their identities.
async fn waiting(
    api: &ApiClient,
    person: &Person,
    identity: &Digest,
) -> Result<Option<IncomingItem>, ClientError> {
    let before = one_less(*identity);
    let page = api.incoming(&person.account(), before.as_ref()).await?;
    let mut transfers = page.transfers.into_iter();
    Ok(transfers.find(|item| item.transfer == *identity))
}

/// The digest directly before, as numbers of 256 bits; none before the first.
fn one_less(Digest(mut bytes): Digest) -> Option<Digest> {
    for byte in bytes.iter_mut().rev() {
        let (less, borrows) = byte.overflowing_sub(1);
        *byte = less;
        if !borrows {
            return Some(Digest(bytes));
        }
    }
    None
}

fn booked(args: &AnswerArgs, answer: Answer, page: &SubmittedPage) -> Outcome {
    if let Some(path) = &args.receipt {
        keep(path, &page.receipt)?;
    }
    if args.json {
        output::object(json!({
            "transfer": args.identity, "answer": answer.told(), "identity": page.identity,
            "vertex": page.vertex, "at": page.at, "repeated": page.repeated,
            "finality": page.finality, "balance_after": page.booked.balance_after,
            "unconfirmed": is_unconfirmed(&page.booked), "receipt": args.receipt,
        }))?;
        return Ok(Exit::Ok);
    }
    let mut text = format!(
        "{}\ntransfer   {}\nvertex     {}, entry {}\nfinality   {}\n",
        answer.told(),
        args.identity,
        page.vertex,
        page.at.index,
        page.finality,
    );
    if let Some(balance) = page.booked.balance_after {
        text += &format!("balance    {balance} after it\n");
    }
    text += note(&page.booked);
    if let Some(path) = &args.receipt {
        text += &format!("receipt    {}\n", path.display());
    }
    output::text(&text)?;
    Ok(Exit::Ok)
}

/// The same again is nothing new; the opposite is not done.
fn answered(args: &AnswerArgs, answer: Answer, page: TransferPage) -> Outcome {
    if !answer.is_of(&page.state.code) {
        return Err(anyhow!(
            "nothing was {}: the transfer was answered before, or its time is over: {} ({}), {}",
            answer.told(),
            page.state.en,
            page.state.ja,
            page.finality
        )
        .into());
    }
    if let (Some(path), Some(Der(receipt))) = (&args.receipt, &page.answer_receipt) {
        keep(path, receipt)?;
    }
    if args.json {
        output::object(json!({
            "transfer": args.identity, "state": page.state, "finality": page.finality,
            "repeated": true, "receipt": args.receipt,
        }))?;
    } else {
        output::text(&format!(
            "was answered already, nothing was done twice: {} ({}), {}\n",
            page.state.en, page.state.ja, page.finality
        ))?;
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_before_is_one_less() {
        let check = |bytes: [u8; 32], expected: Option<[u8; 32]>| {
            assert_eq!(one_less(Digest(bytes)), expected.map(Digest));
        };
        let (mut one, mut round) = ([0; 32], [0; 32]);
        one[31] = 1;
        round[30] = 1;
        let mut below = [0; 32];
        below[31] = 0xff;
        check([0; 32], None);
        check(one, Some([0; 32]));
        check(round, Some(below));
    }
}
