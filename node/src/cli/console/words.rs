//! The short words of the console, and what each stands for on the command line.

use anyhow::{Context as _, bail};
use clap::CommandFactory as _;

use crate::cli::Cli;

/// One short word.
pub(super) struct Word {
    /// What is typed.
    pub(super) name: &'static str,
    /// What may follow it.
    pub(super) takes: &'static str,
    /// What it does.
    pub(super) help: &'static str,
    /// What it stands for.
    pub(super) stands_for: &'static [&'static str],
}

const fn word(
    name: &'static str,
    takes: &'static str,
    help: &'static str,
    stands_for: &'static [&'static str],
) -> Word {
    Word {
        name,
        takes,
        help,
        stands_for,
    }
}

/// All of them, in the order of `help`.
pub(super) const WORDS: &[Word] = &[
    word(
        "add",
        "KEY VALUE",
        "Write a note on the board",
        &["note", "add"],
    ),
    word("get", "KEY", "A note's value", &["note", "get"]),
    word(
        "delete",
        "KEY",
        "Take a note from the board",
        &["note", "delete"],
    ),
    word("list", "", "The board's notes", &["note", "list"]),
    word("status", "", "How the node is", &["status"]),
    word(
        "peers",
        "",
        "Every peer that is known: listed, connected, asking, ignored",
        &["peer", "list"],
    ),
    word(
        "info",
        "",
        "How every peer can be reached, tried out",
        &["netcheck"],
    ),
    word(
        "request-whitelist",
        "ADDRESS --name NAME",
        "Ask another node to list this one",
        &["peer", "request-whitelist"],
    ),
    word(
        "announce-key",
        "",
        "Read this node's certificate anew and show it to the connected peers",
        &["peer", "announce-key"],
    ),
    word(
        "request-keys",
        "[PEER…]",
        "Ask the connected peers for node certificates that are not held here",
        &["peer", "request-keys"],
    ),
    word(
        "recommend-peer",
        "PEER [--name NAME]",
        "Vouch for a listed peer to those that trust this node's word",
        &["peer", "recommend"],
    ),
    word(
        "cleanup",
        "",
        "Take away what is over: entries, recommendations, requests, certificates",
        &["peer", "cleanup"],
    ),
    word(
        "reload-cache",
        "",
        "Read certificates, lists and the peers of config.toml again",
        &["reload"],
    ),
    word(
        "verify-signature",
        "",
        "Try every own key, and check every peer's certificate and keys",
        &["key", "probe"],
    ),
    word(
        "test-access-control",
        "[PEER…]",
        "Ask the gate about peers, known and made up",
        &["peer", "test-access"],
    ),
];

/// The command line of a word and what follows it.
pub(super) fn spelled_out(word: &Word, rest: &[String]) -> Vec<String> {
    let own = word.stands_for.iter().map(|part| (*part).to_owned());
    own.chain(rest.iter().cloned()).collect()
}

/// What `help` prints: all words, or one.
pub(super) fn help(name: Option<&str>) -> anyhow::Result<String> {
    let Some(name) = name else {
        return Ok(all());
    };
    if let Some(word) = WORDS.iter().find(|word| word.name == name) {
        let spelled = word.stands_for.join(" ");
        return Ok(format!(
            "{}\n  {}.\n  The same as: city-node {spelled}; {} --help says more.\n",
            typed(word),
            word.help,
            word.name
        ));
    }
    let command = Cli::command();
    if command.find_subcommand(name).is_none() {
        bail!("no word and no command is called {name}; `help` lists them");
    }
    let mut command = command;
    let found = command
        .find_subcommand_mut(name)
        .context("it was found before")?;
    Ok(format!("{}\n", found.render_help()))
}

/// The word and what it takes.
fn typed(word: &Word) -> String {
    format!("{} {}", word.name, word.takes)
        .trim_end()
        .to_owned()
}

fn all() -> String {
    let mut lines: Vec<String> = WORDS
        .iter()
        .map(|word| format!("  {:<36} {}", typed(word), word.help))
        .collect();
    lines.push(format!("  {:<36} {}", "help [WORD]", "This, or one word's"));
    lines.push(format!("  {:<36} {}", "quit", "Leave; Ctrl-D, too"));
    let command = Cli::command();
    let others: Vec<&str> = command
        .get_subcommands()
        .map(clap::Command::get_name)
        .filter(|name| !matches!(*name, "run" | "demo" | "init" | "console"))
        .filter(|name| WORDS.iter().all(|word| word.name != *name))
        .collect();
    format!(
        "{}\nOther commands of city-node, without its name and --data-dir:\n  {}\n",
        lines.join("\n"),
        others.join(" ")
    )
}
