//! What may happen to a receiver, as scripts for the simulator: the honest ones and the attacks.
//!
//! Owns when what happens. The same scenario, point and seed give the same sentences. Every position stays marked as simulated:
//! these are for tests and demonstrations, and a live network takes none of them.

use super::simulator::{Condition, Simulator, SimulatorConfig};
use std::str::FromStr;

/// The epoch, counted from 0, at which what a scenario is about begins. Until then the sky is open and the receiver honest, except
/// in [`Scenario::ColdStart`] and [`Scenario::Urban`], which are what they are from the first epoch on.
pub const ONSET: u32 = 60;

/// A cold start knows nothing for so many epochs, then the time,
const COLD: u32 = 10;
/// then signals without a fix until here; what u-blox calls a usual time to first fix.
const FIRST_FIX: u32 = 30;

/// How fast the position of a drag-off leaves, 1e-7 degrees north an epoch: five metres a second.
const DRAG_E7: i32 = 450;

/// How far a jump goes, 1e-7 degrees north: 5.5 km.
const JUMP_E7: i32 = 500_000;

/// How far the time jumps ahead, milliseconds.
const TIME_JUMP_MS: u64 = 120_000;

/// 1,024 weeks of seven days.
const ROLLOVER_MS: u64 = 1024 * 7 * 86_400_000;

/// A jammer that comes nearer takes so many dB an epoch.
const JAMMING_DB: u32 = 2;

/// What happens to the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scenario {
    /// Switched on: no time, then no fix, then few satellites, then all.
    ColdStart,
    /// Between houses: five satellites, weak and unsteady. Genuine.
    Urban,
    /// A jammer comes nearer, until there is no fix.
    Jamming,
    /// The position jumps by 5.5 km.
    SpoofByJump,
    /// The position is led away at five metres a second, while the speed says that the antenna stands.
    DragOff,
    /// All signals are equally strong, as from one antenna.
    FlatCn0,
    /// The position no longer changes in any digit.
    FrozenPosition,
    /// The time jumps ahead by two minutes.
    TimeJump,
    /// The date falls back by 1,024 weeks.
    WeekRollover,
    /// The plug is pulled: nothing comes any more.
    Unplug,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::ColdStart,
        Self::Urban,
        Self::Jamming,
        Self::SpoofByJump,
        Self::DragOff,
        Self::FlatCn0,
        Self::FrozenPosition,
        Self::TimeJump,
        Self::WeekRollover,
        Self::Unplug,
    ];

    /// Its name, such as `drag-off`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ColdStart => "cold-start",
            Self::Urban => "urban",
            Self::Jamming => "jamming",
            Self::SpoofByJump => "spoof-by-jump",
            Self::DragOff => "drag-off",
            Self::FlatCn0 => "flat-cn0",
            Self::FrozenPosition => "frozen-position",
            Self::TimeJump => "time-jump",
            Self::WeekRollover => "week-rollover",
            Self::Unplug => "unplug",
        }
    }

    /// Whether all that the receiver says is true: nobody deceives it.
    #[must_use]
    pub const fn is_genuine(self) -> bool {
        matches!(
            self,
            Self::ColdStart | Self::Urban | Self::Jamming | Self::Unplug
        )
    }

    /// The condition at an epoch, and the time that the receiver takes for the true one. `None`: nothing comes.
    fn at(self, epoch: u32, time_ms: u64) -> Option<(u64, Condition)> {
        let open = Condition::default();
        let Some(since) = epoch.checked_sub(ONSET) else {
            return match self {
                Self::ColdStart => Some((time_ms, cold(epoch))),
                Self::Urban => Some((time_ms, urban(epoch))),
                _ => Some((time_ms, open)),
            };
        };
        // A counter of epochs; beyond a few thousand nothing changes any more.
        let steps = i32::try_from(since.min(10_000)).expect("bounded just before");
        let condition = match self {
            Self::ColdStart => cold(epoch),
            Self::Urban => urban(epoch),
            Self::Jamming => jammed(since),
            Self::SpoofByJump => Condition {
                shift_e7: (JUMP_E7, 0),
                ..open
            },
            Self::DragOff => Condition {
                shift_e7: ((steps + 1) * DRAG_E7, 0),
                ..open
            },
            Self::FlatCn0 => Condition {
                flat_cn0: Some(44),
                ..open
            },
            Self::FrozenPosition => Condition {
                frozen: true,
                ..open
            },
            Self::TimeJump => return Some((time_ms.saturating_add(TIME_JUMP_MS), open)),
            Self::WeekRollover => return Some((time_ms.saturating_sub(ROLLOVER_MS), open)),
            Self::Unplug => return None,
        };
        Some((time_ms, condition))
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|known| known.name() == name);
        known.ok_or_else(|| {
            let all: Vec<_> = Self::ALL.iter().map(|known| known.name()).collect();
            format!(
                "no scenario is called {name:?}; there are {}",
                all.join(", ")
            )
        })
    }
}

fn cold(epoch: u32) -> Condition {
    let open = Condition::default();
    match epoch {
        0..COLD => Condition {
            used: 0,
            attenuation_db: 99,
            timed: false,
            ..open
        },
        COLD..FIRST_FIX => Condition {
            used: 0,
            attenuation_db: 12,
            ..open
        },
        // One satellite more every other epoch.
        FIRST_FIX..ONSET => Condition {
            used: 4 + usize::try_from((epoch - FIRST_FIX) / 2).unwrap_or(usize::MAX),
            hdop_centi: 250,
            ..open
        },
        _ => open,
    }
}

/// Five or six satellites come and go, and the position strays by twenty metres.
fn urban(epoch: u32) -> Condition {
    Condition {
        used: 5 + usize::from(epoch % 7 < 3),
        attenuation_db: 9 + u8::from(epoch.is_multiple_of(3)),
        unrest: 20,
        hdop_centi: 210,
        ..Condition::default()
    }
}

fn jammed(since: u32) -> Condition {
    let lost = (since + 1).saturating_mul(JAMMING_DB).min(40);
    let attenuation_db = u8::try_from(lost).expect("at most 40");
    Condition {
        used: 10_usize.saturating_sub(usize::from(attenuation_db / 4)),
        attenuation_db,
        hdop_centi: 86 + 10 * u64::from(lost),
        ..Condition::default()
    }
}

/// A scenario that is being played.
#[derive(Debug, Clone)]
pub struct Play {
    scenario: Scenario,
    simulator: Simulator,
    epoch: u32,
}

impl Play {
    /// At its first epoch.
    #[must_use]
    pub fn new(scenario: Scenario, config: SimulatorConfig) -> Self {
        Self {
            scenario,
            simulator: Simulator::new(config),
            epoch: 0,
        }
    }

    /// The sentences of the next epoch, at the true time `time_ms` (UTC, milliseconds since the Unix epoch); `None` where the
    /// receiver is unplugged.
    pub fn epoch(&mut self, time_ms: u64) -> Option<String> {
        let found = self.scenario.at(self.epoch, time_ms);
        self.epoch = self.epoch.saturating_add(1);
        let (time_ms, condition) = found?;
        Some(self.simulator.epoch_under(time_ms, condition))
    }
}
