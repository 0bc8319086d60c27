//! `ledger`: looking at the DAG of a running node or a stopped one. `source` where the pages come from · `show` heads and
//! single vertices · `log` line by line · `dot` as a drawing · `prove` proofs for who was not there ·
//! `prune` bodies into an archive · `checkpoint` a log's state · `equivocation` what a log signed twice · `false_refund` what it
//! gave back wrongly (`proof_file` their files); here `verify`.

mod checkpoint;
mod dot;
mod equivocation;
mod false_refund;
mod log;
mod proof_file;
pub(super) use proof_file::genesis;
mod prove;
mod prune;
mod show;
pub(super) mod source;

use clap::Subcommand;

pub(super) use show::name;

use super::exit::Outcome;
use super::launch;
use super::passphrase::PassphraseArgs;
use super::run::PlaceArgs;

/// What can be looked at.
#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// Show how far each municipality's log has come.
    #[command(after_help = "\
Examples:
  city-node ledger heads
  city-node ledger heads --data-dir data --json")]
    Heads(show::HeadsArgs),
    /// Show a vertex, a position of a log, or the entry of something that was submitted.
    #[command(after_help = "\
Examples:
  city-node ledger show bafyreiacd6zh…
  city-node ledger show 17201:5              (position 5 of the log of 金沢市)
  city-node ledger show ubqxbxvmedbb:5:1     (entry 1 there; a log by the beginning of its id)
  city-node ledger show sha256:08d7… --json")]
    Show(show::ShowArgs),
    /// Print a log, a line for each vertex and entry.
    #[command(after_help = "\
Examples:
  city-node ledger log                       (this home's)
  city-node ledger log 17203 --from 100 --to 200
  city-node ledger log --json | jq .seq      (one JSON object a line)")]
    Log(log::LogArgs),
    /// Draw the newest vertices of all logs for Graphviz.
    #[command(after_help = "\
Example:
  city-node ledger dot --last 50 | dot -Tsvg > ledger.svg

Solid lines lead to the vertex before, dashed ones to what the author had seen of other municipalities.")]
    Dot(dot::DotArgs),
    /// Prove that an entry stands in the ledger, or what an account had: a file that is checked offline.
    #[command(after_help = "\
Examples:
  city-node ledger prove 17201:5:0 --out entry.proof --data-dir data
  city-node ledger prove sha256:08d7… --checkpoint --out entry.proof --data-dir data
  city-node ledger prove ubqxbxvmedbbxwge-… --out account.proof --data-dir data
  city-node ledger prove 17201:5:0 --from old.car --out entry.proof --data-dir data   (its body was pruned into old.car)

With --checkpoint the proof also says that the vertex stands under the log's newest checkpoint.")]
    Prove(prove::ProveArgs),
    /// Check a proof with nothing but the genesis record.
    #[command(after_help = "\
Example:
  city-node ledger verify-proof entry.proof --genesis data/network/genesis.cbor

Exit codes: 0 it holds · 4 it does not.")]
    VerifyProof(proof_file::CheckArgs),
    /// Prune bodies of complete transfers that are old enough: into an archive, and out of the ledger.
    #[command(after_help = "\
Examples:
  city-node ledger prune --dry-run --data-dir data
  city-node ledger prune --export /mnt/usb/until-2026-03.car --data-dir data
  city-node ledger prune --before 2026-01-01 --export old.car --data-dir data

The node is stopped. What goes is older than retention.bodies (or --before), stands behind a checkpoint that this node verified,
and holds nothing but complete transfers and their answers. Hashes and sums of it stay: balances, journal and proofs of
everything else are as before. The archive is durable and was read again before anything goes.")]
    Prune(prune::PruneArgs),
    /// Take, show, hand on or check the state of a log.
    #[command(subcommand)]
    Checkpoint(checkpoint::CheckpointCommand),
    /// Show, hand on or check what a log signed twice: one position, or the beginning of an epoch.
    #[command(subcommand)]
    Equivocation(equivocation::EquivocationCommand),
    /// Hand on or check that a home gave back as expired what had been accepted in time.
    #[command(subcommand)]
    FalseRefund(false_refund::FalseRefundCommand),
    /// Check every hash, signature and link, of a running node or a stopped one.
    #[command(after_help = "\
Example:
  city-node ledger verify --data-dir data

Exit code 4: something does not hold; the answer says what and where.")]
    Verify {
        /// Which node.
        #[command(flatten)]
        place: PlaceArgs,
        /// The passphrase of the node's keys, if it is stopped.
        #[command(flatten)]
        passphrase: PassphraseArgs,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(command: &LedgerCommand) -> Outcome {
    super::logging::start("warn");
    match command {
        LedgerCommand::Heads(args) => show::heads(args),
        LedgerCommand::Show(args) => show::run(args),
        LedgerCommand::Log(args) => log::run(args),
        LedgerCommand::Dot(args) => dot::run(args),
        LedgerCommand::Prove(args) => prove::run(args),
        LedgerCommand::VerifyProof(args) => prove::verify(args),
        LedgerCommand::Prune(args) => prune::run(args),
        LedgerCommand::Checkpoint(command) => checkpoint::run(command),
        LedgerCommand::Equivocation(command) => equivocation::run(command),
        LedgerCommand::FalseRefund(command) => false_refund::run(command),
        LedgerCommand::Verify {
            place,
            passphrase,
            json,
        } => launch::verify_any(place, passphrase, *json),
    }
}
