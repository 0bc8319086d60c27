//! `place survey`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use city_drivers::gnss::replay::fixes;
use city_protocol::place::{PlacePolicy, Site};
use clap::Args;
use serde_json::json;

use super::status::{asked, failed};
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::launch::runtime;
use crate::cli::output;
use crate::cli::run::PlaceArgs;
use crate::client::AdminClient;
use crate::engine::utc;
use crate::place::replay::Replay;
use crate::place::survey::{MIN_POSITIONS, Proposal, Survey};

/// How often the node is asked: receivers give one position a second.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Arguments of `place survey`.
#[derive(Debug, Args)]
pub struct SurveyArgs {
    /// A capture of the fixed receiver; without it the running node is asked.
    file: Option<PathBuf>,
    /// How long the running node is asked, seconds. 600: the sky moves on by five degrees.
    #[arg(long, value_name = "N", default_value_t = 600, value_parser = clap::value_parser!(u64).range(60..=86_400))]
    seconds: u64,
    #[command(flatten)]
    place: PlaceArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &SurveyArgs) -> Outcome {
    let survey = match &args.file {
        Some(file) => of_capture(file)?,
        None => of_node(args)?,
    };
    let Some(proposal) = survey.proposal() else {
        return Err(anyhow::anyhow!(
            "{} good positions; a survey needs {MIN_POSITIONS}: give the antenna a view of the sky, and --seconds more time",
            survey.positions()
        )
        .into());
    };
    if args.json {
        let point = proposal.point();
        output::object(json!({
            "surveyed": format!("{},{}", point.lat_text(), point.lon_text()),
            "proposal": proposal,
            "config": proposal.config(),
        }))?;
    } else {
        output::text(&told(&proposal))?;
    }
    Ok(Exit::Ok)
}

fn told(proposal: &Proposal) -> String {
    let metres = |mm: u64| format!("{}.{:02} m", mm / 1000, mm % 1000 / 10);
    let left_out = match proposal.left_out {
        0 => String::new(),
        n => format!(", {n} left out because a check failed"),
    };
    format!(
        "# {} positions{left_out}\n# half of them within {}, 95 of 100 within {}, all within {}\n{}",
        proposal.positions,
        metres(proposal.half_mm),
        metres(proposal.most_mm),
        metres(proposal.all_mm),
        proposal.config()
    )
}

/// Averages a capture's own fixes, judged by its own clock.
fn of_capture(path: &Path) -> anyhow::Result<Survey> {
    let name = path.display();
    let file = File::open(path)
        .with_context(|| format!("{name}: cannot be read; check the path and its permissions"))?;
    let policy = PlacePolicy::default();
    let site = Site {
        boundary: None,
        home: None,
        survey: None,
        policy: &policy,
        purpose_allows_recorded: true,
    };
    let mut replay = Replay::new(site, utc(), false);
    let mut survey = Survey::default();
    for fix in fixes(file) {
        let fix = fix.with_context(|| format!("{name}: cannot be read to its end"))?;
        let epoch = replay.epoch(&fix);
        if let Some(point) = epoch.point {
            survey.add(point, epoch.grade, &epoch.reasons);
        }
    }
    Ok(survey)
}

/// Averages what the running node sees; each epoch counts once.
fn of_node(args: &SurveyArgs) -> Result<Survey, Failure> {
    let socket = args.place.locate().data.admin_socket();
    let runtime = runtime()?;
    let progress = output::spinner("averaging positions");
    let collected = runtime.block_on(async {
        let node = AdminClient::connect(&socket).await?;
        let end = Instant::now() + Duration::from_secs(args.seconds);
        let (mut survey, mut last) = (Survey::default(), None);
        while Instant::now() < end {
            let verdict = asked(&node).await?.verdict;
            let epoch = verdict.point.map(|point| (point, verdict.fix_time));
            if let Some((point, _)) = epoch.filter(|_| epoch != last) {
                last = epoch;
                survey.add(point, verdict.grade, &verdict.reasons);
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
        Ok(survey)
    });
    progress.finish_and_clear();
    collected.map_err(failed)
}
