//! `netcheck` for people: one line for each listen and peer, and one for what to do. The text is a pure function of the page.

use std::fmt::Write as _;

use super::page::{NetCheckPage, PeerCheck};
use crate::net::Carrier;

/// The text.
#[must_use]
pub fn page(page: &NetCheckPage) -> String {
    let mut out = String::new();
    let mut line = |text: String| writeln!(out, "{text}").expect("a String takes all");
    line(format!("peer id  {}", page.peer_id));
    for listen in &page.listens {
        let how = if listen.bound {
            format!("bound as {}", listen.bound_as.join(", "))
        } else {
            "NOT BOUND: look for the port's other user (ss -lntup)".into()
        };
        line(format!("listen   {}  {how}", listen.address));
    }
    if page.listens.is_empty() {
        line("listen   nowhere: this node only calls others (network.listen)".into());
    }
    let seen = page.nat.observed.join(", ");
    line(match page.nat.guess.as_str() {
        "direct" => format!("nat      none seen: peers see {seen}, which is this node's"),
        "translated" => format!(
            "nat      peers see {seen}, which this node does not have: it can call; to be called, forward its port"
        ),
        _ => "nat      unknown: no peer that this node called has said what it sees".into(),
    });
    line(format!(
        "denied   {} strangers since the start",
        page.strangers
    ));
    for peer in &page.peers {
        line(one(peer));
        for tried in &peer.addresses {
            let what = if tried.quic.is_some() { "QUIC" } else { "TCP" };
            let how = match &tried.error {
                None => format!("{what} in {} ms", tried.took_ms),
                Some(error) => format!("no {what}: {error}"),
            };
            line(format!("         {}  {how}", tried.address));
        }
        if let Some(remedy) = &peer.remedy {
            line(format!("         → {remedy}"));
        }
    }
    if page.peers.is_empty() {
        line("no peers are whitelisted".into());
    }
    out
}

fn one(peer: &PeerCheck) -> String {
    let mut said = Vec::new();
    if !peer.listed {
        said.push("not whitelisted now".to_owned());
    }
    match (&peer.called_by, peer.connected) {
        (Some(who), true) => {
            let quic = peer.transport.as_deref() == Some(Carrier::Quic.code());
            let over = if quic { " over QUIC" } else { "" };
            said.push(format!("connected{over}, called by {who}"));
        }
        _ => said.push("not connected".into()),
    }
    if peer.connected {
        said.push(
            if peer.hello {
                "hello accepted"
            } else {
                "hello not accepted"
            }
            .into(),
        );
    }
    if let Some(us) = peer.ping_us {
        said.push(format!("ping {}.{} ms", us / 1000, us % 1000 / 100));
    }
    if let Some(ahead) = peer.clock_ahead_ms {
        said.push(format!("clock {ahead:+} ms"));
    }
    if let (Some(protocol), Some(software)) = (peer.protocol, &peer.software) {
        let software: String = software.chars().filter(|c| !c.is_control()).collect();
        said.push(format!("sync/{protocol}, {software}"));
    }
    if let Some(heads) = peer.heads {
        said.push(
            if heads.equal {
                "heads equal"
            } else {
                "heads differed when last compared"
            }
            .into(),
        );
    }
    if peer.lists_us == Some(false) {
        let how = if peer.connected {
            "this node only reads there"
        } else {
            "it does not let this node in"
        };
        said.push(how.into());
    }
    if let Some(failure) = &peer.failure {
        said.push(format!("last call: {failure}"));
    }
    let mark = if peer.ok { "ok  " } else { "FAIL" };
    let name = if peer.name.is_empty() {
        &peer.peer_id
    } else {
        &peer.name
    };
    format!(
        "{mark}     {name} ({})  {}",
        peer.region.as_deref().unwrap_or("no municipality named"),
        said.join("; ")
    )
}
