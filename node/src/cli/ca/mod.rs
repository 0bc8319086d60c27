//! `ca`: a prefecture's or municipality's certificate authority on the command line. Index card:
//!
//! `init` makes a CA or a further root · `issue` certificates · `revoke` and lists · `show` · `verify` judges
//! paths of whatever system. Here is what they share: the CA's directory and its passphrase.

mod init;
mod issue;
mod revoke;
mod show;
mod verify;

pub(super) use issue::RoleArg;

use std::path::{Path, PathBuf};

use city_protocol::amount::Timestamp;
use clap::{Args, Subcommand};

use super::exit::Outcome;
use super::passphrase::PassphraseArgs;
use crate::keys::Passphrase;
use crate::pki::Authority;
use crate::setup::CaDir;

/// The systemd credential with a CA's passphrase.
pub(super) const CA_PASSPHRASE: &str = "ca.passphrase";

/// What can be done with certificates.
#[derive(Debug, Subcommand)]
pub enum CaCommand {
    /// Make a CA, a further root for roll-over, or a CA below another one.
    Init(init::InitArgs),
    /// Issue a certificate for a key that its owner made.
    #[command(subcommand)]
    Issue(issue::IssueCommand),
    /// Revoke a certificate, and issue new lists.
    Revoke(revoke::RevokeArgs),
    /// Issue new revocation lists.
    Crl(revoke::CrlArgs),
    /// Show roots, lists and what was issued.
    Show(show::ShowArgs),
    /// Judge a certificate path of whatever system, or a file of them.
    Verify(Box<verify::VerifyArgs>),
}

pub(super) fn run(command: CaCommand) -> Outcome {
    match command {
        CaCommand::Init(args) => init::run(args),
        CaCommand::Issue(command) => issue::run(&command),
        CaCommand::Revoke(args) => revoke::revoke(&args),
        CaCommand::Crl(args) => revoke::crl(&args),
        CaCommand::Show(args) => show::run(&args),
        CaCommand::Verify(args) => verify::run(&args),
    }
}

/// Which CA.
#[derive(Debug, Args)]
struct CaArgs {
    /// The CA's directory.
    #[arg(long, value_name = "DIR")]
    ca: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

impl CaArgs {
    fn open(&self) -> anyhow::Result<Authority> {
        let passphrase = unlock(&self.ca, &self.passphrase)?;
        Ok(Authority::open(&self.ca, passphrase.as_ref())?)
    }
}

/// The passphrase of a CA: from the file that was named, a credential, the file that `init` left beside the
/// CA, or the terminal; none if its keys are not sealed.
pub(super) fn unlock(ca: &Path, args: &PassphraseArgs) -> anyhow::Result<Option<Passphrase>> {
    if !Authority::is_sealed(ca)? {
        return Ok(None);
    }
    if let Some(passphrase) = args.without_asking(CA_PASSPHRASE)? {
        return Ok(Some(passphrase));
    }
    let beside = CaDir::new(ca).passphrase();
    let args = if beside.exists() {
        &PassphraseArgs::from_file(Some(beside))
    } else {
        args
    };
    args.of(&format!("the CA in {}", ca.display()), CA_PASSPHRASE)
        .map(Some)
}

fn now() -> anyhow::Result<Timestamp> {
    verify::now()
}
