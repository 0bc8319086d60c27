//! `store`: its arguments.

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

/// What can be done with the store of a node that is not running.
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
  city-node store rebuild --data-dir data")]
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
}
