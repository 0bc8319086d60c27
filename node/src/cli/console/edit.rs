//! The line editor of the console: history, completion, and hints of what a word takes.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::CommandFactory as _;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{Config, Context, Helper};

use super::words::WORDS;
use crate::cli::Cli;

/// Lines that are remembered.
const MAX_HISTORY: usize = 1000;

/// Reads lines from a terminal.
pub(super) struct Editor {
    lines: rustyline::Editor<Words, DefaultHistory>,
    history: Option<PathBuf>,
}

impl Editor {
    /// With the history of earlier consoles of this user, if there is a place for one.
    pub(super) fn open() -> anyhow::Result<Self> {
        let config = Config::builder()
            .max_history_size(MAX_HISTORY)?
            // What begins with a space is not remembered.
            .history_ignore_space(true)
            .auto_add_history(true)
            .build();
        let mut lines = rustyline::Editor::with_config(config)
            .context("the terminal cannot be set for a console")?;
        lines.set_helper(Some(Words));
        let history = history_file();
        if let Some(file) = &history {
            // The first console has none.
            let _none = lines.load_history(file);
        }
        Ok(Self { lines, history })
    }

    /// The next line; `None` at the end. Ctrl-C throws the line away.
    pub(super) fn line(&mut self) -> anyhow::Result<Option<String>> {
        loop {
            match self.lines.readline("city-node> ") {
                Ok(line) => return Ok(Some(line)),
                Err(ReadlineError::Interrupted) => {}
                Err(ReadlineError::Eof) => return Ok(None),
                Err(error) => return Err(error).context("the terminal cannot be read"),
            }
        }
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        if let Some(file) = &self.history {
            let made = file.parent().map(std::fs::create_dir_all);
            // A history that cannot be kept is no reason to complain of at the end.
            if matches!(made, Some(Ok(()))) {
                let _not_kept = self.lines.save_history(file);
            }
        }
    }
}

/// Where the XDG base directory specification puts state.
fn history_file() -> Option<PathBuf> {
    let set = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
    Some(state.join("city-node/console-history"))
}

/// Completes words, commands and their verbs.
struct Words;

impl Helper for Words {}
impl Highlighter for Words {}
impl Validator for Words {}

impl Completer for Words {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let (start, found) = complete(&line[..position]);
        Ok((start, found))
    }
}

impl Hinter for Words {
    type Hint = String;

    fn hint(&self, line: &str, position: usize, _: &Context<'_>) -> Option<String> {
        let typed = line[..position].strip_suffix(' ')?;
        let word = WORDS.iter().find(|word| word.name == typed)?;
        (!word.takes.is_empty()).then(|| word.takes.to_owned())
    }
}

/// Where the part begins that is completed, and by what.
fn complete(typed: &str) -> (usize, Vec<String>) {
    let start = typed
        .rfind(char::is_whitespace)
        .map_or(0, |blank| blank + 1);
    let (before, part) = typed.split_at(start);
    let words: Vec<&str> = before.split_whitespace().collect();
    let mut command = &Cli::command();
    let mut below = Vec::new();
    if words.is_empty() {
        below.extend(WORDS.iter().map(|word| word.name));
        below.extend(["help", "quit"]);
    }
    let spelled: Vec<&str> = match words.split_first() {
        Some((first, rest)) => match WORDS.iter().find(|word| word.name == *first) {
            Some(word) => word.stands_for.iter().chain(rest).copied().collect(),
            None => words,
        },
        None => words,
    };
    for word in spelled.iter().filter(|word| **word != "help") {
        match command.find_subcommand(word) {
            Some(next) => command = next,
            None => break,
        }
    }
    below.extend(command.get_subcommands().map(clap::Command::get_name));
    let mut found: Vec<String> = below.into_iter().map(str::to_owned).collect();
    let flags = command.get_arguments().filter_map(clap::Arg::get_long);
    if part.starts_with('-') {
        found.extend(flags.map(|flag| format!("--{flag}")));
    }
    found.retain(|name| name.starts_with(part));
    found.sort();
    found.dedup();
    (start, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_commands_verbs_and_flags_are_completed() {
        let found = |typed: &str| complete(typed).1.join(" ");
        assert_eq!(found("stat"), "status");
        assert_eq!(complete("ledger hea"), (7, vec!["heads".to_owned()]));
        assert!(found("ledger ").contains("checkpoint"));
        assert_eq!(found("status --js"), "--json");
        assert_eq!(found("verify-signature --js"), "--json");
        assert_eq!(found("help jour"), "journal");
        assert_eq!(found("no-such-thing x"), "");
    }
}
