//! A recorded file as a receiver: its bytes.
//!
//! It is played once, at its own pace (`replay::Pace`). It does not begin again at its end: its time would run backwards, which no receiver's
//! does. Whether recorded data is acceptable is decided elsewhere.

use super::replay::HeaderSkipper;
use super::serial::PortError;
use std::io;
use std::path::{Path, PathBuf};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

/// An open recording.
#[derive(Debug)]
pub(super) struct Recording {
    path: PathBuf,
    file: File,
    header: HeaderSkipper,
}

impl Recording {
    pub(super) async fn open(path: &Path) -> Result<Self, PortError> {
        match File::open(path).await {
            Ok(file) => Ok(Self {
                path: path.to_owned(),
                file,
                header: HeaderSkipper::default(),
            }),
            Err(source) => Err(unreadable(path, source)),
        }
    }

    /// Reads some bytes, without the comment header that captures of gpsd have; `None` at the end. Cancel-safe.
    pub(super) async fn read(
        &mut self,
        buffer: &mut [u8],
        bytes: &mut Vec<u8>,
    ) -> Result<Option<()>, PortError> {
        match self.file.read(buffer).await {
            Ok(0) => Ok(None),
            Ok(len) => {
                bytes.extend_from_slice(self.header.skip(&buffer[..len]));
                Ok(Some(()))
            }
            Err(source) => Err(unreadable(&self.path, source)),
        }
    }
}

fn unreadable(path: &Path, source: io::Error) -> PortError {
    PortError::Recording {
        file: path.to_owned(),
        source,
    }
}
