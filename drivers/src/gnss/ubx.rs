//! Reads the u-blox UBX messages that make a fix: NAV-PVT, NAV-SAT and NAV-EOE, decoded by the `ublox` crate.
//!
//! Framing and checksums are `framing`'s, the messages that the crate does not read well are `ubx_fields`'. Other messages are stepped over.

use super::fix::{FixMode, Quality};
use super::framing::Frame;
use super::reading::{Reading, Source};
use super::satellite::{Constellation, Satellite};
use super::ubx_fields::{self, reading};
use chrono::NaiveDate;
use ublox::proto23::{PacketRef, Proto23};
use ublox::{GnssFixType, UbxProtocol};

/// NAV-PVT of u-blox 7 and protocol 14 and earlier, which the crate's protocol 23 refuses: the same fields without the last eight bytes.
const SHORT_PVT: usize = 84;

/// NAV-PVT since protocol 15.
const PVT: usize = 92;

/// Reads a UBX frame; `None` when it is none of ours or malformed.
pub(super) fn read(frame: &Frame<'_>) -> Option<Reading> {
    let &Frame::Ubx {
        class, id, payload, ..
    } = frame
    else {
        return None;
    };
    if class != 0x01 || !matches!(id, 0x07 | 0x35 | 0x61) {
        return ubx_fields::read(class, id, payload);
    }
    let mut padded = [0; PVT];
    let payload = if id == 0x07 && payload.len() == SHORT_PVT {
        padded[..SHORT_PVT].copy_from_slice(payload);
        &padded
    } else {
        payload
    };
    let reading = match Proto23::match_packet(class, id, payload).ok()? {
        PacketRef::NavPvt(pvt) => {
            let valid = pvt.valid_raw();
            let time = time_of_day_and_date(&pvt);
            let flags = pvt.flags_raw();
            let mode = mode_of(pvt.fix_type());
            Reading {
                itow_ms: Some(pvt.itow()),
                time_of_day_ms: time.filter(|_| valid & 0x02 != 0).map(|(time, _)| time),
                days: time.filter(|_| valid & 0x01 != 0).map(|(_, days)| days),
                valid: Some(flags & 0x01 != 0),
                quality: Some(quality_of(pvt.fix_type(), flags)),
                mode: Some(mode),
                position: on_earth(pvt.latitude_raw(), pvt.longitude_raw()),
                altitude_mm: Some(pvt.height_msl_raw()),
                accuracy_mm: Some(pvt.horizontal_accuracy_raw()),
                speed_mm_s: u32::try_from(pvt.ground_speed_2d_raw()).ok(),
                satellites_used: Some(pvt.num_satellites()),
                ..reading(Source::UbxPvt)
            }
        }
        PacketRef::NavSat(sat) => Reading {
            itow_ms: Some(sat.itow()),
            satellites: sat.svs().map(|sv| nav_sat_satellite(&sv)).collect(),
            ..reading(Source::UbxSat)
        },
        PacketRef::NavEoe(end) => Reading {
            itow_ms: Some(end.itow()),
            ..reading(Source::UbxEnd)
        },
        _ => return None,
    };
    Some(reading)
}

/// A block of NAV-SAT. An elevation beyond ±90 means that neither angle is known (u-blox interface description, UBX-NAV-SAT elev).
fn nav_sat_satellite(sv: &ublox::nav_sat::NavSatSvInfoRef<'_>) -> Satellite {
    let elevation = i32::from(sv.elev());
    let azimuth = Some(i32::from(sv.azim())).filter(|_| elevation.abs() <= 90);
    let satellite = Satellite {
        constellation: Constellation::of_ubx(sv.gnss_id()),
        id: u16::from(sv.sv_id()),
        cn0_dbhz: Some(sv.cno()).filter(|&cno| cno > 0),
        used: sv.flags().sv_used(),
        elevation_deg: None,
        azimuth_deg: None,
    };
    satellite.seen_at(Some(elevation), azimuth)
}

/// Latitude and longitude in 1e-7 degrees, if there is such a place: a broken receiver's checksums fit too.
fn on_earth(lat_e7: i32, lon_e7: i32) -> Option<(i32, i32)> {
    let is_place = lat_e7.unsigned_abs() <= 900_000_000 && lon_e7.unsigned_abs() <= 1_800_000_000;
    is_place.then_some((lat_e7, lon_e7))
}

/// UTC time of day in milliseconds and days since the Unix epoch; the fraction may be negative and reach back over midnight.
fn time_of_day_and_date(pvt: &ublox::nav_pvt::proto23::NavPvtRef<'_>) -> Option<(u32, i64)> {
    let date = NaiveDate::from_ymd_opt(pvt.year().into(), pvt.month().into(), pvt.day().into())?;
    let days = date.signed_duration_since(NaiveDate::default()).num_days();
    let seconds = (i64::from(pvt.hour()) * 60 + i64::from(pvt.min())) * 60 + i64::from(pvt.sec());
    let fraction_ms = (i64::from(pvt.nanosec()) + 500_000).div_euclid(1_000_000);
    let total = days * DAY_MS + seconds * 1000 + fraction_ms;
    Some((
        u32::try_from(total.rem_euclid(DAY_MS)).ok()?,
        total.div_euclid(DAY_MS),
    ))
}

const DAY_MS: i64 = 86_400_000;

fn mode_of(fix_type: GnssFixType) -> FixMode {
    match fix_type {
        GnssFixType::Fix2D | GnssFixType::DeadReckoningOnly => FixMode::TwoD,
        GnssFixType::Fix3D | GnssFixType::GPSPlusDeadReckoning => FixMode::ThreeD,
        _ => FixMode::None,
    }
}

/// NAV-PVT flags: bit 0 gnssFixOK, bit 1 diffSoln, bits 6–7 carrSoln (1 float, 2 fixed).
fn quality_of(fix_type: GnssFixType, flags: u8) -> Quality {
    match (fix_type, flags >> 6) {
        _ if flags & 0x01 == 0 => Quality::Invalid,
        (GnssFixType::DeadReckoningOnly, _) => Quality::Estimated,
        (_, 2) => Quality::Rtk,
        (_, 1) => Quality::FloatRtk,
        _ if flags & 0x02 != 0 => Quality::Differential,
        _ => Quality::Autonomous,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A NAV-PVT of 2026-11-21, 0.3 ms before midnight ended the day before, differential 3D fix at 金沢市.
    fn pvt(len: usize) -> Vec<u8> {
        let mut payload = vec![0; len];
        let mut put =
            |at: usize, bytes: &[u8]| payload[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &518_418_000_u32.to_le_bytes());
        put(4, &2026_u16.to_le_bytes());
        put(6, &[11, 21, 0, 0, 0, 0x07]);
        put(16, &(-300_000_i32).to_le_bytes());
        put(20, &[3, 0x03, 0, 11]);
        put(24, &1_366_564_000_i32.to_le_bytes());
        put(28, &365_610_000_i32.to_le_bytes());
        put(36, &28_500_i32.to_le_bytes());
        put(40, &1_200_u32.to_le_bytes());
        put(60, &15_i32.to_le_bytes());
        payload
    }

    fn read_payload(id: u8, payload: &[u8]) -> Option<Reading> {
        read(&Frame::Ubx {
            class: 0x01,
            id,
            payload,
            raw: &[],
        })
    }

    #[test]
    fn nav_pvt_of_both_lengths() {
        for len in [SHORT_PVT, PVT] {
            let reading = read_payload(0x07, &pvt(len)).expect("a NAV-PVT");
            // The fraction rounds to the whole second.
            assert_eq!(
                (reading.time_of_day_ms, reading.days),
                (Some(0), Some(20_778))
            );
            assert_eq!(reading.position, Some((365_610_000, 1_366_564_000)));
            assert_eq!(reading.altitude_mm, Some(28_500));
            assert_eq!(reading.accuracy_mm, Some(1_200));
            assert_eq!(reading.speed_mm_s, Some(15));
            assert_eq!(reading.satellites_used, Some(11));
            assert_eq!(reading.mode, Some(FixMode::ThreeD));
            assert_eq!(reading.quality, Some(Quality::Differential));
        }
        assert_eq!(read_payload(0x07, &pvt(PVT)[..60]), None);
    }

    #[test]
    fn a_time_that_is_not_valid_is_no_time() {
        let mut payload = pvt(PVT);
        payload[11] = 0;
        payload[21] = 0;
        let reading = read_payload(0x07, &payload).expect("a NAV-PVT");
        assert_eq!((reading.time_of_day_ms, reading.days), (None, None));
        assert_eq!(
            (reading.valid, reading.quality),
            (Some(false), Some(Quality::Invalid))
        );
        // Month 13 of a broken receiver.
        payload[6..12].copy_from_slice(&[13, 40, 99, 99, 99, 7]);
        assert_eq!(read_payload(0x07, &payload).expect("a NAV-PVT").days, None);
    }

    /// Found by the fuzz target `gnss_framing`: a frame full of 0xB7 stood at 121° south.
    #[test]
    fn a_position_beyond_the_poles_is_no_position() {
        for (lat, lon) in [(900_000_001, 0), (i32::MIN, 0), (0, -1_800_000_001_i32)] {
            let mut payload = pvt(PVT);
            payload[24..28].copy_from_slice(&lon.to_le_bytes());
            payload[28..32].copy_from_slice(&lat.to_le_bytes());
            let reading = read_payload(0x07, &payload).expect("a NAV-PVT");
            assert_eq!(reading.position, None, "{lat} {lon}");
        }
    }

    #[test]
    fn nav_sat_names_constellations() {
        let mut payload = vec![0, 0, 0, 0, 1, 2, 0, 0];
        payload.extend([5, 3, 41, 60, 0x2C, 0x01, 0, 0, 0x08, 0, 0, 0]);
        // 91°: not known, and its azimuth neither.
        payload.extend([6, 24, 0, 91, 60, 0, 0, 0, 0, 0, 0, 0]);
        let reading = read_payload(0x35, &payload).expect("a NAV-SAT");
        assert_eq!(
            reading.satellites,
            [
                Satellite {
                    constellation: Constellation::Qzss,
                    id: 3,
                    cn0_dbhz: Some(41),
                    used: true,
                    elevation_deg: Some(60),
                    azimuth_deg: Some(300),
                },
                Satellite {
                    constellation: Constellation::Glonass,
                    id: 24,
                    cn0_dbhz: None,
                    used: false,
                    elevation_deg: None,
                    azimuth_deg: None,
                },
            ]
        );
        assert_eq!(read_payload(0x35, &payload[..27]), None);
    }
}
