//! `audit`: the trust log and those of the access log, listed, checked and exported; of a running node by its admin socket,
//! else from its data directory.

use clap::{Args, Subcommand};
use jiff::{Span, Timestamp as Moment, Zoned};
use serde_json::json;

use super::exit::{Exit, Failure, Outcome};
use super::output;
use super::run::PlaceArgs;
use crate::access::audit::{AuditVerdict, Line, LogVerdict, Which};
use crate::access::{AccessLog, Class};
use crate::client::{AdminClient, ClientError};
use crate::config::rfc3339;
use crate::daemon;
use crate::setup::{Identity, load_identity};
use crate::store::Store;
use crate::trust::Decision;
use city_protocol::amount::Timestamp;
use city_protocol::ids::BlockId;

/// What can be done with the logs.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Show lines, the oldest first.
    #[command(after_help = "\
Examples:
  city-node audit list --data-dir data
  city-node audit list --since 24h --class login-refused
  city-node audit list --log trust --json

Logs and their classes:
  trust     whitelist-add, whitelist-remove, whitelist-key, enrol-request, enrol-ignore, recommend,
            recommend-revoke, rotation-follow, rotation-contest, cleanup
  access    start, stop, operator, trust, anchor (how long another log was at a start)
  logins    login, logout: the first of an account at once, more of a minute as one line with their number
  refusals  login-refused, refused: counted per reason and minute")]
    List(ListArgs),
    /// Check every number and link of all logs, their lengths at the last start, and the heads that the ledger names.
    #[command(after_help = "\
Example:
  city-node audit verify --data-dir data

Exit codes: 0 all of it holds · 4 something does not; the answer says what.")]
    Verify {
        /// Which node.
        #[command(flatten)]
        place: PlaceArgs,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Print all lines of all logs as JSON lines, each with its id and the id of the line before it.
    #[command(after_help = "\
Example:
  city-node audit export --data-dir data > audit.jsonl")]
    Export {
        /// Which node.
        #[command(flatten)]
        place: PlaceArgs,
    },
}

/// Arguments of `audit list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Which node.
    #[command(flatten)]
    place: PlaceArgs,
    /// Only one of the logs.
    #[arg(long, value_name = "LOG", value_parser = Which::ALL.map(Which::name))]
    log: Option<String>,
    /// Only lines since a moment (RFC 3339) or a time ago (90m, 24h, 7d).
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only lines of this class.
    #[arg(long)]
    class: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &AuditCommand) -> Outcome {
    super::logging::start("warn");
    match command {
        AuditCommand::List(args) => list(args),
        AuditCommand::Verify { place, json } => verify(place, *json),
        AuditCommand::Export { place } => export(place),
    }
}

/// Where the logs are read.
enum Source {
    /// A node that runs.
    Running(Box<(tokio::runtime::Runtime, AdminClient)>),
    /// A data directory.
    Stopped(Box<(Store, AccessLog, Identity)>),
}

impl Source {
    fn open(place: &PlaceArgs) -> anyhow::Result<Self> {
        let located = place.locate();
        let socket = located.data.admin_socket();
        let runtime = super::launch::runtime()?;
        match runtime.block_on(AdminClient::connect(&socket)) {
            Ok(client) => return Ok(Self::Running(Box::new((runtime, client)))),
            Err(ClientError::NotRunning { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let identity = load_identity(&located.data)?;
        // Decisions may stand there before the first start; where there are none, nothing is made.
        let store = match located.data.trust().exists() {
            true => daemon::open_for_trust(&located.data, &identity)?,
            false => daemon::open_for_reading(&located.data, &identity)?.0,
        };
        let root = BlockId::of(&identity.genesis.to_block());
        let access = AccessLog::open(&located.data.access(), root, 0)?;
        Ok(Self::Stopped(Box::new((store, access, identity))))
    }

    /// All lines of a log.
    fn lines(
        &self,
        which: Which,
        mut take: impl FnMut(Line) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut after = 0;
        loop {
            let page = match self {
                Self::Running(running) => running.0.block_on(running.1.records(which, after))?,
                Self::Stopped(stopped) => {
                    crate::access::audit::lines(&stopped.0, &stopped.1, which, after)?
                }
            };
            after = page.lines.last().map_or(after, |line| line.n);
            for line in page.lines {
                take(line)?;
            }
            if !page.more {
                return Ok(());
            }
        }
    }

    fn verify(&self) -> anyhow::Result<AuditVerdict> {
        Ok(match self {
            Self::Running(running) => running.0.block_on(running.1.verify_records())?,
            Self::Stopped(stopped) => {
                crate::access::audit::verify(&stopped.0, &stopped.1, &stopped.2.authority.log)?
            }
        })
    }

    fn close(self) -> anyhow::Result<()> {
        if let Self::Stopped(stopped) = self {
            let (store, access, _) = *stopped;
            access.close();
            store.close()?;
        }
        Ok(())
    }
}

fn list(args: &ListArgs) -> Outcome {
    let since = args.since.as_deref().map(since).transpose();
    let since = since.map_err(|error| Failure::new(Exit::Usage, error))?;
    if let Some(class) = &args.class {
        let classes = Class::ALL.iter().map(|class| class.name());
        let known: Vec<&str> = classes.chain(Decision::ALL.map(Decision::name)).collect();
        if !known.contains(&class.as_str()) {
            let known = known.join(", ");
            let error = anyhow::anyhow!("--class {class}: there is none such; there are {known}");
            return Err(Failure::new(Exit::Usage, error));
        }
    }
    let source = Source::open(&args.place)?;
    let mut shown = Vec::new();
    for which in Which::ALL {
        if args.log.as_deref().is_some_and(|log| log != which.name()) {
            continue;
        }
        source.lines(which, |line| {
            let class = args.class.as_ref().is_none_or(|class| *class == line.class);
            if class && since.is_none_or(|since| line.at >= since) {
                shown.push(line);
            }
            Ok(())
        })?;
    }
    source.close()?;
    // All logs in one order of time; within one its own order stays.
    shown.sort_by_key(|line| line.at);
    if args.json {
        output::object(json!({ "lines": shown }))?;
    } else {
        let text: String = shown.iter().map(told).collect();
        output::text(&text)?;
    }
    Ok(Exit::Ok)
}

fn told(line: &Line) -> String {
    let at = rfc3339(Timestamp(line.at.0 / 1000 * 1000));
    let count = match line.count {
        1 => String::new(),
        count => format!(" × {count}"),
    };
    let who = if line.who.is_empty() { "-" } else { &line.who };
    let (log, class, what) = (line.log.name(), &line.class, &line.what);
    format!("{at}  {log:<8} {class:<16} {who}  {what}{count}\n")
}

fn verify(place: &PlaceArgs, json: bool) -> Outcome {
    let source = Source::open(place)?;
    let verdict = source.verify()?;
    source.close()?;
    if json {
        let AuditVerdict {
            ok,
            trust,
            access,
            logins,
            refusals,
            heads_in_ledger,
            ..
        } = &verdict;
        output::object(json!({
            "ok": ok, "trust": trust, "access": access, "logins": logins, "refusals": refusals,
            "heads_in_ledger": heads_in_ledger,
        }))?;
    } else {
        let log = |name: &str, log: &LogVerdict| {
            let from = match log.first {
                0 | 1 => String::new(),
                first => format!(", from line {first} on (older ones were rotated away)"),
            };
            let problems: String = log.problems.iter().map(|p| format!("  {p}\n")).collect();
            format!("{name}  {} lines{from}\n{problems}", log.lines)
        };
        let verdict_text = if verdict.ok {
            "every number, link and head holds"
        } else {
            "NOT all of it holds"
        };
        output::text(&format!(
            "{}{}{}{}{} heads of the trust log stand in the ledger\n{verdict_text}\n",
            log("trust log ", &verdict.trust),
            log("access log", &verdict.access),
            log("logins    ", &verdict.logins),
            log("refusals  ", &verdict.refusals),
            verdict.heads_in_ledger,
        ))?;
    }
    Ok(if verdict.ok {
        Exit::Ok
    } else {
        Exit::CheckFailed
    })
}

fn export(place: &PlaceArgs) -> Outcome {
    let source = Source::open(place)?;
    for which in Which::ALL {
        source.lines(which, |line| {
            let line = serde_json::to_string(&line)?;
            Ok(output::text(&format!("{line}\n"))?)
        })?;
    }
    source.close()?;
    Ok(Exit::Ok)
}

/// A moment, or so long before now.
fn since(text: &str) -> anyhow::Result<Timestamp> {
    let moment = match text.parse::<Moment>() {
        Ok(moment) => moment,
        Err(_) => {
            let bad = || {
                anyhow::anyhow!(
                    "--since {text}: write a moment such as 2026-04-01T00:00:00Z, or a time ago such as 24h or 7d"
                )
            };
            let span: Span = text.parse().map_err(|_| bad())?;
            Zoned::now()
                .checked_sub(span)
                .map_err(|_| bad())?
                .timestamp()
        }
    };
    Ok(Timestamp(
        u64::try_from(moment.as_millisecond()).unwrap_or(0),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_or_a_time_ago() {
        let now = crate::engine::utc().0;
        assert_eq!(
            since("2026-04-01T00:00:00Z").unwrap(),
            Timestamp(1_775_001_600_000)
        );
        for (text, hours) in [("24h", 24), ("7d", 168), ("90m", 1)] {
            let ago = now - since(text).unwrap().0;
            // A day of a zone may have 23 hours, or 25.
            assert!(
                ago.abs_diff(hours * 3_600_000) <= 3_700_000,
                "{text}: {ago}"
            );
        }
        assert!(since("yesterday").is_err());
    }
}
