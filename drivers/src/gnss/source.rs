//! Where a receiver's bytes come from, as the operator writes it: a serial device, `auto`, gpsd, or a recorded file.
//!
//! Owns the spelling. What `auto` finds is `discover`'s; opening is `serial`'s, `gpsd`'s and `recording`'s.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where gpsd listens unless told otherwise.
const GPSD_PORT: u16 = 2947;

/// The speeds that receivers use, bits per second, in the order in which they are tried: what most start with first.
pub const BAUDS: [u32; 9] = [
    9600, 38_400, 115_200, 4800, 57_600, 19_200, 230_400, 460_800, 921_600,
];

/// Where the bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// This serial device and no other.
    Serial(PathBuf),
    /// The first serial device that is known to be a GNSS receiver by its USB identity; see `discover`.
    Auto,
    /// A receiver that gpsd holds.
    Gpsd {
        /// `host:port`.
        address: String,
        /// Which of gpsd's receivers, by its device; needed where gpsd has several.
        device: Option<String>,
    },
    /// A capture that is played once, at its own pace.
    Recording(PathBuf),
}

impl Source {
    /// Reads a configured device: `auto`, `gpsd://HOST[:PORT][/dev/…]`, `file:PATH`, or a path.
    #[must_use]
    pub fn of(device: &Path) -> Self {
        let Some(text) = device.to_str() else {
            return Self::Serial(device.to_owned());
        };
        if text == "auto" {
            return Self::Auto;
        }
        if let Some(file) = text.strip_prefix("file:") {
            return Self::Recording(file.into());
        }
        let Some(rest) = text.strip_prefix("gpsd://") else {
            return Self::Serial(device.to_owned());
        };
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        // An IPv6 address stands in brackets and is full of colons.
        let has_port = host
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let address = match (host, has_port) {
            ("", _) => format!("localhost:{GPSD_PORT}"),
            (host, true) => host.to_owned(),
            (host, false) => format!("{host}:{GPSD_PORT}"),
        };
        let device = (path.len() > 1).then(|| path.to_owned());
        Self::Gpsd { address, device }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serial(device) => device.display().fmt(f),
            Self::Auto => f.write_str("auto"),
            Self::Recording(file) => write!(f, "file:{}", file.display()),
            Self::Gpsd { address, device } => {
                write!(f, "gpsd://{address}{}", device.as_deref().unwrap_or(""))
            }
        }
    }
}

/// Speed of a serial line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Baud {
    /// This one, bits per second; pseudo-terminals and USB CDC take any.
    Fixed(u32),
    /// That of [`BAUDS`] at which sentences or frames with a right checksum come.
    Auto,
}

/// Which receiver to read, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiverConfig {
    /// Where its bytes come from. Nothing else is ever opened.
    pub source: Source,
    /// Speed of a serial line.
    pub baud: Baud,
    /// A u-blox receiver that answers is asked for the messages that place checking uses, in its working memory only.
    /// Otherwise nothing is ever written to the line.
    pub configure: bool,
}

impl ReceiverConfig {
    /// A serial receiver that is only listened to.
    #[must_use]
    pub fn serial(device: impl Into<PathBuf>, baud: u32) -> Self {
        Self {
            source: Source::Serial(device.into()),
            baud: Baud::Fixed(baud),
            configure: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_source() {
        let check = |text: &str, shown: &str| {
            assert_eq!(Source::of(Path::new(text)).to_string(), shown, "{text}");
        };
        check("/dev/ttyACM0", "/dev/ttyACM0");
        check("auto", "auto");
        check("gpsd://", "gpsd://localhost:2947");
        check("gpsd://127.0.0.1:2948", "gpsd://127.0.0.1:2948");
        check("gpsd://[::1]", "gpsd://[::1]:2947");
        check("gpsd://[::1]:7/", "gpsd://[::1]:7");
        check("gpsd://roof/dev/ttyS0", "gpsd://roof:2947/dev/ttyS0");
        check("file:/srv/roof.nmea", "file:/srv/roof.nmea");
        assert_eq!(
            Source::of(Path::new("file:/srv/roof.nmea")),
            Source::Recording("/srv/roof.nmea".into())
        );
        assert_eq!(Source::of(Path::new("auto")), Source::Auto);
        assert_eq!(
            Source::of(Path::new("./auto")),
            Source::Serial("./auto".into())
        );
    }
}
