//! `completions` and `man`: written from the command tree itself, so they cannot differ from it.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::exit::{Exit, Outcome};
use super::{Cli, output};

/// Arguments of `completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  city-node completions bash > /usr/share/bash-completion/completions/city-node
  city-node completions fish > ~/.config/fish/completions/city-node.fish")]
pub struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  city-node man | man -l -
  city-node man --out /usr/local/share/man/man1")]
pub struct ManArgs {
    /// Write one page for each command into this directory, instead of the first to standard output.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) fn completions(args: &CompletionsArgs) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "city-node", &mut script);
    output::bytes(&script)?;
    Ok(Exit::Ok)
}

pub(super) fn man(args: &ManArgs) -> Outcome {
    if let Some(directory) = &args.out {
        clap_mangen::generate_to(Cli::command(), directory).with_context(|| {
            format!(
                "{}: manual pages cannot be written; make the directory first",
                directory.display()
            )
        })?;
        return Ok(Exit::Ok);
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page)?;
    output::bytes(&page)?;
    Ok(Exit::Ok)
}
