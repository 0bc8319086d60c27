//! Where a TPM is: a device, or an emulator's port.

use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::net::ToSocketAddrs as _;
use std::path::Path;
use std::str::FromStr;

use super::TpmError;

/// `device:PATH`, or `swtpm:host=HOST,port=PORT`: the two of tpm2-tss's names that are used here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TpmAddress {
    text: String,
    at: At,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum At {
    Device(String),
    Emulator(String, u16),
}

/// The text names no TPM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither device:/dev/… nor swtpm:host=…,port=…")]
pub struct BadAddress;

impl TpmAddress {
    /// The text as tpm2-tss reads it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Asks the operating system why it would not open.
    pub(super) fn probe(&self) -> Result<(), TpmError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => TpmError::Missing {
                address: self.clone(),
                source,
            },
            io::ErrorKind::PermissionDenied => TpmError::NotAllowed {
                address: self.clone(),
            },
            io::ErrorKind::ResourceBusy => TpmError::Busy {
                address: self.clone(),
            },
            _ => TpmError::Missing {
                address: self.clone(),
                source,
            },
        };
        match &self.at {
            At::Device(path) => OpenOptions::new()
                .read(true)
                .write(true)
                .open(Path::new(path))
                .map(drop)
                .map_err(failed),
            // An emulator serves one connection; one that comes and goes would end it. Only its name is looked up.
            At::Emulator(host, port) => (host.as_str(), *port)
                .to_socket_addrs()
                .and_then(|mut found| found.next().ok_or_else(|| io::ErrorKind::NotFound.into()))
                .map(drop)
                .map_err(failed),
        }
    }
}

impl FromStr for TpmAddress {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let at = if let Some(path) = text.strip_prefix("device:") {
            if !Path::new(path).is_absolute() || path.contains('\0') {
                return Err(BadAddress);
            }
            At::Device(path.into())
        } else {
            let rest = text.strip_prefix("swtpm:host=").ok_or(BadAddress)?;
            let (host, port) = rest.split_once(",port=").ok_or(BadAddress)?;
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
            if host.is_empty() || !host.chars().all(plain) {
                return Err(BadAddress);
            }
            At::Emulator(host.into(), port.parse().map_err(|_| BadAddress)?)
        };
        Ok(Self {
            text: text.into(),
            at,
        })
    }
}

impl fmt::Display for TpmAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_device_or_an_emulator() {
        let good = |text: &str| assert_eq!(text.parse::<TpmAddress>().unwrap().as_str(), text);
        good("device:/dev/tpmrm0");
        good("swtpm:host=127.0.0.1,port=2321");
        good("swtpm:host=localhost,port=2321");
        let bad = |text: &str| assert_eq!(text.parse::<TpmAddress>(), Err(BadAddress), "{text}");
        bad("");
        bad("device:");
        bad("device:tpm0");
        bad("/dev/tpmrm0");
        bad("swtpm:port=2321");
        bad("swtpm:host=,port=2321");
        bad("swtpm:host=a b,port=2321");
        bad("swtpm:host=localhost,port=99999");
        bad("cmd:rm");
    }

    #[test]
    fn a_device_that_is_not_there_is_named() {
        let address: TpmAddress = "device:/dev/no-such-tpm".parse().unwrap();
        let error = address.probe().unwrap_err();
        assert!(matches!(error, TpmError::Missing { .. }), "{error:?}");
        assert!(error.to_string().contains("/dev/no-such-tpm"), "{error}");
    }
}
