//! The only translator between the drivers' `Fix` and the core's `Sample`.

use city_drivers::gnss::{self, Constellation, Fix};
use city_protocol::amount::Timestamp;
use city_protocol::place::{
    FixMode, Jamming, Point, Quality, Sample, SeenSatellite, Spoofing, System,
};

/// An epoch of the drivers as a sample of the core.
pub(crate) fn sample(fix: &Fix, received_at: Timestamp) -> Sample {
    let point = fix
        .position()
        .and_then(|(lat, lon)| Point::new(lat, lon).ok());
    Sample {
        received_at,
        fix_time: fix.time_ms.map(Timestamp),
        point,
        mode: match fix.mode {
            gnss::FixMode::None => FixMode::None,
            gnss::FixMode::TwoD => FixMode::TwoD,
            gnss::FixMode::ThreeD => FixMode::ThreeD,
        },
        quality: quality(fix.quality),
        // A receiver that has a position and says 0 satellites does not say.
        satellites_used: (fix.satellites_used > 0 || point.is_none())
            .then_some(fix.satellites_used),
        satellites_in_view: u8::try_from(fix.satellites_in_view()).ok(),
        hdop_centi: fix.hdop_centi,
        accuracy_mm: fix.accuracy_mm,
        altitude_mm: fix.altitude_mm,
        speed_mm_s: fix.speed_mm_s,
        satellites: fix.satellites.iter().map(satellite).collect(),
        sentences_apart_e7: fix.sentences_apart_e7,
        spoofing: fix.spoofing.map(|spoofing| match spoofing {
            gnss::Spoofing::NoneIndicated => Spoofing::NoneIndicated,
            gnss::Spoofing::Indicated => Spoofing::Indicated,
            gnss::Spoofing::Affirmed => Spoofing::Affirmed,
        }),
        jamming: fix.jamming.map(|jamming| match jamming {
            gnss::Jamming::Ok => Jamming::Ok,
            gnss::Jamming::Warning => Jamming::Warning,
            gnss::Jamming::Critical => Jamming::Critical,
        }),
    }
}

fn satellite(seen: &gnss::Satellite) -> SeenSatellite {
    SeenSatellite {
        system: match seen.constellation {
            Constellation::Gps => System::Gps,
            Constellation::Sbas => System::Sbas,
            Constellation::Glonass => System::Glonass,
            Constellation::Galileo => System::Galileo,
            Constellation::Beidou => System::Beidou,
            Constellation::Qzss => System::Qzss,
            Constellation::NavIc => System::NavIc,
            Constellation::Unknown => System::Unknown,
        },
        id: seen.id,
        cn0_dbhz: seen.cn0_dbhz,
        used: seen.used,
        elevation_deg: seen.elevation_deg,
        azimuth_deg: seen.azimuth_deg,
    }
}

const fn quality(quality: gnss::Quality) -> Quality {
    match quality {
        gnss::Quality::Invalid => Quality::Invalid,
        gnss::Quality::Autonomous => Quality::Autonomous,
        gnss::Quality::Differential => Quality::Differential,
        gnss::Quality::Pps => Quality::Pps,
        gnss::Quality::Rtk => Quality::Rtk,
        gnss::Quality::FloatRtk => Quality::FloatRtk,
        gnss::Quality::Estimated => Quality::Estimated,
        gnss::Quality::Manual => Quality::Manual,
        gnss::Quality::Simulated => Quality::Simulated,
    }
}
