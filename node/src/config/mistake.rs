//! What can be wrong with a configuration: each mistake names file, place, key and remedy.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Where a value stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of the file, from 1.
    Line(usize),
    /// An environment variable.
    Variable(String),
    /// Nowhere: it is missing.
    Absent,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The key's path, such as `network.peer[0].peer_id`; empty where the file is not TOML.
    pub key: String,
    /// Where it stood.
    pub origin: Origin,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(
        "{}: cannot be read ({source}); check the path and its permissions, or make the file with: city-node init",
        file.display()
    )]
    Read {
        /// The file.
        file: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is too large or not text.
    #[error("{}: not a configuration file ({what}); name the TOML file itself", file.display())]
    NotAConfiguration {
        /// The file.
        file: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The file, or the environment over it, has mistakes: all that could be found.
    #[error("{}", listed(file, mistakes))]
    Mistakes {
        /// The file.
        file: PathBuf,
        /// The mistakes, in the order of the file.
        mistakes: Vec<Mistake>,
    },
}

impl ConfigError {
    /// The mistakes, if the file could be read at all.
    #[must_use]
    pub fn mistakes(&self) -> &[Mistake] {
        match self {
            Self::Mistakes { mistakes, .. } => mistakes,
            _ => &[],
        }
    }
}

fn listed(file: &std::path::Path, mistakes: &[Mistake]) -> String {
    let lines = mistakes.iter().map(|mistake| {
        let place = match &mistake.origin {
            Origin::Line(line) => format!("{}:{line}", file.display()),
            Origin::Variable(name) => format!("environment variable {name}"),
            Origin::Absent => file.display().to_string(),
        };
        format!("{place}: {mistake}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}; {}", self.what, self.remedy)
    }
}
