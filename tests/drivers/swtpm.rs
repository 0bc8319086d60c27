//! An emulated TPM 2.0 for tests: `swtpm` (Debian package), its state in a directory, its ports on this machine.

#![allow(unreachable_pub, reason = "for the tests beside it and of the node")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than an emulator takes to start on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running emulator; it ends with this.
pub struct Swtpm {
    child: Child,
    port: u16,
}

impl Swtpm {
    /// Starts one whose memory is kept in this directory; none, with the words for it, where there is no swtpm.
    pub fn start(state: &Path) -> Option<Self> {
        if Command::new("swtpm").arg("--version").output().is_err() {
            println!("skipped: no swtpm");
            return None;
        }
        std::fs::create_dir_all(state).unwrap();
        let port = two_free_ports();
        let child = Command::new("swtpm")
            .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
            .arg("--tpmstate")
            .arg(format!("dir={}", state.display()))
            .args(["--server", &format!("type=tcp,port={port}")])
            .args(["--ctrl", &format!("type=tcp,port={}", port + 1)])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let tpm = Self { child, port };
        let begun = Instant::now();
        // The control port takes connections one after the other, and none of them ends it.
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port + 1)).is_err() {
            assert!(begun.elapsed() < PATIENCE, "swtpm does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(tpm)
    }

    /// Its address, as the configuration takes it.
    pub fn address(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port)
    }

    /// One raw command; gives the response code.
    pub fn command(&self, body: &[u8]) -> u32 {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = [0; 10];
        stream.read_exact(&mut answer).unwrap();
        u32::from_be_bytes(answer[6..10].try_into().unwrap())
    }

    /// Extends a register with something, as a changed boot does.
    pub fn extend(&self, pcr: u8) {
        let mut body = vec![0x80, 0x02, 0, 0, 0, 0, 0, 0, 0x01, 0x82, 0, 0, 0, pcr];
        body.extend([0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0]);
        body.extend([0, 0, 0, 1, 0, 0x0b]);
        body.extend([0x5a; 32]);
        body[5] = u8::try_from(body.len()).unwrap();
        assert_eq!(self.command(&body), 0);
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        let _over = self.child.kill();
        let _over = self.child.wait();
    }
}

/// A port that is free and so is the next one: where tpm2-tss looks for the control channel.
fn two_free_ports() -> u16 {
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < PATIENCE, "no two free ports");
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = first.local_addr().unwrap().port();
        if port < u16::MAX && TcpListener::bind((Ipv4Addr::LOCALHOST, port + 1)).is_ok() {
            return port;
        }
    }
}
