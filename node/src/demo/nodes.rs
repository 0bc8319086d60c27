//! The nodes: real processes of this very binary, each on its own data directory. They stop when told to,
//! and by themselves when this process is gone: their standard input ends.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use city_protocol::ids::Digest;
use tokio::process::{Child, Command};

use super::cast::Municipality;
use crate::admin::pages::{AuditPage, Status, VerifyPage};
use crate::api::wire::KeptAs;
use crate::client::AdminClient;
use crate::config::keys::VARIABLE_PREFIX;

/// How long a node may take until it answers.
const START_WITHIN: Duration = Duration::from_secs(10);
/// How long it may take to stop before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// Pause between two questions.
const POLL: Duration = Duration::from_millis(50);
/// Last lines of a node's log that are shown when it fails.
const LOG_TAIL: usize = 12;

/// A running node.
pub(super) struct Node {
    child: Child,
    socket: PathBuf,
    name: String,
    log: PathBuf,
}

impl Node {
    /// Starts the node of a municipality; its log goes into its data directory.
    pub(super) fn start(city: &Municipality) -> Result<Self> {
        let program = std::env::current_exe().context("this program's own path")?;
        let log = city.data.path().join("node.log");
        let file = std::fs::File::create(&log)
            .with_context(|| format!("{} cannot be written", log.display()))?;
        let mut command = Command::new(program);
        // Settings of this process's surroundings are not the nodes' own.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with(VARIABLE_PREFIX) {
                command.env_remove(name);
            }
        }
        let child = command
            .arg("run")
            .arg("--data-dir")
            .arg(city.data.path())
            .arg("--stop-on-stdin-end")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .context("a node could not be started")?;
        let socket = city.data.admin_socket();
        Ok(Self {
            child,
            socket,
            name: city.plan.name.clone(),
            log,
        })
    }

    /// Waits until the node answers on its admin socket.
    pub(super) async fn ready(&mut self) -> Result<()> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().context("waiting for a node")? {
                bail!(
                    "the node of {} ended with {status}; its log says:\n{}",
                    self.name,
                    self.tail()
                );
            }
            if self.status().await.is_ok() {
                return Ok(());
            }
            if begun.elapsed() > START_WITHIN {
                bail!(
                    "the node of {} does not answer; its log says:\n{}",
                    self.name,
                    self.tail()
                );
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// How the node is.
    pub(super) async fn status(&self) -> Result<Status> {
        Ok(self.admin().await?.status().await?)
    }

    /// What its audit says.
    pub(super) async fn audit(&self) -> Result<AuditPage> {
        Ok(self.admin().await?.audit().await?)
    }

    /// What checking every hash and signature says.
    pub(super) async fn verify(&self) -> Result<VerifyPage> {
        Ok(self.admin().await?.verify().await?)
    }

    /// What it has of a transfer's private values.
    pub(super) async fn private(&self, transfer: &Digest) -> Result<KeptAs> {
        Ok(self.admin().await?.private(transfer).await?.kept)
    }

    async fn admin(&self) -> Result<AdminClient> {
        AdminClient::connect(&self.socket)
            .await
            .with_context(|| self.name.clone())
    }

    /// Stops the node as systemd would, and waits for it.
    pub(super) async fn stop(mut self) -> Result<()> {
        // The end of its standard input is its signal to stop.
        drop(self.child.stdin.take());
        match tokio::time::timeout(STOP_WITHIN, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => bail!("{} stopped with {status}:\n{}", self.name, self.tail()),
            Ok(Err(error)) => Err(error).context("waiting for a node to stop"),
            Err(_) => {
                self.child
                    .kill()
                    .await
                    .context("a node could not be killed")?;
                bail!(
                    "{} did not stop within {STOP_WITHIN:?} and was killed",
                    self.name
                )
            }
        }
    }

    fn tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(LOG_TAIL);
        lines[from..]
            .iter()
            .map(|line| format!("    {line}\n"))
            .collect()
    }
}
