//! Where real receivers and the `nmea` crate (0.8) do not agree: the one place that bends a sentence for the crate.
//!
//! Called only for sentences the crate refuses or would misread; the answer is the data part rewritten, or `None` when
//! nothing is known to help. A repair names the capture that asked for it; one without
//! a name stands for fields that NMEA 0183 lets be blank. Values are never invented, only dropped or respelled.

use super::decimal::coordinate_e7;
use super::fix::Quality;

/// Fields of a GSA sentence that are satellites when nothing else is known (NMEA 0183, GSA).
const GSA_SATELLITES: usize = 12;

/// Rewrites the data part of a `formatter` sentence so that `nmea` reads it.
pub(super) fn repair(formatter: &str, data: &str) -> Option<String> {
    let mut fields: Vec<String> = data.split(',').map(str::to_owned).collect();
    match formatter {
        "RMC" => {
            blank_time(&mut fields, 0);
            blank_position(&mut fields, 2);
            blank_unless(&mut fields, 8, |date| date.len() == 6 && all_digits(date));
            // Old receivers end before the variation; the crate wants both of its fields.
            pad(&mut fields, 11);
            blank_variation(&mut fields, 9);
        }
        "GGA" => {
            blank_time(&mut fields, 0);
            blank_position(&mut fields, 1);
            // myguide-3100 leaves the quality empty until it has a fix, beside its last position.
            if fields.get(5).is_some_and(String::is_empty) {
                fields[5] = "0".to_owned();
            }
            // Trailing fields are missing on old receivers.
            pad(&mut fields, 14);
        }
        "GLL" => {
            blank_position(&mut fields, 0);
            // GLL of NMEA before 2.3 has no mode; the crate wants the comma before it (garmin38, oncore, pharos-360).
            pad(&mut fields, 7);
            blank_time(&mut fields, 4);
            // eXplorist110 swaps status and mode: `N,V` without a fix.
            if !matches!(fields[5].as_str(), "A" | "V") {
                fields[5] = "V".to_owned();
                fields[6] = "N".to_owned();
            }
        }
        "GNS" => {
            blank_time(&mut fields, 0);
            blank_position(&mut fields, 1);
            // One mode letter per constellation, up to six; the crate reads two (beidou-bd, ericsson-gru04, quectel-eg25).
            if let Some(modes) = fields.get_mut(5) {
                *modes = best_mode(modes).to_string();
            }
            if fields.get(6).is_some_and(String::is_empty) {
                fields[6] = "0".to_owned();
            }
            pad(&mut fields, 12);
        }
        "GSA" => gsa(&mut fields),
        "GSV" => gsv(&mut fields),
        "ZDA" => {
            blank_time(&mut fields, 0);
            pad(&mut fields, 6);
            // A zone such as +09 or a blank month.
            fields[4] = String::new();
            fields[5] = String::new();
        }
        _ => return None,
    }
    Some(fields.join(","))
}

/// True where the crate would accept a GSA sentence and misread it: a DOP without a point looks to it like a satellite.
pub(super) fn gsa_is_misread(data: &str) -> bool {
    let mut from_end = data.rsplit(',');
    let last = from_end.next().unwrap_or("");
    let dops = if last.contains('.') {
        [Some(last), from_end.next(), from_end.next()]
    } else {
        [from_end.next(), from_end.next(), from_end.next()]
    };
    dops.iter()
        .flatten()
        .any(|dop| !dop.is_empty() && !dop.contains('.'))
}

/// The mode letter that says most about a GNS position: a simulator or a typed-in position in any constellation taints
/// the whole; otherwise the best one counts (NMEA 0183 4.11, GNS mode indicator).
pub(super) fn best_mode(modes: &str) -> char {
    "SMRFPDAE"
        .chars()
        .find(|&mode| modes.contains(mode))
        .unwrap_or('N')
}

/// A mode indicator letter (RMC, GLL, GNS, VTG).
pub(super) fn quality_of_mode(mode: char) -> Quality {
    match mode {
        'A' => Quality::Autonomous,
        'D' => Quality::Differential,
        'P' => Quality::Pps,
        'R' => Quality::Rtk,
        'F' => Quality::FloatRtk,
        'E' => Quality::Estimated,
        'M' => Quality::Manual,
        'S' => Quality::Simulated,
        _ => Quality::Invalid,
    }
}

fn gsa(fields: &mut Vec<String>) {
    // mode, mode, satellites, three DOPs, and since 4.1 a system id, which alone may stand last without a point.
    let has_system = fields.len() > 2 + GSA_SATELLITES + 3;
    let tail = if has_system { 4 } else { 3 };
    if fields.len() < 2 + tail {
        return;
    }
    // A system id that the talker contradicts, or a fourth DOP in its place (beidou-bd); the caller reads the system id.
    if has_system {
        fields.pop();
    }
    let dops = fields.len() - 3;
    for field in &mut fields[dops..] {
        if field.is_empty() {
            // One DOP missing (ac12_binary, oncore): the crate refuses the lot. The caller takes DOPs from the text.
            *field = "99.99".to_owned();
        } else if !field.contains('.') {
            field.push_str(".0");
        }
    }
    for field in &mut fields[2..dops] {
        if !all_digits(field) {
            field.clear();
        }
    }
}

fn gsv(fields: &mut Vec<String>) {
    // Nothing in view, and so no further comma (geos-1m, ublox-lea-5q).
    pad(fields, 4);
    // C/N0 with decimals, and negative elevations.
    for group in fields.get_mut(3..).unwrap_or_default().chunks_mut(4) {
        for field in group {
            if let Some((whole, _)) = field.split_once('.') {
                *field = whole.to_owned();
            }
            if !all_digits(field) {
                field.clear();
            }
        }
    }
}

fn all_digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

fn pad(fields: &mut Vec<String>, len: usize) {
    while fields.len() < len {
        fields.push(String::new());
    }
}

fn blank_unless(fields: &mut [String], at: usize, keep: impl Fn(&str) -> bool) {
    if let Some(field) = fields.get_mut(at)
        && !keep(field)
    {
        field.clear();
    }
}

/// A time the crate refuses, such as a leap second (`235960`), costs the time and not the sentence.
fn blank_time(fields: &mut [String], at: usize) {
    blank_unless(fields, at, |time| {
        time.len() >= 6 && time.is_char_boundary(6) && all_digits(&time[..6]) && &time[4..6] < "60"
    });
}

/// Half a position (a hemisphere without a number) is none, and so is an impossible one (tn200: `36000.0000,N`).
fn blank_position(fields: &mut [String], at: usize) {
    if let Some(position) = fields.get_mut(at..at + 4)
        && (coordinate_e7(&position[0], &position[1]).is_none()
            || coordinate_e7(&position[2], &position[3]).is_none())
    {
        position.iter_mut().for_each(String::clear);
    }
}

/// Magnetic variation: number and direction, or neither.
fn blank_variation(fields: &mut [String], at: usize) {
    if let Some(pair) = fields.get_mut(at..at + 2)
        && (pair[0].is_empty() || !matches!(pair[1].as_str(), "E" | "W"))
    {
        pair.iter_mut().for_each(String::clear);
    }
}

#[cfg(test)]
mod tests {
    use crate::gnss::fix::{FixMode, Quality};
    use crate::gnss::reading::Reading;
    use crate::gnss::satellite::Constellation;
    use crate::gnss::sentence::{Answer, read};

    /// Reads data as a sentence of this talker and formatter, whose checksum the framer has seen to.
    fn reading(text: &str) -> Reading {
        match read(text) {
            Answer::Reading(reading) => *reading,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn what_the_crate_refuses_is_repaired() {
        // GNS with more than two mode letters: ericsson-gru04, beidou-bd.
        let gns = reading(
            "$GNGNS,213822.000,4111.59931,N,11156.54844,W,AANN,12,0.97,01483.7,-016.5,,*50",
        );
        assert_eq!(gns.quality, Some(Quality::Autonomous));
        assert_eq!(gns.position, Some((411_933_218, -1_119_424_740)));
        assert_eq!(
            (gns.satellites_used, gns.hdop_centi, gns.altitude_mm),
            (Some(12), Some(97), Some(1_483_700))
        );
        // GLL of NMEA before 2.3: garmin38.
        let gll = reading("$GPGLL,3348.451,N,11821.143,W,142224,A*3A");
        assert_eq!(
            (gll.valid, gll.time_of_day_ms),
            (Some(true), Some(51_744_000))
        );
        // Status and mode swapped: eXplorist110.
        assert_eq!(
            reading("$GPGLL,3728.0549,N,12213.8639,W,014431.076,N,V*50").valid,
            Some(false)
        );
        // An impossible position: tn200-all.
        let rmc = reading("$GPRMC,000500.981,V,36000.0000,N,72000.0000,E,0.000000,,190120,,*34");
        assert_eq!((rmc.position, rmc.days), (None, Some(18_280)));
        // One DOP of three, four of three, none: oncore, beidou-bd, blumax-gps009.
        assert_eq!(
            reading("$GPGSA,A,2,02,04,27,,,,,,,,,,,5.3,*36")
                .satellites
                .len(),
            3
        );
        let gsa = reading("$BDGSA,A,3,02,03,04,,,,,,,,,,2.1,1.1,1.8,1.2*2D");
        assert_eq!(
            (gsa.hdop_centi, gsa.satellites[0].constellation),
            (Some(110), Constellation::Beidou)
        );
        assert_eq!(
            reading("$GPGSA,A,1,26,22,12,15,,,,,,,,,,,*1D").mode,
            Some(FixMode::None)
        );
        // Position without a quality: myguide-3100.
        let gga = reading("$GPGGA,105028.80,5612.9948,N,00306.7136,W,,3,2.506,160.002,M,,M,,*6A");
        assert_eq!(gga.quality, Some(Quality::Invalid));
        // Nothing in view: geos-1m.
        assert_eq!(reading("$GPGSV,1,1,00*79").satellites, []);
        // A leap second costs the time, not the position.
        let leap =
            reading("$GPGGA,235960.00,3552.37449,N,13823.38721,E,1,08,1.17,956.1,M,38.3,M,,*00");
        assert_eq!((leap.time_of_day_ms, leap.position.is_some()), (None, true));
    }

    #[test]
    fn what_the_crate_would_misread_is_not_misread() {
        // A DOP without a point is no satellite.
        let gsa = reading("$GNGSA,A,3,05,09,,,,,,,,,,,2,1.17,1.93,1*00");
        assert_eq!(gsa.satellites.len(), 2);
        assert_eq!(gsa.hdop_centi, Some(117));
        // km/h without knots: 36 km/h are 10 m/s.
        assert_eq!(
            reading("$GPVTG,,T,,M,,N,36.0,K,A*00").speed_mm_s,
            Some(10_000)
        );
        // System ids 5 and 6 and talker GN are known.
        let qzss = reading("$GNGSA,A,3,02,,,,,,,,,,,,1.6,0.9,1.3,5*00");
        assert_eq!(
            (qzss.satellites[0].constellation, qzss.satellites[0].id),
            (Constellation::Qzss, 2)
        );
        let gsv = reading("$GNGSV,1,1,02,67,41,320,40,07,20,100,33.5*00");
        assert_eq!(
            (gsv.satellites[0].constellation, gsv.satellites[0].id),
            (Constellation::Glonass, 3)
        );
        assert_eq!(gsv.satellites[1].cn0_dbhz, Some(33));
    }

    #[test]
    fn foreign_sentences_are_not_ours() {
        for text in [
            "$PUBX,00,1*00",
            "$GPTXT,01,01,01,ANTENNA OK*35",
            "$GPGGA*00",
            "$,*00",
            "$QZQSM,55,C6*00",
            "$PQRMC*",
        ] {
            assert_eq!(read(text), Answer::NotOurs, "{text}");
        }
        assert_eq!(read("$GPGGA,x*00"), Answer::Refused);
    }
}
