//! `city-node netcheck`: how the peers can be reached, asked of the running node.

use clap::Args;

use super::exit::{Exit, Failure, Outcome};
use super::launch::runtime;
use super::output;
use super::run::PlaceArgs;
use crate::admin::netcheck::show;
use crate::client::{AdminClient, ClientError};

/// Arguments of `netcheck`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  city-node netcheck
  city-node netcheck --data-dir data --json

The running node tries a TCP connection to every address of every whitelisted peer, and tells what it knows of each: TLS
and streams, its hello, ping, clock, heads, why the last call failed, and what to do. A peer without an address has to call;
that it has not is no failure.

Exit code 4: an address of this node is not bound, or a peer that should be reached is not. 3: the node is not running.")]
pub struct NetcheckArgs {
    /// Which node.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(args: &NetcheckArgs) -> Outcome {
    let socket = args.place.locate().data.admin_socket();
    let asked = async {
        let node = AdminClient::connect(&socket).await?;
        node.netcheck().await
    };
    let page = match runtime()?.block_on(asked) {
        Ok(page) => page,
        Err(error @ ClientError::NotRunning { .. }) => {
            return Err(Failure::new(Exit::NotRunning, error));
        }
        Err(error) => return Err(error.into()),
    };
    if args.json {
        let page = serde_json::to_value(&page).expect("a page has text keys");
        output::object(page)?;
    } else {
        output::text(&show::page(&page))?;
    }
    Ok(if page.ok { Exit::Ok } else { Exit::CheckFailed })
}
