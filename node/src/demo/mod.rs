//! The demo: three real nodes as separate processes, each with a receiver on a pseudo-terminal, and one
//! transfer from the first municipality to the second, told as a story.
//!
//! `cast` who takes part · `receivers` the serial lines · `nodes` the processes · `story` what happens ·
//! `payment` its middle, `agreement` its end · `report` what is printed. Nothing in it is a stand-in: it
//! uses the daemon, the API and the client library that everybody uses.

mod agreement;
mod cast;
mod nodes;
mod payment;
mod receivers;
mod report;
mod story;

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use report::{Report, Teller, say};
use story::Stage;

/// Name of the file with the transfer's receipt, beside the data directories.
const RECEIPT: &str = "transfer.receipt";

/// What the command line asks of the demo.
#[derive(Clone, Debug, Default)]
pub struct DemoOptions {
    /// Print one JSON object instead of the story.
    pub json: bool,
    /// Keep the data directories here.
    pub keep: Option<PathBuf>,
    /// A receiver capture that the first node's receiver plays.
    pub replay: Option<PathBuf>,
    /// Outlines of municipalities for the capture.
    pub boundaries: Option<PathBuf>,
    /// Judge the capture by its own clock.
    pub assume_recorded: bool,
}

/// Runs the demo; says whether everything held.
///
/// # Errors
/// What went wrong, after everything that was started is stopped.
pub async fn run(options: DemoOptions) -> Result<bool> {
    if options.assume_recorded && options.replay.is_none() {
        bail!("--assume-recorded says that a capture is a recording; it needs --replay FILE");
    }
    let temporary = match &options.keep {
        Some(_) => None,
        None => Some(
            tempfile::Builder::new()
                .prefix("city-node-demo")
                .tempdir()?,
        ),
    };
    let root = match (&options.keep, &temporary) {
        (Some(keep), _) => keep.clone(),
        (None, Some(temporary)) => temporary.path().to_owned(),
        (None, None) => unreachable!("one of the two is set above"),
    };
    prepare(&root)?;
    // A task of its own, so that a signal counts from here on, also while keys are made.
    let mut signal = tokio::spawn(crate::daemon::stop_signal(false));
    let mut teller = Teller::new(options.json);
    let mut stage = Stage::empty();
    let told = tokio::select! {
        told = story::tell(&root, &options, &mut teller, &mut stage) => told,
        signal = &mut signal => {
            let name = signal.ok().and_then(Result::ok).unwrap_or("a signal");
            Err(anyhow::anyhow!("stopped by {name}"))
        }
    };
    let cleared = stage.clear().await;
    let (report, people) = match told {
        Ok(told) => told,
        Err(error) => {
            if options.json {
                say(&Report::failed(&error, &teller).to_string());
            }
            return Err(error);
        }
    };
    cleared.context("a node did not stop as it should")?;
    if options.json {
        say(&serde_json::to_string(&report)?);
    } else {
        say(&report.table(&people));
        say(&format!("told in {:.1} s", teller.elapsed().as_secs_f64()));
        if let Some(keep) = &options.keep {
            let (keep, first) = (keep.display(), stage.first_directory().to_owned());
            say(&format!(
                "data kept in {keep} — try:\n  \
                 city-node store verify --data-dir {keep}/{first}\n  \
                 city-node tx verify-receipt {keep}/{RECEIPT} --genesis {keep}/{first}/network/genesis.cbor"
            ));
        }
    }
    Ok(report.ok)
}

fn prepare(root: &std::path::Path) -> Result<()> {
    std::fs::create_dir_all(root).with_context(|| format!("{} cannot be made", root.display()))?;
    let mut inside =
        std::fs::read_dir(root).with_context(|| format!("{} cannot be read", root.display()))?;
    if inside.next().is_some() {
        bail!(
            "--keep {}: the directory is not empty; give a new one",
            root.display()
        );
    }
    Ok(())
}
