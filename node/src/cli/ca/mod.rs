//! `ca`: a prefecture's or municipality's certificate authority on the command line. Index card:
//!
//! `verify` judges paths of whatever system.

mod verify;

use clap::Subcommand;

use super::exit::Outcome;

/// What can be done with certificates.
#[derive(Debug, Subcommand)]
pub enum CaCommand {
    /// Judge a certificate path of whatever system, or a file of them.
    Verify(Box<verify::VerifyArgs>),
}

pub(super) fn run(command: CaCommand) -> Outcome {
    match command {
        CaCommand::Verify(args) => verify::run(&args),
    }
}
