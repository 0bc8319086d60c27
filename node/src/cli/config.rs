//! `config check` and `config show`.

use std::path::PathBuf;

use city_protocol::crypto::NotAfter;
use clap::Subcommand;
use serde_json::{Value, json};

use super::exit::{Exit, Outcome};
use super::output;
use super::run::PlaceArgs;
use crate::config::{Config, ConfigError, Mistake, Origin, Overrides};
use crate::engine::utc;

/// What can be done with a configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Name every mistake of a configuration, with file, line, key and remedy.
    #[command(after_help = "\
Example:
  city-node config check /etc/city-node/config.toml

The environment (CITY_NODE_…) is checked over the file, as `run` would take it.
Exit codes: 0 no mistake · 4 mistakes · 1 the file cannot be read.")]
    Check {
        /// The file.
        file: PathBuf,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Print the configuration as the node would take it: file, environment and defaults.
    #[command(after_help = "\
Example:
  CITY_NODE_API_LISTEN=127.0.0.1:9443 city-node config show --data-dir data")]
    Show {
        /// Which node.
        #[command(flatten)]
        place: PlaceArgs,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(command: &ConfigCommand) -> Outcome {
    match command {
        ConfigCommand::Check { file, json } => check(file, *json),
        ConfigCommand::Show { place, json } => show(place, *json),
    }
}

fn check(file: &std::path::Path, json: bool) -> Outcome {
    let overrides = Overrides::from_env();
    let (error, ended) = match Config::load_with(file, &overrides) {
        Ok(config) => (None, ended(&config)),
        Err(error @ ConfigError::Mistakes { .. }) => (Some(error), Vec::new()),
        Err(unreadable) => return Err(unreadable.into()),
    };
    let mistakes = error.as_ref().map_or(&[][..], ConfigError::mistakes);
    if json {
        output::object(json!({
            "ok": error.is_none(),
            "file": file,
            "mistakes": mistakes.iter().map(mistake).collect::<Vec<_>>(),
            "unknown_variables": overrides.unknown(),
            "ended": ended,
        }))?;
    } else {
        let mut text = match &error {
            None => format!("{}: no mistakes\n", file.display()),
            Some(error) => format!("{error}\n"),
        };
        for variable in overrides.unknown() {
            text += &format!(
                "warning: environment variable {variable}: means nothing to city-node; correct its \
                 spelling (CITY_NODE_ and a key's path in capitals) or unset it\n"
            );
        }
        for id in ended {
            text += &format!(
                "warning: crypto.not_after.{id} is in the past: nothing signed or sealed by it is taken any more; that is meant for what was \
                 broken, after everybody has other keys\n"
            );
        }
        output::text(&text)?;
    }
    Ok(if error.is_none() {
        Exit::Ok
    } else {
        Exit::CheckFailed
    })
}

/// Suites and algorithms whose last moment has passed.
fn ended(config: &Config) -> Vec<&'static str> {
    let now = utc();
    let past = |id: &&str| config.not_after.of(id).is_some_and(|last| last < now);
    NotAfter::ids().filter(past).collect()
}

fn mistake(mistake: &Mistake) -> Value {
    let (line, variable) = match &mistake.origin {
        Origin::Line(line) => (Some(line), None),
        Origin::Variable(name) => (None, Some(name)),
        Origin::Absent => (None, None),
    };
    json!({
        "key": mistake.key,
        "line": line,
        "variable": variable,
        "what": mistake.what,
        "remedy": mistake.remedy,
    })
}

fn show(place: &PlaceArgs, json: bool) -> Outcome {
    let located = place.locate();
    let toml = Config::load(&located.config)?.to_plain_toml();
    if json {
        let config: toml::Table = toml.parse()?;
        output::object(json!({ "file": located.config, "config": config }))?;
    } else {
        output::text(&toml)?;
    }
    Ok(Exit::Ok)
}
