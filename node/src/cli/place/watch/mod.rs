//! `place watch`: the receiver, its sky and the verdict, as they change. Index card:
//!
//! `source` what is watched: the running node, or a capture · `view` the whole picture, with `sky`, `map` and `words` · `screen` the
//! terminal: its keys, and giving it back · `lines` the same in a pipe.

#[cfg(test)]
mod example;
mod lines;
mod map;
mod screen;
mod sky;
mod source;
mod view;
mod words;

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use clap::Args;
use ratatui::crossterm::terminal::size;

use crate::cli::exit::Outcome;
use crate::cli::run::PlaceArgs;

/// Arguments of `place watch`.
#[derive(Debug, Args)]
pub struct WatchArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Watch this capture, at its own pace, instead of the running node.
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// With --replay: a boundary index, a GeoJSON file or a directory of them, to tell the municipality and draw it.
    #[arg(long, value_name = "PATH", requires = "replay")]
    boundaries: Option<PathBuf>,
    /// Print one JSON object per epoch, on a terminal too.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &WatchArgs) -> Outcome {
    let source = source::open(args)?;
    if args.json || !is_for_pictures() {
        return lines::run(source, args.json);
    }
    screen::run(source, colours_wanted())
}

/// Whether somebody looks, at a terminal that can move its cursor and says how large it is: a serial console may not.
fn is_for_pictures() -> bool {
    let moves = std::env::var_os("TERM").is_some_and(|term| term != "dumb");
    let has_room = || size().is_ok_and(|(columns, rows)| columns > 0 && rows > 0);
    moves && io::stdout().is_terminal() && has_room()
}

/// Not where NO_COLOR is set to anything (no-color.org).
fn colours_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
}
