//! Reads NMEA 0183 sentences: RMC, GGA, GNS, GLL, GSA, GSV, VTG, ZDA and GST, of any talker.
//!
//! The `nmea` crate checks and types each sentence; figures that a node signs (position, altitude, speed, HDOP) are read
//! once more in fixed point from the text. Owns the field numbers; joining sentences is `epoch`'s.

use super::decimal::{coordinate_e7, fixed};
use super::fix::{FixMode, Quality};
use super::quirks::{self, best_mode, quality_of_mode};
use super::reading::{Key, Reading, Source};
use super::satellite::{Constellation, Satellite};
use chrono::{NaiveDate, NaiveTime};
use nmea::sentences::gsa::GsaMode2;
use nmea::sentences::rmc::RmcStatusOfFix;
use nmea::sentences::{self, FixType};
use nmea::{NmeaSentence, SentenceType};

/// What became of a sentence.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// It says something about an epoch.
    Reading(Box<Reading>),
    /// Not one of ours: proprietary, marine, text.
    NotOurs,
    /// One of ours, but not readable even after repair.
    Refused,
}

/// Reads a sentence from `$` to the checksum, as the framer delivers it.
pub(super) fn read(text: &str) -> Answer {
    let Some(sentence) = Sentence::split(text) else {
        return Answer::NotOurs;
    };
    let reading = match sentence.formatter.as_bytes() {
        b"RMC" => rmc(&sentence),
        b"GGA" => gga(&sentence),
        b"GNS" => gns(&sentence),
        b"GLL" => gll(&sentence),
        b"GSA" => gsa(&sentence),
        b"GSV" => gsv(&sentence),
        b"VTG" => vtg(&sentence),
        b"ZDA" => zda(&sentence),
        b"GST" => gst(&sentence),
        _ => return Answer::NotOurs,
    };
    reading.map_or(Answer::Refused, |reading| {
        Answer::Reading(Box::new(reading))
    })
}

/// A sentence taken apart at its first comma.
struct Sentence<'a> {
    talker: &'a str,
    formatter: &'a str,
    data: &'a str,
}

impl<'a> Sentence<'a> {
    fn split(text: &'a str) -> Option<Self> {
        let body = text.strip_prefix('$')?;
        let body = body.rsplit_once('*').map_or(body, |(body, _)| body);
        let (address, data) = body.split_once(',')?;
        (address.len() == 5 && address.is_ascii()).then(|| Self {
            talker: &address[..2],
            formatter: &address[2..],
            data,
        })
    }

    fn field(&self, at: usize) -> &'a str {
        // By bytes: the fields are short, and a search for characters costs more than they do.
        let mut rest = self.data;
        for _ in 0..at {
            match rest.bytes().position(|b| b == b',') {
                Some(comma) => rest = &rest[comma + 1..],
                None => return "",
            }
        }
        let end = rest.bytes().position(|b| b == b',');
        &rest[..end.unwrap_or(rest.len())]
    }

    /// The crate's reading; of the repaired sentence where it refuses the one received.
    fn parsed<T>(
        &self,
        message_id: SentenceType,
        parse: for<'b> fn(NmeaSentence<'b>) -> Result<T, nmea::Error<'b>>,
    ) -> Option<T> {
        self.parsed_as(self.talker, self.data, message_id, parse)
            .or_else(|| self.repaired(message_id, parse))
    }

    fn repaired<T>(
        &self,
        message_id: SentenceType,
        parse: for<'b> fn(NmeaSentence<'b>) -> Result<T, nmea::Error<'b>>,
    ) -> Option<T> {
        let data = quirks::repair(self.formatter, self.data)?;
        self.parsed_as(self.talker, &data, message_id, parse)
    }

    fn parsed_as<T>(
        &self,
        talker: &str,
        data: &str,
        message_id: SentenceType,
        parse: for<'b> fn(NmeaSentence<'b>) -> Result<T, nmea::Error<'b>>,
    ) -> Option<T> {
        // The framer has verified the checksum; the crate's sentence parsers do not look at it.
        parse(NmeaSentence {
            talker_id: talker,
            message_id,
            data,
            checksum: 0,
        })
        .ok()
    }

    fn reading(&self, source: Source) -> Reading {
        let talker = self.talker.as_bytes();
        let key = Key {
            talker: [talker[0], talker[1]],
            source,
            last_page: false,
        };
        Reading {
            key,
            ..Reading::default()
        }
    }

    /// Latitude, hemisphere, longitude, hemisphere from field `at` on.
    fn position(&self, at: usize) -> Option<(i32, i32)> {
        coordinate_e7(self.field(at), self.field(at + 1))
            .zip(coordinate_e7(self.field(at + 2), self.field(at + 3)))
    }

    fn hdop_centi(&self, at: usize) -> Option<u16> {
        fixed(self.field(at), 100, 1).and_then(|hdop| capped(hdop, u16::MAX))
    }

    fn altitude_mm(&self, at: usize) -> Option<i32> {
        fixed(self.field(at), 1000, 1).and_then(|mm| i32::try_from(mm).ok())
    }

    /// Speed in knots; one is 1852 m an hour.
    fn knots_mm_s(&self, at: usize) -> Option<u32> {
        fixed(self.field(at), 1_852_000, 3600).and_then(|speed| capped(speed, u32::MAX))
    }
}

/// A figure that is too great for its type is as great as can be, and not unknown.
fn capped<T: TryFrom<i64>>(value: i64, most: T) -> Option<T> {
    T::try_from(value).ok().or((value > 0).then_some(most))
}

fn time_of_day_ms(time: Option<NaiveTime>) -> Option<u32> {
    let since_midnight = time?.signed_duration_since(NaiveTime::MIN);
    u32::try_from(since_midnight.num_milliseconds()).ok()
}

fn days(date: Option<NaiveDate>) -> Option<i64> {
    Some(date?.signed_duration_since(NaiveDate::default()).num_days())
}

fn quality_of(fix_type: FixType) -> Quality {
    match fix_type {
        FixType::Invalid => Quality::Invalid,
        FixType::Gps => Quality::Autonomous,
        FixType::DGps => Quality::Differential,
        FixType::Pps => Quality::Pps,
        FixType::Rtk => Quality::Rtk,
        FixType::FloatRtk => Quality::FloatRtk,
        FixType::Estimated => Quality::Estimated,
        FixType::Manual => Quality::Manual,
        FixType::Simulation => Quality::Simulated,
    }
}

/// RMC: time, status, position, speed, course, date, variation, mode (2.3), navigational status (4.1).
fn rmc(sentence: &Sentence<'_>) -> Option<Reading> {
    let data = sentence.parsed(SentenceType::RMC, sentences::parse_rmc)?;
    Some(Reading {
        time_of_day_ms: time_of_day_ms(data.fix_time),
        days: days(data.fix_date),
        valid: Some(data.status_of_fix != RmcStatusOfFix::Invalid),
        quality: sentence.field(11).chars().next().map(quality_of_mode),
        position: sentence.position(2),
        speed_mm_s: sentence.knots_mm_s(6),
        ..sentence.reading(Source::Rmc)
    })
}

/// GGA: time, position, quality, satellites used, HDOP, altitude above mean sea level.
fn gga(sentence: &Sentence<'_>) -> Option<Reading> {
    let data = sentence.parsed(SentenceType::GGA, sentences::parse_gga)?;
    Some(Reading {
        time_of_day_ms: time_of_day_ms(data.fix_time),
        quality: data.fix_type.map(quality_of),
        position: sentence.position(1),
        satellites_used: data
            .fix_satellites
            .map(|n| u8::try_from(n).unwrap_or(u8::MAX)),
        hdop_centi: sentence.hdop_centi(7),
        altitude_mm: sentence.altitude_mm(8),
        ..sentence.reading(Source::Gga)
    })
}

/// GNS: time, position, one mode letter per constellation, satellites used, HDOP, altitude.
fn gns(sentence: &Sentence<'_>) -> Option<Reading> {
    let data = sentence.parsed(SentenceType::GNS, sentences::parse_gns)?;
    Some(Reading {
        time_of_day_ms: time_of_day_ms(data.fix_time),
        quality: Some(quality_of_mode(best_mode(sentence.field(5)))),
        position: sentence.position(1),
        satellites_used: Some(u8::try_from(data.nsattelites).unwrap_or(u8::MAX)),
        hdop_centi: sentence.hdop_centi(7),
        altitude_mm: sentence.altitude_mm(8),
        ..sentence.reading(Source::Gns)
    })
}

/// GLL: position, time, status, mode (2.3).
fn gll(sentence: &Sentence<'_>) -> Option<Reading> {
    let data = sentence.parsed(SentenceType::GLL, sentences::parse_gll)?;
    Some(Reading {
        time_of_day_ms: time_of_day_ms(data.fix_time),
        valid: Some(data.valid),
        quality: sentence.field(6).chars().next().map(quality_of_mode),
        position: sentence.position(0),
        ..sentence.reading(Source::Gll)
    })
}

/// GSA: fix mode, satellites used, DOPs, system id (4.1).
fn gsa(sentence: &Sentence<'_>) -> Option<Reading> {
    let data = if quirks::gsa_is_misread(sentence.data) {
        sentence.repaired(SentenceType::GSA, sentences::parse_gsa)?
    } else {
        sentence.parsed(SentenceType::GSA, sentences::parse_gsa)?
    };
    // The crate knows system ids 1 to 4; 5 is QZSS, 6 NavIC.
    let named = sentence
        .field(17)
        .parse()
        .ok()
        .and_then(Constellation::of_system_id)
        .or_else(|| Constellation::of_talker(sentence.talker));
    // Without a fix some receivers list what they track (geos-1m, myguide-3100): seen, but used for nothing.
    let used = data.mode2 != GsaMode2::NoFix;
    let satellites: Vec<_> = data
        .fix_sats_prn
        .iter()
        .map(|&number| satellite(named, number, None, used))
        .collect();
    Some(Reading {
        mode: Some(match data.mode2 {
            GsaMode2::NoFix => FixMode::None,
            GsaMode2::Fix2D => FixMode::TwoD,
            GsaMode2::Fix3D => FixMode::ThreeD,
        }),
        // After twelve satellites and PDOP; receivers with more or fewer slots leave HDOP to GGA.
        hdop_centi: data.hdop.and_then(|_| sentence.hdop_centi(15)),
        satellites,
        ..sentence.reading(Source::Gsa)
    })
}

/// GSV: pages of up to four satellites in view with C/N0, signal id (4.11).
fn gsv(sentence: &Sentence<'_>) -> Option<Reading> {
    // The crate refuses GSV under talker GN, which several receivers send; only the talker stands in its way.
    let talker = if sentence.talker == "GN" {
        "GP"
    } else {
        sentence.talker
    };
    let parse =
        |data: &str| sentence.parsed_as(talker, data, SentenceType::GSV, sentences::parse_gsv);
    let data = if sentence.data.contains('.') {
        None
    } else {
        parse(sentence.data)
    };
    let data = data.or_else(|| parse(&quirks::repair("GSV", sentence.data)?))?;
    let named = Constellation::of_talker(sentence.talker);
    let satellites: Vec<_> = data
        .sats_info
        .iter()
        .flatten()
        .map(|seen| {
            satellite(named, seen.prn(), seen.snr(), false)
                .seen_at(whole(seen.elevation()), whole(seen.azimuth()))
        })
        .collect();
    let signals = match signal_id(sentence.data) {
        Some(signal) => satellites
            .iter()
            .filter_map(|seen| seen.signal(signal))
            .collect(),
        None => Vec::new(),
    };
    let mut reading = Reading {
        satellites,
        signals,
        ..sentence.reading(Source::Gsv)
    };
    reading.key.last_page = data.sentence_num == data.number_of_sentences;
    Some(reading)
}

/// Whole degrees; the crate has read them from whole numbers.
#[expect(
    clippy::cast_possible_truncation,
    reason = "clamped to what a sentence's three digits can say just before"
)]
fn whole(degrees: Option<f32>) -> Option<i32> {
    degrees.map(|degrees| degrees.clamp(-999.0, 999.0) as i32)
}

/// The signal id behind the last group of four (NMEA 0183 4.11); sentences before that have none.
fn signal_id(data: &str) -> Option<u8> {
    let commas = data.bytes().filter(|&b| b == b',').count();
    let digit = match *data.as_bytes() {
        [.., b',', digit] => char::from(digit).to_digit(16)?,
        _ => return None,
    };
    u8::try_from(digit)
        .ok()
        .filter(|_| commas % 4 == 3 && commas > 3)
}

fn satellite(named: Option<Constellation>, number: u32, cn0: Option<f32>, used: bool) -> Satellite {
    let (constellation, id) = Constellation::identify(named, number);
    // Two digits in the sentence; 0 is how some receivers say not tracked.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to 0–99 just before"
    )]
    let cn0_dbhz = cn0
        .map(|cn0| cn0.clamp(0.0, 99.0) as u8)
        .filter(|&cn0| cn0 > 0);
    Satellite {
        constellation,
        id,
        cn0_dbhz,
        used,
        elevation_deg: None,
        azimuth_deg: None,
    }
}

/// VTG: course and speed.
fn vtg(sentence: &Sentence<'_>) -> Option<Reading> {
    sentence.parsed(SentenceType::VTG, sentences::parse_vtg)?;
    // The crate leaves out a comma and so never sees the km/h, which some receivers send alone.
    let kmh = || fixed(sentence.field(6), 10_000, 36).and_then(|speed| capped(speed, u32::MAX));
    Some(Reading {
        speed_mm_s: sentence.knots_mm_s(4).or_else(kmh),
        ..sentence.reading(Source::Vtg)
    })
}

/// ZDA: time, day, month, four-digit year.
fn zda(sentence: &Sentence<'_>) -> Option<Reading> {
    let data = sentence.parsed(SentenceType::ZDA, sentences::parse_zda)?;
    Some(Reading {
        time_of_day_ms: time_of_day_ms(data.utc_time),
        days: days(data.utc_date()),
        ..sentence.reading(Source::Zda)
    })
}

/// GST: standard deviations of latitude and longitude, metres; joined to one horizontal figure.
fn gst(sentence: &Sentence<'_>) -> Option<Reading> {
    let data = sentence.parsed(SentenceType::GST, sentences::parse_gst)?;
    let deviation = |at| fixed(sentence.field(at), 1000, 1).and_then(|mm| capped(mm, u32::MAX));
    let horizontal = |(lat, lon): (u32, u32)| {
        let square = u64::from(lat).pow(2).saturating_add(u64::from(lon).pow(2));
        u32::try_from(square.isqrt()).unwrap_or(u32::MAX)
    };
    Some(Reading {
        time_of_day_ms: time_of_day_ms(data.time),
        accuracy_mm: deviation(5).zip(deviation(6)).map(horizontal),
        ..sentence.reading(Source::Gst)
    })
}
