//! UBX messages that are read from their payloads by hand: NAV-STATUS, MON-HW, MON-RF and SEC-SIG (jamming and spoofing),
//! and NAV-SIG.
//!
//! The one place that does so. The `ublox` crate (0.10) has MON-RF, SEC-SIG and NAV-SIG only for later protocols than
//! the one we read, its NAV-STATUS takes the whole of `flags2` for the power state, and its SEC-SIG knows one of two layouts.
//! Offsets are those of the u-blox interface descriptions named at each. An unknown version says nothing.

use super::fix::{Jamming, Spoofing};
use super::reading::{Key, Reading, Source};
use super::satellite::{Constellation, Satellite};

/// Reads one of these messages; `None` for any other, and for one that is cut or of an unknown version.
pub(super) fn read(class: u8, id: u8, payload: &[u8]) -> Option<Reading> {
    match (class, id) {
        (0x01, 0x03) => nav_status(payload),
        (0x01, 0x43) => nav_sig(payload),
        (0x0A, 0x09) => mon_hw(payload),
        (0x0A, 0x38) => mon_rf(payload),
        (0x27, 0x09) => sec_sig(payload),
        _ => None,
    }
}

/// A reading of a UBX message that says nothing yet.
pub(super) fn reading(source: Source) -> Reading {
    let key = Key {
        talker: *b"\xB5\x62",
        source,
        last_page: false,
    };
    Reading {
        key,
        ..Reading::default()
    }
}

fn itow_ms(payload: &[u8]) -> Option<u32> {
    payload.first_chunk().map(|itow| u32::from_le_bytes(*itow))
}

/// UBX-NAV-STATUS (u-blox 8/M8 receiver description, F9 interface description): iTOW, and in `flags2` bits 3–4
/// spoofDetState. Receivers before protocol 18 leave the bits 0, which is unknown.
fn nav_status(payload: &[u8]) -> Option<Reading> {
    Some(Reading {
        itow_ms: itow_ms(payload),
        spoofing: spoofing(payload.get(7)? >> 3 & 0b11),
        ..reading(Source::UbxGuard)
    })
}

/// UBX-MON-HW (u-blox 6 and 8/M8 receiver descriptions): in `flags` at 22, bits 2–3 jammingState. 68 bytes on u-blox 6,
/// 60 since; the flags stand at the same place. Earlier ones have no such bits and are shorter.
fn mon_hw(payload: &[u8]) -> Option<Reading> {
    if !matches!(payload.len(), 60 | 68) {
        return None;
    }
    Some(Reading {
        jamming: jamming(payload[22] >> 2 & 0b11),
        ..reading(Source::UbxGuard)
    })
}

/// UBX-MON-RF version 0 (F9 interface description): the number of blocks at 1, then 24 bytes a block, whose
/// second is `flags` with jammingState in bits 0–1. The worst block counts.
fn mon_rf(payload: &[u8]) -> Option<Reading> {
    let (&[version, blocks, ..], rest) = payload.split_first_chunk::<4>()?;
    if version != 0 || rest.len() != 24 * usize::from(blocks) {
        return None;
    }
    Some(Reading {
        jamming: rest
            .chunks_exact(24)
            .filter_map(|block| jamming(block[1] & 0b11))
            .max(),
        ..reading(Source::UbxGuard)
    })
}

/// UBX-SEC-SIG: version 1 (M10 interface description) is 12 bytes, with jammingState in bits 1–2 of byte 4
/// and spoofingState in bits 1–3 of byte 8; version 2 (later M10 and F10 interface descriptions) has both in byte 1, in bits
/// 1–2 and 4–6. In both a detector that is not enabled (bit 0; in version 2 also bit 3) says nothing.
fn sec_sig(payload: &[u8]) -> Option<Reading> {
    let enabled = |flags: u8, bit: u8, state: u8| if flags >> bit & 1 == 1 { state } else { 0 };
    match *payload {
        [1, _, _, _, jam, _, _, _, spoof, _, _, _] => Some(Reading {
            jamming: jamming(enabled(jam, 0, jam >> 1 & 0b11)),
            spoofing: spoofing(enabled(spoof, 0, spoof >> 1 & 0b111)),
            ..reading(Source::UbxGuard)
        }),
        [2, flags, _, frequencies, ref rest @ ..] if rest.len() == 4 * usize::from(frequencies) => {
            Some(Reading {
                jamming: jamming(enabled(flags, 0, flags >> 1 & 0b11)),
                spoofing: spoofing(enabled(flags, 3, flags >> 4 & 0b111)),
                ..reading(Source::UbxGuard)
            })
        }
        _ => None,
    }
}

/// The states of all four messages: 0 is unknown or off.
fn spoofing(state: u8) -> Option<Spoofing> {
    match state {
        1 => Some(Spoofing::NoneIndicated),
        2 => Some(Spoofing::Indicated),
        3 => Some(Spoofing::Affirmed),
        _ => None,
    }
}

fn jamming(state: u8) -> Option<Jamming> {
    match state {
        1 => Some(Jamming::Ok),
        2 => Some(Jamming::Warning),
        3 => Some(Jamming::Critical),
        _ => None,
    }
}

/// UBX-NAV-SIG version 0 (F9 interface description): iTOW, version, number of signals at 5, then 16 bytes a signal: gnssId,
/// svId, sigId, and the carrier-to-noise density at 6; in `sigFlags` at 10 bits 3–5 say whether pseudorange, carrier phase or
/// Doppler of the signal are used.
fn nav_sig(payload: &[u8]) -> Option<Reading> {
    let (head, blocks) = payload.split_first_chunk::<8>()?;
    if head[4] != 0 || blocks.len() != 16 * usize::from(head[5]) {
        return None;
    }
    let mut found = Reading {
        itow_ms: itow_ms(payload),
        ..reading(Source::UbxSig)
    };
    for block in blocks.chunks_exact(16) {
        let seen = Satellite {
            constellation: Constellation::of_ubx(block[0]),
            id: u16::from(block[1]),
            cn0_dbhz: Some(block[6]).filter(|&cn0| cn0 > 0),
            used: block[10] & 0b11_1000 != 0,
            elevation_deg: None,
            azimuth_deg: None,
        };
        found.signals.extend(seen.signal(block[2]));
        found.satellites.push(seen);
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(spoofing: Option<Spoofing>, jamming: Option<Jamming>) -> Option<Reading> {
        Some(Reading {
            spoofing,
            jamming,
            ..reading(Source::UbxGuard)
        })
    }

    #[test]
    fn nav_status_has_the_detector_beside_the_power_state() {
        let mut payload = [0; 16];
        payload[..4].copy_from_slice(&518_418_000_u32.to_le_bytes());
        for (flags2, expected) in [
            (0x01, None),
            (0x09, Some(Spoofing::NoneIndicated)),
            (0x12, Some(Spoofing::Indicated)),
            (0xF8, Some(Spoofing::Affirmed)),
        ] {
            payload[7] = flags2;
            let expected = Reading {
                itow_ms: Some(518_418_000),
                spoofing: expected,
                ..reading(Source::UbxGuard)
            };
            assert_eq!(read(0x01, 0x03, &payload), Some(expected), "{flags2:02x}");
        }
        assert_eq!(read(0x01, 0x03, &payload[..7]), None);
    }

    #[test]
    fn the_worst_radio_block_counts() {
        let mut payload = vec![0, 2, 0, 0];
        payload.extend([[0; 24], [0; 24]].concat());
        assert_eq!(read(0x0A, 0x38, &payload), guard(None, None));
        payload[4 + 1] = 0b01;
        payload[4 + 24 + 1] = 0b10;
        assert_eq!(
            read(0x0A, 0x38, &payload),
            guard(None, Some(Jamming::Warning))
        );
        assert_eq!(read(0x0A, 0x38, &payload[..51]), None);
    }

    #[test]
    fn sec_sig_of_both_versions() {
        let mut first = [1, 0, 0, 0, 0b101, 0, 0, 0, 0b111, 0, 0, 0];
        assert_eq!(
            read(0x27, 0x09, &first),
            guard(Some(Spoofing::Affirmed), Some(Jamming::Warning))
        );
        // Not enabled: whatever else the bits hold.
        first[4] = 0b100;
        first[8] = 0b110;
        assert_eq!(read(0x27, 0x09, &first), guard(None, None));
        let second = [2, 0b0010_1011, 0, 1, 0x24, 0x0B, 0x18, 0x01];
        assert_eq!(
            read(0x27, 0x09, &second),
            guard(Some(Spoofing::Indicated), Some(Jamming::Ok))
        );
        assert_eq!(read(0x27, 0x09, &second[..7]), None);
        assert_eq!(
            read(0x27, 0x09, &[3, 0xFF, 0, 0]),
            None,
            "a version to come"
        );
    }
}
