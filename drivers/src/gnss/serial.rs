//! The serial port of a receiver: opens exactly the configured device, 8N1 in raw mode, and reads it.
//!
//! Owns the tty. When to open it again is `receiver`'s; what the bytes mean is `decoder`'s.

use super::receiver::ReceiverConfig;
use std::io;
use std::path::{Path, PathBuf};
use tokio::io::AsyncReadExt;
use tokio_serial::{
    DataBits, ErrorKind, FlowControl, Parity, SerialPortBuilderExt, SerialStream, StopBits,
};

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
    /// Opens the configured device at the configured speed, 8 data bits, no parity, one stop bit, no flow control; a
    /// real port for this process alone. Modem lines are neither needed nor waited for. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`PortError::Path`] and [`PortError::Open`].
    pub fn open(config: &ReceiverConfig) -> Result<Self, PortError> {
        let device = config.device.clone();
        let Some(path) = device.to_str() else {
            return Err(PortError::Path(device));
        };
        let stream = tokio_serial::new(path, config.baud)
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
