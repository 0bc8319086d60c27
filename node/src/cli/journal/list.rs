//! `journal list` and `journal export`: postings, printed while they are read.

use std::io::Write;

use city_protocol::amount::Timestamp;
use city_protocol::ids::AccountId;
use city_protocol::journal::chart_account;
use clap::Args;
use jiff::tz::TimeZone;

use super::super::exit::{Exit, Outcome};
use super::period::PeriodArgs;
use super::source::Source;
use super::{LangArgs, NodeArgs, out, until_nobody_reads};
use crate::journal::Ask;
use crate::journal::export::{Export, Format, day};
use crate::journal::lang::Lang;
use crate::journal::pages::{JournalLog, Line};

/// Arguments of `journal list`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  city-node journal list --data-dir data --from 2026-04-01 --to 2026-04-30
  city-node journal list --log 17201 --account mfzs…-k3ja… --lang ja
  city-node journal list --code 203 --json | jq '.lines[].credit'

Days are those of the system's time zone (TZ). A line is never held back: a million of them need no memory.")]
pub struct ListArgs {
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    which: WhichArgs,
    /// Only postings to this account of the chart, such as 101.
    #[arg(long, value_name = "N")]
    code: Option<u16>,
    #[command(flatten)]
    lang: LangArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Arguments of `journal export`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  city-node journal export --format hledger > books.journal && hledger -f books.journal check --strict
  city-node journal export --format csv --log 17201 --from 2026-04-01 --to 2027-03-31 > books.csv

hledger's accounts are class:code id name:region:account; its dates, and those of the CSV, are days of the system's
time zone (TZ). docs/journal.md describes all three forms.")]
pub struct ExportArgs {
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    which: WhichArgs,
    /// Form.
    #[arg(long, value_enum)]
    format: Format,
}

/// Which postings.
#[derive(Debug, Args)]
struct WhichArgs {
    /// Only this account's books.
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<AccountId>,
    /// Only this log: its id, its region, or the municipality's code.
    #[arg(long, value_name = "LOG")]
    log: Option<String>,
    #[command(flatten)]
    period: PeriodArgs,
}

impl WhichArgs {
    /// The questions, one a log.
    fn asks(
        &self,
        source: &Source,
        (from, until): (Option<Timestamp>, Option<Timestamp>),
    ) -> Result<Vec<(JournalLog, Ask)>, super::Failure> {
        let logs = source.logs(self.log.as_deref())?.into_iter();
        // An account's books stand in its home's log alone.
        let logs = logs.filter(|log| self.account.is_none_or(|account| account.is_of(&log.log)));
        let ask = |log: JournalLog| {
            let ask = Ask {
                from,
                until,
                account: self.account,
                ..Ask::all(log.log, log.epoch, log.seq)
            };
            (log, ask)
        };
        Ok(logs.map(ask).collect())
    }
}

pub(super) fn list(args: &ListArgs) -> Outcome {
    let zone = TimeZone::system();
    let bounds = args.which.period.bounds(&zone)?;
    let source = Source::open(&args.node)?;
    let asks = args.which.asks(&source, bounds)?;
    let asks = asks.into_iter().map(|(log, ask)| {
        let code = args.code;
        (log, Ask { code, ..ask })
    });
    let printed = match args.json {
        true => exported(&source, asks, Format::Json, zone),
        false => told(&source, asks, args.lang.lang(), &zone),
    };
    source.close()?;
    until_nobody_reads(printed)
}

pub(super) fn export(args: &ExportArgs) -> Outcome {
    let zone = TimeZone::system();
    let bounds = args.which.period.bounds(&zone)?;
    let source = Source::open(&args.node)?;
    let asks = args.which.asks(&source, bounds)?;
    let printed = exported(&source, asks.into_iter(), args.format, zone);
    source.close()?;
    until_nobody_reads(printed)
}

fn exported(
    source: &Source,
    asks: impl Iterator<Item = (JournalLog, Ask)>,
    format: Format,
    zone: TimeZone,
) -> Outcome {
    let mut export = Export::begin(out(), format, zone)?;
    for (log, ask) in asks {
        export.log();
        source.lines(ask, |line| Ok(export.line(&log, &line)?))?;
    }
    export.end()?;
    Ok(Exit::Ok)
}

fn told(
    source: &Source,
    asks: impl Iterator<Item = (JournalLog, Ask)>,
    lang: Lang,
    zone: &TimeZone,
) -> Outcome {
    let mut out = out();
    for (log, ask) in asks {
        let mut entry = None;
        source.lines(ask, |line| {
            let at = (line.epoch, line.seq, line.index);
            if entry.replace(at) != Some(at) {
                let (day, region, kind) = (day(line.time, zone), &log.region, &line.kind);
                let (epoch, seq, index) = at;
                let account = line.account;
                writeln!(
                    out,
                    "{day}  {region}  {epoch}.{seq}.{index}  {kind}  {account}"
                )?;
            }
            Ok(posting(&mut out, &line, lang)?)
        })?;
    }
    out.flush()?;
    Ok(Exit::Ok)
}

fn posting(out: &mut impl Write, line: &Line, lang: Lang) -> std::io::Result<()> {
    let name = chart_account(line.code).map_or("?", |account| lang.account(account));
    let text = |amount: Option<city_protocol::amount::Amount>| {
        amount.map_or_else(String::new, |amount| amount.to_string())
    };
    let (debit, credit) = (text(line.debit), text(line.credit));
    writeln!(out, "    {}  {debit:>16}  {credit:>16}  {name}", line.code)
}
