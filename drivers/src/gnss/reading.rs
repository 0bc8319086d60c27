//! What one sentence or frame contributes to an epoch: the common shape of `sentence` and `ubx`, joined by `epoch`.

use super::fix::{FixMode, Jamming, Quality, Spoofing};
use super::satellite::{Satellite, Signal};

/// Where a value comes from, least trusted first: where two report the same thing, the greater wins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// Satellites in view.
    #[default]
    Gsv,
    /// Satellites used.
    Gsa,
    /// Date and time.
    Zda,
    /// Error statistics.
    Gst,
    /// Course and speed.
    Vtg,
    /// Position and time.
    Gll,
    /// Recommended minimum.
    Rmc,
    /// Fix data.
    Gga,
    /// Fix data of several constellations.
    Gns,
    /// What the receiver says of jamming and spoofing: UBX NAV-STATUS, MON-HW, MON-RF, SEC-SIG.
    UbxGuard,
    /// UBX NAV-SIG.
    UbxSig,
    /// UBX NAV-SAT.
    UbxSat,
    /// UBX NAV-EOE.
    UbxEnd,
    /// UBX NAV-PVT.
    UbxPvt,
}

impl Source {
    /// One of these opens an epoch; the others only add to one. They come once per epoch and talker.
    pub(super) fn is_anchor(self) -> bool {
        matches!(
            self,
            Self::Gll | Self::Rmc | Self::Gga | Self::Gns | Self::UbxPvt
        )
    }
}

/// Tells sentences of a receiver's cycle apart, to learn which one is its last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) talker: [u8; 2],
    pub(super) source: Source,
    /// The last page of a GSV group.
    pub(super) last_page: bool,
}

/// One sentence or frame, read. `None`: it does not say.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Reading {
    pub(super) key: Key,
    /// UTC time of day, milliseconds.
    pub(super) time_of_day_ms: Option<u32>,
    /// GPS time of week, milliseconds (UBX).
    pub(super) itow_ms: Option<u32>,
    /// UTC date, days since the Unix epoch.
    pub(super) days: Option<i64>,
    /// Status A or V (RMC, GLL), gnssFixOK (NAV-PVT).
    pub(super) valid: Option<bool>,
    pub(super) quality: Option<Quality>,
    pub(super) mode: Option<FixMode>,
    /// Latitude and longitude, 1e-7 degrees.
    pub(super) position: Option<(i32, i32)>,
    pub(super) altitude_mm: Option<i32>,
    pub(super) hdop_centi: Option<u16>,
    pub(super) accuracy_mm: Option<u32>,
    pub(super) speed_mm_s: Option<u32>,
    pub(super) satellites_used: Option<u8>,
    pub(super) satellites: Vec<Satellite>,
    pub(super) signals: Vec<Signal>,
    pub(super) spoofing: Option<Spoofing>,
    pub(super) jamming: Option<Jamming>,
}
