//! A service manager starts the node, hears how it is, and stops it.

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::city::{PATIENCE, alone, directory, run};

/// What systemd's unit would say, in microseconds: four looks within it are one a second, as often as an idle
/// commit thread goes round.
const WATCHDOG_US: &str = "4000000";

/// The end that systemd would hold.
struct Manager(UnixDatagram);

impl Manager {
    /// The states of the next message; none if nothing comes in time.
    fn hear(&self, patience: Duration) -> Option<Vec<String>> {
        self.0.set_read_timeout(Some(patience)).unwrap();
        let mut message = [0; 4096];
        let length = self.0.recv(&mut message).ok()?;
        let text = std::str::from_utf8(&message[..length]).unwrap();
        Some(text.lines().map(str::to_owned).collect())
    }

    /// The first message with this state.
    fn wait_for(&self, state: &str) -> Vec<String> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let heard = self.hear(PATIENCE);
            let heard = heard.unwrap_or_else(|| panic!("no {state}"));
            if heard.iter().any(|said| said == state) {
                return heard;
            }
        }
        panic!("no {state}");
    }
}

/// Ended with the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _over = self.0.kill();
        let _over = self.0.wait();
    }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .arg(name)
        .arg(child.id().to_string())
        .status();
    assert!(sent.unwrap().success());
}

#[test]
fn a_manager_hears_ready_beats_and_stopping() {
    let root = directory();
    let city = alone(root.path(), root.path().join("d"));
    let socket = root.path().join("notify");
    let manager = Manager(UnixDatagram::bind(&socket).unwrap());
    let child = run(&city.data, &[])
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", WATCHDOG_US)
        .spawn()
        .unwrap();
    let mut node = Running(child);

    let opening = manager.hear(PATIENCE).unwrap();
    assert!(
        opening
            .iter()
            .any(|said| said.starts_with("EXTEND_TIMEOUT_USEC=")),
        "a long rebuild is not killed: {opening:?}"
    );
    let ready = manager.wait_for("READY=1");
    let line = ready.iter().find(|said| said.starts_with("STATUS="));
    let line = line.expect("a line for people");
    assert!(
        line.contains("Asia/JP/17/17201") && line.contains("API at 127.0.0.1:"),
        "{line}"
    );
    assert!(
        city.data.admin_socket().exists(),
        "ready means that it can be asked"
    );
    for _ in 0..2 {
        manager.wait_for("WATCHDOG=1");
    }

    signal(&node.0, "-TERM");
    manager.wait_for("STOPPING=1");
    assert!(node.0.wait().unwrap().success());
    let after = manager.hear(Duration::from_millis(100));
    assert_eq!(after, None, "nothing comes after it has stopped");
}
