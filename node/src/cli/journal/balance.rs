//! `journal balance`: what each account of the chart comes to at the end of a day, for each municipality and, if it is
//! asked for, each person.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use city_protocol::ids::AccountId;
use city_protocol::journal::chart_account;
use clap::{Args, ValueEnum};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::super::exit::{Exit, Outcome};
use super::super::output;
use super::period::end;
use super::source::{Source, Sums};
use super::{LangArgs, NodeArgs};
use crate::journal::Ask;
use crate::journal::lang::{Lang, amount};
use crate::journal::pages::JournalLog;

/// Arguments of `journal balance`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  city-node journal balance --data-dir data
  city-node journal balance --at 2026-03-31 --log 17201 --lang ja
  city-node journal balance --by account --code 101 --json

Left column debit balances, right column credit balances; JSON has debits less credits.")]
pub struct BalanceArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// At the end of this day [default: now].
    #[arg(long, value_name = "DATE")]
    at: Option<Date>,
    /// Only this account's books.
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<AccountId>,
    /// Only this account of the chart, such as 101.
    #[arg(long, value_name = "N")]
    code: Option<u16>,
    /// Only this log: its id, its region, or the municipality's code.
    #[arg(long, value_name = "LOG")]
    log: Option<String>,
    /// What is added up.
    #[arg(long, value_enum, default_value = "code")]
    by: By,
    #[command(flatten)]
    lang: LangArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// What is added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    /// One line an account of the chart.
    Code,
    /// One line a person and account of the chart.
    Account,
}

/// Balances of one municipality; no account where all of them are added up.
type Balances = BTreeMap<(Option<AccountId>, u16), i128>;

pub(super) fn run(args: &BalanceArgs) -> Outcome {
    let zone = TimeZone::system();
    let until = args.at.map(|at| end(at, &zone)).transpose()?;
    let source = Source::open(&args.node)?;
    let mut found = Vec::new();
    let bar = output::spinner("adding up");
    for log in source.logs(args.log.as_deref())? {
        if args.account.is_some_and(|account| !account.is_of(&log.log)) {
            continue;
        }
        let ask = Ask {
            until,
            account: args.account,
            code: args.code,
            ..Ask::all(log.log, log.epoch, log.seq)
        };
        let mut sums = Sums::new();
        source.sums(ask, &mut sums)?;
        found.push((log, balances(&sums, args.by)));
    }
    bar.finish_and_clear();
    source.close()?;
    if args.json {
        let rows: Vec<Value> = found
            .iter()
            .flat_map(|(log, balances)| balances.iter().map(|row| fields(log, row)))
            .collect();
        output::object(json!({ "until": until.map(crate::config::rfc3339), "balances": rows }))?;
    } else {
        output::text(&text(&found, args.lang.lang()))?;
    }
    Ok(Exit::Ok)
}

fn balances(sums: &Sums, by: By) -> Balances {
    let mut balances = Balances::new();
    for ((account, code), sum) in sums {
        let account = (by == By::Account).then_some(*account);
        *balances.entry((account, *code)).or_default() += sum;
    }
    balances
}

fn fields(log: &JournalLog, ((account, code), sum): (&(Option<AccountId>, u16), &i128)) -> Value {
    let known = chart_account(*code);
    let mut row = json!({
        "log": log.log,
        "region": log.region,
        "municipality": log.name,
        "code": code,
        "id": known.map(|account| account.id),
        "ja": known.map(|account| account.name),
        "en": known.map(|account| account.english),
        "class": known.map(|account| account.class().id()),
        "balance": amount(*sum),
    });
    if let (Some(account), Value::Object(row)) = (account, &mut row) {
        row.insert("account".into(), json!(account));
    }
    row
}

fn text(found: &[(JournalLog, Balances)], lang: Lang) -> String {
    let mut out = String::new();
    for (log, balances) in found {
        let name = log.name.as_deref().unwrap_or_default();
        let _ = writeln!(out, "{} {name}", log.region);
        for ((account, code), sum) in balances {
            let (debit, credit) = match *sum {
                sum if sum >= 0 => (amount(sum), String::new()),
                sum => (String::new(), amount(-sum)),
            };
            let name = chart_account(*code).map_or("?", |account| lang.account(account));
            let account = account.map_or_else(String::new, |account| format!("  {account}"));
            let _ = writeln!(out, "  {code}  {debit:>16}  {credit:>16}  {name}{account}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use city_protocol::amount::Timestamp;
    use city_protocol::ids::{KeyId, LogId};

    #[test]
    fn people_are_added_up_unless_they_are_asked_for() {
        let log = LogId([7; 32]);
        let person = |n| AccountId::new(&log, &KeyId([n; 32]));
        let sums = Sums::from([
            ((person(1), 101), 500),
            ((person(2), 101), 250),
            ((person(1), 305), -500),
        ]);
        let by_code = balances(&sums, By::Code);
        assert_eq!(
            by_code,
            Balances::from([((None, 101), 750), ((None, 305), -500)])
        );
        assert_eq!(balances(&sums, By::Account).len(), 3);
        let home = JournalLog {
            log,
            region: "Asia/JP/17/17201".into(),
            name: Some("金沢市".into()),
            epoch: 1,
            seq: 2,
            time: Timestamp(0),
            headers_to: None,
        };
        let told = text(&[(home.clone(), by_code)], Lang::Ja);
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines[0], "Asia/JP/17/17201 金沢市");
        assert_eq!(lines[1], "  101              7.50                    愛貨");
        assert_eq!(
            lines[2],
            "  305                                5.00  愛貨贈与差額"
        );
        let row = fields(&home, (&(Some(person(1)), 305), &-500));
        assert_eq!(row["balance"], "-5.00");
        assert_eq!(row["class"], "equity");
    }
}
