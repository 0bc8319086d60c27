//! Asks a u-blox receiver for the messages that place checking uses: NAV-PVT, NAV-SAT, NAV-STATUS, MON-RF or MON-HW, SEC-SIG.
//!
//! Pure: frames and the time in, bytes to write out. Everything goes into the receiver's working memory and is gone when it is
//! switched off. A receiver that does not say what it is, is left as it was found; each request waits for its ACK, bounded.

use super::framing::{Frame, ubx_frame};
use std::collections::VecDeque;
use std::time::Duration;

/// Longest wait for an answer. A receiver at 9600 baud that just began to send a second's worth takes about one second.
const PATIENCE: Duration = Duration::from_millis(1500);

/// So many requests without any answer, and the receiver is left alone.
const MAX_UNANSWERED: u8 = 2;

/// Lines slower than this have no room for NAV-SAT beside the receiver's sentences: 12 bytes for each of 40 satellites are half
/// of what 9600 baud carry in a second.
const ROOM_FOR_SATELLITES: u32 = 38_400;

/// Longest identity kept, in characters: one line.
const MAX_IDENTITY: usize = 120;

/// The first protocol with CFG-VALSET (u-blox 9); before it, CFG-MSG.
const VALSET_SINCE: u16 = 27_00;

/// What MON-VER says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Version {
    /// Module, software, hardware and protocol, for a person.
    identity: String,
    /// Protocol version times 100; `None` before u-blox 7.
    protocol: Option<u16>,
}

/// One request: what is written and which message its ACK names.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Request {
    bytes: Vec<u8>,
    class: u8,
    id: u8,
}

/// A conversation with one receiver.
#[derive(Debug)]
pub(super) struct Setup {
    baud: Option<u32>,
    identity: Option<String>,
    waiting: Option<(Request, Duration)>,
    to_ask: VecDeque<Request>,
    unanswered: u8,
    /// `None` when it was told.
    accepted: Option<u8>,
}

impl Setup {
    /// Begins by asking what the receiver is. `baud` is the line's speed, `None` where it has none (USB).
    pub(super) fn new(baud: Option<u32>) -> Self {
        let version = Request {
            bytes: ubx_frame(0x0A, 0x04, &[]),
            class: 0x0A,
            id: 0x04,
        };
        Self {
            baud,
            identity: None,
            waiting: None,
            to_ask: VecDeque::from([version]),
            unanswered: 0,
            accepted: Some(0),
        }
    }

    /// What is to be written now, if anything; `now` is any clock that only goes forward.
    pub(super) fn poll(&mut self, now: Duration) -> Option<Vec<u8>> {
        if let Some((_, since)) = &self.waiting {
            if now.saturating_sub(*since) < PATIENCE {
                return None;
            }
            self.waiting = None;
            self.unanswered += 1;
            if self.unanswered >= MAX_UNANSWERED || self.identity.is_none() {
                self.to_ask.clear();
            }
        }
        let request = self.to_ask.pop_front()?;
        let bytes = request.bytes.clone();
        self.waiting = Some((request, now));
        Some(bytes)
    }

    /// Takes a frame. Gives the receiver's identity when it is new.
    pub(super) fn take(&mut self, frame: &Frame<'_>) -> Option<String> {
        let &Frame::Ubx {
            class, id, payload, ..
        } = frame
        else {
            return None;
        };
        let (asked_class, asked_id) = self.waiting.as_ref().map(|(r, _)| (r.class, r.id))?;
        match (class, id) {
            (0x0A, 0x04) if (asked_class, asked_id) == (0x0A, 0x04) => {
                let version = version(payload)?;
                self.answered();
                self.to_ask = requests(version.protocol, self.baud).into();
                self.identity = Some(version.identity.clone());
                return Some(version.identity);
            }
            // ACK-ACK and ACK-NAK name the message that they answer.
            (0x05, 0x00 | 0x01) if payload == [asked_class, asked_id] => {
                self.accepted = self.accepted.map(|accepted| accepted + id);
                self.answered();
            }
            _ => {}
        }
        None
    }

    /// How many requests the receiver took, once, when there is nothing more to say to it.
    pub(super) fn ended(&mut self) -> Option<u8> {
        let is_over = self.waiting.is_none() && self.to_ask.is_empty();
        if !is_over || self.identity.is_none() {
            return None;
        }
        self.accepted.take()
    }

    fn answered(&mut self) {
        self.waiting = None;
        self.unanswered = 0;
    }
}

/// UBX-MON-VER: 30 bytes of software, 10 of hardware, then 30 bytes for each extension, such as `MOD=ZED-F9P` and
/// `PROTVER=27.11` (u-blox 8 writes `PROTVER 14.00` in early firmware).
fn version(payload: &[u8]) -> Option<Version> {
    let text = |bytes: &[u8]| {
        let bytes = bytes.split(|&b| b == 0).next().unwrap_or_default();
        let printable = bytes.iter().filter(|b| (b' '..=b'~').contains(b));
        printable.map(|&b| char::from(b)).collect::<String>()
    };
    let (software, rest) = payload.split_at_checked(30)?;
    let (hardware, extensions) = rest.split_at_checked(10)?;
    let extensions: Vec<_> = extensions.chunks_exact(30).map(text).collect();
    let value = |name: &str| {
        extensions
            .iter()
            .find_map(|text| text.strip_prefix(name)?.get(1..).map(str::to_owned))
    };
    let protocol = value("PROTVER").and_then(|text| {
        let (major, minor) = text.split_once('.').unwrap_or((&text, "0"));
        let minor = format!("{minor:0<2}");
        let minor = minor.get(..2)?.parse::<u16>().ok()?;
        major
            .trim()
            .parse::<u16>()
            .ok()?
            .checked_mul(100)?
            .checked_add(minor)
    });
    let mut identity = format!("u-blox {}", value("MOD").unwrap_or_default());
    for part in [
        value("FWVER").unwrap_or_else(|| text(software)),
        text(hardware),
    ] {
        identity = format!("{} {part}", identity.trim_end());
    }
    Some(Version {
        identity: identity.chars().take(MAX_IDENTITY).collect(),
        protocol,
    })
}

/// The requests for a receiver of this protocol, one message each: a receiver that lacks one refuses it alone.
fn requests(protocol: Option<u16>, baud: Option<u32>) -> Vec<Request> {
    let has_room = baud.is_none_or(|baud| baud >= ROOM_FOR_SATELLITES);
    if protocol.is_some_and(|protocol| protocol >= VALSET_SINCE) {
        // UBX output on UART1 and USB, then keys of CFG-MSGOUT for UART1; that for USB is two further (F9 and M10 interface
        // descriptions, "Configuration reference"). One key a request: one that is not known there refuses all beside it, and
        // an M10 has no USB.
        let mut keys = vec![0x1074_0001, 0x1078_0001];
        let mut both = |key: u32| keys.extend([key, key + 2]);
        [0x2091_0007, 0x2091_001B, 0x2091_035A, 0x2091_0635]
            .into_iter()
            .for_each(&mut both);
        if has_room {
            both(0x2091_0016);
        }
        return keys.into_iter().map(value_set).collect();
    }
    let mut messages = vec![(0x01, 0x07), (0x01, 0x03), (0x0A, 0x09)];
    if has_room {
        messages.push((0x01, 0x35));
    }
    // UBX-CFG-MSG with three bytes: once each solution, on the port it came by.
    let rate = |(class, id): (u8, u8)| Request {
        bytes: ubx_frame(0x06, 0x01, &[class, id, 1]),
        class: 0x06,
        id: 0x01,
    };
    messages.into_iter().map(rate).collect()
}

/// UBX-CFG-VALSET version 0 into layer RAM (bit 0): the key to 1.
fn value_set(key: u32) -> Request {
    let mut payload = vec![0, 0x01, 0, 0];
    payload.extend(key.to_le_bytes());
    payload.push(1);
    Request {
        bytes: ubx_frame(0x06, 0x8A, &payload),
        class: 0x06,
        id: 0x8A,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(class: u8, id: u8, payload: &[u8]) -> Frame<'_> {
        Frame::Ubx {
            class,
            id,
            payload,
            raw: &[],
        }
    }

    fn mon_ver(extensions: &[&str]) -> Vec<u8> {
        let padded = |text: &str, len: usize| {
            let mut bytes = text.as_bytes().to_vec();
            bytes.resize(len, 0);
            bytes
        };
        let mut payload = [padded("EXT CORE 1.00 (94e56e)", 30), padded("00190000", 10)].concat();
        for text in extensions {
            payload.extend(padded(text, 30));
        }
        payload
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_later_receiver_is_asked_by_keys_into_its_working_memory() {
        let mut setup = Setup::new(None);
        assert_eq!(
            setup.poll(SECOND).unwrap(),
            [0xB5, 0x62, 0x0A, 0x04, 0, 0, 0x0E, 0x34]
        );
        assert_eq!(setup.poll(SECOND), None, "one at a time");
        let version = mon_ver(&["FWVER=HPG 1.32", "PROTVER=27.31", "MOD=ZED-F9P"]);
        assert_eq!(
            setup.take(&frame(0x0A, 0x04, &version)).unwrap(),
            "u-blox ZED-F9P HPG 1.32 00190000"
        );
        let mut asked = Vec::new();
        while let Some(bytes) = setup.poll(SECOND) {
            // Version 0, layer RAM alone: neither battery-backed memory nor flash.
            assert_eq!(bytes[6..10], [0, 0x01, 0, 0]);
            asked.push(u32::from_le_bytes(bytes[10..14].try_into().unwrap()));
            // The third is refused, and the others are asked for all the same.
            let answer = u8::from(asked.len() != 3);
            assert_eq!(setup.take(&frame(0x05, answer, &[0x06, 0x8A])), None);
        }
        assert_eq!(
            asked,
            [
                0x1074_0001,
                0x1078_0001,
                0x2091_0007,
                0x2091_0009,
                0x2091_001B,
                0x2091_001D,
                0x2091_035A,
                0x2091_035C,
                0x2091_0635,
                0x2091_0637,
                0x2091_0016,
                0x2091_0018
            ]
        );
        assert_eq!((setup.ended(), setup.ended()), (Some(11), None));
    }

    #[test]
    fn an_earlier_receiver_is_asked_by_message_and_a_slow_line_is_spared() {
        let mut setup = Setup::new(Some(9600));
        setup.poll(SECOND).unwrap();
        let version = mon_ver(&["PROTVER=18.00", "MOD=NEO-M8N-0"]);
        setup.take(&frame(0x0A, 0x04, &version)).unwrap();
        let mut asked = Vec::new();
        while let Some(bytes) = setup.poll(SECOND) {
            assert_eq!(bytes[2..6], [0x06, 0x01, 3, 0]);
            asked.push((bytes[6], bytes[7], bytes[8]));
            setup.take(&frame(0x05, 1, &[0x06, 0x01]));
        }
        assert_eq!(asked, [(0x01, 0x07, 1), (0x01, 0x03, 1), (0x0A, 0x09, 1)]);
    }

    #[test]
    fn who_does_not_answer_is_left_alone() {
        let mut setup = Setup::new(None);
        setup.poll(SECOND).unwrap();
        // An ACK of something else, a sentence, a cut MON-VER.
        setup.take(&frame(0x05, 1, &[0x06, 0x8A]));
        setup.take(&Frame::Nmea {
            text: "$GPTXT,x*00",
        });
        assert_eq!(setup.take(&frame(0x0A, 0x04, &[0; 12])), None);
        assert_eq!(setup.poll(SECOND + PATIENCE), None);
        assert_eq!(setup.ended(), None, "it never said what it is");

        // One that falls silent while it is asked is asked once more, and no longer.
        let mut setup = Setup::new(None);
        setup.poll(SECOND).unwrap();
        setup.take(&frame(0x0A, 0x04, &mon_ver(&[]))).unwrap();
        assert!(setup.poll(SECOND).is_some());
        assert!(setup.poll(SECOND + PATIENCE).is_some());
        assert_eq!(setup.poll(SECOND + 2 * PATIENCE), None);
        assert_eq!(setup.ended(), Some(0));
    }
}
