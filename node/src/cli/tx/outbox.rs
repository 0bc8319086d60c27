//! `tx outbox`: the transfers that a terminal keeps because its home could not be reached.

use std::path::PathBuf;

use anyhow::Context as _;
use city_protocol::ids::Digest;
use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Value, json};

use super::super::exit::{Exit, Outcome};
use super::super::input::keep;
use super::super::launch::{asked, runtime};
use super::super::output;
use super::super::run::PlaceArgs;
use crate::admin::pages::Draft;
use crate::api::wire::SubmittedPage;
use crate::client::{AdminClient, ClientError};
use crate::config::rfc3339;
use crate::engine::utc;

/// What can be done with them.
#[derive(Debug, Subcommand)]
pub enum OutboxCommand {
    /// List what is kept.
    List {
        /// Which terminal.
        #[command(flatten)]
        place: PlaceArgs,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Send what is kept to the home, in the order in which it can be booked.
    #[command(after_help = "\
Examples:
  city-node tx outbox send --all --receipts receipts
  city-node tx outbox send sha256:08d7… --data-dir kiosk

What is booked is kept no longer; what is refused stays, to be looked at and dropped. A terminal sends nothing by itself: who
signed may have paid otherwise meanwhile.
Exit codes: 0 all are booked · 1 one or more are not.")]
    Send(SendArgs),
    /// Forget what is kept, for good.
    Drop {
        /// Identities of the transfers.
        #[arg(required = true)]
        identities: Vec<Digest>,
        /// Which terminal.
        #[command(flatten)]
        place: PlaceArgs,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// Arguments of `tx outbox send`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["identities", "all"]))]
pub struct SendArgs {
    /// Identities of the transfers.
    identities: Vec<Digest>,
    /// Everything that is kept.
    #[arg(long)]
    all: bool,
    /// Write each receipt into this directory, named by its transfer; it is made if need be.
    #[arg(long, value_name = "DIR")]
    receipts: Option<PathBuf>,
    /// Which terminal.
    #[command(flatten)]
    place: PlaceArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &OutboxCommand) -> Outcome {
    match command {
        OutboxCommand::List { place, json } => list(place, *json),
        OutboxCommand::Send(args) => send(args),
        OutboxCommand::Drop {
            identities,
            place,
            json,
        } => forget(identities, place, *json),
    }
}

fn list(place: &PlaceArgs, json: bool) -> Outcome {
    let socket = place.locate().data.admin_socket();
    let asking = async { AdminClient::connect(&socket).await?.outbox().await };
    let page = asked(runtime()?.block_on(asking))?;
    if json {
        output::object(json!({ "home": page.home, "drafts": page.drafts }))?;
        return Ok(Exit::Ok);
    }
    let home = match page.home.reachable {
        true => "answers",
        false => "does not answer",
    };
    let mut text = format!("home {} {home}\n", page.home.home);
    if page.drafts.is_empty() {
        text += "nothing is kept\n";
    }
    text.extend(page.drafts.iter().map(told));
    output::text(&text)?;
    Ok(Exit::Ok)
}

fn told(draft: &Draft) -> String {
    let left = match draft.expires_at < utc() {
        true => "EXPIRED",
        false => "expires",
    };
    format!(
        "{}\n  {} from {} (number {}) to {}, kept {}, {left} {}\n",
        draft.identity,
        draft.amount,
        draft.sender,
        draft.sequence,
        draft.receiver,
        rfc3339(draft.kept_at),
        rfc3339(draft.expires_at),
    )
}

/// One draft and what became of it.
type Sent = (Digest, Result<SubmittedPage, ClientError>);

fn send(args: &SendArgs) -> Outcome {
    // Before anything is sent: what is booked is kept here no longer.
    if let Some(directory) = &args.receipts {
        std::fs::create_dir_all(directory).with_context(|| {
            let directory = directory.display();
            format!("{directory}: receipts cannot be written there; name a directory")
        })?;
    }
    let socket = args.place.locate().data.admin_socket();
    let sending = async {
        let admin = AdminClient::connect(&socket).await?;
        let identities = match args.all {
            true => {
                let drafts = admin.outbox().await?.drafts;
                drafts.iter().map(|draft| draft.identity).collect()
            }
            false => args.identities.clone(),
        };
        let mut done: Vec<Sent> = Vec::new();
        for identity in identities {
            done.push((identity, admin.send_draft(&identity).await));
        }
        Ok(done)
    };
    let done = asked(runtime()?.block_on(sending))?;
    // The receipts before anything is said: what is booked is kept here no longer.
    for (identity, answer) in &done {
        if let (Some(directory), Ok(page)) = (&args.receipts, answer) {
            keep(&directory.join(receipt_name(identity)), &page.receipt)?;
        }
    }
    if args.json {
        let sent: Vec<Value> = done.iter().map(as_json).collect();
        output::object(json!({ "sent": sent }))?;
    } else if done.is_empty() {
        output::text("nothing is kept\n")?;
    } else {
        output::text(&done.iter().map(as_text).collect::<String>())?;
    }
    Ok(match done.iter().all(|(_, answer)| answer.is_ok()) {
        true => Exit::Ok,
        false => Exit::Failed,
    })
}

fn receipt_name(identity: &Digest) -> String {
    let text = identity.to_string();
    format!("{}.receipt", text.trim_start_matches("sha256:"))
}

fn as_json((identity, answer): &Sent) -> Value {
    match answer {
        Ok(page) => json!({
            "identity": identity, "booked": true, "repeated": page.repeated, "vertex": page.vertex,
            "at": page.at, "balance_after": page.booked.balance_after, "finality": page.finality,
        }),
        Err(error) => json!({
            "identity": identity, "booked": false, "code": error.code(), "reason": error.to_string(),
        }),
    }
}

fn as_text((identity, answer): &Sent) -> String {
    match answer {
        Ok(page) => {
            let before = match page.repeated {
                true => "was booked already",
                false => "booked",
            };
            let balance = page.booked.balance_after;
            let balance = balance.map_or_else(String::new, |left| format!(", balance {left}"));
            let finality = output::finality(&page.finality, page.witnesses);
            format!(
                "{identity}: {before} in {}{balance}, {finality}\n",
                page.vertex
            )
        }
        Err(error) => format!("{identity}: NOT booked: {error}\n"),
    }
}

fn forget(identities: &[Digest], place: &PlaceArgs, json: bool) -> Outcome {
    let socket = place.locate().data.admin_socket();
    let dropping = async {
        let admin = AdminClient::connect(&socket).await?;
        for identity in identities {
            admin.drop_draft(identity).await?;
        }
        Ok(())
    };
    asked(runtime()?.block_on(dropping))?;
    if json {
        output::object(json!({ "dropped": identities }))?;
    } else {
        let lines = identities.iter().map(|id| format!("{id}: dropped\n"));
        output::text(&lines.collect::<String>())?;
    }
    Ok(Exit::Ok)
}
