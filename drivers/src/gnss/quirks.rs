//! Where real receivers and the `nmea` crate (0.8) do not agree: the one place that bends a sentence for the crate.
//!
//! Called only for sentences the crate refuses or would misread; the answer is the data part rewritten, or `None` when
//! nothing is known to help. Each repair names what was seen. Values are never invented, only dropped or respelled.

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
            // Garmin's GPSMAP ends after the variation's value; the crate wants its direction field.
            pad(&mut fields, 11);
            blank_variation(&mut fields, 9);
        }
        "GGA" => {
            blank_time(&mut fields, 0);
            blank_position(&mut fields, 1);
            // Zodiac and phones leave the quality empty without a fix.
            if fields.get(5).is_some_and(String::is_empty) {
                fields[5] = "0".to_owned();
            }
            // Trailing fields are missing on old receivers.
            pad(&mut fields, 14);
        }
        "GLL" => {
            blank_position(&mut fields, 0);
            pad(&mut fields, 6);
            blank_time(&mut fields, 4);
            // GLL of NMEA before 2.3 has no mode; the crate wants the comma before it.
            pad(&mut fields, 7);
        }
        "GNS" => {
            blank_time(&mut fields, 0);
            blank_position(&mut fields, 1);
            // One mode letter per constellation, up to six; the crate reads two.
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
    let dops = if last.contains('.') { [Some(last), from_end.next(), from_end.next()] } else {
        [from_end.next(), from_end.next(), from_end.next()]
    };
    dops.iter().flatten().any(|dop| !dop.is_empty() && !dop.contains('.'))
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
    // A system id that the talker contradicts, or that the crate does not know (5 QZSS, 6 NavIC), is read by the caller.
    if has_system {
        fields.pop();
    }
    let dops = fields.len() - 3;
    for field in &mut fields[dops..] {
        if field.is_empty() {
            // No DOP beside used satellites: the crate refuses the lot. 99.99 is how receivers say unknown.
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

fn gsv(fields: &mut [String]) {
    // C/N0 with decimals (Android forwarders) and signs in the elevation.
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
    if let Some(field) = fields.get_mut(at) && !keep(field) {
        field.clear();
    }
}

/// Leap seconds (`235960`) and blanks padded with spaces.
fn blank_time(fields: &mut [String], at: usize) {
    blank_unless(fields, at, |time| {
        time.len() >= 6 && time.is_char_boundary(6) && all_digits(&time[..6]) && &time[4..6] < "60"
    });
}

/// Half a position (a hemisphere without a number, as many receivers send before the first fix) is none.
fn blank_position(fields: &mut [String], at: usize) {
    if let Some(position) = fields.get_mut(at..at + 4)
        && position.iter().any(|field| field.trim().is_empty())
    {
        position.iter_mut().for_each(String::clear);
    }
}

/// Magnetic variation: number and direction, or neither.
fn blank_variation(fields: &mut [String], at: usize) {
    if let Some(pair) = fields.get_mut(at..at + 2)
        && !(matches!(pair[1].as_str(), "E" | "W") && !pair[0].is_empty())
    {
        pair.iter_mut().for_each(String::clear);
    }
}
