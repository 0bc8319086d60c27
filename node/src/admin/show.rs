//! `city-node status`: the status as a page for people. The text is a pure function of the answer.

use std::fmt::Write as _;
use std::path::Path;

use city_protocol::amount::Timestamp;
use jiff::tz::TimeZone;

use super::pages::{Head, Place, Receiver, Status};
use crate::client::{AdminClient, ClientError};

/// Asks the node at this socket and gives what is to be printed: a page, or the JSON.
///
/// # Errors
/// [`ClientError`]; [`ClientError::is_not_running`] is exit code 3.
pub async fn status(socket: &Path, json: bool) -> Result<String, ClientError> {
    let node = AdminClient::connect(socket).await?;
    let status = node.status().await?;
    if json {
        let text = serde_json::to_string_pretty(&status);
        return Ok(text.expect("a status has text keys") + "\n");
    }
    Ok(page(&status, &TimeZone::system()))
}

/// The page: names beside codes, times in this zone.
#[must_use]
pub fn page(status: &Status, zone: &TimeZone) -> String {
    let mut out = String::new();
    let mut line = |name: &str, text: String| {
        writeln!(out, "{name:<12}{text}").expect("a String takes all");
    };
    let region = named(&status.region, status.region_name.as_deref());
    line("node", format!("{region}, city-node {}", status.version));
    line(
        "network",
        format!("{} ({})", status.network_name, status.network),
    );
    line("log", status.log.to_string());
    line("peer id", status.peer_id.clone());
    let time = local(status.clock.time, zone);
    line("clock", format!("{time}, source {}", status.clock.quality));
    line("up", duration(status.uptime_s));
    let sequencing = match &status.not_sequencing_because {
        Some(because) => format!(
            "NO: nothing is booked here ({}): {}",
            because.code, because.remedy
        ),
        None if status.sequencing => "yes".into(),
        None => "NO: nothing is booked here at the moment".into(),
    };
    line("sequencing", sequencing);
    if let Some(shown) = status.confirmed_by_counter {
        line(
            "counter",
            format!("{shown}: this data directory is the newest"),
        );
    }
    line("receiver", receiver(&status.receiver));
    line("place", place(&status.place));
    let store = &status.store;
    let failed = if store.failed { ", WRITING FAILED" } else { "" };
    line("store", format!("{} blocks{failed}", store.blocks));
    line("in flight", status.in_flight.to_string());
    for (i, head) in status.frontier.iter().enumerate() {
        line(if i == 0 { "logs" } else { "" }, log(head));
    }
    let denied = status.denied_strangers;
    line(
        "peers",
        format!(
            "{} connected, {denied} strangers denied",
            status.peers.len()
        ),
    );
    for peer in &status.peers {
        let region = peer.region.as_deref().unwrap_or("hello not finished");
        let region = named(region, peer.name.as_deref());
        let since = local(peer.since, zone);
        line("", format!("{region}  {}  since {since}", peer.address));
    }
    for (i, warning) in status.certificates.warnings.iter().enumerate() {
        line(if i == 0 { "trust" } else { "" }, warning.clone());
    }
    for fault in &status.faults {
        let who = fault
            .region
            .clone()
            .unwrap_or_else(|| fault.log.to_string());
        line(
            "FAULT",
            format!("{who}: {} after position {}", fault.reason, fault.cut),
        );
    }
    out
}

fn named(code: &str, name: Option<&str>) -> String {
    name.map_or_else(|| code.into(), |name| format!("{name} ({code})"))
}

fn receiver(receiver: &Receiver) -> String {
    let Some(device) = &receiver.device else {
        return "none configured".into();
    };
    if receiver.connected {
        let noise = match receiver.noise_bytes {
            0 => String::new(),
            bytes => format!(", {bytes} bytes of noise"),
        };
        return format!("{device}, {} fixes{noise}", receiver.fixes);
    }
    let problem = receiver.problem.as_deref().unwrap_or("not open yet");
    format!("{device}: {problem}")
}

fn place(place: &Place) -> String {
    let mut text = place.grade.code().to_string();
    if let Some(code) = &place.municipality {
        text = format!("{text}, {}", named(code, place.name.as_deref()));
    }
    if let (Some(lat), Some(lon)) = (place.lat, place.lon) {
        text = format!("{text}, {lat:.5} {lon:.5}");
    }
    if let Some(satellites) = place.satellites_used {
        text = format!("{text}, {satellites} satellites");
    }
    if !place.reasons.is_empty() {
        text = format!("{text} [{}]", place.reasons.join(" "));
    }
    let verdict = if place.satisfies_policy {
        "enough for transfers"
    } else {
        "NOT ENOUGH for transfers"
    };
    format!("{text}: {verdict}")
}

fn log(head: &Head) -> String {
    let who = match &head.region {
        Some(region) => named(region, head.name.as_deref()),
        None => head.log.to_string(),
    };
    let forked = if head.forked { ", FORKED" } else { "" };
    let epoch = match head.epoch {
        1 => String::new(),
        epoch => format!(", epoch {epoch}"),
    };
    let vertices = if head.seq == 1 { "vertex" } else { "vertices" };
    let witnessed = match head.witnesses {
        0 => String::new(),
        n => format!(", witnessed by {n}"),
    };
    format!("{who}  {} {vertices}{epoch}{witnessed}{forked}", head.seq)
}

fn local(time: Timestamp, zone: &TimeZone) -> String {
    let moment = i64::try_from(time.0)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    moment.map_or_else(
        || format!("{} ms", time.0),
        |at| {
            at.to_zoned(zone.clone())
                .strftime("%Y-%m-%d %H:%M:%S %z")
                .to_string()
        },
    )
}

fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::pages::{Because, Certificates, ClockPage, Fault, Peer, StorePage};
    use city_protocol::genesis::Purpose;
    use city_protocol::ids::{Digest, LogId, NetworkId};
    use city_protocol::place::Grade;

    fn kanazawa() -> Status {
        Status {
            schema: 1,
            version: "0.1.0".into(),
            network: NetworkId::of(b"genesis"),
            network_name: "石川".into(),
            purpose: Purpose::Demo,
            region: "Asia/JP/17/17201".into(),
            region_name: Some("金沢市".into()),
            log: LogId([1; 32]),
            peer_id: "12D3KooW".into(),
            clock: ClockPage {
                time: Timestamp(1_775_001_600_000),
                quality: "rtc".into(),
            },
            uptime_s: 93_784,
            sequencing: true,
            not_sequencing_because: None,
            confirmed_by_counter: None,
            frontier: vec![Head {
                log: LogId([1; 32]),
                region: Some("Asia/JP/17/17201".into()),
                name: Some("金沢市".into()),
                epoch: 1,
                seq: 7,
                head: "00".into(),
                vertex: None,
                witnesses: 0,
                forked: false,
            }],
            frontier_hash: Digest([0; 32]),
            in_flight: 0,
            peers: vec![Peer {
                peer_id: "12D3KooX".into(),
                region: None,
                name: None,
                address: "/ip4/192.0.2.7/tcp/4001".into(),
                since: Timestamp(1_775_001_600_000),
            }],
            denied_strangers: 2,
            receiver: Receiver {
                device: Some("/dev/ttyACM0".into()),
                problem: Some("unplugged".into()),
                ..Receiver::default()
            },
            place: Place {
                grade: Grade::None,
                municipality: None,
                name: None,
                lat: None,
                lon: None,
                satellites_used: None,
                reasons: vec!["no-receiver".into()],
                satisfies_policy: false,
            },
            store: StorePage::default(),
            faults: vec![Fault {
                log: LogId([2; 32]),
                region: Some("Asia/JP/17/17203".into()),
                reason: "equivocation".into(),
                cut: 4,
            }],
            certificates: Certificates {
                exchanges: 0,
                warnings: vec![
                    "the node certificate expires at 2027-01-01T00:00:00Z: renew it".into(),
                ],
            },
        }
    }

    #[test]
    fn the_page_says_what_an_operator_needs() {
        let zone = TimeZone::fixed(jiff::tz::offset(9));
        let text = page(&kanazawa(), &zone);
        for part in [
            "node        金沢市 (Asia/JP/17/17201), city-node 0.1.0",
            "clock       2026-04-01 09:00:00 +0900, source rtc",
            "up          1 d 2 h",
            "receiver    /dev/ttyACM0: unplugged",
            "place       none [no-receiver]: NOT ENOUGH for transfers",
            "logs        金沢市 (Asia/JP/17/17201)  7 vertices\n",
            "peers       1 connected, 2 strangers denied",
            "trust       the node certificate expires at",
            "hello not finished  /ip4/192.0.2.7/tcp/4001",
            "FAULT       Asia/JP/17/17203: equivocation after position 4",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }

    #[test]
    fn what_is_wrong_stands_out_and_what_is_right_does_not() {
        let mut status = kanazawa();
        status.sequencing = false;
        status.frontier[0].forked = true;
        let because = Because {
            code: "lost".into(),
            remedy: "fetch it".into(),
        };
        let text = page(&status, &TimeZone::UTC);
        status.not_sequencing_because = Some(because);
        let told = page(&status, &TimeZone::UTC);
        assert!(told.contains("(lost): fetch it"), "{told}");
        status.not_sequencing_because = None;
        assert!(text.contains("NO: nothing is booked") && text.contains("FORKED"));
        status.sequencing = true;
        status.frontier[0].forked = false;
        status.faults.clear();
        status.place.satisfies_policy = true;
        let text = page(&status, &TimeZone::UTC);
        assert!(!text.contains("NO") && !text.contains("F"), "{text}");
    }
}
