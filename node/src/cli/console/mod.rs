//! `console`: the command line of one node, line by line. A short word or any other command is run as its own process, so
//! that a console left open shows the same, with the same exit codes, as a command that was typed into a shell.
//!
//! `words` the short words · `edit` the editor: history, completion, hints of what a word takes.

mod edit;
mod words;

use std::ffi::OsStr;
use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::PathBuf;
use std::process::{Command as Process, Stdio};

use anyhow::{Context as _, bail};
use clap::Args;

use super::exit::{Exit, Outcome};
use super::launch::{asked, runtime};
use super::output;
use super::run::PlaceArgs;
use crate::client::AdminClient;
use crate::setup::DataDir;
use edit::Editor;
use words::WORDS;

/// Arguments of `console`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  city-node console --data-dir data
  echo status | city-node console --data-dir data
  city-node console --data-dir data < lines.txt

`help` lists the words; every other command of city-node works, too, without `city-node` and without --data-dir: ledger heads.
Lines from a pipe are run to the end; the exit code is that of the last one that failed, else 0. Exit code 3: the daemon is not
running.")]
pub struct ConsoleArgs {
    /// Which node.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Longest line in bytes: a note of 64 KiB, quoted, and its key fit.
const MAX_LINE: usize = 256 * 1024;

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Nothing.
    Empty,
    /// To leave.
    Leave,
    /// Which words there are, or what one does.
    Help(Option<String>),
    /// A command of the command line.
    Run(Vec<String>),
}

pub(super) fn run(args: &ConsoleArgs) -> Outcome {
    let located = args.place.locate();
    let socket = located.data.admin_socket();
    asked(runtime()?.block_on(AdminClient::connect(&socket)))?;
    let program = std::env::current_exe().context("this program's own file is not known")?;
    let console = Console {
        program,
        config: located.config,
        data: located.data,
    };
    if io::stdin().is_terminal() {
        console.talk()
    } else {
        console.read()
    }
}

/// Runs lines against one node.
struct Console {
    program: PathBuf,
    config: PathBuf,
    data: DataDir,
}

impl Console {
    /// With a person.
    fn talk(&self) -> Outcome {
        let mut editor = Editor::open()?;
        output::text("`help` lists the words, Ctrl-D leaves.\n")?;
        while let Some(line) = editor.line()? {
            match self.step(&line) {
                Ok(None) => break,
                Ok(Some(_)) => {}
                Err(error) => eprintln!("city-node: {error:#}"),
            }
        }
        Ok(Exit::Ok)
    }

    /// With a pipe.
    fn read(&self) -> Outcome {
        let mut last = Exit::Ok;
        for line in io::stdin().lock().lines() {
            let line = line.context("standard input could not be read as UTF-8 text")?;
            match self.step(&line) {
                Ok(None) => break,
                Ok(Some(Exit::Ok)) => {}
                Ok(Some(failed)) => last = failed,
                Err(error) => {
                    eprintln!("city-node: {error:#}");
                    last = Exit::Usage;
                }
            }
        }
        Ok(last)
    }

    /// Does what a line says; `None` if that is to leave.
    fn step(&self, line: &str) -> anyhow::Result<Option<Exit>> {
        match read_line(line)? {
            Step::Empty => {}
            Step::Leave => return Ok(None),
            Step::Help(word) => output::text(&words::help(word.as_deref())?)?,
            Step::Run(args) => return self.spawn(&args).map(Some),
        }
        Ok(Some(Exit::Ok))
    }

    fn spawn(&self, args: &[String]) -> anyhow::Result<Exit> {
        // Not our lines: a command that reads its standard input would take the rest of them.
        let stdin = if io::stdin().is_terminal() {
            Stdio::inherit()
        } else {
            Stdio::null()
        };
        let ended = Process::new(&self.program)
            .args(args)
            .env("CITY_NODE_DATA_DIR", self.data.path().as_os_str())
            .env("CITY_NODE_CONFIG", OsStr::new(&self.config))
            .stdin(stdin)
            .status()
            .context("the command could not be started")?;
        Ok(ended.code().map_or(Exit::Failed, Exit::of_code))
    }
}

/// What a line asks for, and whether it is one of a console's.
fn read_line(line: &str) -> anyhow::Result<Step> {
    if line.len() > MAX_LINE {
        bail!(
            "a line of more than {MAX_LINE} bytes: write the value into a file and use note add KEY FILE"
        );
    }
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(Step::Empty);
    }
    let Some(parts) = shlex::split(line) else {
        bail!("a quote is not closed: {line}");
    };
    let Some((first, rest)) = parts.split_first() else {
        return Ok(Step::Empty);
    };
    Ok(match first.as_str() {
        "exit" | "quit" => Step::Leave,
        "help" => Step::Help(rest.first().cloned()),
        "run" | "demo" | "console" | "init" => {
            bail!("{first} is for a shell, not for the console of a running node")
        }
        _ => {
            let word = WORDS.iter().find(|word| word.name == *first);
            Step::Run(match word {
                Some(word) => words::spelled_out(word, rest),
                None => parts,
            })
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(line: &str) -> Step {
        read_line(line).unwrap()
    }

    fn runs(line: &str, args: &[&str]) {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        assert_eq!(steps(line), Step::Run(args), "{line}");
    }

    #[test]
    fn a_line_is_a_word_or_a_command() {
        runs("status", &["status"]);
        runs("  ledger heads --json ", &["ledger", "heads", "--json"]);
        runs("tx show 'a b'", &["tx", "show", "a b"]);
        assert_eq!(steps(""), Step::Empty);
        assert_eq!(steps("# a remark"), Step::Empty);
        assert_eq!(steps("quit"), Step::Leave);
        assert_eq!(steps("help info"), Step::Help(Some("info".into())));
        for refused in ["run", "console", "get 'open"] {
            assert!(read_line(refused).is_err(), "{refused}");
        }
        assert!(read_line(&"x".repeat(MAX_LINE + 1)).is_err());
    }

    #[test]
    fn every_word_spells_a_command_that_exists_and_has_help() {
        let command = <crate::cli::Cli as clap::CommandFactory>::command();
        for word in WORDS {
            let mut at = &command;
            for part in word.stands_for.iter().filter(|part| !part.starts_with('-')) {
                at = at
                    .find_subcommand(part)
                    .unwrap_or_else(|| panic!("{}: no {part}", word.name));
            }
            assert!(words::help(Some(word.name)).unwrap().contains(word.help));
        }
        assert!(words::help(Some("no-word")).is_err());
        let all = words::help(None).unwrap();
        assert!(WORDS.iter().all(|word| all.contains(word.name)));
    }
}
