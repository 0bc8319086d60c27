//! A receiver that gpsd holds, over its JSON socket: the receiver's own bytes, and what gpsd knows of the device.
//!
//! `?WATCH` with `raw` 2 hands on every sentence and binary message as the receiver sent it. So the same decoder reads it, the same
//! bytes go into the digest, and what gpsd's own reports leave out (spoofing and jamming, signals, which sentence says what)
//! is there; its TPV and SKY reports would be a second, weaker decoder. gpsd's own answers stand between as lines of JSON
//! and are taken out. gpsd configures its receivers itself; nothing is written to them.

use super::serial::PortError;
use serde_json::{Value, json};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

/// Longest wait for gpsd to take a connection and the request: it answers on this machine or the next.
const PATIENCE: Duration = Duration::from_secs(2);

/// Longest without a byte: then the connection counts as dead, for a machine that loses its power says no word.
const QUIET: Duration = Duration::from_secs(30);

/// Longest line of JSON, in bytes: a list of some dozens of devices. A longer one is dropped.
const MAX_LINE: usize = 16 * 1024;

/// How every object of gpsd's begins; in ten bytes no receiver's data does by accident.
const OBJECT: &[u8] = b"{\"class\":\"";

/// Longest identity kept, in characters: one line.
const MAX_IDENTITY: usize = 120;

/// An open connection to gpsd.
#[derive(Debug)]
pub(super) struct Gpsd {
    stream: TcpStream,
    address: String,
    device: Option<String>,
    splitter: Splitter,
    release: String,
    /// When bytes came last.
    heard: Instant,
}

/// The request for a receiver's own bytes; of every receiver, if none is named.
fn watch(device: Option<&str>) -> String {
    let mut request = json!({ "class": "WATCH", "enable": true, "raw": 2 });
    if let Some(device) = device {
        request["device"] = device.into();
    }
    format!("?WATCH={request};\n")
}

impl Gpsd {
    /// Connects and asks for the receiver's bytes.
    pub(super) async fn open(address: &str, device: Option<&str>) -> Result<Self, PortError> {
        let connect = async {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(watch(device).as_bytes()).await?;
            Ok(stream)
        };
        let opened = timeout(PATIENCE, connect).await;
        let opened = opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        match opened {
            Ok(stream) => Ok(Self {
                stream,
                address: address.to_owned(),
                device: device.map(str::to_owned),
                splitter: Splitter::default(),
                release: String::new(),
                heard: Instant::now(),
            }),
            Err(source) => Err(PortError::Gpsd {
                address: address.to_owned(),
                advice: "cannot be reached; is gpsd running and listening there?".into(),
                source: Some(source),
            }),
        }
    }

    /// Waits for bytes and puts the receiver's among them into `raw`; gives the receiver's identity when gpsd says it.
    /// Cancel-safe: no byte is lost.
    pub(super) async fn read(
        &mut self,
        buffer: &mut [u8],
        raw: &mut Vec<u8>,
    ) -> Result<Option<String>, PortError> {
        let failed = |advice: &str, source| PortError::Gpsd {
            address: self.address.clone(),
            advice: advice.to_owned(),
            source,
        };
        // A moment and not a while: whoever looks at something else in between drops this and comes back.
        let read = timeout_at(self.heard + QUIET, self.stream.read(buffer)).await;
        let len = match read.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(0) => return Err(failed("closed the connection", None)),
            Ok(len) => len,
            Err(error) => return Err(failed("the connection broke", Some(error))),
        };
        self.heard = Instant::now();
        let mut objects = Vec::new();
        self.splitter.push(&buffer[..len], raw, |line| {
            objects.extend(serde_json::from_slice::<Value>(line));
        });
        let mut identity = None;
        for object in &objects {
            identity = self.told(object)?.or(identity);
        }
        Ok(identity)
    }

    /// What gpsd says of itself and its receivers.
    fn told(&mut self, object: &Value) -> Result<Option<String>, PortError> {
        let failed = |advice: String| {
            Err(PortError::Gpsd {
                address: self.address.clone(),
                advice,
                source: None,
            })
        };
        let text = |key: &str| object[key].as_str().unwrap_or_default();
        match text("class") {
            "VERSION" => self.release = text("release").chars().take(20).collect(),
            "ERROR" => return failed(format!("refuses: {}", text("message"))),
            "DEVICES" => {
                let devices = object["devices"].as_array().map_or(&[][..], Vec::as_slice);
                let paths: Vec<_> = devices.iter().filter_map(|d| d["path"].as_str()).collect();
                let chosen = match (&self.device, &paths[..]) {
                    // gpsd tells raw watchers of no later one: whoever calls again asks again.
                    (None, []) => return failed("holds no receiver yet".into()),
                    (None, [one]) => (*one).to_owned(),
                    (None, several) => {
                        let (all, at) = (several.join(", "), &self.address);
                        let advice = format!(
                            "has several receivers ({all}): name one, as gpsd://{at}{}",
                            several[0]
                        );
                        return failed(advice);
                    }
                    (Some(device), paths) if paths.contains(&device.as_str()) => device.clone(),
                    (Some(device), paths) => {
                        let all = paths.join(", ");
                        return failed(format!("has no receiver {device}; it has: {all}"));
                    }
                };
                if self.device.is_none() {
                    // Bound to this one, or a later receiver's bytes would come between.
                    let line = watch(Some(&chosen));
                    if self.stream.try_write(line.as_bytes()).ok() != Some(line.len()) {
                        return failed("does not take a request".into());
                    }
                    self.device = Some(chosen.clone());
                }
                let found = devices.iter().find(|device| device["path"] == *chosen);
                return Ok(found.map(|device| self.identity(device)));
            }
            "DEVICE" if object["driver"].is_string() => return Ok(Some(self.identity(object))),
            _ => {}
        }
        Ok(None)
    }

    fn identity(&self, device: &Value) -> String {
        let mut identity = format!("gpsd {}", self.release);
        for key in ["path", "driver", "subtype"] {
            if let Some(text) = device[key].as_str() {
                identity = format!("{} {text}", identity.trim_end());
            }
        }
        let printable = identity.chars().filter(|c| !c.is_control());
        printable.take(MAX_IDENTITY).collect()
    }
}

/// Takes gpsd's lines of JSON out of the receiver's bytes. gpsd writes each object at once, so its beginning is not looked for
/// across reads: a receiver's byte is never held back.
#[derive(Debug, Default)]
struct Splitter {
    /// The line of JSON that is being read; `None`: the receiver's bytes.
    line: Option<Vec<u8>>,
}

impl Splitter {
    fn push(&mut self, mut bytes: &[u8], raw: &mut Vec<u8>, mut on_line: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            if let Some(line) = &mut self.line {
                let end = bytes.iter().position(|&b| b == b'\n');
                let len = end.map_or(bytes.len(), |end| end + 1);
                let room = MAX_LINE - line.len();
                line.extend_from_slice(&bytes[..len.min(room)]);
                bytes = &bytes[len..];
                if end.is_some() {
                    on_line(line);
                    self.line = None;
                }
                continue;
            }
            let begin = bytes.windows(OBJECT.len()).position(|part| part == OBJECT);
            let len = begin.unwrap_or(bytes.len());
            raw.extend_from_slice(&bytes[..len]);
            bytes = &bytes[len..];
            self.line = begin.map(|_| Vec::new());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_taken_out_and_the_receivers_bytes_stay() {
        let stream = b"{\"class\":\"VERSION\",\"release\":\"3.22\"}\r\n$GPGLL,{*00\r\n\xB5\x62{\x01{\"class\":\"DEVICE\"}\r\n\xB5\x62\x05";
        let mut splitter = Splitter::default();
        let (mut raw, mut lines) = (Vec::new(), Vec::new());
        for part in stream.split_inclusive(|&b| b == b'\n') {
            splitter.push(part, &mut raw, |line| lines.push(line.to_vec()));
        }
        assert_eq!(raw, b"$GPGLL,{*00\r\n\xB5\x62{\x01\xB5\x62\x05");
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1], b"{\"class\":\"DEVICE\"}\r\n");
    }

    #[test]
    fn a_line_without_an_end_stays_bounded() {
        let mut splitter = Splitter::default();
        let mut raw = Vec::new();
        splitter.push(OBJECT, &mut raw, |_| {});
        for _ in 0..100 {
            splitter.push(&[b'x'; 1000], &mut raw, |_| {});
        }
        assert!(
            splitter
                .line
                .as_ref()
                .is_some_and(|line| line.len() == MAX_LINE)
        );
        assert!(raw.is_empty());
    }
}
