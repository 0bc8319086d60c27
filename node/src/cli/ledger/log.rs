//! `ledger log`: a log line by line, page after page: a long one is never in memory as a whole.

use std::fmt::Write as _;

use clap::Args;

use super::super::exit::{Exit, Outcome};
use super::super::output;
use super::source::SourceArgs;
use crate::config::rfc3339;
use crate::ledger::pages::VertexLine;

/// Arguments of `ledger log`.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// Which log: a municipality's code, region or name, or a log id or its beginning [default: this home's].
    #[arg(value_name = "LOG")]
    log: Option<String>,
    /// From this position.
    #[arg(long, value_name = "SEQ", default_value_t = 1)]
    from: u64,
    /// Up to this position.
    #[arg(long, value_name = "SEQ")]
    to: Option<u64>,
    /// Which node.
    #[command(flatten)]
    source: SourceArgs,
    /// Print one JSON object a line, one for each vertex.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &LogArgs) -> Outcome {
    let source = args.source.open()?;
    let log = source.log(args.log.as_deref())?;
    let last = args.to.unwrap_or(u64::MAX);
    let mut after = args.from.saturating_sub(1);
    while let Some(page) = source.lines(log, after)? {
        let wanted = page.vertices.iter().filter(|line| line.stands.seq <= last);
        for line in wanted {
            if args.json {
                output::object(serde_json::to_value(line)?)?;
            } else {
                output::text(&told(line))?;
            }
        }
        match page.next {
            Some(next) if next > after && next < last => after = next,
            _ => break,
        }
    }
    Ok(Exit::Ok)
}

fn told(line: &VertexLine) -> String {
    let stands = &line.stands;
    let mut text = format!(
        "{}  {}:{}  {}",
        rfc3339(line.time),
        stands.epoch,
        stands.seq,
        stands.vertex
    );
    if !line.parents.is_empty() {
        let _ = write!(text, "  rests on {}", line.parents.len());
    }
    text += "\n";
    match &line.entries {
        Some(entries) => {
            for (index, (kind, words)) in entries.iter().enumerate() {
                let _ = writeln!(
                    text,
                    "    {index}  {kind:<11}  {}",
                    output::printable(words)
                );
            }
        }
        None => text += "    the body is not at this node\n",
    }
    text
}
