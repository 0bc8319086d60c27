//! How single values are read: TOML value → type, or what is wrong with it.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use city_drivers::gnss::{BAUDS, Baud, Source};
use city_protocol::Refusal;
use city_protocol::amount::Timestamp;
use city_protocol::place::Point;
use city_protocol::region::RegionPrefix;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use toml::de::DeValue;

pub(super) use super::model::DAY_MS;
use super::model::LogLevel;
use crate::net::Carrier;

/// An hour in milliseconds.
pub(super) const HOUR_MS: u64 = 60 * 60 * 1000;
/// Longest span, in milliseconds: a century.
const MAX_SPAN_MS: u64 = 36_525 * DAY_MS;
/// Longest name of a peer, in characters: one line of a list.
const MAX_NAME: usize = 64;
/// Platform configuration registers of a TPM on a PC.
const REGISTERS: u8 = 24;
/// Words that a log level can be.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// A value or what is wrong with it, as the second half of a sentence.
pub(super) type Read<T> = Result<T, String>;

pub(super) fn text<'v>(value: &'v DeValue<'_>) -> Read<&'v str> {
    value.as_str().ok_or_else(|| other_type(value, "a string"))
}

/// A string that has a type of its own.
pub(super) fn parsed<T: FromStr<Err: Display>>(value: &DeValue<'_>) -> Read<T> {
    let text = text(value)?;
    text.parse()
        .map_err(|error| format!("{text:?} is refused: {error}"))
}

/// What is said of a region: `Asia/JP/17=20000000.00`.
pub(super) fn of_region<T: FromStr<Err: Display>>(
    what: &str,
) -> impl Fn(&DeValue<'_>) -> Read<(RegionPrefix, T)> {
    move |value| {
        let text = text(value)?;
        let refused = |error: &dyn Display| format!("{text:?} is refused: {error}");
        let (region, said) = text
            .split_once('=')
            .ok_or_else(|| format!("{text:?} is not a region, = and {what}"))?;
        let region = region.parse().map_err(|error: Refusal| refused(&error))?;
        Ok((region, said.parse().map_err(|error| refused(&error))?))
    }
}

/// A point as LAT,LON.
pub(super) fn point(value: &DeValue<'_>) -> Read<Point> {
    let text = text(value)?;
    point_of(text).ok_or_else(|| format!("{text:?} is not LAT,LON in decimal degrees"))
}

/// Metres around a surveyed point: less than one is no receiver's noise, a hundred kilometres no municipality's.
pub(super) fn radius_m(value: &DeValue<'_>) -> Read<u32> {
    let metres = whole(value, 1..=100_000)?;
    Ok(u32::try_from(metres).expect("at most 100000"))
}

/// LAT,LON in decimal degrees.
pub(crate) fn point_of(text: &str) -> Option<Point> {
    let (lat, lon) = text.split_once(',')?;
    Point::from_decimal(lat.trim(), lon.trim()).ok()
}

pub(super) fn switch(value: &DeValue<'_>) -> Read<bool> {
    value
        .as_bool()
        .ok_or_else(|| other_type(value, "true or false"))
}

pub(super) fn whole(value: &DeValue<'_>, range: RangeInclusive<u64>) -> Read<u64> {
    let integer = value
        .as_integer()
        .ok_or_else(|| other_type(value, "a whole number"))?;
    u64::from_str_radix(integer.as_str(), integer.radix())
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| format!("{integer} is not from {} to {}", range.start(), range.end()))
}

/// A span of whole days or hours such as `183 days` or `12 hours`, in milliseconds; `off` for none.
pub(super) fn span(value: &DeValue<'_>, least: u64) -> Read<Option<u64>> {
    let text = text(value)?;
    if text == "off" {
        return Ok(None);
    }
    let form = || format!("{text:?} is neither off nor a number of hours or days");
    let (number, unit) = text.split_once(' ').ok_or_else(form)?;
    let unit = match unit {
        "hour" | "hours" => HOUR_MS,
        "day" | "days" => DAY_MS,
        _ => return Err(form()),
    };
    let plain = number.bytes().all(|digit| digit.is_ascii_digit());
    let number: Option<u64> = number.parse().ok().filter(|_| plain);
    let ms = number.ok_or_else(form)?.saturating_mul(unit);
    if (least..=MAX_SPAN_MS).contains(&ms) {
        Ok(Some(ms))
    } else {
        let (least, most) = (span_text(Some(least)), span_text(Some(MAX_SPAN_MS)));
        Err(format!("{text:?} is not from {least} to {most}"))
    }
}

/// A span as the file has it.
pub(super) fn span_text(ms: Option<u64>) -> String {
    let counted = |number: u64, unit: &str| match number {
        1 => format!("1 {unit}"),
        number => format!("{number} {unit}s"),
    };
    match ms {
        None => "off".into(),
        Some(ms) if ms.is_multiple_of(DAY_MS) => counted(ms / DAY_MS, "day"),
        Some(ms) => counted(ms / HOUR_MS, "hour"),
    }
}

pub(super) fn baud(value: &DeValue<'_>) -> Read<Baud> {
    if value.as_str() == Some("auto") {
        return Ok(Baud::Auto);
    }
    let rate = whole(value, 1..=u64::from(u32::MAX))?;
    let known = BAUDS.into_iter().find(|&known| u64::from(known) == rate);
    known
        .map(Baud::Fixed)
        .ok_or_else(|| format!("{rate} is not a usual rate"))
}

pub(super) fn path(value: &DeValue<'_>) -> Read<PathBuf> {
    let text = text(value)?;
    if text.trim().is_empty() || text.contains('\0') {
        return Err("is empty or not a path".into());
    }
    Ok(PathBuf::from(text))
}

pub(super) fn device(value: &DeValue<'_>) -> Read<PathBuf> {
    let path = path(value)?;
    match Source::of(&path) {
        Source::Serial(device) if !device.is_absolute() => {
            Err("is neither an absolute path nor auto nor gpsd:// nor file:".into())
        }
        Source::Recording(file) if !file.is_absolute() => {
            Err("is a recording without an absolute path".into())
        }
        _ => Ok(path),
    }
}

/// A TPM as tpm2-tss names it: a device, or an emulator.
pub(super) fn tpm(value: &DeValue<'_>) -> Read<String> {
    let text = text(value)?;
    let device = text
        .strip_prefix("device:")
        .is_some_and(|path| path.starts_with('/') && !path.contains('\0'));
    let emulator = text
        .strip_prefix("swtpm:host=")
        .and_then(|rest| rest.split_once(",port="))
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if device || emulator {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is no TPM's address"))
    }
}

/// Different registers of a TPM, in order; PCR 7 not alone.
pub(super) fn registers(value: &DeValue<'_>) -> Read<Vec<u8>> {
    let DeValue::Array(items) = value else {
        return Err(other_type(value, "a list of strings"));
    };
    let mut registers = BTreeSet::new();
    for item in items {
        let text = text(item.get_ref())?;
        let register: Option<u8> = text.parse().ok().filter(|register| *register < REGISTERS);
        let register =
            register.ok_or_else(|| format!("{text:?} is not a register from 0 to 23"))?;
        if !registers.insert(register) {
            return Err(format!("register {register} stands there twice"));
        }
    }
    let registers: Vec<u8> = registers.into_iter().collect();
    if registers == [7] {
        return Err(
            "is PCR 7 alone, which every system satisfies that the same keys have signed".into(),
        );
    }
    Ok(registers)
}

/// An index in the memory of a TPM: the specification's range for NV indices.
pub(super) fn counter_index(value: &DeValue<'_>) -> Read<u32> {
    let text = text(value)?;
    text.strip_prefix("0x")
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .filter(|index| (0x0100_0000..=0x01ff_ffff).contains(index))
        .ok_or_else(|| format!("{text:?} is not an index of a TPM"))
}

pub(super) fn name(value: &DeValue<'_>) -> Read<String> {
    let text = text(value)?;
    check_name(text)?;
    Ok(text.to_owned())
}

/// What is wrong with a peer's name, as the second half of a sentence.
pub(crate) fn check_name(text: &str) -> Read<()> {
    let length = text.chars().count();
    if text.trim().is_empty() || length > MAX_NAME || text.chars().any(char::is_control) {
        return Err(format!(
            "has {length} characters, or blanks or control characters only"
        ));
    }
    Ok(())
}

pub(super) fn time(value: &DeValue<'_>) -> Read<Timestamp> {
    let text = match value.as_datetime() {
        Some(datetime) => datetime.to_string(),
        None => text(value)?.to_owned(),
    };
    let moment: jiff::Timestamp = text
        .parse()
        .map_err(|_| format!("{text:?} is not an RFC 3339 time with its offset"))?;
    let millisecond = u64::try_from(moment.as_millisecond());
    millisecond
        .map(Timestamp)
        .map_err(|_| format!("{text:?} is before 1970"))
}

/// A moment as RFC 3339 in UTC, as [`time`] reads it.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    let millisecond = i64::try_from(at.0).unwrap_or(i64::MAX);
    // Beyond the year 9999 there is no RFC 3339: the last moment stands for it.
    jiff::Timestamp::from_millisecond(millisecond)
        .unwrap_or(jiff::Timestamp::MAX)
        .to_string()
}

pub(super) fn log_level(value: &DeValue<'_>) -> Read<LogLevel> {
    let text = text(value)?;
    let mut parts = text.split(',').map(str::trim);
    let is_level = |word: &str| LEVELS.contains(&word);
    let plain = |target: &str| {
        !target.is_empty()
            && target
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_:-".contains(&b))
    };
    let first = parts.next().is_some_and(is_level);
    let rest = parts.all(|part| {
        part.split_once('=')
            .is_some_and(|(target, level)| plain(target) && is_level(level))
    });
    if first && rest {
        Ok(LogLevel(
            text.split(',').map(str::trim).collect::<Vec<_>>().join(","),
        ))
    } else {
        Err(format!("{text:?} is not a level"))
    }
}

/// An address to listen on: an IP address and a port of TCP, or of QUIC where that is on; nothing behind it.
pub(super) fn listen_address(value: &DeValue<'_>, quic: bool) -> Read<Multiaddr> {
    let address: Multiaddr = parsed(value)?;
    let parts: Vec<Protocol<'_>> = address.iter().collect();
    match parts.as_slice() {
        [
            Protocol::Ip4(_) | Protocol::Ip6(_),
            Protocol::Udp(_),
            Protocol::QuicV1,
        ] => spoken(address, quic),
        [Protocol::Ip4(_) | Protocol::Ip6(_), Protocol::Tcp(_)] => Ok(address),
        _ => Err(format!(
            "\"{address}\" is not /ip4|ip6/ADDRESS/tcp/PORT or /ip4|ip6/ADDRESS/udp/PORT/quic-v1"
        )),
    }
}

/// An address to call: host and port; its peer id may stand behind it and is taken off.
pub(super) fn peer_address(
    value: &DeValue<'_>,
    peer: Option<PeerId>,
    quic: bool,
) -> Read<Multiaddr> {
    spoken(check_peer_address(text(value)?, peer)?, quic)
}

/// Refuses an address of QUIC where that is off, as the second half of a sentence.
pub(crate) fn spoken(address: Multiaddr, quic: bool) -> Read<Multiaddr> {
    match Carrier::of(&address) {
        Carrier::Quic if !quic => Err(format!(
            "\"{address}\" is QUIC, which is off here: set network.quic = true for it"
        )),
        _ => Ok(address),
    }
}

/// A peer's address without its id, which may stand behind it; or what is wrong, as the second half of a sentence.
pub(crate) fn check_peer_address(text: &str, peer: Option<PeerId>) -> Read<Multiaddr> {
    let mut address: Multiaddr = text
        .parse()
        .map_err(|error| format!("{text:?} is refused: {error}"))?;
    if let Some(Protocol::P2p(id)) = address.iter().last() {
        if peer.is_some_and(|peer| peer != id) {
            return Err(format!(
                "\"{address}\" names another peer id than this peer's"
            ));
        }
        address.pop();
    }
    let parts: Vec<Protocol<'_>> = address.iter().collect();
    match parts.as_slice() {
        [Protocol::Dnsaddr(name)] if !name.is_empty() => Ok(address),
        [
            Protocol::Ip4(_)
            | Protocol::Ip6(_)
            | Protocol::Dns(_)
            | Protocol::Dns4(_)
            | Protocol::Dns6(_),
            Protocol::Tcp(1..),
        ] => Ok(address),
        [
            Protocol::Ip4(_)
            | Protocol::Ip6(_)
            | Protocol::Dns(_)
            | Protocol::Dns4(_)
            | Protocol::Dns6(_),
            Protocol::Udp(1..),
            Protocol::QuicV1,
        ] => Ok(address),
        _ => Err(format!(
            "\"{address}\" is not /ip4|ip6|dns/HOST/tcp/PORT, /ip4|ip6|dns/HOST/udp/PORT/quic-v1 or /dnsaddr/HOST"
        )),
    }
}

fn other_type(value: &DeValue<'_>, expected: &str) -> String {
    format!("has the type {}, not {expected}", value.type_str())
}
