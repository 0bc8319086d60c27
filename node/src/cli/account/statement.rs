//! `account statement`: a person's statement, for whoever operates their home.

use city_protocol::ids::AccountId;
use clap::Args;
use jiff::tz::TimeZone;
use serde_json::json;

use super::super::exit::{Exit, Outcome};
use super::super::journal::period::PeriodArgs;
use super::super::journal::source::Source;
use super::super::journal::{LangArgs, NodeArgs};
use super::super::output;
use crate::config::rfc3339;
use crate::engine::utc;
use crate::journal::lang::amount;
use crate::journal::statement::{Collect, Statement, StatementFormat};

/// Arguments of `account statement`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  city-node account statement mfzs…-k3ja… --from 2026-04-01 --to 2026-06-30 --lang ja
  city-node account statement mfzs…-k3ja… --format html > statement.html
  city-node account statement mfzs…-k3ja… --format csv > statement.csv

The page needs nothing beside it and prints on A4; a browser makes a PDF of it. Days are those of the system's time
zone (TZ). States are those of now, not of the period's end.")]
pub struct StatementArgs {
    /// Whose.
    #[arg(value_name = "ACCOUNT")]
    account: AccountId,
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    period: PeriodArgs,
    /// Form.
    #[arg(long, value_enum, default_value = "text", conflicts_with = "json")]
    format: StatementFormat,
    #[command(flatten)]
    lang: LangArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &StatementArgs) -> Outcome {
    super::super::logging::start("warn");
    let zone = TimeZone::system();
    let (from, until) = args.period.bounds(&zone)?;
    let source = Source::open(&args.node)?;
    let books = source.account(&args.account)?;
    let mut collect = Collect::new(until);
    source.movements(&books, from, |movement| Ok(collect.take(movement)?))?;
    source.close()?;
    let available = i64::try_from(books.available.hundredths())?;
    let (movements, opening, closing) = collect.end(available, from.is_none())?;
    let statement = Statement {
        account: books.account,
        home: books.home,
        from,
        until,
        opening,
        closing,
        promised: books.open_out.hundredths(),
        movements,
        made: utc(),
    };
    if args.json {
        output::object(json!({
            "account": statement.account,
            "home": statement.home,
            "from": from.map(rfc3339),
            "until": until.map(rfc3339),
            "opening": amount(statement.opening.into()),
            "closing": amount(statement.closing.into()),
            "movements": statement.movements,
        }))?;
    } else {
        output::text(&statement.write(args.format, args.lang.lang(), &zone))?;
    }
    Ok(Exit::Ok)
}
