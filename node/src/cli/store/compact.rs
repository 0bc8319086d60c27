//! `store compact`: of a node that does not run.

use clap::Args;
use serde_json::json;

use crate::cli::exit::{Exit, Outcome};
use crate::cli::passphrase::PassphraseArgs;
use crate::cli::run::PlaceArgs;
use crate::cli::{launch, output};
use crate::daemon::{self, Opened};

/// Arguments of `store compact`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Example:
  city-node store compact --data-dir data

Dead are blocks that are there twice, what a torn write left, and places that cannot be read whose blocks are there again.
New segments are written beside the old ones, which go when the new ones are durable, so it needs room for both. The index is
made again. If it is cut off, the next start goes on with the old ledger or the new one.")]
pub struct CompactArgs {
    /// Which node.
    #[command(flatten)]
    place: PlaceArgs,
    /// The passphrase of the node's keys.
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) fn run(args: &CompactArgs) -> Outcome {
    let (data, config, identity) = launch::read(&args.place, &args.passphrase)?;
    let done = daemon::compact(&data, &identity)?;
    let compacted = done.is_some();
    if compacted {
        let bar = launch::counter("vertices folded");
        let mut progress = |done| bar.set_position(done);
        let Opened { store, .. } = daemon::open(&data, &config, &identity, &mut progress)?;
        bar.finish_and_clear();
        store.close()?;
    }
    let done = done.unwrap_or_default();
    if args.json {
        output::object(json!({
            "compacted": compacted,
            "kept": done.kept,
            "dropped": done.dropped,
            "bytes_before": done.bytes_before,
            "bytes_after": done.bytes_after,
        }))?;
    } else if compacted {
        output::text(&format!(
            "{} blocks left out, {} kept: {} bytes instead of {}; index made again\n",
            done.dropped, done.kept, done.bytes_after, done.bytes_before,
        ))?;
    } else {
        output::text("nothing is dead in this ledger: nothing was written\n")?;
    }
    Ok(Exit::Ok)
}
