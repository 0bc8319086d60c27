//! `journal verify`: the journal from the ledger's blocks alone beside the one that is shown.

use clap::Args;
use serde_json::json;

use super::super::exit::{Exit, Failure, Outcome};
use super::super::output;
use super::NodeArgs;
use super::source::Source;
use crate::journal::audit;
use crate::journal::lang::amount;

/// Arguments of `journal verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  city-node journal verify --data-dir data

Both journals are held in memory: about 1 kB a transfer. Exit code 4: something differs; make the index again
(city-node store rebuild), and if it still differs, verify the ledger (city-node store verify).")]
pub struct VerifyArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// What is told of an audit, amounts as text.
struct Found {
    conserved: bool,
    journal_matches: bool,
    postings: u64,
    granted: String,
    taken_back: Option<String>,
    shortfall: Option<String>,
    available: String,
    in_transit: String,
}

pub(super) fn run(args: &VerifyArgs) -> Outcome {
    let source = Source::open(&args.node)?;
    let bar = output::spinner("building the journal again");
    let found = read(&source)?;
    bar.finish_and_clear();
    source.close()?;
    let ok = found.conserved && found.journal_matches;
    if args.json {
        output::object(json!({
            "ok": ok,
            "journal_matches": found.journal_matches,
            "conserved": found.conserved,
            "postings": found.postings,
            "granted": found.granted,
            "taken_back": found.taken_back,
            "shortfall": found.shortfall,
            "available": found.available,
            "in_transit": found.in_transit,
        }))?;
    } else {
        let matches = match found.journal_matches {
            true => {
                "the journal is what the ledger gives, and every balance what its postings give"
            }
            false => "the journal is NOT what the ledger gives",
        };
        let conserved = match found.conserved {
            true => "nothing was made or lost",
            false => "sums do NOT hold: something was made or lost",
        };
        let also = |what: &str, sum: &Option<String>| {
            let sum = sum.as_deref();
            sum.map_or_else(String::new, |sum| format!(", {what} {sum}"))
        };
        output::text(&format!(
            "{} postings\ngranted {}{}{}, available {}, in transit {}\n{matches}\n{conserved}\n",
            found.postings,
            found.granted,
            also("taken back", &found.taken_back),
            also("shortfall", &found.shortfall),
            found.available,
            found.in_transit
        ))?;
    }
    Ok(if ok { Exit::Ok } else { Exit::CheckFailed })
}

fn read(source: &Source) -> Result<Found, Failure> {
    Ok(match source {
        Source::Running(node) => {
            let page = node.0.block_on(node.1.audit())?;
            Found {
                conserved: page.conserved,
                journal_matches: page.journal_matches,
                postings: page.postings,
                granted: page.granted,
                taken_back: page.taken_back,
                shortfall: page.shortfall,
                available: page.available_sum,
                in_transit: page.in_transit,
            }
        }
        Source::Stopped(stopped) => {
            let found = audit(stopped.0.store(), &stopped.0)?;
            let if_any = |sum: u64| (sum > 0).then(|| amount(sum.into()));
            Found {
                conserved: found.conserved,
                journal_matches: found.journal_matches,
                postings: found.postings,
                granted: amount(found.granted.into()),
                taken_back: if_any(found.ungranted),
                shortfall: if_any(found.shortfall),
                available: amount(found.available_sum.into()),
                in_transit: amount(found.in_transit),
            }
        }
    })
}
