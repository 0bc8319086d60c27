//! `account order`: which transfers a person's home takes for them without asking each time.

use city_protocol::amount::{Amount, Timestamp};
use city_protocol::client::Takes;
use city_protocol::ids::AccountId;
use clap::{Args, Subcommand};
use serde_json::json;

use super::super::exit::{Exit, Outcome};
use super::super::home::{CertificateArgs, HomeArgs, WalletArgs, person};
use super::super::launch::runtime;
use super::super::output;
use super::again;
use crate::api::wire::{OrderPage, SubmittedPage};
use crate::config::rfc3339;
use crate::engine::utc;

/// A day in milliseconds.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// What can be done about the standing order.
#[derive(Debug, Subcommand)]
pub enum OrderCommand {
    /// Have the home take transfers by itself, in the place of what was said before.
    #[command(after_help = "\
Examples:
  city-node account order set --wallet yosa.wallet --node https://node.example:8443 --tls-root tls-root.pem
  city-node account order set --from ubqxbxvmedbbampu-… --from … --max-amount 50.00 --days 90 --wallet yosa.wallet --node … --tls-root …

It stays in force when the keys are changed; while the account's key is closed nothing is taken by it.")]
    Set(SetArgs),
    /// Show the order in force.
    Show(PlainArgs),
    /// End the order: from here on every transfer waits to be answered.
    Stop(StopArgs),
}

/// Whose order, at which home.
#[derive(Debug, Args)]
pub struct PlainArgs {
    /// The wallet.
    #[command(flatten)]
    wallet: WalletArgs,
    /// The account's home.
    #[command(flatten)]
    home: HomeArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Arguments of `account order set`.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// Take transfers of this account; may stand up to 64 times [default: of everybody].
    #[arg(long, value_name = "ACCOUNT")]
    from: Vec<AccountId>,
    /// Take up to this amount each, such as 50.00 [default: any].
    #[arg(long, value_name = "AMOUNT")]
    max_amount: Option<Amount>,
    /// Take them for so many days [default: always].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=3660))]
    days: Option<u64>,
    #[command(flatten)]
    certificate: CertificateArgs,
    /// Whose order, at which home.
    #[command(flatten)]
    plain: PlainArgs,
}

/// Arguments of `account order stop`.
#[derive(Debug, Args)]
pub struct StopArgs {
    #[command(flatten)]
    certificate: CertificateArgs,
    /// Whose order, at which home.
    #[command(flatten)]
    plain: PlainArgs,
}

pub(super) fn run(command: &OrderCommand) -> Outcome {
    match command {
        OrderCommand::Set(args) => {
            let until = args.days.map(|days| utc().plus_ms(days * DAY_MS));
            let takes = Takes {
                senders: (!args.from.is_empty()).then(|| args.from.iter().copied().collect()),
                max_amount: args.max_amount,
                until,
            };
            submit(&args.plain, &args.certificate, Some(takes))
        }
        OrderCommand::Show(args) => show(args),
        OrderCommand::Stop(args) => submit(&args.plain, &args.certificate, None),
    }
}

fn submit(args: &PlainArgs, certificate: &CertificateArgs, takes: Option<Takes>) -> Outcome {
    let wallet = args.wallet.open()?;
    let api = args.home.api()?;
    certificate.known_to(&api, wallet.signing_public().id())?;
    let accepts = takes.is_some();
    let page = runtime()?.block_on(async {
        let home = api.node().await?;
        let person = person(wallet, &home, args.wallet.account);
        api.login(&person).await?;
        let next = api.account(&person.account()).await?.next_sequence;
        let signed = person.standing_order(takes, next, utc())?;
        api.order(&signed).await
    });
    booked(args, accepts, &page.map_err(again)?)
}

fn booked(args: &PlainArgs, accepts: bool, page: &SubmittedPage) -> Outcome {
    if args.json {
        output::object(json!({
            "accept": accepts, "identity": page.identity, "vertex": page.vertex, "at": page.at,
            "repeated": page.repeated, "finality": page.finality, "witnesses": page.witnesses,
        }))?;
    } else {
        let told = match accepts {
            true => "booked: the home takes what the order says, without asking",
            false => "booked: every transfer waits to be answered",
        };
        let finality = output::finality(&page.finality, page.witnesses);
        output::text(&format!("{told}\nfinality {finality}\n"))?;
    }
    Ok(Exit::Ok)
}

fn show(args: &PlainArgs) -> Outcome {
    let wallet = args.wallet.open()?;
    let api = args.home.api()?;
    let page = runtime()?.block_on(async {
        let home = api.node().await?;
        let person = person(wallet, &home, args.wallet.account);
        api.login(&person).await?;
        api.account(&person.account()).await
    });
    let page = page.map_err(again)?;
    if args.json {
        output::object(json!({
            "account": page.account, "revoked": page.revoked, "order": page.order,
        }))?;
    } else {
        output::text(&told(page.order.as_ref(), page.revoked, utc()))?;
    }
    Ok(Exit::Ok)
}

pub(super) fn told(order: Option<&OrderPage>, revoked: bool, now: Timestamp) -> String {
    let Some(order) = order else {
        return "no standing order: every transfer waits to be answered\n".into();
    };
    let senders = match &order.senders {
        None => "everybody".into(),
        Some(senders) => {
            let names: Vec<_> = senders.iter().map(ToString::to_string).collect();
            names.join("\n         ")
        }
    };
    let amount = order.max_amount;
    let amount = amount.map_or_else(|| "any".into(), |most| format!("up to {most} each"));
    let until = order.until.map_or_else(|| "always".into(), rfc3339);
    let mut text = format!("from     {senders}\namount   {amount}\nuntil    {until}\n");
    if revoked {
        text += "The account's key is closed: nothing is taken until officers give it another.\n";
    } else if order.until.is_some_and(|until| until < now) {
        text += "That moment has passed: nothing is taken any more.\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use city_protocol::body::OwnEntry;

    use super::*;

    #[test]
    fn an_order_is_told_with_what_suspends_it() {
        let now = Timestamp(1_774_828_800_000);
        let at = OwnEntry {
            epoch: 1,
            seq: 2,
            index: 0,
        };
        let order = OrderPage {
            at,
            senders: None,
            max_amount: Some(Amount::from_hundredths(5000)),
            until: Some(now),
        };
        let plain = told(Some(&order), false, now);
        assert_eq!(
            plain,
            "from     everybody\namount   up to 50.00 each\nuntil    2026-03-30T00:00:00Z\n"
        );
        assert!(told(Some(&order), true, now).contains("key is closed"));
        assert!(told(Some(&order), false, now.plus_ms(1)).contains("has passed"));
        assert!(told(None, false, now).starts_with("no standing order"));
    }
}
