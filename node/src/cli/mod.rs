//! The command line: noun–verb, data on standard output, logs and errors on standard error. Index card:
//!
//! `exit` exit codes · `output` how answers are printed · `keylog` the second start without
//! SSLKEYLOGFILE · `logging` · `passphrase` where one comes from · `shell` completions and manual · `launch` what needs the
//! daemon's rooms · `suite` algorithms as arguments · `input` files and standard input · `home` which home is asked, and as whom · `decision` what
//! officers decide · `trusted` the whitelist of a running or stopped node · and one file or folder for each noun.

mod account;
mod audit;
mod backup;
mod ca;
mod charter;
mod config;
mod console;
mod crypto;
mod decision;
mod epoch;
mod exit;
mod grant;
mod home;
mod init;
mod input;
mod journal;
mod key;
mod keylist;
mod keylog;
mod keystore;
mod launch;
mod ledger;
mod logging;
mod netcheck;
mod note;
mod officers;
mod output;
mod passphrase;
mod peer;
mod place;
mod reload;
mod renewal;
mod run;
mod shell;
mod store;
mod suite;
mod transport;
mod trusted;
mod tx;
mod whitelist;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Overrides;

pub use exit::{Exit, Failure, Outcome};
pub use keylog::{KEYLOG_GUARD, KeyLogError, leave_key_logging};
pub use output::SCHEMA;
pub use run::{DemoArgs, Located, PlaceArgs, RunArgs, StatusArgs};
pub use store::{StoreArgs, StoreVerb};

/// What `--help` ends with.
const AFTER_HELP: &str = "\
Begin here:
  city-node key generate officer.key
  city-node init --data-dir data --region Asia/JP/17/17201 --new-network trial --purpose demo \\
      --officer officer.key.pub --officers-needed 1 --coarse-demo-boundaries
  city-node run --data-dir data

Exit codes: 0 ok · 1 failed · 2 wrong usage · 3 the daemon is not running · 4 a check failed ·
78 `run` refused the configuration or the data directory.
Answers go to standard output, logs and errors to standard error; --json prints one object with a `schema` field.";

/// A municipality's own node: place proofs, a signed ledger, sync with whitelisted municipalities.
#[derive(Debug, Parser)]
#[command(
    name = "city-node",
    version,
    after_help = AFTER_HELP,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the node until SIGTERM or Ctrl-C.
    Run(RunArgs),
    /// Show three municipalities working together on this machine, from the keys to the last check.
    Demo(DemoArgs),
    /// Make a data directory: keys, certificates, charter and a commented configuration.
    Init(Box<init::InitArgs>),
    /// Ask the running node how it is.
    Status(StatusArgs),
    /// Talk to the running node, line by line.
    Console(console::ConsoleArgs),
    /// Have the running node read its certificates, lists and listed peers again.
    Reload(reload::ReloadArgs),
    /// Try out how every whitelisted peer can be reached, and say what to do where it cannot.
    Netcheck(netcheck::NetcheckArgs),
    /// Check or show a configuration.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Make or look at keys of officers and people.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Run a certificate authority, or judge certificates.
    #[command(subcommand)]
    Ca(ca::CaCommand),
    /// End a node key and begin the next, as the officers decided.
    #[command(subcommand)]
    Epoch(epoch::EpochCommand),
    /// Sign what officers decide.
    #[command(subcommand)]
    Officers(officers::OfficersCommand),
    /// Give an account 愛貨, as the officers decide.
    #[command(subcommand)]
    Grant(grant::GrantCommand),
    /// Try the algorithms: keys, signatures, KEMs, AES-GCM, batches of test vectors, a demo service.
    #[command(subcommand)]
    Crypto(crypto::CryptoCommand),
    /// Verify the ledger on disk, or rebuild its index.
    Store(StoreArgs),
    /// Import boundaries, or ask them where a point lies.
    #[command(subcommand)]
    Place(place::PlaceCommand),
    /// Make a person's keys, back them up, and open their account at a home.
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// List, check or export the trust log and the access log.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Look at the double-entry journal: postings, balances, statements, exports.
    #[command(subcommand)]
    Journal(journal::JournalCommand),
    /// Look at the ledger: heads, vertices, logs, a drawing, the full check.
    #[command(subcommand)]
    Ledger(ledger::LedgerCommand),
    /// Write, sign, send and answer transfers; look at them and at receipts.
    #[command(subcommand)]
    Tx(tx::TxCommand),
    /// Look at peers; decide on those that ask to be whitelisted, or ask one.
    #[command(subcommand)]
    Peer(peer::PeerCommand),
    /// Say which peers may connect: add, remove, list and check them.
    #[command(subcommand)]
    Whitelist(whitelist::WhitelistCommand),
    /// Write on the board that all homes share, and read it.
    #[command(subcommand)]
    Note(note::NoteCommand),
    /// Print completions for a shell.
    Completions(shell::CompletionsArgs),
    /// Print the manual page, or write all of them into a directory.
    Man(shell::ManArgs),
}

/// Parses the command line, does what it says, and gives the exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, everything else is usage; clap knows which stream.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage.code()));
        }
    };
    match dispatch(cli.command) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("city-node: {failure}");
            failure.exit.into()
        }
    }
}

fn dispatch(command: Command) -> Outcome {
    match command {
        Command::Run(args) => {
            let (config, located, identity, _in_use) = run::prepare(&args)?;
            logging::start(config.log.level.as_str());
            run::warn_of_variables(&Overrides::from_env());
            launch::run(&args, config, located, identity)
        }
        Command::Demo(args) => launch::demo(&args),
        Command::Status(args) => launch::status(&args),
        Command::Reload(args) => reload::run(&args),
        Command::Netcheck(args) => netcheck::run(&args),
        Command::Store(args) => launch::store(&args),
        Command::Init(args) => init::run(*args),
        Command::Console(args) => console::run(&args),
        Command::Config(command) => config::run(&command),
        Command::Ca(command) => ca::run(command),
        Command::Key(command) => key::run(&command),
        Command::Crypto(command) => crypto::run(command),
        Command::Epoch(command) => epoch::run(&command),
        Command::Officers(command) => officers::run(&command),
        Command::Grant(command) => grant::run(&command),
        Command::Place(command) => place::run(&command),
        Command::Account(command) => account::run(&command),
        Command::Audit(command) => audit::run(&command),
        Command::Journal(command) => journal::run(&command),
        Command::Ledger(command) => ledger::run(&command),
        Command::Tx(command) => tx::run(&command),
        Command::Peer(command) => peer::run(&command),
        Command::Whitelist(command) => whitelist::run(command),
        Command::Note(command) => note::run(&command),
        Command::Completions(args) => shell::completions(&args),
        Command::Man(args) => shell::man(&args),
    }
}
