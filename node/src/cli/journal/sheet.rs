//! `journal statement`: 貸借対照表 and 損益計算書 from postings.

use std::fmt::Write as _;

use city_protocol::ids::AccountId;
use city_protocol::journal::{AccountClass, ByCode, Sheet, SheetLine, total};
use clap::Args;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::super::exit::{Exit, Outcome};
use super::super::output;
use super::period::PeriodArgs;
use super::source::{Source, Sums};
use super::{LangArgs, NodeArgs};
use crate::config::rfc3339;
use crate::journal::Ask;
use crate::journal::export::day;
use crate::journal::lang::{Lang, amount};
use crate::journal::pages::JournalLog;

/// Arguments of `journal statement`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  city-node journal statement --data-dir data --from 2026-04-01 --to 2027-03-31
  city-node journal statement --log 17201 --lang ja
  city-node journal statement --account mfzs…-k3ja… --json

The balance sheet is that at the end of the last day, the income statement that of the period; what earlier periods
brought is carried forward. Exit code 4: a balance sheet does not balance.")]
pub struct SheetArgs {
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    period: PeriodArgs,
    /// Only this account's books.
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<AccountId>,
    /// Only this log: its id, its region, or the municipality's code.
    #[arg(long, value_name = "LOG")]
    log: Option<String>,
    #[command(flatten)]
    lang: LangArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &SheetArgs) -> Outcome {
    let zone = TimeZone::system();
    let (from, until) = args.period.bounds(&zone)?;
    let source = Source::open(&args.node)?;
    let bar = output::spinner("adding up");
    let mut sheets = Vec::new();
    for log in source.logs(args.log.as_deref())? {
        if args.account.is_some_and(|account| !account.is_of(&log.log)) {
            continue;
        }
        let ask = Ask {
            account: args.account,
            ..Ask::all(log.log, log.epoch, log.seq)
        };
        let before = match from {
            Some(_) => by_code(
                &source,
                Ask {
                    until: from,
                    ..ask.clone()
                },
            )?,
            None => ByCode::new(),
        };
        let period = by_code(&source, Ask { from, until, ..ask })?;
        sheets.push((log, Sheet::new(&before, &period)));
    }
    bar.finish_and_clear();
    source.close()?;
    let all_balance = sheets.iter().all(|(_, sheet)| sheet.balances());
    if args.json {
        let shown = sheets.iter().map(|(log, sheet)| fields(log, sheet));
        output::object(json!({
            "from": from.map(rfc3339),
            "until": until.map(rfc3339),
            "account": args.account,
            "balances": all_balance,
            "statements": shown.collect::<Vec<_>>(),
        }))?;
    } else {
        let lang = args.lang.lang();
        let from = match from {
            Some(from) => day(from, &zone),
            None => lang.pick("開始時", "the beginning").into(),
        };
        for (log, sheet) in &sheets {
            let to = until.map_or_else(crate::engine::utc, |until| until.minus_ms(1));
            output::text(&text(
                (log, args.account),
                sheet,
                (&from, &day(to, &zone)),
                lang,
            ))?;
        }
    }
    Ok(if all_balance {
        Exit::Ok
    } else {
        Exit::CheckFailed
    })
}

fn by_code(source: &Source, ask: Ask) -> anyhow::Result<ByCode> {
    let mut sums = Sums::new();
    source.sums(ask, &mut sums)?;
    let mut by_code = ByCode::new();
    for ((_, code), sum) in sums {
        *by_code.entry(code).or_default() += sum;
    }
    Ok(by_code)
}

fn fields(log: &JournalLog, sheet: &Sheet) -> Value {
    let lines = |lines: &[SheetLine]| -> Vec<Value> {
        let line = |line: &SheetLine| {
            json!({
                "code": line.account.code,
                "id": line.account.id,
                "ja": line.account.name,
                "en": line.account.english,
                "amount": amount(line.amount),
            })
        };
        lines.iter().map(line).collect()
    };
    json!({
        "log": log.log,
        "region": log.region,
        "municipality": log.name,
        "balances": sheet.balances(),
        "balance_sheet": {
            "assets": lines(&sheet.assets),
            "assets_total": amount(total(&sheet.assets)),
            "liabilities": lines(&sheet.liabilities),
            "liabilities_total": amount(total(&sheet.liabilities)),
            "equity": lines(&sheet.equity),
            "carried_forward": amount(sheet.carried),
            "result": amount(sheet.result()),
            "net_assets_total": amount(sheet.net_assets()),
        },
        "income_statement": {
            "revenue": lines(&sheet.revenue),
            "revenue_total": amount(total(&sheet.revenue)),
            "expenses": lines(&sheet.expenses),
            "expenses_total": amount(total(&sheet.expenses)),
            "result": amount(sheet.result()),
        },
    })
}

fn text(
    (log, account): (&JournalLog, Option<AccountId>),
    sheet: &Sheet,
    (from, to): (&str, &str),
    lang: Lang,
) -> String {
    let mut out = String::new();
    let whose = match (account, &log.name) {
        (Some(account), _) => account.to_string(),
        (None, Some(name)) => format!("{name} ({})", log.region),
        (None, None) => log.region.clone(),
    };
    let mut put = |line: String| writeln!(out, "{line}").expect("a String takes all");
    let sum = |what: &str, sum: i128| format!("       {:>16}  {what}", amount(sum));
    let together = lang.pick("合計", "total");
    let result = sum(
        lang.pick("当期損益", "result of the period"),
        sheet.result(),
    );
    let class = |class: AccountClass, lines: &[SheetLine]| {
        let mut all = vec![lang.class(class).to_owned()];
        all.extend(lines.iter().map(|line| {
            let (code, name) = (line.account.code, lang.account(line.account));
            format!("  {code}  {:>16}  {name}", amount(line.amount))
        }));
        all
    };
    put(match lang {
        Lang::Ja => format!("貸借対照表  {whose}  {to} 現在"),
        Lang::En => format!("Balance sheet  {whose}  at the end of {to}"),
    });
    class(AccountClass::Asset, &sheet.assets)
        .into_iter()
        .for_each(&mut put);
    put(sum(together, total(&sheet.assets)));
    class(AccountClass::Liability, &sheet.liabilities)
        .into_iter()
        .for_each(&mut put);
    put(sum(together, total(&sheet.liabilities)));
    class(AccountClass::Equity, &sheet.equity)
        .into_iter()
        .for_each(&mut put);
    if sheet.carried != 0 {
        put(sum(
            lang.pick("前期までの損益", "carried forward from earlier periods"),
            sheet.carried,
        ));
    }
    put(result.clone());
    put(sum(together, sheet.net_assets()));
    let liabilities_and = total(&sheet.liabilities) + sheet.net_assets();
    put(sum(
        lang.pick("負債・純資産合計", "liabilities and equity"),
        liabilities_and,
    ));
    if !sheet.balances() {
        put(lang
            .pick("貸借が一致しません", "this does NOT balance")
            .into());
    }
    put(String::new());
    put(match lang {
        Lang::Ja => format!("損益計算書  {whose}  {from} から {to} まで"),
        Lang::En => format!("Income statement  {whose}  {from} to {to}"),
    });
    class(AccountClass::Revenue, &sheet.revenue)
        .into_iter()
        .for_each(&mut put);
    put(sum(together, total(&sheet.revenue)));
    class(AccountClass::Expense, &sheet.expenses)
        .into_iter()
        .for_each(&mut put);
    put(sum(together, total(&sheet.expenses)));
    put(result);
    put(String::new());
    out
}
