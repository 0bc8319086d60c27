//! The commands that need the daemon's rooms: `run`, `demo`, `status`, `store`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::exit::{Exit, Failure, Outcome};
use super::output;
use super::passphrase::PassphraseArgs;
use super::run::{DemoArgs, Located, PlaceArgs, RunArgs, StatusArgs};
use super::store::{StoreArgs, StoreVerb};
use crate::admin::show;
use crate::client::{AdminClient, ClientError};
use crate::config::Config;
use crate::daemon::{self, Opened};
use crate::demo::{self, DemoOptions};
use crate::engine::{Hold, VerifyReport, verify_store};
use crate::setup::Identity;

pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the asynchronous runtime could not be started")
}

pub(super) fn run(args: &RunArgs, config: Config, located: Located, identity: Identity) -> Outcome {
    let watch_stdin = args.stop_on_stdin_end;
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let stop = CancellationToken::new();
        let signals = stop.clone();
        tokio::spawn(async move {
            match daemon::stop_signal(watch_stdin).await {
                Ok(signal) => tracing::info!(signal, "asked to stop"),
                Err(error) => tracing::error!(%error, "stopping"),
            }
            signals.cancel();
        });
        daemon::serve(located.data, (config, located.config), identity, stop).await
    });
    // Reading standard input blocks a thread that nothing can wake.
    runtime.shutdown_timeout(Duration::from_millis(100));
    match ended {
        Ok(()) => Ok(Exit::Ok),
        Err(error) if error.is_refused_data() => Err(Failure::new(Exit::Config, error)),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn demo(args: &DemoArgs) -> Outcome {
    super::logging::start("warn");
    let options = DemoOptions {
        json: args.json,
        keep: args.keep.clone(),
        replay: args.replay.clone(),
        boundaries: args.boundaries.clone(),
        assume_recorded: args.assume_recorded,
    };
    let runtime = runtime()?;
    let held = runtime.block_on(demo::run(options));
    runtime.shutdown_timeout(Duration::from_millis(100));
    Ok(if held? { Exit::Ok } else { Exit::CheckFailed })
}

/// What asking the node came to, with its exit code.
pub(super) fn asked<T>(answer: Result<T, ClientError>) -> Result<T, Failure> {
    answer.map_err(|error| match error {
        ClientError::NotRunning { .. } => Failure::new(Exit::NotRunning, error),
        error => error.into(),
    })
}

pub(super) fn status(args: &StatusArgs) -> Outcome {
    let located = args.place.locate();
    let socket = located.data.admin_socket();
    let text = asked(runtime()?.block_on(show::status(&socket, args.json)))?;
    output::text(&format!("{text}\n"))?;
    Ok(Exit::Ok)
}

pub(super) fn store(args: &StoreArgs) -> Outcome {
    super::logging::start("warn");
    match &args.verb {
        StoreVerb::Verify {
            place,
            passphrase,
            json,
        } => verify(place, passphrase, *json),
        StoreVerb::Rebuild {
            place,
            passphrase,
            json,
        } => rebuild(place, passphrase, *json),
        StoreVerb::Export(args) => super::store::export::run(args),
        StoreVerb::Import(args) => super::store::import::run(args),
        StoreVerb::Backup(args) => super::store::backup::run(args),
        StoreVerb::Compact(args) => super::store::compact::run(args),
        StoreVerb::Stats(args) => super::store::stats::run(args),
    }
}

/// The full check of a stopped node.
fn verify(place: &PlaceArgs, passphrase: &PassphraseArgs, json: bool) -> Outcome {
    let (data, _, identity) = read(place, passphrase)?;
    let bar = counter("vertices verified");
    let (store, damage) = daemon::open_for_reading(&data, &identity)?;
    let mut found = verify_store(&store, &identity.genesis, |done| bar.set_position(done))?;
    bar.finish_and_clear();
    store.close()?;
    if let Some(damage) = damage {
        let (segment, offset) = (damage.at.segment, damage.at.offset);
        found.problems.push(format!(
            "segment {segment} was found damaged at byte {offset} (noted in ledger/DAMAGED): blocks may be missing"
        ));
    }
    verified(&found, json)
}

/// The full check of a running node, which makes it itself, or of a stopped one.
pub(super) fn verify_any(place: &PlaceArgs, passphrase: &PassphraseArgs, json: bool) -> Outcome {
    let socket = place.locate().data.admin_socket();
    let asked = runtime()?.block_on(async {
        let admin = AdminClient::connect(&socket).await?;
        admin.verify().await
    });
    match asked {
        Ok(page) => {
            let found = VerifyReport {
                blocks: page.blocks,
                vertices: page.vertices,
                pruned: page.pruned,
                headers: page.headers,
                forked: page.forked,
                trusted: page.trusted,
                entries: page.entries,
                signatures: page.signatures,
                problems: page.problems,
            };
            verified(&found, json)
        }
        Err(ClientError::NotRunning { .. }) => verify(place, passphrase, json),
        Err(error) => Err(error.into()),
    }
}

fn verified(found: &VerifyReport, json: bool) -> Outcome {
    let ok = found.problems.is_empty();
    if json {
        output::object(json!({
            "ok": ok,
            "blocks": found.blocks,
            "vertices": found.vertices,
            "pruned": found.pruned,
            "headers": found.headers,
            "forked": found.forked,
            "trusted": found.trusted,
            "entries": found.entries,
            "signatures": found.signatures,
            "problems": found.problems,
        }))?;
    } else {
        let problems: String = found.problems.iter().map(|p| format!("  {p}\n")).collect();
        let verdict = if ok {
            "every hash, signature and link holds"
        } else {
            "NOT all of it holds"
        };
        let pruned = match found.pruned {
            0 => String::new(),
            pruned => format!(
                "{pruned} bodies were pruned: of them the headers' signatures and the hashes of the entries were checked\n"
            ),
        };
        let headers = match found.headers {
            0 => String::new(),
            headers => format!(
                "{headers} headers stand without their bodies: their signatures were checked\n"
            ),
        };
        let forked = match found.forked {
            0 => String::new(),
            forked => format!(
                "{forked} vertices stand beside another one of their log and position: whoever signed both convicted itself \
                 (city-node ledger equivocation list)\n"
            ),
        };
        let trusted = found.trusted.iter().map(|(log, seq)| {
            format!(
                "log {log} is trusted up to seq {seq}: its home signed the state there; what people signed before was not seen here\n"
            )
        });
        let trusted: String = trusted.collect();
        output::text(&format!(
            "{} blocks, {} vertices, {} entries, {} signatures checked\n{pruned}{trusted}{headers}{forked}{problems}{verdict}\n",
            found.blocks, found.vertices, found.entries, found.signatures
        ))?;
    }
    Ok(if ok { Exit::Ok } else { Exit::CheckFailed })
}

fn rebuild(place: &PlaceArgs, passphrase: &PassphraseArgs, json: bool) -> Outcome {
    let (data, config, identity) = read(place, passphrase)?;
    let bar = counter("vertices folded");
    daemon::set_index_aside(&data, &identity)?;
    let Opened {
        store,
        folded,
        hold,
        ..
    } = daemon::open(&data, &config, &identity, &mut |done| {
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    let store = Arc::new(store);
    let history = crate::engine::StoreHistory::new(Arc::clone(&store));
    let audit = crate::journal::audit(&store, &history)?;
    drop(history);
    let store = Arc::into_inner(store).context("the store is still in use")?;
    store.close()?;
    // The log that this node wrote does not reach as far as it is known to have been.
    let is_lost = hold == Some(Hold::Lost);
    let holds = audit.conserved && audit.journal_matches && !is_lost;
    if json {
        output::object(json!({
            "vertices": folded.vertices,
            "lost": is_lost,
            "conserved": audit.conserved,
            "journal_matches": audit.journal_matches,
        }))?;
    } else {
        let verdict = match (audit.conserved && audit.journal_matches, is_lost) {
            (true, false) => "sums and journal hold".to_owned(),
            (true, true) => format!("sums and journal hold, but {}", Hold::Lost.remedy()),
            (false, _) => "sums or journal do NOT hold".to_owned(),
        };
        output::text(&format!(
            "index made again from {} vertices\n{verdict}\n",
            folded.vertices
        ))?;
    }
    Ok(if holds { Exit::Ok } else { Exit::CheckFailed })
}

/// Reads configuration and identity of a node that is not running.
pub(super) fn read(
    place: &PlaceArgs,
    passphrase: &PassphraseArgs,
) -> Result<(crate::setup::DataDir, Config, Identity), Failure> {
    let located = place.locate();
    let config = Config::load(&located.config)?;
    let identity = super::run::identity(&located, &config, passphrase)?;
    Ok((located.data, config, identity))
}

/// A counter on stderr; indicatif hides it when that is no terminal.
pub(super) fn counter(what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {pos} {msg} ({elapsed})")
        .expect("a well-formed template");
    ProgressBar::no_length()
        .with_style(style)
        .with_message(what)
}
