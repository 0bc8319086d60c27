//! `store`: its arguments. `export`, `import`, `backup`, `compact`, `stats` are rooms of their own.

pub(super) mod backup;
pub(super) mod compact;
pub(super) mod export;
pub(super) mod import;
pub(super) mod stats;

use clap::{Args, Subcommand};

use super::passphrase::PassphraseArgs;
use super::run::PlaceArgs;

/// Arguments of `store`.
#[derive(Clone, Debug, Args)]
pub struct StoreArgs {
    /// What to do.
    #[command(subcommand)]
    pub verb: StoreVerb,
}

/// What can be done with the store: `verify`, `rebuild`, `import` and `compact` of a node that is not running, the others
/// also of one that runs.
#[derive(Clone, Debug, Subcommand)]
pub enum StoreVerb {
    /// Check every hash, signature and link of the ledger on disk. (Opening it recovers what a crash left.)
    #[command(after_help = "\
Example:
  city-node store verify --data-dir data

Exit code 4: something does not hold; the answer says what and where.")]
    Verify {
        /// Which node.
        #[command(flatten)]
        place: PlaceArgs,
        /// The passphrase of the node's keys.
        #[command(flatten)]
        passphrase: PassphraseArgs,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Build the index again from the ledger; the old one is removed.
    #[command(after_help = "\
Example:
  city-node store rebuild --data-dir data

Exit codes: 0 sums and journal hold · 4 they do not, or the own log is shorter than it is known to have been.")]
    Rebuild {
        /// Which node.
        #[command(flatten)]
        place: PlaceArgs,
        /// The passphrase of the node's keys.
        #[command(flatten)]
        passphrase: PassphraseArgs,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Write the ledger, or a range of one log, as a CAR file that other IPLD tools read.
    Export(export::ExportArgs),
    /// Take from a CAR file what is not here, after all of it was judged as if a peer had sent it.
    Import(import::ImportArgs),
    /// Copy everything that a node needs but its keys into a directory, also while it runs.
    Backup(backup::StoreBackupArgs),
    /// Write the ledger again without what is dead in it.
    Compact(compact::CompactArgs),
    /// Say what the store holds, how much of it is dead, and what it takes on the disk.
    Stats(stats::StatsArgs),
}
