//! GNSS receivers: bytes of a serial line in, one [`Fix`] per epoch out.
//!
//! `framing` finds NMEA sentences and UBX frames, `sentence` and `ubx` read them, `epoch` joins what belongs
//! to one instant, `decoder` is the three in a row. `receiver` is the task around a `serial` port; `replay`,
//! `simulator` and `pty` make receivers out of files and numbers. Whether a fix is believed is decided elsewhere.

mod decimal;
mod decoder;
mod epoch;
mod fix;
mod framing;
mod pty;
mod quirks;
mod reading;
pub mod receiver;
pub mod replay;
mod satellite;
mod sentence;
mod serial;
pub mod simulator;
mod ubx;

pub use decoder::Decoder;
pub use epoch::{Assembler, MAX_RAW_EPOCH};
pub use fix::{Fix, FixMode, Quality};
pub use framing::{Counters, Frame, Framer, MAX_NMEA_SENTENCE, MAX_UBX_PAYLOAD};
pub use pty::Pty;
pub use receiver::{Event, ReceiverConfig, run};
pub use satellite::{Constellation, MAX_SATELLITES, Satellite};
pub use serial::{Port, PortError};
pub use simulator::{Simulator, SimulatorConfig};
