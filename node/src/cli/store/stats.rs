//! `store stats`: of a running node by its admin socket, else from its data directory.

use clap::Args;

use crate::cli::exit::{Exit, Outcome};
use crate::cli::passphrase::PassphraseArgs;
use crate::cli::run::PlaceArgs;
use crate::cli::{launch, output};
use crate::client::{AdminClient, ClientError};
use crate::config::rfc3339;
use crate::daemon;
use crate::engine::{LogStats, StoreStats, stats};

/// Arguments of `store stats`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  city-node store stats --data-dir data
  city-node store stats --json

The whole ledger is read for it.")]
pub struct StatsArgs {
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

pub(in crate::cli) fn run(args: &StatsArgs) -> Outcome {
    let socket = args.place.locate().data.admin_socket();
    let runtime = launch::runtime()?;
    let found = match runtime.block_on(AdminClient::connect(&socket)) {
        Ok(client) => runtime.block_on(client.store_stats())?,
        Err(ClientError::NotRunning { .. }) => {
            let (data, _, identity) = launch::read(&args.place, &args.passphrase)?;
            let (store, _) = daemon::open_for_reading(&data, &identity)?;
            let found = stats(&store, &identity.genesis, data.path());
            store.close()?;
            found?
        }
        Err(error) => return Err(error.into()),
    };
    if args.json {
        output::object(serde_json::to_value(&found)?)?;
    } else {
        output::text(&told(&found))?;
    }
    Ok(Exit::Ok)
}

fn told(found: &StoreStats) -> String {
    let logs: String = found.logs.iter().map(log).collect();
    let time = |at: Option<_>| at.map_or_else(|| "-".to_owned(), rfc3339);
    format!(
        "ledger      {} segments, {} bytes, {} blocks; data of form {}\n\
         dead        {} blocks, {} bytes in all that `store compact` gives back\n\
         pruned      {} bodies\n\
         damaged     {} places\n\
         {logs}\
         oldest      {}\n\
         newest      {}\n\
         index       {} bytes\n\
         side logs   {} bytes, with private values\n\
         on disk     {:.2} × the bytes of the live blocks\n\
         free        {} bytes\n",
        found.segments,
        found.ledger_bytes,
        found.blocks,
        found.data_schema,
        found.dead_blocks,
        found.dead_bytes,
        found.pruned,
        found.damaged,
        time(found.oldest),
        time(found.newest),
        found.index_bytes,
        found.side_bytes,
        found.write_amplification,
        found.free_bytes,
    )
}

fn log(log: &LogStats) -> String {
    let region = log.region.as_deref().unwrap_or("-");
    format!(
        "log         {region} {}: {} vertices, {} entries, {} bytes, up to epoch {} position {}\n",
        log.log, log.vertices, log.entries, log.bytes, log.epoch, log.seq
    )
}
