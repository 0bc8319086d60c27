//! `peer`: who is known (`known`), connected, asking or recommended; what of it is over (`cleanup`); and asking another node.

mod cleanup;
mod known;
mod rotation;

use clap::{Args, Subcommand};
use libp2p::identity::Keypair;
use serde_json::json;

use super::exit::{Exit, Outcome};
use super::launch::{asked, runtime};
use super::output;
use super::run::PlaceArgs;
use super::trusted::{Common, Trusted, with};
use crate::client::AdminClient;
use crate::config::rfc3339;
use crate::trust::Role;
use crate::trust::pages::{
    ApproveForm, AskForm, KeysWantedForm, PeerShown, PeerText, RecommendForm, RecommendationsPage,
};
use city_protocol::trust::EnrolVerdict;
use known::{Known, asks, known, put_aside, reads_told, recommendation};
use rotation::FollowArgs;

/// What can be done about peers.
#[derive(Debug, Subcommand)]
pub enum PeerCommand {
    /// List every peer that is known: listed, connected, asking, ignored.
    List {
        /// Which node, and how it answers.
        #[command(flatten)]
        common: Common,
    },
    /// Say why a peer may connect or may not, since when, until when, and by whom.
    #[command(
        after_help = "Exit codes: 0 it may connect · 4 it may not, or only to read because others recommend it."
    )]
    Show {
        /// The peer's id.
        peer: PeerText,
        /// Which node, and how it answers.
        #[command(flatten)]
        common: Common,
    },
    /// Ask the gate about peers: those that are named, else every listed one and two that nobody knows.
    #[command(after_help = "\
Examples:
  city-node peer test-access
  city-node peer test-access 12D3KooW…

Exit codes: 0 the gate decides as the whitelist says · 4 it does not.")]
    TestAccess {
        /// Peer ids.
        peers: Vec<PeerText>,
        /// Which node, and how it answers.
        #[command(flatten)]
        common: Common,
    },
    /// List the nodes that ask to be whitelisted, and those that are not heard.
    #[command(after_help = "\
A node asks with `city-node peer request-whitelist`, if network.accept_whitelist_requests is true here. What it says of itself is its
own word: compare the peer id with what its operator tells you by another way. A request is forgotten after 30 days.")]
    Pending {
        /// Which node, and how it answers.
        #[command(flatten)]
        common: Common,
    },
    /// Whitelist a node that asked, by the name, municipality and addresses that it gave; or one that enough peers recommend.
    #[command(after_help = "\
Examples:
  city-node peer approve 12D3KooW…
  city-node peer approve 12D3KooW… -e 720 --roles sync,recommend

Its node certificate must name the municipality that it gave, or it is not spoken to.")]
    Approve {
        /// The peer's id.
        peer: PeerText,
        /// For so many hours; without it, until it is removed.
        #[arg(short = 'e', long, value_name = "HOURS")]
        hours: Option<u64>,
        /// What it is listed for: sync; with recommend, what it recommends may be looked at, too.
        #[arg(
            long,
            value_name = "ROLES",
            value_delimiter = ',',
            default_value = "sync"
        )]
        roles: Vec<Role>,
        /// Which node, and how it answers.
        #[command(flatten)]
        common: Common,
    },
    /// Hear no more of a node: its request goes, and further ones are refused without a record.
    Ignore {
        /// The peer's id.
        peer: PeerText,
        /// Which node, and how it answers.
        #[command(flatten)]
        common: Common,
    },
    /// Recommend a listed peer to those that listed this node with the role recommend.
    #[command(after_help = "\
Example:
  city-node peer recommend 12D3KooW… -e 168

Who is connected hears it at once, others when they connect. It lists nobody: the other operators decide, with
`city-node peer recommendations` and `city-node peer approve`; until then it may read there (network.recommendations_to_read). It ends after 7 days unless -e says otherwise, or with `city-node peer revoke`,
or when the peer is not on this node's whitelist any more.")]
    Recommend {
        /// The peer's id; it must be on this node's whitelist.
        peer: PeerText,
        /// What to call it; without it, as it is listed here.
        #[arg(short, long)]
        name: Option<String>,
        /// For so many hours, at most 2160 (90 days) [default: 168].
        #[arg(short = 'e', long, value_name = "HOURS")]
        hours: Option<u64>,
        /// Which node, and how it answers.
        #[command(flatten)]
        common: Common,
    },
    /// List what other peers recommend to this node, and what it recommends.
    Recommendations {
        /// Which node, and how it answers.
        #[command(flatten)]
        common: Common,
    },
    /// Take back what this node recommends.
    Revoke {
        /// The peer's id.
        peer: PeerText,
        /// Which node, and how it answers.
        #[command(flatten)]
        common: Common,
    },
    /// Take away what is over, and say how much that was.
    #[command(after_help = "\
Example:
  city-node peer cleanup

Gone are: entries that operators made and that have expired, with the certificates held of these peers and what they recommended;
recommendations that have ended; requests that waited 30 days; node certificates that have ended; and remembered messages that are too
old to be taken again. None of it counts any more before. One record in the trust log says that it was done. What config.toml lists is
taken out of the file.")]
    Cleanup {
        /// Which node, and how it answers.
        #[command(flatten)]
        common: Common,
    },
    /// Follow a peer to its new transport key, by the record that it made; the node may run or not.
    #[command(after_help = "\
Example:
  city-node peer follow-rotation rotation.cbor

A running node follows by itself what the peer, or another that followed, tells it. The entry of the old peer id passes to the new one,
on the same terms, if both keys signed the record and the CA certified the new peer id for the same municipality. Nobody is
brought back whose permission ended, or who was taken off.")]
    FollowRotation(FollowArgs),
    /// Read this node's certificate anew and show it to the connected peers; this node has to run.
    #[command(after_help = "\
Example:
  city-node ca …                  # the municipality's CA renews certs/node.pem, for the same keys
  city-node peer announce-key

Peers that connect later see it anyway, and so does everybody after a restart.")]
    AnnounceKey(ReachArgs),
    /// Ask the connected peers for node certificates; this node has to run.
    #[command(after_help = "\
Examples:
  city-node peer request-keys                # of every listed peer whose certificate is not held
  city-node peer request-keys 12D3KooW…

A certificate that comes is held if the network's roots stand behind it and its node is on the whitelist: `city-node peer show`
tells. Peers answer if network.auto_share_keys is true there. With network.auto_request_keys, which is the default, the node asks by
itself whenever a peer connects or somebody is listed, and once an hour while a certificate is missing.")]
    RequestKeys {
        /// Whose certificates; without them, of every listed peer whose certificate is not held.
        peers: Vec<PeerText>,
        /// Which node, and how it answers.
        #[command(flatten)]
        reach: ReachArgs,
    },
    /// Ask another node to whitelist this one; this node has to run.
    #[command(after_help = "\
Example:
  city-node peer request-whitelist /dns/kanazawa.example/tcp/7420/p2p/12D3KooW… --name 小松市 --message 隣町です

The other node is dialled once, and nothing but the request and the answer travels. Both nodes have to whitelist each other: list
the other one here with `city-node whitelist add`.
Exit codes: 0 it waits for the other operator, or is granted · 4 it was refused.")]
    RequestWhitelist(AskArgs),
}

/// Which running node is spoken to.
#[derive(Debug, Args)]
pub struct ReachArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Arguments of `peer request-whitelist`.
#[derive(Debug, Args)]
pub struct AskArgs {
    /// Where the other node is, with /p2p/ and its peer id.
    #[arg(value_name = "MULTIADDR")]
    at: String,
    /// What this node calls itself, 1 to 64 characters.
    #[arg(short, long)]
    name: String,
    /// What its operator should know, at most 200 characters.
    #[arg(short, long, default_value = "")]
    message: String,
    /// Where this node can be called, such as /dns/komatsu.example/tcp/7420; up to four. Without one it calls.
    #[arg(long, value_name = "MULTIADDR")]
    address: Vec<String>,
    /// Which node asks.
    #[command(flatten)]
    place: PlaceArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &PeerCommand) -> Outcome {
    super::logging::start("warn");
    match command {
        PeerCommand::List { common } => list(common),
        PeerCommand::Show { peer, common } => show(peer, common),
        PeerCommand::TestAccess { peers, common } => test_access(peers, common),
        PeerCommand::Pending { common } => pending(common),
        PeerCommand::Approve {
            peer,
            hours,
            roles,
            common,
        } => approve(peer, *hours, roles, common),
        PeerCommand::Ignore { peer, common } => ignore(peer, common),
        PeerCommand::Recommend {
            peer,
            name,
            hours,
            common,
        } => {
            let (name, hours) = (name.clone(), *hours);
            recommended(common, |trusted| {
                trusted.recommend(peer, RecommendForm { name, hours })
            })
        }
        PeerCommand::Recommendations { common } => recommended(common, Trusted::recommendations),
        PeerCommand::Revoke { peer, common } => recommended(common, |trusted| trusted.revoke(peer)),
        PeerCommand::Cleanup { common } => cleanup::run(common),
        PeerCommand::FollowRotation(args) => rotation::follow(args),
        PeerCommand::AnnounceKey(reach) => announce(reach),
        PeerCommand::RequestKeys { peers, reach } => request_keys(peers, reach),
        PeerCommand::RequestWhitelist(args) => ask(args),
    }
}

fn list(common: &Common) -> Outcome {
    let (listed, connected, enrolment, said, rotations) = with(common, |trusted| {
        Ok((
            trusted.all()?,
            trusted.connected()?,
            trusted.enrolment()?,
            trusted.recommendations()?,
            trusted.rotations()?,
        ))
    })?;
    let known = known(&listed, &connected, &enrolment, &said, &rotations);
    if common.json {
        let peers: Vec<_> = known.iter().map(|(peer, known)| known.json(peer)).collect();
        output::object(json!({ "peers": peers }))?;
        return Ok(Exit::Ok);
    }
    let mut text: String = known.iter().map(|(peer, known)| known.told(peer)).collect();
    if known.is_empty() {
        text += "no peer is known\n";
    }
    output::text(&text)?;
    Ok(Exit::Ok)
}

fn show(peer: &PeerText, common: &Common) -> Outcome {
    let (connected, enrolment, said, gate, rotations) = with(common, |trusted| {
        Ok((
            trusted.connected()?,
            trusted.enrolment()?,
            trusted.recommendations()?,
            trusted.admits(peer)?.1,
            trusted.rotations()?,
        ))
    })?;
    let listed: Vec<PeerShown> = gate.listed.iter().cloned().collect();
    let mut known = known(&listed, &connected, &enrolment, &said, &rotations);
    let found = known.remove(peer.0.as_str()).unwrap_or_default();
    let found = found.asked(&gate);
    if common.json {
        output::object(found.json(&peer.0))?;
    } else {
        output::text(&found.told(&peer.0))?;
    }
    Ok(if found.in_force() {
        Exit::Ok
    } else {
        Exit::CheckFailed
    })
}

/// Peer ids that are made up for a test of the gate.
const MADE_UP: usize = 2;

/// Asks the gate itself, and holds its answers beside what the whitelist says.
fn test_access(peers: &[PeerText], common: &Common) -> Outcome {
    let (tried, listed, enrolment, recommended, rotations) = with(common, |trusted| {
        let listed = trusted.all()?;
        let mut asked = peers.to_vec();
        if asked.is_empty() {
            asked.extend(listed.iter().map(|listed| listed.peer.clone()));
            let strangers = (0..MADE_UP).map(|_| Keypair::generate_ed25519().public().to_peer_id());
            asked.extend(strangers.map(|peer| PeerText(peer.to_string())));
        }
        let tried: anyhow::Result<Vec<_>> = asked
            .into_iter()
            .map(|peer| Ok((trusted.admits(&peer)?, peer)))
            .collect();
        Ok((
            tried?,
            listed,
            trusted.enrolment()?,
            trusted.recommendations()?,
            trusted.rotations()?,
        ))
    })?;
    let known = known(&listed, &[], &enrolment, &recommended, &rotations);
    let nothing = Known::default();
    let lines: Vec<_> = tried
        .iter()
        .map(|((admitted, gate), peer)| {
            let known = known.get(peer.0.as_str()).unwrap_or(&nothing);
            let ok = *admitted == known.in_force() && gate.reads.is_some() == known.may_read();
            let reason = known.clone().asked(gate).reason();
            (peer, *admitted, gate, reason, ok)
        })
        .collect();
    if common.json {
        let lines: Vec<_> = lines
            .iter()
            .map(|(peer, admitted, gate, reason, ok)| {
                json!({
                    "peer": peer, "admitted": admitted, "reads": gate.reads, "reason": reason, "ok": ok, "banned": gate.banned,
                })
            })
            .collect();
        output::object(json!({ "peers": lines }))?;
    } else {
        let told = lines.iter().map(|(peer, admitted, gate, reason, ok)| {
            let (verdict, reason) = match (admitted, &gate.reads) {
                (true, _) => ("let in", (*reason).to_owned()),
                (false, Some(reads)) => ("reads", reads_told(reads)),
                (false, None) => ("turned away", (*reason).to_owned()),
            };
            let wrong = if *ok {
                ""
            } else {
                "  NOT what the whitelist says"
            };
            let banned = gate.banned.as_ref();
            let banned = banned.map_or(String::new(), |banned| {
                format!(", but not spoken to for {} s more", banned.seconds)
            });
            format!("{verdict:<12} {peer}  {reason}{banned}{wrong}\n")
        });
        output::text(&told.collect::<String>())?;
    }
    Ok(if lines.iter().all(|(.., ok)| *ok) {
        Exit::Ok
    } else {
        Exit::CheckFailed
    })
}

fn pending(common: &Common) -> Outcome {
    let page = with(common, Trusted::enrolment)?;
    if common.json {
        output::object(json!({ "pending": page.pending, "ignored": page.ignored }))?;
        return Ok(Exit::Ok);
    }
    let mut text = String::new();
    for request in &page.pending {
        text += &format!("{}\n{}", request.peer, asks(request));
    }
    if page.pending.is_empty() {
        text += "nobody asks to be whitelisted\n";
    }
    for ignored in &page.ignored {
        text += &format!("{}\n{}", ignored.peer, put_aside(ignored));
    }
    output::text(&text)?;
    Ok(Exit::Ok)
}

fn recommended(
    common: &Common,
    job: impl FnOnce(&Trusted) -> anyhow::Result<RecommendationsPage>,
) -> Outcome {
    let page = with(common, job)?;
    if common.json {
        output::object(json!({
            "needed": page.needed, "to_read": page.to_read, "depth": page.depth, "recommended": page.recommended, "own": page.own,
        }))?;
        return Ok(Exit::Ok);
    }
    let mut text = String::new();
    for said in page.recommended.iter().chain(&page.own) {
        text += &format!("{}\n{}", said.peer, recommendation(said));
    }
    if text.is_empty() {
        text += "nobody is recommended\n";
    }
    output::text(&text)?;
    Ok(Exit::Ok)
}

fn approve(peer: &PeerText, hours: Option<u64>, roles: &[Role], common: &Common) -> Outcome {
    let roles = roles.to_vec();
    let page = with(common, |trusted| {
        trusted.approve(peer, ApproveForm { hours, roles })
    })?;
    if common.json {
        output::object(json!({ "peer": page.peer, "listed": page.listed }))?;
    } else {
        output::text(
            &page
                .listed
                .as_ref()
                .map(super::whitelist::told)
                .unwrap_or_default(),
        )?;
    }
    Ok(Exit::Ok)
}

fn ignore(peer: &PeerText, common: &Common) -> Outcome {
    with(common, |trusted| trusted.ignore(peer))?;
    if common.json {
        output::object(json!({ "peer": peer, "ignored": true }))?;
    } else {
        output::text(&format!(
            "{peer} is not heard any more; `city-node peer approve` or `whitelist add` takes it back\n"
        ))?;
    }
    Ok(Exit::Ok)
}

fn announce(reach: &ReachArgs) -> Outcome {
    let socket = reach.place.locate().data.admin_socket();
    let announcing = async { AdminClient::connect(&socket).await?.announce_key().await };
    let page = asked(runtime()?.block_on(announcing))?;
    if reach.json {
        output::object(json!({ "told": page.told, "not_after": rfc3339(page.not_after) }))?;
    } else {
        let ends = rfc3339(page.not_after);
        let told = page.told.len();
        output::text(&format!(
            "the certificate in certs/node.pem, good until {ends}, is shown from now on; connected peers that were told: {told}\n"
        ))?;
    }
    Ok(Exit::Ok)
}

fn request_keys(peers: &[PeerText], reach: &ReachArgs) -> Outcome {
    let socket = reach.place.locate().data.admin_socket();
    let form = KeysWantedForm {
        peers: peers.to_vec(),
    };
    let asking = async {
        AdminClient::connect(&socket)
            .await?
            .request_keys(&form)
            .await
    };
    let page = asked(runtime()?.block_on(asking))?;
    if reach.json {
        output::object(json!({ "wanted": page.wanted, "asked": page.asked }))?;
        return Ok(Exit::Ok);
    }
    output::text(&match (page.wanted.len(), page.asked.len()) {
        (0, _) => "a certificate of every listed peer is held\n".to_owned(),
        (wanted, 0) => format!(
            "{wanted} wanted, but no other peer is connected that could be asked; it is asked by itself when one connects\n"
        ),
        (wanted, asked) => format!(
            "{wanted} wanted, {asked} connected peers asked; `city-node whitelist list` shows what came\n"
        ),
    })?;
    Ok(Exit::Ok)
}

fn ask(args: &AskArgs) -> Outcome {
    let socket = args.place.locate().data.admin_socket();
    let form = AskForm {
        at: args.at.clone(),
        name: args.name.clone(),
        message: args.message.clone(),
        addresses: args.address.clone(),
    };
    let asking = async {
        AdminClient::connect(&socket)
            .await?
            .ask_to_be_listed(&form)
            .await
    };
    let verdict = asked(runtime()?.block_on(asking))?.verdict;
    if args.json {
        output::object(json!({ "verdict": verdict }))?;
    } else {
        output::text(match verdict {
            EnrolVerdict::Pending => {
                "asked: it waits for the other node's operator (city-node peer approve there); list the other node here, too\n"
            }
            EnrolVerdict::Listed => "this node is on the other's whitelist already\n",
            EnrolVerdict::Refused => "refused: speak with the other node's operator\n",
            EnrolVerdict::Busy => {
                "the other node takes no requests at the moment; try again in an hour\n"
            }
        })?;
    }
    Ok(match verdict {
        EnrolVerdict::Pending | EnrolVerdict::Listed => Exit::Ok,
        EnrolVerdict::Refused => Exit::CheckFailed,
        EnrolVerdict::Busy => Exit::Failed,
    })
}
