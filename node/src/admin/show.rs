//! `city-node status`: the status as a page for people. The text is a pure function of the answer.

use std::fmt::Write as _;
use std::path::Path;

use city_protocol::amount::Timestamp;
use jiff::tz::TimeZone;

use super::pages::{CharterInForce, Head, Place, Receiver, Status, TerminalPage, TrustSaid};
use crate::client::{AdminClient, ClientError};
use crate::net::Carrier;

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
    let CharterInForce { number, k, n, .. } = status.charter;
    if number > 0 {
        line("charter", format!("{number}, {k} of {n} officers decide"));
    }
    line("peer id", status.peer_id.clone());
    let time = local(status.clock.time, zone);
    line("clock", format!("{time}, source {}", status.clock.quality));
    line("up", duration(status.uptime_s));
    if let Some(terminal) = &status.terminal {
        line("terminal", home(terminal, zone));
    }
    if let Some(drafts) = status.drafts.filter(|drafts| *drafts > 0) {
        line("drafts", format!("{drafts} kept: city-node tx outbox list"));
    }
    let sequencing = match &status.not_sequencing_because {
        Some(because) => format!(
            "NO: nothing is booked here ({}): {}",
            because.code, because.remedy
        ),
        None if status.sequencing => match status.unconfirmed_limit {
            None => "yes".into(),
            Some(limit) => format!(
                "yes, UNCONFIRMED: no peer was heard yet that knows this log; each account sends at most {limit} a day (home.unconfirmed_limit)"
            ),
        },
        None if status.terminal.is_some() => "by its home".into(),
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
    let asked = match status.whitelist_requests {
        0 => String::new(),
        asked => format!(", {asked} ask to be whitelisted: see city-node peer pending"),
    };
    line(
        "peers",
        format!(
            "{} connected, {denied} strangers denied{asked}",
            status.peers.len()
        ),
    );
    for peer in &status.peers {
        let region = peer.region.as_deref().unwrap_or("hello not finished");
        let region = named(region, peer.name.as_deref());
        let since = local(peer.since, zone);
        let reads = match &peer.reads {
            Some(reads) => format!(
                "  only reads: recommended by {} until {}",
                reads.told(),
                local(reads.until, zone)
            ),
            None => peer.reading().into(),
        };
        let quic = peer.transport == Carrier::Quic.code();
        let over = if quic { "  over QUIC" } else { "" };
        line(
            "",
            format!("{region}  {}{over}  since {since}{reads}", peer.address),
        );
    }
    for peer in &status.outdated_peers {
        line(
            "",
            format!(
                "config.toml still names {}, which was followed by {}: write that there",
                peer.old, peer.new
            ),
        );
    }
    if let Some(said) = &status.certificates.said {
        line("crls", crls(said, zone));
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

/// What the own log said last of its CAs.
fn crls(said: &TrustSaid, zone: &TimeZone) -> String {
    let lists = said.lists.iter().map(|list| {
        let until = local(list.next_update, zone);
        format!("{} revokes {}, next by {until}", list.issuer, list.revoked)
    });
    let lists: Vec<String> = lists.collect();
    let (at, time) = (said.at, local(said.time, zone));
    format!(
        "entered {time} at position {}: {}",
        at.seq,
        lists.join("; ")
    )
}

/// The home of a terminal, and whether it answers.
fn home(terminal: &TerminalPage, zone: &TimeZone) -> String {
    let since = local(terminal.since, zone);
    let home = &terminal.home;
    match (&terminal.why, terminal.reachable) {
        (_, true) => format!("home {home}, answers since {since}"),
        (None, false) => format!("home {home}, not asked yet"),
        (Some(why), false) => {
            format!("home {home} DOES NOT ANSWER since {since}, nothing is accepted: {why}")
        }
    }
}

fn named(code: &str, name: Option<&str>) -> String {
    name.map_or_else(|| code.into(), |name| format!("{name} ({code})"))
}

fn receiver(receiver: &Receiver) -> String {
    let Some(device) = &receiver.device else {
        return "none configured".into();
    };
    if let Some(problem) = &receiver.problem {
        return format!("{device}: {problem}");
    }
    if !receiver.connected {
        return format!("{device}: not open yet");
    }
    let mut parts = vec![match &receiver.found {
        Some(found) => format!("{device} ({found})"),
        None => device.clone(),
    }];
    parts.extend(receiver.antenna_fault().map(Into::into));
    parts.extend(receiver.identity.clone());
    parts.extend(receiver.protocol.as_ref().map(|protocol| {
        let speed = receiver.baud.map(|baud| format!(" at {baud} baud"));
        format!("{protocol}{}", speed.unwrap_or_default())
    }));
    parts.push(format!("{} fixes", receiver.fixes));
    if receiver.noise_bytes > 0 {
        parts.push(format!("{} bytes of noise", receiver.noise_bytes));
    }
    parts.join(", ")
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
    let shortfall = head.shortfall.map_or_else(String::new, |owed| {
        format!(", SHORTFALL {owed} 愛貨: officers make it good (city-node officers correct)")
    });
    let trusted = head.trusted_up_to.map_or_else(String::new, |seq| {
        format!(", trusted up to seq {seq} (docs/store.md)")
    });
    format!(
        "{who}  {} {vertices}{epoch}{witnessed}{forked}{trusted}{shortfall}",
        head.seq
    )
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
    use crate::admin::pages::{Because, Certificates, ClockPage, Fault, ListSaid, Peer, StorePage};
    use city_protocol::amount::Amount;
    use city_protocol::body::OwnEntry;
    use city_protocol::genesis::Purpose;
    use city_protocol::ids::{Digest, LogId, NetworkId};
    use city_protocol::place::Grade;

    use crate::trust::pages::{PeerText, ReaderShown};

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
            charter: CharterInForce {
                number: 2,
                charter: Some(Digest([2; 32])),
                k: 2,
                n: 3,
            },
            peer_id: "12D3KooW".into(),
            clock: ClockPage {
                time: Timestamp(1_775_001_600_000),
                quality: "rtc".into(),
            },
            uptime_s: 93_784,
            sequencing: true,
            not_sequencing_because: None,
            standing: "confirmed".into(),
            unconfirmed_limit: None,
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
                trusted_up_to: None,
                shortfall: Some(Amount::from_hundredths(950)),
            }],
            frontier_hash: Digest([0; 32]),
            in_flight: 0,
            peers: vec![Peer {
                peer_id: "12D3KooX".into(),
                region: None,
                name: None,
                address: "/ip4/192.0.2.7/tcp/4001".into(),
                transport: "tcp".into(),
                since: Timestamp(1_775_001_600_000),
                software: Some("city-node/0.1.0".into()),
                reads_only: false,
                reads: None,
                only_read_at: false,
            }],
            denied_strangers: 2,
            wasted_verifications: 0,
            refused_sources: 0,
            whitelist_requests: 1,
            outdated_peers: Vec::new(),
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
                lists: 2,
                said: Some(TrustSaid {
                    at: OwnEntry {
                        epoch: 1,
                        seq: 9,
                        index: 0,
                    },
                    time: Timestamp(1_775_001_600_000),
                    lists: vec![ListSaid {
                        issuer: "CN=石川県 CA".into(),
                        number: Some("07".into()),
                        this_update: Timestamp(1_775_001_600_000),
                        next_update: Timestamp(1_777_593_600_000),
                        revoked: 3,
                    }],
                    certificates: 0,
                }),
            },
            terminal: None,
            drafts: None,
        }
    }

    #[test]
    fn a_terminal_says_whether_its_home_answers() {
        let mut status = kanazawa();
        status.sequencing = false;
        status.drafts = Some(2);
        let away = TerminalPage {
            home: "https://node.example:8443".into(),
            reachable: false,
            since: Timestamp(1_775_001_600_000),
            why: Some("not reached".into()),
        };
        status.terminal = Some(away.clone());
        let text = page(&status, &TimeZone::UTC);
        for part in [
            "terminal    home https://node.example:8443 DOES NOT ANSWER since 2026-04-01 00:00:00",
            "nothing is accepted: not reached",
            "drafts      2 kept",
            "sequencing  by its home",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        status.terminal = Some(TerminalPage {
            reachable: true,
            why: None,
            ..away
        });
        let text = page(&status, &TimeZone::UTC);
        assert!(text.contains("answers since 2026-04-01"), "{text}");
    }

    #[test]
    fn the_page_says_what_an_operator_needs() {
        let zone = TimeZone::fixed(jiff::tz::offset(9));
        let text = page(&kanazawa(), &zone);
        for part in [
            "node        金沢市 (Asia/JP/17/17201), city-node 0.1.0",
            "clock       2026-04-01 09:00:00 +0900, source rtc",
            "charter     2, 2 of 3 officers decide",
            "crls        entered 2026-04-01 09:00:00 +0900 at position 9: CN=石川県 CA revokes 3, next by 2026-05-01 09:00:00 +0900",
            "up          1 d 2 h",
            "receiver    /dev/ttyACM0: unplugged",
            "place       none [no-receiver]: NOT ENOUGH for transfers",
            "logs        金沢市 (Asia/JP/17/17201)  7 vertices, SHORTFALL 9.50 愛貨: officers make it good",
            "peers       1 connected, 2 strangers denied",
            "trust       the node certificate expires at",
            "hello not finished  /ip4/192.0.2.7/tcp/4001",
            "FAULT       Asia/JP/17/17203: equivocation after position 4",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }

    #[test]
    fn of_a_reader_it_is_told_by_which_ways_it_reads() {
        let mut status = kanazawa();
        let way = |peers: &[&str]| peers.iter().map(|&peer| PeerText(peer.into())).collect();
        status.peers[0].reads_only = true;
        status.peers[0].reads = Some(ReaderShown {
            until: Timestamp(1_775_001_600_000),
            by: way(&["V", "Y"]),
            paths: vec![way(&["V"]), way(&["W", "Z", "Y"])],
        });
        let text = page(&status, &TimeZone::UTC);
        let told = "only reads: recommended by V and by Y, whom Z recommends, whom W recommends until 2026-04-01 00:00:00";
        assert!(text.contains(told), "{text}");
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
        status.unconfirmed_limit = Some(Amount::from_hundredths(100_000));
        let told = page(&status, &TimeZone::UTC);
        assert!(told.contains("UNCONFIRMED") && told.contains("at most 1000.00"));
        status.unconfirmed_limit = None;
        status.frontier[0].forked = false;
        status.frontier[0].shortfall = None;
        status.faults.clear();
        status.place.satisfies_policy = true;
        let text = page(&status, &TimeZone::UTC);
        assert!(!text.contains("NO") && !text.contains("F"), "{text}");
    }

    #[test]
    fn an_antenna_at_fault_is_told() {
        let told = |antenna: &str| {
            receiver(&Receiver {
                device: Some("/dev/ttyACM0".into()),
                connected: true,
                antenna: Some(antenna.into()),
                ..Receiver::default()
            })
        };
        assert!(told("short").contains("SHORT CIRCUIT"), "{}", told("short"));
        assert!(told("open").contains("NO ANTENNA"), "{}", told("open"));
        assert_eq!(told("ok"), "/dev/ttyACM0, 0 fixes");
    }
}
