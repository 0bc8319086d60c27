//! `city-node run` as a process of its own, and what the kernel knows of it.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use city_node::admin::pages::Status;
use city_node::client::AdminClient;
use city_node::setup::DataDir;

use super::limits::processor_s_of;

/// Pause between two looks.
const POLL: Duration = Duration::from_millis(10);
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(1800);

/// A running node; it is killed when the bench gives up.
pub struct Node {
    child: Child,
    data: DataDir,
    log: PathBuf,
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        let _over = self.child.kill();
        let _over = self.child.wait();
    }
}

impl Node {
    /// Starts the node of a data directory and waits until it answers; gives how long that took.
    pub async fn start(data: &DataDir) -> (Self, Duration) {
        let log = data.path().join("node.log");
        let begun = Instant::now();
        let mut command = Command::new(env!("CARGO_BIN_EXE_city-node"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CITY_NODE_") {
                command.env_remove(name);
            }
        }
        let child = command
            .arg("run")
            .arg("--data-dir")
            .arg(data.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("a log file"))
            .spawn()
            .expect("a node");
        let data = data.clone();
        let mut node = Self { child, data, log };
        while node.ask().await.is_none() {
            let ended = node.child.try_wait().expect("a child");
            assert!(ended.is_none(), "the node ended:\n{}", node.log());
            assert!(begun.elapsed() < PATIENCE, "no answer:\n{}", node.log());
            tokio::time::sleep(POLL).await;
        }
        (node, begun.elapsed())
    }

    /// A connection to its operator's socket.
    pub async fn admin(&self) -> AdminClient {
        let admin = AdminClient::connect(&self.data.admin_socket()).await;
        admin.expect("a socket")
    }

    async fn ask(&self) -> Option<Status> {
        let admin = AdminClient::connect(&self.data.admin_socket()).await;
        admin.ok()?.status().await.ok()
    }

    /// How it is.
    pub async fn status(&self) -> Status {
        let status = self.ask().await;
        status.unwrap_or_else(|| panic!("no status:\n{}", self.log()))
    }

    /// What it said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// A line of `/proc/<pid>/status` that is a size, in megabytes: `VmRSS`, or `VmHWM` for the peak.
    pub fn megabytes(&self, line: &str) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("a running process");
        let size = status.lines().find_map(|l| l.strip_prefix(line));
        let kib = size.and_then(|rest| rest.split_whitespace().next());
        let kib: f64 = kib.expect("a size").parse().expect("a number");
        kib * 1024.0 / 1e6
    }

    /// Seconds of processor time that it used, over all cores.
    pub fn processor_s(&self) -> f64 {
        processor_s_of(&self.child.id().to_string())
    }

    /// `kill -9`.
    pub fn kill(self) {
        drop(self);
    }

    /// Stops it as systemd does.
    pub fn stop(mut self) {
        let pid = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(told.expect("kill").success());
        let ended = self.child.wait().expect("an end");
        assert!(ended.success(), "{ended}:\n{}", self.log());
    }
}
