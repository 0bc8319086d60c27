//! What is watched: the running node, asked once a second, or a capture at its own pace. Either tells by a channel.

use std::fs::File;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use city_drivers::gnss::replay::{Pace, fixes};
use city_protocol::place::{BoundaryIndex, PlacePolicy, Site};
use serde_json::Value;
use tokio::time::timeout;

use super::WatchArgs;
use crate::admin::pages::{Outline, Place, PlaceShown, Receiver as ReceiverShown, VerdictShown};
use crate::cli::exit::{Exit, Failure};
use crate::cli::launch::runtime;
use crate::cli::place::source as boundaries;
use crate::cli::place::status::failed;
use crate::client::{AdminClient, ClientError};
use crate::engine::utc;
use crate::place::replay::{Epoch, Replay};

/// How often the node is asked: receivers give one position a second.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// How long the node may take to answer before what is shown is called old.
const PATIENCE: Duration = Duration::from_secs(5);
const SLOW: &str = "the node does not answer; look at its log and at the load of the machine";

/// News that wait to be shown; whoever tells them waits for the eye.
const NEWS: usize = 4;

/// What there is to tell.
pub(super) enum News {
    /// The outline that positions are drawn on.
    Outline(Outline),
    /// What place checking says, as a page and as the node's own JSON.
    Page(Box<PlaceShown>, Value),
    /// Nothing newer, and why.
    Trouble(Failure),
    /// A capture is at its end.
    End,
}

/// Opens what the arguments name. The first answer of a node is waited for, so that one that is not running ends the command.
///
/// # Errors
/// The node is not running, or a file cannot be read.
pub(super) fn open(args: &WatchArgs) -> Result<Receiver<News>, Failure> {
    let (news, inbox) = sync_channel(NEWS);
    match &args.replay {
        Some(file) => of_capture(file, args.boundaries.as_deref(), news)?,
        None => of_node(&args.place.locate().data.admin_socket(), news)?,
    }
    Ok(inbox)
}

fn of_node(socket: &Path, news: SyncSender<News>) -> Result<(), Failure> {
    let runtime = runtime()?;
    let first = runtime.block_on(async {
        let node = AdminClient::connect(socket).await?;
        let outline = node.outline().await?.outline;
        Ok::<_, ClientError>((page_of(&node).await?, outline, node))
    });
    let (page, outline, node) = first.map_err(failed)?;
    thread::spawn(move || {
        if let Some(outline) = outline
            && news.send(News::Outline(outline)).is_err()
        {
            return;
        }
        let mut next = page;
        while news.send(next).is_ok() {
            thread::sleep(ASK_EVERY);
            let asked = runtime.block_on(async { timeout(PATIENCE, page_of(&node)).await });
            next = match asked {
                Ok(Ok(page)) => page,
                Ok(Err(error)) => News::Trouble(failed(error)),
                Err(_) => News::Trouble(Failure::new(Exit::Failed, anyhow::anyhow!(SLOW))),
            };
        }
    });
    Ok(())
}

async fn page_of(node: &AdminClient) -> Result<News, ClientError> {
    let value = node.place().await?;
    let page = serde_json::from_value(value.clone());
    let page = page.map_err(|_| ClientError::BadReply { status: 200 })?;
    Ok(News::Page(Box::new(page), value))
}

fn of_capture(path: &Path, index: Option<&Path>, news: SyncSender<News>) -> Result<(), Failure> {
    let name = path.display().to_string();
    let index = index.map(boundaries::open).transpose()?;
    let file = File::open(path)
        .with_context(|| format!("{name}: cannot be read; check the path and its permissions"))?;
    thread::spawn(move || {
        let end = match play(&name, file, index.as_ref(), &news) {
            Ok(()) => News::End,
            Err(error) => News::Trouble(Failure::new(Exit::Failed, error)),
        };
        // Whoever does not listen any more need not know.
        let _unheard = news.send(end);
    });
    Ok(())
}

/// Plays a capture until its end, or until nobody listens.
fn play(
    name: &str,
    file: File,
    index: Option<&BoundaryIndex>,
    news: &SyncSender<News>,
) -> anyhow::Result<()> {
    let policy = PlacePolicy::default();
    let site = Site {
        boundary: index,
        home: None,
        survey: None,
        policy: &policy,
        purpose_allows_recorded: true,
    };
    let mut replay = Replay::new(site, utc(), false);
    let (mut pace, mut epochs) = (Pace::default(), 0);
    let mut drawn: Option<String> = None;
    for fix in fixes(file) {
        let fix = fix.with_context(|| format!("{name}: cannot be read to its end"))?;
        thread::sleep(pace.pause(fix.time_ms));
        epochs += 1;
        let epoch = replay.epoch(&fix);
        if let Some(index) = index
            && epoch.municipality.is_some()
            && epoch.municipality != drawn
        {
            drawn.clone_from(&epoch.municipality);
            let outline = drawn.as_deref().and_then(|code| index.municipality(code));
            if let Some(outline) = outline
                && news.send(News::Outline(Outline::of(outline))).is_err()
            {
                return Ok(());
            }
        }
        let value = serde_json::to_value(&epoch)?;
        let page = shown(epoch, index, name, epochs, &policy);
        if news.send(News::Page(Box::new(page), value)).is_err() {
            return Ok(());
        }
    }
    if epochs == 0 {
        anyhow::bail!("{name}: no epoch in it; give a receiver's own output");
    }
    Ok(())
}

/// An epoch as a node would show it.
fn shown(
    epoch: Epoch,
    index: Option<&BoundaryIndex>,
    name: &str,
    epochs: u64,
    policy: &PlacePolicy,
) -> PlaceShown {
    let municipality = epoch.municipality.as_deref();
    let municipality = municipality.and_then(|code| index?.municipality(code));
    PlaceShown {
        summary: Place {
            grade: epoch.grade,
            municipality: epoch.municipality.clone(),
            name: municipality.map(|m| m.name.clone()),
            lat: epoch.lat,
            lon: epoch.lon,
            satellites_used: epoch.satellites_used,
            reasons: epoch.reasons.iter().map(|r| r.code().into()).collect(),
            // Whose home it would be is not known; outside of all it is nobody's.
            satisfies_policy: epoch.grade >= policy.required && epoch.municipality.is_some(),
        },
        receiver: ReceiverShown {
            device: Some(format!("file:{name}")),
            connected: true,
            protocol: Some("a capture".into()),
            fixes: epochs,
            ..ReceiverShown::default()
        },
        satellites: epoch.satellites,
        policy: policy.clone(),
        verdict: VerdictShown {
            grade: epoch.grade,
            reasons: epoch.reasons,
            point: epoch.point,
            fix_time: epoch.fix_time,
            satellites_used: epoch.satellites_used,
            hdop_centi: epoch.hdop_centi,
            figures: epoch.figures,
        },
    }
}
