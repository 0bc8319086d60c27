//! Where real receivers and the `nmea` crate (0.8) do not agree: the one place that bends a sentence for the crate.
//!
//! Called only for sentences the crate refuses or would misread; the answer is the data part rewritten, or `None` when
//! nothing is known to help. Each repair names what was seen. Values are never invented, only dropped or respelled.

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
