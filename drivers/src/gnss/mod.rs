//! GNSS receivers: bytes of a serial line in, one [`Fix`] per epoch out.
//!
//! `framing` finds NMEA sentences and UBX frames, `sentence` and `ubx` read them, `epoch` joins what belongs
//! to one instant, `decoder` is the three in a row. `receiver` is the task around a `serial` port (`discover` finds it, `hunt` its
//! speed, `ublox_setup` asks it for more), `gpsd` or a `recording`; `source` is how an operator names it, `notice` what it says in
//! words. `replay`, `simulator` and `pty` make receivers out of files and numbers. Whether a fix is believed is decided elsewhere.

mod decimal;
mod decoder;
mod discover;
mod epoch;
mod fix;
mod framing;
mod gpsd;
mod hunt;
mod notice;
mod pty;
mod quirks;
mod reading;
pub mod receiver;
mod recording;
pub mod replay;
mod satellite;
pub mod scenario;
mod sentence;
mod serial;
pub mod simulator;
mod source;
mod ublox_setup;
mod ubx;
mod ubx_fields;

pub use decoder::Decoder;
pub use epoch::{Assembler, MAX_RAW_EPOCH};
pub use fix::{Fix, FixMode, Jamming, Quality, Spoofing};
pub use framing::{Counters, Frame, Framer, MAX_NMEA_SENTENCE, MAX_UBX_PAYLOAD};
pub use notice::{AntennaState, MAX_NOTICE, Notice, Severity};
pub use pty::Pty;
pub use receiver::{Event, Protocol, run};
pub use satellite::{Constellation, MAX_SATELLITES, MAX_SIGNALS, Satellite, Signal};
pub use scenario::{Play, Scenario};
pub use serial::{Port, PortError};
pub use simulator::{Simulator, SimulatorConfig};
pub use source::{BAUDS, Baud, ReceiverConfig, Source};
