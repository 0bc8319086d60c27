//! `run`, `demo`, `status`: their arguments, and what stands before the daemon: configuration and
//! identity.

use std::path::{Path, PathBuf};

use clap::Args;

use super::exit::{Exit, Failure};
use super::passphrase::PassphraseArgs;
use crate::config::{Config, Overrides};
use crate::keys::{Access, Keystore, KeystoreError, Lock, PASSPHRASE_CREDENTIAL};
use crate::setup::{DataDir, Identity, IdentityError, load_identity_with};

/// Which node on this machine: without flags, that of the installed package.
#[derive(Clone, Debug, Args)]
pub struct PlaceArgs {
    /// The configuration; alone, the directory it stands in is the data directory.
    #[arg(long, value_name = "FILE", env = "CITY_NODE_CONFIG")]
    pub config: Option<PathBuf>,
    /// The data directory; alone, the config.toml in it is the configuration [default without --config:
    /// /var/lib/city-node/data, the installed package's].
    #[arg(long, value_name = "DIR", env = "CITY_NODE_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
}

/// Where a node's files stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The configuration.
    pub config: PathBuf,
    /// The data directory.
    pub data: DataDir,
}

impl PlaceArgs {
    /// Where configuration and data directory are.
    #[must_use]
    pub fn locate(&self) -> Located {
        let beside = |config: &Path| match config.parent() {
            Some(parent) if parent != Path::new("") => parent.to_path_buf(),
            _ => PathBuf::from("."),
        };
        let data = match (&self.data_dir, &self.config) {
            (Some(directory), _) => DataDir::new(directory),
            (None, Some(config)) => DataDir::new(beside(config)),
            (None, None) => DataDir::packaged(),
        };
        let config = self.config.clone().unwrap_or_else(|| data.config());
        Located { config, data }
    }
}

/// Arguments of `run`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  city-node run --data-dir data
  city-node run --config /etc/city-node/config.toml --data-dir /srv/city-node
  CITY_NODE_LOG_LEVEL=debug city-node run --data-dir data
  city-node run --data-dir data --passphrase-file /run/secrets/passphrase

SIGTERM and Ctrl-C drain and stop it. Exit code 78: the configuration or the data directory was refused.")]
pub struct RunArgs {
    /// Which node.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// The passphrase of the node's keys.
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
    /// Stop when standard input ends too: for a program that starts the node and may die.
    #[arg(long)]
    pub stop_on_stdin_end: bool,
}

/// Arguments of `demo`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  city-node demo
  city-node demo --json
  city-node demo --keep /tmp/demo
  city-node demo --replay capture.ubx --boundaries N03-21_19_210101.json --assume-recorded

Nothing outside a temporary directory is written, and no process is left behind.")]
pub struct DemoArgs {
    /// Print one JSON object instead of the story.
    #[arg(long)]
    pub json: bool,
    /// Keep the nodes' data directories here; it must not exist yet, or be empty.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// Play a receiver's recording (NMEA or UBX) to the first node instead of the simulator.
    #[arg(long, value_name = "FILE", requires = "boundaries")]
    pub replay: Option<PathBuf>,
    /// Boundaries (GeoJSON file or directory) instead of the coarse outlines.
    #[arg(long, value_name = "PATH", requires = "replay")]
    pub boundaries: Option<PathBuf>,
    /// Judge the recording by its own clock: possible because the demo's network is not live.
    #[arg(long, requires = "replay")]
    pub assume_recorded: bool,
}

/// Arguments of `status`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  city-node status
  city-node status --data-dir data
  city-node status --data-dir data --json

Exit code 3: the node is not running.")]
pub struct StatusArgs {
    /// Which node.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Reads what `run` needs; every mistake in it ends with [`Exit::Config`].
pub(super) fn prepare(
    args: &RunArgs,
) -> Result<(Config, Located, Identity, Option<Lock>), Failure> {
    fn refused(error: impl Into<anyhow::Error>) -> Failure {
        Failure::new(Exit::Config, error)
    }
    let located = args.place.locate();
    let config = Config::load(&located.config).map_err(refused)?;
    // From before the keys are read to the end: no command exchanges them under a node that is starting.
    let in_use = match Keystore::lock_directory(&located.data.keys(), false) {
        Ok(lock) => Some(lock),
        Err(error @ KeystoreError::InUse { .. }) => return Err(Failure::new(Exit::Failed, error)),
        // What is wrong with the directory is told with the identity.
        Err(_) => None,
    };
    let identity = identity(&located, &config, &args.passphrase).map_err(|error| {
        // A TPM or disk that is late is there at the next try; the service manager makes one.
        let exit = if error.may_pass() {
            Exit::Failed
        } else {
            Exit::Config
        };
        Failure::new(exit, error)
    })?;
    Ok((config, located, identity, in_use))
}

/// Says which variables somebody meant for the node and it does not know: no such switch exists.
pub(super) fn warn_of_variables(overrides: &Overrides) {
    for variable in overrides.unknown() {
        tracing::warn!(
            variable,
            "this environment variable means nothing to city-node and changes nothing; correct its spelling or unset it"
        );
    }
}

/// Reads who the node is, and checks that the configuration is its.
pub(super) fn identity(
    located: &Located,
    config: &Config,
    passphrase: &PassphraseArgs,
) -> Result<Identity, IdentityError> {
    let mut ask = || passphrase.of("the node's keys", PASSPHRASE_CREDENTIAL);
    let mut access = Access {
        tpm: config.keys.tpm.clone(),
        passphrase: Some(&mut ask),
    };
    let identity = load_identity_with(&located.data, &mut access)?;
    identity.admits(config, &located.config, &located.data)?;
    Ok(identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_flags_it_is_the_packages_node() {
        let check = |config: Option<&str>, data_dir: Option<&str>, expected: [&str; 2]| {
            let place = PlaceArgs {
                config: config.map(PathBuf::from),
                data_dir: data_dir.map(PathBuf::from),
            };
            let located = place.locate();
            let found = [located.config.as_path(), located.data.path()];
            assert_eq!(found, expected.map(Path::new));
        };
        let packaged = "/var/lib/city-node/data";
        check(None, None, [&format!("{packaged}/config.toml"), packaged]);
        check(None, Some("d"), ["d/config.toml", "d"]);
        check(Some("c/a.toml"), None, ["c/a.toml", "c"]);
        check(Some("a.toml"), None, ["a.toml", "."]);
        check(Some("a.toml"), Some("d"), ["a.toml", "d"]);
    }
}
