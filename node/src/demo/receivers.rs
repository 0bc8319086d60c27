//! The receivers: a pseudo-terminal for each node, with the simulator or a capture behind it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use city_drivers::gnss::{Pty, Simulator, SimulatorConfig, replay};
use tokio::task::JoinHandle;

use super::cast::Municipality;
use crate::engine::utc;

/// A simulated receiver speaks five times a second, so that nobody has to wait for a window of fixes.
const INTERVAL: Duration = Duration::from_millis(200);
/// Height of the simulated antennas in millimetres.
const ALTITUDE_MM: i32 = 30_000;

/// One receiver. Dropping it unplugs it.
pub(super) enum Receiver {
    /// The simulator is feeding the line.
    Simulated(JoinHandle<()>),
    /// A capture waits to be played.
    Recorded { line: Box<Pty>, capture: PathBuf },
}

impl Receiver {
    /// Opens a line for a municipality; gives the device that its node is to open.
    pub(super) fn plug_in(city: &Municipality) -> Result<(Self, PathBuf)> {
        let line = Pty::open().context("no pseudo-terminal could be opened (/dev/ptmx)")?;
        let device = line.path().to_owned();
        let receiver = match &city.plan.capture {
            Some(capture) => Self::Recorded {
                line: Box::new(line),
                capture: capture.clone(),
            },
            None => Self::Simulated(simulate(city, line)),
        };
        Ok((receiver, device))
    }

    /// Plays the capture as fast as the line takes it. A simulator plays for ever anyway.
    pub(super) async fn play(&mut self) -> Result<Option<u64>> {
        let Self::Recorded { line, capture } = self else {
            return Ok(None);
        };
        let file = tokio::fs::File::open(&*capture)
            .await
            .with_context(|| format!("{} cannot be read", capture.display()))?;
        let bytes = replay::play(file, &mut **line)
            .await
            .context("the capture could not be played")?;
        Ok(Some(bytes))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Self::Simulated(task) = self {
            task.abort();
        }
    }
}

fn simulate(city: &Municipality, line: Pty) -> JoinHandle<()> {
    let config = SimulatorConfig {
        lat_e7: city.plan.point.lat_e7(),
        lon_e7: city.plan.point.lon_e7(),
        altitude_mm: ALTITUDE_MM,
        seed: 17,
    };
    tokio::spawn(async move {
        let mut line = line;
        let fed = Simulator::new(config)
            .feed(&mut line, INTERVAL, || utc().0)
            .await;
        let Err(error) = fed;
        tracing::warn!(%error, "a simulated receiver stopped");
    })
}
