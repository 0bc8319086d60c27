//! A page to draw, for tests.

use city_protocol::place::{SeenSatellite, System};
use serde_json::json;

use crate::admin::pages::{Outline, PlaceShown};
use crate::place::outlines::{DEMO_CITIES, demo_boundary};

/// 金沢市 from its own antenna under seven constellations, with a fault in its cable.
pub(super) fn page() -> PlaceShown {
    let point = DEMO_CITIES[0].point();
    let seen = |(system, id, cn0_dbhz, elevation_deg, azimuth_deg): (System, u16, u8, i8, u16)| {
        SeenSatellite {
            system,
            id,
            cn0_dbhz: Some(cn0_dbhz),
            used: system != System::NavIc,
            elevation_deg: Some(elevation_deg),
            azimuth_deg: Some(azimuth_deg),
        }
    };
    let satellites: Vec<_> = [
        (System::Gps, 5, 47, 61, 164),
        (System::Gps, 9, 45, 52, 39),
        (System::Glonass, 3, 40, 41, 320),
        (System::Galileo, 11, 43, 33, 80),
        (System::Beidou, 22, 39, 12, 200),
        (System::Qzss, 2, 48, 79, 97),
        (System::Sbas, 129, 36, 45, 181),
        (System::NavIc, 7, 25, 5, 260),
    ]
    .map(seen)
    .into();
    let page = json!({
        "schema": 1,
        "summary": {
            "grade": "plausible", "municipality": "17201", "name": "金沢市", "reasons": ["not-surveyed"], "satisfies_policy": true,
        },
        "verdict": {
            "grade": "plausible", "reasons": ["not-surveyed"], "point": point, "fix_time": 1_795_219_200_000_u64,
            "satellites_used": 7, "hdop_centi": 86,
            "figures": {
                "mode": 3, "quality": "autonomous", "fix_age_ms": 210, "satellites_in_view": 8, "accuracy_mm": 1200,
                "speed_mm_s": 120, "fixes": 60, "held_epochs": 1, "systems": ["gps", "qzss"],
            },
        },
        "receiver": {
            "device": "/dev/ttyACM0", "connected": true, "protocol": "UBX", "baud": 38_400, "identity": "u-blox NEO-M9N",
            "fixes": 600, "noise_bytes": 0, "bad_checksums": 0, "antenna": "short",
            "notices": [{"at": 1_795_219_200_000_u64, "severity": "notice", "text": "ANTSTATUS=SHORT"}],
        },
        "satellites": satellites,
    });
    serde_json::from_value(page).unwrap()
}

/// 金沢市 as the demo draws it.
pub(super) fn outline() -> Outline {
    Outline::of(demo_boundary().municipality("17201").unwrap())
}
