//! Finds NMEA 0183 sentences and u-blox UBX frames in one byte stream and steps over everything else.
//!
//! Owns the buffer between two reads and the checksums. Does not know what a sentence means. The answer depends
//! on the bytes alone, never on how they were cut into reads.

use std::fmt;

/// Longest NMEA sentence that is waited for, in bytes from `$` to the checksum. NMEA 0183 allows 82, receivers send
/// up to about 110, u-blox's proprietary PUBX,03 with 70 satellites about 1,000. More printable text is noise.
pub const MAX_NMEA_SENTENCE: usize = 1024;

/// Longest UBX payload that is waited for, in bytes. The longest periodic message, RXM-RAWX (16 + 32 × signals), stays
/// below; a length field found in noise can therefore hold back at most this much of the stream, and lose none of it.
pub const MAX_UBX_PAYLOAD: usize = 4096;

/// Sync (2), class, id, length (2) before, checksum (2) after a UBX payload.
const UBX_OVERHEAD: usize = 8;
const UBX_SYNC: [u8; 2] = [0xB5, 0x62];

/// Message classes that u-blox receivers send (NAV, RXM, INF, ACK, CFG, UPD, MON, AID, TIM, ESF, MGA, LOG, SEC, HNR, NAV2).
/// Any other class after sync bytes means that the sync bytes were noise.
const UBX_CLASSES: [u8; 15] = [
    0x01, 0x02, 0x04, 0x05, 0x06, 0x09, 0x0A, 0x0B, 0x0D, 0x10, 0x13, 0x21, 0x27, 0x28, 0x29,
];

/// So many sentences without a checksum, and none with one, show that the receiver does not send them (NMEA 0183 before
/// 2.30); only then are they believed. A line that opens with a cut sentence must not pass for such a receiver.
const UNCHECKED_BEFORE_TRUST: u32 = 16;

/// How much of one `push` is taken into the buffer at a time, in bytes; bounds the buffer whatever the caller hands in.
const STEP: usize = 4096;

/// One whole frame, checksum verified, borrowed from the framer's buffer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// An NMEA 0183 sentence from `$` to its checksum, without line end; printable ASCII only.
    Nmea {
        /// The whole sentence, such as `$GPGLL,…*6D`.
        text: &'a str,
    },
    /// A u-blox UBX frame (u-blox interface description, "UBX frame structure").
    Ubx {
        /// Message class.
        class: u8,
        /// Message id within the class.
        id: u8,
        /// Payload without header and checksum.
        payload: &'a [u8],
        /// The whole frame as it came over the line.
        raw: &'a [u8],
    },
}

impl<'a> Frame<'a> {
    /// The frame's bytes as they came over the line (an NMEA sentence without its line end).
    #[must_use]
    pub fn raw(&self) -> &'a [u8] {
        match self {
            Frame::Nmea { text } => text.as_bytes(),
            Frame::Ubx { raw, .. } => raw,
        }
    }
}

impl fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Frame::Nmea { text } => write!(f, "Nmea({text})"),
            Frame::Ubx {
                class, id, payload, ..
            } => write!(f, "Ubx({class:02x} {id:02x}, {} bytes)", payload.len()),
        }
    }
}

/// What the line carried, counted since the framer was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Sentences delivered.
    pub nmea: u64,
    /// UBX frames delivered.
    pub ubx: u64,
    /// Bytes that belong to no frame (line ends are not counted).
    pub noise_bytes: u64,
    /// Sentences and UBX frames that were whole but whose checksum was wrong; their bytes are noise too.
    pub bad_checksums: u64,
}

/// Push parser for a receiver's byte stream.
#[derive(Debug, Clone, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    counters: Counters,
    /// The stream has shown a sentence with a correct checksum, so one without is a cut one.
    sends_checksums: bool,
    /// Sentences without a checksum seen while none had one.
    unchecked: u32,
}

/// What stands at the front of the buffer.
enum Front {
    /// `len` bytes that belong to no frame.
    Skip(usize),
    /// A sentence of `len` bytes.
    Nmea(usize),
    /// What may be a sentence of `len` bytes from a receiver that sends no checksums.
    Unchecked(usize),
    /// A UBX frame of `len` bytes.
    Ubx(usize),
    /// A whole frame with a wrong checksum; scanning resumes after `len` bytes.
    Bad(usize),
    /// Only more bytes can tell.
    Wait,
}

impl Framer {
    /// A framer with an empty buffer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What the line carried so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Takes bytes and hands every frame they complete to `on_frame`, in order. Never fails: what is no frame is counted.
    pub fn push(&mut self, bytes: &[u8], mut on_frame: impl FnMut(Frame<'_>)) {
        for step in bytes.chunks(STEP) {
            self.buffer.extend_from_slice(step);
            self.scan(false, &mut on_frame);
        }
    }

    /// The stream has ended: frames that stand behind an unfinished one are delivered, the rest becomes noise.
    pub fn finish(&mut self, mut on_frame: impl FnMut(Frame<'_>)) {
        self.scan(true, &mut on_frame);
    }

    fn scan(&mut self, ended: bool, on_frame: &mut impl FnMut(Frame<'_>)) {
        let mut at = 0;
        while at < self.buffer.len() {
            let rest = &self.buffer[at..];
            let front = match front(rest) {
                Front::Wait if ended => Front::Skip(1),
                Front::Unchecked(len) => {
                    self.unchecked = self.unchecked.saturating_add(1);
                    if !self.sends_checksums && self.unchecked > UNCHECKED_BEFORE_TRUST {
                        Front::Nmea(len)
                    } else {
                        Front::Skip(len)
                    }
                }
                front => front,
            };
            at += match front {
                Front::Wait => break,
                Front::Skip(len) | Front::Unchecked(len) => {
                    self.counters.noise_bytes += noise(&rest[..len]);
                    len
                }
                Front::Bad(len) => {
                    self.counters.bad_checksums += 1;
                    self.counters.noise_bytes += noise(&rest[..len]);
                    len
                }
                Front::Nmea(len) => {
                    let text = std::str::from_utf8(&rest[..len])
                        .expect("nmea_front admits printable ASCII only");
                    self.sends_checksums |= has_checksum(&rest[..len]);
                    self.counters.nmea += 1;
                    on_frame(Frame::Nmea { text });
                    len
                }
                Front::Ubx(len) => {
                    let raw = &rest[..len];
                    self.counters.ubx += 1;
                    on_frame(Frame::Ubx {
                        class: raw[2],
                        id: raw[3],
                        payload: &raw[6..len - 2],
                        raw,
                    });
                    len
                }
            };
        }
        self.buffer.drain(..at);
    }
}

/// Line ends separate sentences and are no noise.
fn noise(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|&&b| b != b'\r' && b != b'\n').count() as u64
}

fn front(rest: &[u8]) -> Front {
    match rest[0] {
        b'$' => nmea_front(rest),
        0xB5 => ubx_front(rest),
        _ => {
            let len = rest.iter().position(|&b| b == b'$' || b == UBX_SYNC[0]);
            Front::Skip(len.unwrap_or(rest.len()))
        }
    }
}

fn has_checksum(sentence: &[u8]) -> bool {
    sentence.len() > 3 && sentence[sentence.len() - 3] == b'*'
}

/// A sentence is complete at `*hh`, whether or not a line end follows: some receivers go on with binary at once.
fn nmea_front(rest: &[u8]) -> Front {
    // One pass for the end and the checksum: most of what a receiver sends goes through here.
    let mut calculated = 0;
    let mut stop = None;
    for (at, &b) in rest[..rest.len().min(MAX_NMEA_SENTENCE)]
        .iter()
        .enumerate()
        .skip(1)
    {
        if b == b'*' || b == b'$' || !(b' '..=b'~').contains(&b) {
            stop = Some(at);
            break;
        }
        calculated ^= b;
    }
    let Some(stop) = stop else {
        return if rest.len() < MAX_NMEA_SENTENCE {
            Front::Wait
        } else {
            Front::Skip(MAX_NMEA_SENTENCE)
        };
    };
    match rest[stop] {
        b'*' => {
            let Some(digits) = rest.get(stop + 1..stop + 3) else {
                let hex_so_far = rest[stop + 1..].iter().all(u8::is_ascii_hexdigit);
                return if hex_so_far {
                    Front::Wait
                } else {
                    Front::Skip(stop)
                };
            };
            let Some(found) = hex(digits) else {
                return Front::Skip(stop);
            };
            if found == calculated {
                Front::Nmea(stop + 3)
            } else {
                Front::Bad(stop + 3)
            }
        }
        b'\r' | b'\n' if looks_like_sentence(&rest[..stop]) => Front::Unchecked(stop),
        _ => Front::Skip(stop),
    }
}

/// `$`, five or more upper-case letters or digits, a comma: enough to tell a sentence from prose.
fn looks_like_sentence(line: &[u8]) -> bool {
    line.len() > 6
        && line[1..6]
            .iter()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        && line[6..].contains(&b',')
}

fn hex(digits: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(digits).ok()?;
    let all_hex = digits.iter().all(u8::is_ascii_hexdigit);
    all_hex.then(|| u8::from_str_radix(text, 16).ok()).flatten()
}

/// After a wrong checksum scanning resumes right behind the sync bytes: the frame may have been noise around real ones.
fn ubx_front(rest: &[u8]) -> Front {
    match rest.get(1) {
        None => return Front::Wait,
        Some(&b) if b != UBX_SYNC[1] => return Front::Skip(1),
        Some(_) => {}
    }
    match rest.get(2) {
        None => return Front::Wait,
        Some(class) if !UBX_CLASSES.contains(class) => return Front::Skip(2),
        Some(_) => {}
    }
    let Some(header) = rest.get(..6) else {
        return Front::Wait;
    };
    let payload = usize::from(u16::from_le_bytes([header[4], header[5]]));
    if payload > MAX_UBX_PAYLOAD {
        return Front::Skip(2);
    }
    let len = payload + UBX_OVERHEAD;
    let Some(frame) = rest.get(..len) else {
        return Front::Wait;
    };
    let sums = fletcher(&frame[2..len - 2]);
    if sums == [frame[len - 2], frame[len - 1]] {
        Front::Ubx(len)
    } else {
        Front::Bad(2)
    }
}

/// UBX checksum: 8-bit Fletcher over class, id, length and payload.
fn fletcher(bytes: &[u8]) -> [u8; 2] {
    bytes.iter().fold([0, 0], |[a, b]: [u8; 2], &byte| {
        let a = a.wrapping_add(byte);
        [a, b.wrapping_add(a)]
    })
}

/// A UBX frame to be sent. A payload longer than its length field is a mistake of ours.
pub(super) fn ubx_frame(class: u8, id: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).expect("our requests are short");
    let mut frame = UBX_SYNC.to_vec();
    frame.extend([class, id]);
    frame.extend(len.to_le_bytes());
    frame.extend(payload);
    let sums = fletcher(&frame[2..]);
    frame.extend(sums);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_stays_bounded() {
        let mut framer = Framer::new();
        for i in 0..4000_u32 {
            framer.push(
                &[0xB5, 0x62, 0x01, 0x07, 0x00, 0x10, i.to_le_bytes()[0]],
                |_| {},
            );
            framer.push(b"$AAAAAAAAAAAAAAAAAAAAAAAA", |_| {});
        }
        assert!(framer.buffer.len() <= MAX_UBX_PAYLOAD + UBX_OVERHEAD);
    }
}
