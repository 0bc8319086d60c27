//! The serial port of a receiver: opens exactly the configured device, 8N1 in raw mode, and reads it.
//!
//! Owns the tty. When to open it again is `receiver`'s; what the bytes mean is `decoder`'s.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_serial::{
    ClearBuffer, DataBits, ErrorKind, FlowControl, Parity, SerialPort as _,
    SerialPortBuilderExt as _, SerialStream, StopBits,
};

/// Longest wait for a request to be taken by the line: 60 bytes at 4800 baud are an eighth of a second.
const WRITING: Duration = Duration::from_secs(1);

/// Why a port cannot be used; the text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// The path is not valid UTF-8, which the serial library asks for.
    #[error("{0:?} is not a UTF-8 path: name the receiver's device by another path")]
    Path(PathBuf),
    /// The device is absent, in use, not permitted, or no terminal.
    #[error("cannot open {device}: {advice}")]
    Open {
        /// The configured path.
        device: PathBuf,
        /// What was found and what helps.
        advice: &'static str,
        /// The error of the serial library.
        #[source]
        source: tokio_serial::Error,
    },
    /// No serial device says that it is a GNSS receiver.
    #[error(
        "no known GNSS receiver is plugged in; if yours is, set its device in gnss.device (ls /dev/serial/by-id/)"
    )]
    NoneKnown,
    /// gpsd is not there, or does not give what is asked of it.
    #[error("gpsd at {address} {advice}")]
    Gpsd {
        /// Its `host:port`.
        address: String,
        /// What was found and what helps.
        advice: String,
        /// The error of the connection, if it was one.
        #[source]
        source: Option<io::Error>,
    },
    /// A recording cannot be read.
    #[error("{} cannot be read: check the path in gnss.device and its permissions", file.display())]
    Recording {
        /// The file.
        file: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The device went away: unplugged, or the other side of a pseudo-terminal closed.
    #[error("{device} went away: receiver unplugged?")]
    Gone {
        /// The configured path.
        device: PathBuf,
        /// The error that reading ended with; `None` for an end of file.
        #[source]
        source: Option<io::Error>,
    },
}

/// An open receiver port.
#[derive(Debug)]
pub struct Port {
    device: PathBuf,
    stream: SerialStream,
}

impl Port {
    /// Opens this device at this speed, 8 data bits, no parity, one stop bit, no flow control; a
    /// real port for this process alone. Modem lines are neither needed nor waited for. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`PortError::Path`] and [`PortError::Open`].
    pub fn open(device: &Path, baud: u32) -> Result<Self, PortError> {
        let device = device.to_owned();
        let Some(path) = device.to_str() else {
            return Err(PortError::Path(device));
        };
        let stream = tokio_serial::new(path, baud)
            .data_bits(DataBits::Eight)
            .parity(Parity::None)
            .stop_bits(StopBits::One)
            .flow_control(FlowControl::None)
            .exclusive(!is_pseudo_terminal(&device))
            .open_native_async();
        match stream {
            Ok(stream) => Ok(Self { device, stream }),
            Err(source) => Err(PortError::Open {
                device,
                advice: advice(&source),
                source,
            }),
        }
    }

    /// Waits for bytes and reads some into `buffer`; never returns 0. Cancel-safe: no byte is lost.
    ///
    /// # Errors
    ///
    /// [`PortError::Gone`]; the port is useless afterwards.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, PortError> {
        let gone = |source| PortError::Gone {
            device: self.device.clone(),
            source,
        };
        match self.stream.read(buffer).await {
            // A tty in raw mode reads 0 bytes only after a hang-up.
            Ok(0) => Err(gone(None)),
            Ok(len) => Ok(len),
            Err(error) => Err(gone(Some(error))),
        }
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> &Path {
        &self.device
    }

    /// Goes on at another speed; what was received at the old one and not read yet is dropped.
    ///
    /// # Errors
    ///
    /// [`PortError::Open`] where the device does not know the speed, [`PortError::Gone`].
    pub(super) fn set_baud(&mut self, baud: u32) -> Result<(), PortError> {
        let changed = self.stream.set_baud_rate(baud);
        let cleared = changed.and_then(|()| self.stream.clear(ClearBuffer::Input));
        cleared.map_err(|source| PortError::Open {
            device: self.device.clone(),
            advice: advice(&source),
            source,
        })
    }

    /// Writes a request to the receiver.
    ///
    /// # Errors
    ///
    /// [`PortError::Gone`]; also where the line does not take it in time.
    pub(super) async fn write(&mut self, request: &[u8]) -> Result<(), PortError> {
        let written = timeout(WRITING, self.stream.write_all(request)).await;
        let written = written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        written.map_err(|source| PortError::Gone {
            device: self.device.clone(),
            source: Some(source),
        })
    }
}

/// Linux forgets that a port is exclusive when its last reader closes it, however that reader ended. Of a pseudo-terminal
/// it forgets only when the other side closes: after `kill -9` the next reader would be refused (EBUSY) unless it is root.
/// Such a terminal belongs to whoever made it, so it is opened without the claim.
fn is_pseudo_terminal(device: &Path) -> bool {
    device
        .canonicalize()
        .is_ok_and(|path| path.starts_with("/dev/pts"))
}

fn advice(error: &tokio_serial::Error) -> &'static str {
    match error.kind {
        ErrorKind::NoDevice => {
            "no such device, or another program holds it; is the receiver plugged in?"
        }
        ErrorKind::InvalidInput => "the path or the baud rate is not valid",
        ErrorKind::Io(io::ErrorKind::NotFound) => "no such device; is the receiver plugged in?",
        ErrorKind::Io(io::ErrorKind::PermissionDenied) => {
            "permission denied; the node's user must be in the group of the device (often dialout)"
        }
        _ => "it does not behave like a serial port",
    }
}
