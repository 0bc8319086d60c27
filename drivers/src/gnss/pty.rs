//! A pseudo-terminal that stands in for a receiver: what is written here, the serial driver reads from a real tty.
//!
//! Owns the master side. Dropping it is pulling the receiver's plug.

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::AsyncWrite;
use tokio::time::Sleep;

/// How long a writer waits before it looks again whether the terminal has room. A tty holds 4 KiB, so this still passes
/// 2 MB/s. Readiness is not used: once a reader has closed the terminal, epoll reports the master as hung up for ever, and
/// tokio keeps that state although the next reader may come any time.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// The master side of a pseudo-terminal in raw mode; write a receiver's bytes into it.
///
/// Bytes wait in the terminal (some 4 KiB) until somebody reads them; when full, writing waits. What the reader sends to
/// the receiver is kept for [`Pty::sent`]; the oldest is thrown away.
#[derive(Debug)]
pub struct Pty {
    master: OwnedFd,
    path: PathBuf,
    waiting: Option<Pin<Box<Sleep>>>,
    sent: Vec<u8>,
}

/// How much of what the reader sends is kept until it is asked for, in bytes: some dozens of requests.
const MAX_SENT: usize = 4096;

impl Pty {
    /// Opens a new pseudo-terminal.
    ///
    /// # Errors
    ///
    /// When the system has no `/dev/ptmx` or no free terminal.
    pub fn open() -> io::Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let path = PathBuf::from(OsString::from_vec(
            ptsname(&master, Vec::new())?.into_bytes(),
        ));
        // On Linux the master's attributes are the terminal's. Without raw mode the line discipline would echo, and hold
        // bytes back until a line end.
        let mut attributes = tcgetattr(&master)?;
        attributes.make_raw();
        tcsetattr(&master, OptionalActions::Now, &attributes)?;
        let flags = rustix::fs::fcntl_getfl(&master)?;
        rustix::fs::fcntl_setfl(&master, flags | OFlags::NONBLOCK)?;
        Ok(Self {
            master,
            path,
            waiting: None,
            sent: Vec::new(),
        })
    }

    /// The terminal to open as the receiver's device, such as `/dev/pts/7`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The speed that the reader has set, bits per second.
    ///
    /// # Errors
    ///
    /// When the terminal does not say.
    pub fn baud(&self) -> io::Result<u32> {
        Ok(tcgetattr(&self.master)?.input_speed())
    }

    /// What the reader has sent to the receiver since it was asked last, at most 4 KiB.
    pub fn sent(&mut self) -> Vec<u8> {
        self.drain();
        std::mem::take(&mut self.sent)
    }

    /// Takes what the reader has sent to the receiver, so that it never blocks.
    fn drain(&mut self) {
        let mut buffer = [0; 256];
        while let Ok(len @ 1..) = rustix::io::read(&self.master, &mut buffer) {
            self.sent.extend_from_slice(&buffer[..len]);
            let over = self.sent.len().saturating_sub(MAX_SENT);
            self.sent.drain(..over);
        }
    }
}

impl AsyncWrite for Pty {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            if let Some(sleep) = &mut self.waiting {
                ready!(sleep.as_mut().poll(context));
                self.waiting = None;
            }
            self.drain();
            match rustix::io::write(&self.master, bytes) {
                Ok(0) if !bytes.is_empty() => {}
                Err(Errno::AGAIN | Errno::INTR) => {}
                result => return Poll::Ready(result.map_err(io::Error::from)),
            }
            self.waiting = Some(Box::pin(tokio::time::sleep(LOOK_AGAIN)));
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
