//! `reload`: what a running node holds from files is read again.

use clap::Args;
use serde_json::json;

use super::exit::{Exit, Outcome};
use super::launch::{asked, runtime};
use super::output;
use super::run::PlaceArgs;
use crate::client::AdminClient;
use crate::config::rfc3339;
use crate::trust::pages::{PeerText, ReloadedPage};

/// Arguments of `reload`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  city-node reload
  city-node reload --data-dir data --json

Read again are: the API's certificate and key, TLS roots and lists of revoked certificates (the node looks at these by itself every two
seconds, and on SIGHUP), certs/node.pem, and the peers that config.toml lists ([[network.peer]]). Everything else in config.toml counts at
the next start. What cannot be read is told and changes nothing.
Exit codes: 0 read · 3 the daemon is not running · 4 something could not be read.")]
pub struct ReloadArgs {
    /// Which node.
    #[command(flatten)]
    place: PlaceArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ReloadArgs) -> Outcome {
    let socket = args.place.locate().data.admin_socket();
    let reloading = async { AdminClient::connect(&socket).await?.reload().await };
    let page = asked(runtime()?.block_on(reloading))?;
    if args.json {
        output::object(json!({
            "files": page.files, "certificate": page.certificate, "listed": page.listed,
            "unlisted": page.unlisted, "problems": page.problems,
        }))?;
    } else {
        output::text(&told(&page))?;
    }
    Ok(if page.problems.is_empty() {
        Exit::Ok
    } else {
        Exit::CheckFailed
    })
}

fn told(page: &ReloadedPage) -> String {
    let mut lines: Vec<String> = Vec::new();
    let peers = |what: &str, peers: &[PeerText]| {
        let lines = peers.iter().map(|peer| format!("{what} {peer}\n"));
        lines.collect::<Vec<_>>()
    };
    lines.extend(page.files.iter().map(|file| format!("changed {file}\n")));
    if let Some(ends) = page.certificate {
        let ends = rfc3339(ends);
        lines.push(format!(
            "peers are shown the certificate in certs/node.pem, good until {ends}\n"
        ));
    }
    lines.extend(peers(
        "config.toml lists, anew or on other terms,",
        &page.listed,
    ));
    lines.extend(peers("config.toml lists no more", &page.unlisted));
    if lines.is_empty() && page.problems.is_empty() {
        lines.push("read again; nothing changed\n".into());
    }
    let problems = page.problems.iter();
    lines.extend(problems.map(|problem| format!("NOT READ  {problem}\n")));
    lines.concat()
}
