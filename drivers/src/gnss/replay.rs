//! Plays a recorded capture: into fixes directly, or as bytes into a pseudo-terminal, both as fast as it goes.
//!
//! Owns the comment header of gpsd's `.log` files, and the pace at which epochs came. Says nothing about whether recorded data is acceptable.

use super::decoder::Decoder;
use super::fix::Fix;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes read from a capture at a time; about ten epochs of text.
const READ_SIZE: usize = 8 * 1024;

/// How long an epoch lasts that has no time, or one that is not later than the last: the usual 1 Hz.
const UNTIMED: Duration = Duration::from_secs(1);

/// Longest pause between two epochs: whoever recorded a day in parts need not wait for the night.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// Steps over the lines at the start of a capture that begin with `#` (gpsd's regression captures carry name, date and
/// place of the recording there; some quote sentences).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HeaderSkipper(Header);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Header {
    #[default]
    LineStart,
    Comment,
    Over,
}

impl HeaderSkipper {
    /// The part of the next `bytes` that belongs to the capture itself.
    pub fn skip<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        for (at, byte) in bytes.iter().enumerate() {
            self.0 = match (self.0, byte) {
                (Header::LineStart, b'#') => Header::Comment,
                (Header::LineStart, _) | (Header::Over, _) => {
                    self.0 = Header::Over;
                    return &bytes[at..];
                }
                (Header::Comment, b'\n') => Header::LineStart,
                (Header::Comment, _) => Header::Comment,
            };
        }
        &[]
    }
}

/// The fixes of a capture, in order; see [`fixes`].
#[derive(Debug)]
pub struct Fixes<R> {
    reader: R,
    header: HeaderSkipper,
    decoder: Decoder,
    ready: VecDeque<Fix>,
    ended: bool,
}

/// Decodes a capture as fast as `reader` gives it.
pub fn fixes<R: Read>(reader: R) -> Fixes<R> {
    Fixes {
        reader,
        header: HeaderSkipper::default(),
        decoder: Decoder::new(),
        ready: VecDeque::new(),
        ended: false,
    }
}

impl<R> Fixes<R> {
    /// The decoder, for its counters.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }
}

impl<R: Read> Iterator for Fixes<R> {
    /// A fix, or the error of the reader, after which the iterator ends.
    type Item = io::Result<Fix>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut buffer = [0; READ_SIZE];
        while self.ready.is_empty() && !self.ended {
            let ready = &mut self.ready;
            match self.reader.read(&mut buffer) {
                Ok(0) => {
                    self.ended = true;
                    self.decoder.finish(|fix| ready.push_back(fix));
                }
                Ok(len) => {
                    let bytes = self.header.skip(&buffer[..len]);
                    self.decoder.push(bytes, |fix| ready.push_back(fix));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
        self.ready.pop_front().map(Ok)
    }
}

/// Writes a capture without its comment header into `sink`, such as a [`Pty`](super::Pty), as fast as it takes it.
/// Returns the bytes written.
///
/// # Errors
///
/// Whatever reading `source` or writing `sink` fails with.
pub async fn play(
    mut source: impl AsyncRead + Unpin,
    mut sink: impl AsyncWrite + Unpin,
) -> io::Result<u64> {
    let mut header = HeaderSkipper::default();
    let mut buffer = vec![0; READ_SIZE];
    let mut written = 0;
    loop {
        let len = source.read(&mut buffer).await?;
        if len == 0 {
            sink.flush().await?;
            return Ok(written);
        }
        let bytes = header.skip(&buffer[..len]);
        sink.write_all(bytes).await?;
        written += bytes.len() as u64;
    }
}

/// How long an epoch comes behind the one before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pace {
    begun: bool,
    last_ms: Option<u64>,
}

impl Pace {
    /// The pause before an epoch of this time, milliseconds since the Unix epoch; none before the first.
    #[must_use]
    pub fn pause(&mut self, time_ms: Option<u64>) -> Duration {
        let step = time_ms
            .zip(self.last_ms)
            .map(|(now, last)| Duration::from_millis(now.saturating_sub(last)))
            .filter(|step| !step.is_zero());
        let pause = match (self.begun, step) {
            (false, _) => Duration::ZERO,
            (true, Some(step)) => step.min(MAX_PAUSE),
            (true, None) => UNTIMED,
        };
        self.begun = true;
        self.last_ms = time_ms.or(self.last_ms);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_come_as_they_came() {
        let mut pace = Pace::default();
        let mut after = |time_ms| pace.pause(time_ms).as_millis();
        assert_eq!(after(Some(10_000)), 0, "the first at once");
        assert_eq!(after(Some(10_200)), 200);
        assert_eq!(after(None), 1000, "without a time");
        assert_eq!(after(Some(12_200)), 2000, "behind the last known one");
        assert_eq!(after(Some(12_200)), 1000, "a clock that stands still");
        assert_eq!(after(Some(5_000)), 1000, "one that was set back");
        assert_eq!(after(Some(5_000 + 86_400_000)), 60_000, "the next day");
        let mut undated = Pace::default();
        assert_eq!(undated.pause(None), Duration::ZERO);
        assert_eq!(undated.pause(None), UNTIMED);
    }

    #[test]
    fn the_comment_header_is_skipped_however_it_is_cut() {
        let capture = b"# Name: x\n#$GPGLL,\n$GPGGA\n# stays\n";
        for size in 1..capture.len() {
            let mut header = HeaderSkipper::default();
            let kept: Vec<u8> = capture
                .chunks(size)
                .flat_map(|read| header.skip(read).to_vec())
                .collect();
            assert_eq!(kept, b"$GPGGA\n# stays\n", "reads of {size}");
        }
    }
}
