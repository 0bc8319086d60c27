//! `journal`: the double-entry journal that the ledger gives; of a running node by its admin socket, else from its data
//! directory. What is long is read and printed a page at a time.
//!
//! `source` where it is read · `period` days as arguments · `list` postings, also exported · `balance` sums · `sheet`
//! 貸借対照表 and 損益計算書 · `check` the rebuilt journal beside the shown one · `chart` the accounts.

mod balance;
mod chart;
mod check;
mod list;
pub(super) mod period;
mod sheet;
pub(super) mod source;

use std::io::{self, BufWriter, Write};

use clap::{Args, Subcommand};

use super::exit::{Exit, Failure, Outcome};
use super::passphrase::PassphraseArgs;
use super::run::PlaceArgs;
use crate::journal::lang::Lang;

/// What can be asked of the journal.
#[derive(Debug, Subcommand)]
pub enum JournalCommand {
    /// Show postings, log by log, the oldest first.
    List(list::ListArgs),
    /// Show what each account of the chart comes to, at the end of a day.
    Balance(balance::BalanceArgs),
    /// Show balance sheet (貸借対照表) and income statement (損益計算書) of a municipality, or of one account.
    Statement(sheet::SheetArgs),
    /// Build the journal again from the ledger's blocks alone, and compare: every posting, every balance, every sum.
    Verify(check::VerifyArgs),
    /// Write all postings for other tools: CSV, hledger, JSON.
    Export(list::ExportArgs),
    /// Show the chart of accounts.
    Chart(chart::ChartArgs),
}

/// Which node, and how its keys are opened if it is not running.
#[derive(Clone, Debug, Args)]
pub(super) struct NodeArgs {
    /// Which node.
    #[command(flatten)]
    place: PlaceArgs,
    /// The passphrase of the node's keys, if it is not running.
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// The language of names.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct LangArgs {
    /// Language of names [default: by LC_ALL, LC_MESSAGES or LANG].
    #[arg(long)]
    lang: Option<Lang>,
}

impl LangArgs {
    pub(super) fn lang(self) -> Lang {
        let variable = |name: &str| std::env::var(name).ok();
        self.lang.unwrap_or_else(|| Lang::of_locale(variable))
    }
}

pub(super) fn run(command: &JournalCommand) -> Outcome {
    super::logging::start("warn");
    match command {
        JournalCommand::List(args) => list::list(args),
        JournalCommand::Balance(args) => balance::run(args),
        JournalCommand::Statement(args) => sheet::run(args),
        JournalCommand::Verify(args) => check::run(args),
        JournalCommand::Export(args) => list::export(args),
        JournalCommand::Chart(args) => chart::run(args),
    }
}

/// Standard output for what is printed while it is read.
fn out() -> impl Write {
    BufWriter::new(io::stdout().lock())
}

/// A reader that goes away (`| head`) ends the work and is no error.
fn until_nobody_reads(done: Outcome) -> Outcome {
    done.or_else(|failure| {
        let gone = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
        match failure.error.downcast_ref::<io::Error>().is_some_and(gone) {
            true => Ok(Exit::Ok),
            false => Err::<Exit, Failure>(failure),
        }
    })
}
