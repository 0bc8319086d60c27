//! `ledger dot`: the newest vertices for Graphviz.

use std::path::PathBuf;

use clap::Args;

use super::super::exit::{Exit, Outcome};
use super::super::input::write_new;
use super::super::output;
use super::source::SourceArgs;
use crate::ledger::dot::drawing;
use crate::ledger::read::MAX_LAST;

/// Arguments of `ledger dot`.
#[derive(Debug, Args)]
pub struct DotArgs {
    /// How many vertices, the newest of all logs; at most 1000.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = count)]
    last: usize,
    /// Write it to this new file instead of standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Which node.
    #[command(flatten)]
    source: SourceArgs,
}

fn count(text: &str) -> Result<usize, String> {
    let count = text.parse().ok();
    count
        .filter(|count| (1..=MAX_LAST).contains(count))
        .ok_or_else(|| format!("1 to {MAX_LAST}: more nobody can look at"))
}

pub(super) fn run(args: &DotArgs) -> Outcome {
    let page = args.source.open()?.last(args.last)?;
    let drawn = drawing(&page.vertices);
    match &args.out {
        Some(path) => write_new(path, drawn.as_bytes())?,
        None => output::text(&drawn)?,
    }
    Ok(Exit::Ok)
}
