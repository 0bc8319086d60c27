//! Whitelisted peers who speak the sync protocol: what cannot be read, what comes before a hello, and hellos that are not
//! their own.

use std::time::Duration;

use city_node::engine::{TransportKey, utc};
use city_node::pki::issue::NodeRequest;
use city_node::pki::{Authority, Validity};
use city_node::setup::{Identity, load_identity};
use city_protocol::amount::Timestamp;
use city_protocol::ids::{BlockId, Digest, LogId};
use city_protocol::pki::Role;
use city_protocol::sync::{
    Beacon, FrontierEntry, Hello, LogPrefix, Message, PROTOCOL_VERSION, Want,
};
use city_protocol::trust::KeyAnnouncement;
use libp2p::core::muxing::SubstreamBox;
use libp2p::futures::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::identity::Keypair;

use super::raw::{AT_ONCE, Target, noise};
use crate::daemon::city::City;
use crate::intruder::Intruder;

/// A municipality that turned bad: its ledger key certifies whatever peer id it likes.
pub(super) struct Traitor<'a> {
    pub(super) identity: Identity,
    pub(super) ca: Authority,
    /// The log of the honest peer.
    pub(super) victim: LogId,
    pub(super) honest: &'a Identity,
}

impl<'a> Traitor<'a> {
    /// This city, beside an honest one.
    pub(super) fn of(city: &City, victim: LogId, honest: &'a Identity) -> Self {
        Self {
            identity: load_identity(&city.data).unwrap(),
            ca: Authority::open(&city.ca, None).unwrap(),
            victim,
            honest,
        }
    }

    /// The second vertex of the honest log, as the node hands it on to whoever says hello with this key.
    pub(super) async fn asks(&self, target: &Target<'_>, key: &Keypair) -> (Vec<u8>, Vec<u8>) {
        let mut speaker = Speaker::begin(target, key).await;
        speaker.says(&say(self.hello(key))).await;
        let want = Want {
            log: LogPrefix::from(&self.victim),
            epoch: 1,
            from: 2,
            to: 2,
        };
        speaker.says(&Message::Want(vec![want]).encode()).await;
        let listening = async {
            loop {
                if let Message::Vertex(header, body) = speaker.hears().await.expect("a good hello")
                {
                    return (header.into_vec(), body.into_vec());
                }
            }
        };
        let heard = tokio::time::timeout(Duration::from_secs(10), listening);
        heard.await.expect("a vertex")
    }

    /// A hello of this key that is right in everything.
    pub(super) fn hello(&self, key: &Keypair) -> Hello {
        self.hello_at(key, utc())
    }

    fn hello_at(&self, key: &Keypair, at: Timestamp) -> Hello {
        let request = NodeRequest {
            region: self.identity.authority.region(),
            role: Role::Home,
            key: self.identity.signer.public(),
            peer_id: &key.public().to_peer_id().to_string(),
            kem: None,
        };
        let validity = Validity::days(utc().minus_ms(60_000), 2);
        let certificate = self.ca.issue_node(&request, validity).unwrap();
        self.announce(key, certificate, at)
    }

    fn announce(&self, key: &Keypair, certificate: Vec<u8>, at: Timestamp) -> Hello {
        let announcement = KeyAnnouncement {
            certificate,
            chain: self
                .identity
                .chain
                .iter()
                .cloned()
                .map(Into::into)
                .collect(),
        };
        let signer = TransportKey::new(key.clone()).unwrap();
        Hello {
            v: PROTOCOL_VERSION,
            network: self.identity.network,
            software: "hostile".into(),
            announcement: announcement.sign(&signer, [7; 16], at),
            follows: Vec::new(),
            reads_only: false,
        }
    }
}

pub(super) fn say(hello: Hello) -> Vec<u8> {
    Message::Hello(Box::new(hello)).encode()
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&length.to_be_bytes()[..], message].concat()
}

/// Somebody whose two streams are open.
pub(super) struct Speaker {
    pub(super) intruder: Intruder,
    pub(super) sync: SubstreamBox,
    pub(super) live: SubstreamBox,
}

impl Speaker {
    pub(super) async fn begin(target: &Target<'_>, key: &Keypair) -> Self {
        let mut intruder = Intruder::call(key, &target.address, target.peer).await;
        let (sync, live) = intruder.both_streams().await;
        Self {
            intruder,
            sync,
            live,
        }
    }

    /// Says it; the node may hang up before everything is said.
    pub(super) async fn says(&mut self, message: &[u8]) {
        let _broken = self.sync.write_all(&framed(message)).await;
        let _broken = self.sync.flush().await;
    }

    pub(super) async fn is_sent_away(&mut self, target: &mut Target<'_>, case: &str) {
        let soon = tokio::time::timeout(AT_ONCE, self.intruder.gone()).await;
        if soon.is_err() {
            target.wrong.push(format!("{case}: not sent away"));
        }
    }

    pub(super) async fn hears(&mut self) -> Option<Message> {
        let mut length = [0; 4];
        self.sync.read_exact(&mut length).await.ok()?;
        let mut message = vec![0; u32::from_be_bytes(length) as usize];
        self.sync.read_exact(&mut message).await.ok()?;
        Some(Message::decode(&message).unwrap())
    }
}

pub(super) async fn play(target: &mut Target<'_>, traitor: &Traitor<'_>) {
    unreadable(target, traitor).await;
    out_of_turn(target, traitor).await;
    false_hellos(target, traitor).await;
}

async fn unreadable(target: &mut Target<'_>, traitor: &Traitor<'_>) {
    let beacon = beacon(0).encode();
    let mut said: Vec<(String, Vec<u8>)> = vec![
        ("nothing".into(), Vec::new()),
        ("null".into(), vec![0xf6]),
        ("an empty map".into(), vec![0xa0]),
        (
            "a float".into(),
            [
                &[0xa1, 0x66][..],
                b"credit",
                &[0xfb, 0, 0, 0, 0, 0, 0, 0, 0],
            ]
            .concat(),
        ),
        ("without an end".into(), vec![0x9f, 0x01]),
        (
            "a text of 2^63 bytes".into(),
            vec![0x7b, 0x80, 0, 0, 0, 0, 0, 0, 0],
        ),
        (
            "a list of 2^32 items".into(),
            [
                &[0xa1, 0x68][..],
                b"frontier",
                &[0x9a, 0xff, 0xff, 0xff, 0xff],
            ]
            .concat(),
        ),
        ("100,000 lists in lists".into(), vec![0x81; 100_000]),
        ("100,000 tags".into(), vec![0xd8; 100_000]),
        (
            "a message of no kind".into(),
            [&[0xa1, 0x64][..], b"kill", &[0x01]].concat(),
        ),
        (
            "a number in a long form".into(),
            [&[0xa1, 0x66][..], b"credit", &[0x18, 0x05]].concat(),
        ),
        ("bytes behind".into(), [&beacon[..], &[0]].concat()),
        (
            "two kinds".into(),
            [
                &[0xa2, 0x66][..],
                b"credit",
                &[0x05, 0x66],
                b"beacon",
                &[0x05],
            ]
            .concat(),
        ),
        (
            "a key twice".into(),
            [
                &[0xa2, 0x66][..],
                b"credit",
                &[0x05, 0x66],
                b"credit",
                &[0x05],
            ]
            .concat(),
        ),
    ];
    for cut in [1, 5, 9, 20, beacon.len() - 1] {
        said.push((format!("a beacon of {cut} bytes"), beacon[..cut].to_vec()));
    }
    for seed in 0..8 {
        said.push((format!("noise {seed}"), noise(500, seed)));
    }
    let key = Keypair::generate_ed25519();
    let hello = say(traitor.hello(&key));
    for part in 1..8 {
        let cut = hello.len() * part / 8;
        said.push((format!("a hello of {cut} bytes"), hello[..cut].to_vec()));
    }
    for (case, message) in said {
        sent_away(target, &case, &message).await;
    }
}

/// Says one thing as somebody new, who is hung up on.
async fn sent_away(target: &mut Target<'_>, case: &str, message: &[u8]) {
    let key = target.key();
    let mut speaker = Speaker::begin(target, &key).await;
    speaker.says(message).await;
    speaker.is_sent_away(target, case).await;
    target.stands(case).await;
}

async fn out_of_turn(target: &mut Target<'_>, traitor: &Traitor<'_>) {
    let entry = lie(traitor.victim, 1);
    let log = traitor.victim;
    let said = [
        ("beacon", beacon(0)),
        ("frontier", Message::Frontier(vec![entry.clone()])),
        ("announce", Message::Announce(vec![entry])),
        (
            "want",
            Message::Want(vec![Want {
                log: LogPrefix::from(&log),
                epoch: 1,
                from: 1,
                to: u64::MAX,
            }]),
        ),
        ("fetch", Message::Fetch(vec![BlockId::of(b"x"); 4096])),
        (
            "vertex",
            Message::Vertex(vec![1; 100].into(), vec![2; 100].into()),
        ),
        ("credit", Message::Credit(u64::MAX)),
        (
            "proof",
            Message::Proof(vec![1; 100].into(), vec![2; 100].into()),
        ),
    ];
    for (kind, message) in said {
        sent_away(target, &format!("{kind} before hello"), &message.encode()).await;
    }
}

/// What nobody's frontier comes to, from somebody who claims to have so many vertices.
pub(super) fn beacon(sum: u64) -> Message {
    let hash = Digest([9; 32]);
    Message::Beacon(Beacon { hash, sum })
}

/// A claim about a log that is not true.
pub(super) fn lie(log: LogId, seq: u64) -> FrontierEntry {
    FrontierEntry {
        log,
        epoch: 1,
        seq,
        head: vec![6; 16].into(),
        forked: false,
    }
}

async fn false_hellos(target: &mut Target<'_>, traitor: &Traitor<'_>) {
    const HOUR: u64 = 60 * 60 * 1000;
    let honest = say(traitor.announce(
        &traitor.honest.transport,
        traitor.honest.node_certificate.clone(),
        utc(),
    ));
    type Edit<'a> = Box<dyn Fn(&Keypair) -> Vec<u8> + 'a>;
    let edited = |edit: fn(&mut Hello)| -> Edit<'_> {
        Box::new(move |key| {
            let mut hello = traitor.hello(key);
            edit(&mut hello);
            say(hello)
        })
    };
    let mut cases: Vec<(String, Edit<'_>)> = vec![
        ("version 0".into(), edited(|hello| hello.v = 0)),
        ("version 1".into(), edited(|hello| hello.v = 1)),
        (
            "a later version".into(),
            edited(|hello| hello.v = PROTOCOL_VERSION + 1),
        ),
        (
            "the last version".into(),
            edited(|hello| hello.v = u64::MAX),
        ),
        (
            "another network".into(),
            edited(|hello| hello.network = BlockId::of(b"another")),
        ),
        (
            "a long name".into(),
            edited(|hello| hello.software = "x".repeat(65)),
        ),
        (
            "follows too many".into(),
            edited(|hello| hello.follows = vec![LogId([1; 32]); 4097]),
        ),
        (
            "yesterday's".into(),
            Box::new(|key| say(traitor.hello_at(key, utc().minus_ms(25 * HOUR)))),
        ),
        (
            "tomorrow's".into(),
            Box::new(|key| say(traitor.hello_at(key, utc().plus_ms(6 * 60 * 1000)))),
        ),
        (
            "next year's".into(),
            Box::new(|key| say(traitor.hello_at(key, utc().plus_ms(9000 * HOUR)))),
        ),
        ("the honest peer's".into(), Box::new(|_| honest.clone())),
        (
            "signed by another key".into(),
            Box::new(|_| say(traitor.hello(&Keypair::generate_ed25519()))),
        ),
        (
            "the honest peer's certificate".into(),
            Box::new(|key| {
                say(traitor.announce(key, traitor.honest.node_certificate.clone(), utc()))
            }),
        ),
        (
            "its other certificate".into(),
            Box::new(|key| {
                say(traitor.announce(key, traitor.identity.node_certificate.clone(), utc()))
            }),
        ),
        (
            "an empty certificate".into(),
            Box::new(|key| say(traitor.announce(key, Vec::new(), utc()))),
        ),
        (
            "noise for a certificate".into(),
            Box::new(|key| say(traitor.announce(key, noise(900, 1), utc()))),
        ),
    ];
    for part in 1..16 {
        cases.push((
            format!("a flipped bit at {part}/16"),
            Box::new(move |key| {
                let mut hello = say(traitor.hello(key));
                let at = hello.len() * part / 16;
                hello[at] ^= 1;
                hello
            }),
        ));
    }
    for (case, make) in cases {
        let key = target.key();
        let mut speaker = Speaker::begin(target, &key).await;
        speaker.says(&make(&key)).await;
        speaker.is_sent_away(target, &case).await;
        target.stands(&case).await;
    }
}
