//! `place status` and `place clear-spoofing`.

use city_protocol::place::Figures;
use clap::Args;

use crate::admin::pages::PlaceShown;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::launch::runtime;
use crate::cli::output;
use crate::cli::run::PlaceArgs;
use crate::client::{AdminClient, ClientError};
use crate::config::rfc3339;

/// Which node, and how it is told.
#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &StatusArgs) -> Outcome {
    let socket = args.place.locate().data.admin_socket();
    let page = runtime()?.block_on(async {
        let node = AdminClient::connect(&socket).await?;
        node.place().await
    });
    let page = page.map_err(failed)?;
    let satisfies = page["summary"]["satisfies_policy"] == true;
    if args.json {
        output::object(page)?;
    } else {
        output::text(&told(&serde_json::from_value(page)?))?;
    }
    Ok(if satisfies {
        Exit::Ok
    } else {
        Exit::CheckFailed
    })
}

pub(super) fn clear_spoofing(args: &StatusArgs) -> Outcome {
    let socket = args.place.locate().data.admin_socket();
    let page = runtime()?.block_on(async {
        let node = AdminClient::connect(&socket).await?;
        node.clear_spoofing().await
    });
    let page = page.map_err(failed)?;
    if args.json {
        output::object(serde_json::to_value(page)?)?;
    } else {
        let told = match page.indicated_since {
            Some(since) => format!(
                "Forgotten: the receiver had indicated spoofing at {}. It counts again when it does.\n",
                rfc3339(since)
            ),
            None => "The receiver had not indicated spoofing.\n".into(),
        };
        output::text(&told)?;
    }
    Ok(Exit::Ok)
}

/// What the node says of its place.
pub(super) async fn asked(node: &AdminClient) -> Result<PlaceShown, ClientError> {
    let page = node.place().await?;
    serde_json::from_value(page).map_err(|_| ClientError::BadReply { status: 200 })
}

/// An error of asking, with its exit code.
pub(super) fn failed(error: ClientError) -> Failure {
    let exit = match error {
        ClientError::NotRunning { .. } => Exit::NotRunning,
        _ => Exit::Failed,
    };
    Failure::new(exit, error)
}

/// The verdict for people: a figure a line.
fn told(page: &PlaceShown) -> String {
    let PlaceShown {
        summary,
        verdict,
        receiver,
        ..
    } = page;
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        text += &format!("{name:<20}{value}\n");
    };
    let enough = if summary.satisfies_policy {
        "enough for transfers"
    } else {
        "NOT ENOUGH for transfers"
    };
    line("grade", format!("{}: {enough}", verdict.grade));
    let reasons: Vec<_> = verdict.reasons.iter().map(|reason| reason.code()).collect();
    if !reasons.is_empty() {
        line("reasons", reasons.join(" "));
    }
    if let Some(code) = &summary.municipality {
        let name = summary.name.as_deref().unwrap_or_default();
        line("municipality", format!("{code} {name}"));
    }
    if let Some(point) = verdict.point {
        line("position", point.to_string());
    }
    if let Some(time) = verdict.fix_time {
        line("fix time", rfc3339(time));
    }
    let device = receiver.device.as_deref().unwrap_or("none is configured");
    let state = match (&receiver.problem, receiver.connected) {
        (Some(problem), _) => format!(": {problem}"),
        (None, true) => format!(", {} fixes", receiver.fixes),
        (None, false) => String::new(),
    };
    line("receiver", format!("{device}{state}"));
    if let Some(fault) = receiver.antenna_fault() {
        line("antenna", fault.into());
    }
    for said in &receiver.notices {
        let words = format!("{} {}: {}", rfc3339(said.at), said.severity, said.text);
        line("receiver says", words);
    }
    for (name, value) in figures(&verdict.figures) {
        line(name, value);
    }
    text
}

/// The figures that are known, with their units.
pub(super) fn figures(figures: &Figures) -> Vec<(&'static str, String)> {
    let metres = |mm: u64| format!("{}.{:02} m", mm / 1000, mm % 1000 / 10);
    let seconds = |ms: u64| format!("{}.{:03} s", ms / 1000, ms % 1000);
    let signed = |ms: i64| {
        let sign = if ms < 0 { "-" } else { "" };
        format!("{sign}{}", seconds(ms.unsigned_abs()))
    };
    let wide = |mm: Option<u32>| mm.map(|mm| metres(mm.into()));
    let systems: Vec<_> = figures.systems.iter().map(|s| s.code()).collect();
    let cn0 = figures.cn0.map(|cn0| {
        format!(
            "{}.{:02} dB-Hz, deviation {}.{:02} dB, at most {} dB-Hz, {} satellites",
            cn0.mean_centi / 100,
            cn0.mean_centi % 100,
            cn0.spread_centi / 100,
            cn0.spread_centi % 100,
            cn0.max_dbhz,
            cn0.satellites
        )
    });
    let known = [
        ("fix age", figures.fix_age_ms.map(seconds)),
        ("accuracy", wide(figures.accuracy_mm)),
        ("clock difference", figures.clock_difference_ms.map(signed)),
        ("speed", wide(figures.speed_mm_s).map(|speed| speed + "/s")),
        ("longest step", figures.longest_step_mm.map(metres)),
        ("unexplained way", figures.unexplained_way_mm.map(metres)),
        ("held epochs", Some(figures.held_epochs.to_string())),
        ("time backwards", figures.backwards_ms.map(seconds)),
        ("C/N0", cn0),
        (
            "constellations",
            (!systems.is_empty()).then(|| systems.join(" ")),
        ),
        ("spoofing", figures.spoofing.map(|said| format!("{said:?}"))),
        ("spoofing since", figures.spoofing_since.map(rfc3339)),
        ("jamming", figures.jamming.map(|said| format!("{said:?}"))),
        ("off the survey", figures.survey_distance_mm.map(metres)),
        (
            "border",
            figures.border_distance_m.map(|m| format!("{m} m")),
        ),
    ];
    known
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}
