//! The first message of a connection: a peer is known afterwards exactly where version, network, signer, age,
//! certificate and region are all as they must be; and whatever reads is what writing it again gives.

use std::cell::RefCell;

use arbitrary::{Arbitrary, Unstructured};
use city_protocol::ids::{BlockId, LogId};
use city_protocol::replica::Input as Told;
use city_protocol::sync::{Hello, MAX_MESSAGE, Message, PROTOCOL_VERSION};
use city_protocol::trust::{KeyAnnouncement, SIGNED_DATA_LIFETIME_MS, TransportSigner as _};

use crate::edits::{Edit, Input, apply};
use crate::follower::{Follower, sent_away};
use crate::keys::Transport;
use crate::memory;
use crate::town::town;
use crate::world::{HAKUSAN, KANAZAWA, KOMATSU};

/// What reading and judging may hold beside some copies of the bytes: one certificate path.
const MEMORY: usize = 2 << 20;
/// Seconds that an announcement may be ahead of the clock.
const AHEAD: i64 = 300;

/// A hello, and the connection on which it comes. All zeros is a good one.
#[derive(Arbitrary, Debug)]
struct Story {
    from: Who,
    expected: Option<Who>,
    version: Option<u64>,
    other_network: bool,
    software: u8,
    follows: u16,
    signer: Option<Who>,
    certificate: Option<Who>,
    certificate_edits: Vec<Edit>,
    chain: Vec<Chain>,
    /// Seconds before now.
    age: i32,
    frame_edits: Vec<Edit>,
    twice: bool,
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Kanazawa,
    Komatsu,
    Stranger,
}

/// A certificate beside the leaf.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Chain {
    Of(Who),
    Noise(u8),
}

impl Who {
    fn transport(self) -> Transport {
        Transport::new(match self {
            Self::Kanazawa => "17201",
            Self::Komatsu => "17203",
            Self::Stranger => "nobody",
        })
    }

    /// The node certificate; a stranger has none and shows another's.
    fn certificate(self) -> Vec<u8> {
        let home = if self == Self::Komatsu {
            KOMATSU
        } else {
            KANAZAWA
        };
        let charter = &town().world.homes[home].authority.charter;
        charter.node_certificate.0.clone()
    }
}

/// Runs the target.
pub fn run(data: &[u8]) {
    match Input::of(data) {
        Some(Input::Raw(bytes)) => drop(read(bytes).map(|hello| meet(Who::Komatsu, None, hello))),
        Some(Input::Story(mut story)) => drop(tell(&mut story)),
        None => {}
    }
}

/// Inputs to begin with.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let hello = hello(&Story::arbitrary(&mut Unstructured::new(&[0; 64])).expect("64 are enough"));
    let frame = Message::Hello(Box::new(hello)).encode();
    vec![
        Input::raw(&frame),
        [vec![1], vec![0; 64]].concat(),
        [vec![1], vec![1; 64]].concat(),
    ]
}

fn hello(story: &Story) -> Hello {
    let mut certificate = story.certificate.unwrap_or(story.from).certificate();
    apply(&mut certificate, &story.certificate_edits);
    let chain = story.chain.iter().map(|one| match *one {
        Chain::Of(who) => who.certificate(),
        Chain::Noise(len) => vec![0x30; len.into()],
    });
    let chain = chain.take(8).map(Into::into).collect();
    let world = &town().world;
    let now = i64::try_from(world.now.0).expect("in this century");
    let made = now.saturating_sub(i64::from(story.age) * 1000);
    let made = city_protocol::amount::Timestamp(u64::try_from(made).unwrap_or(0));
    let signer = story.signer.unwrap_or(story.from).transport();
    let announced = KeyAnnouncement { certificate, chain };
    Hello {
        v: story.version.unwrap_or(PROTOCOL_VERSION),
        network: if story.other_network {
            BlockId::of(b"another")
        } else {
            world.network()
        },
        software: "x".repeat(story.software.into()),
        announcement: announced.sign(&signer, [7; 16], made),
        follows: (0..story.follows)
            .map(|n| LogId([n.to_le_bytes()[0]; 32]))
            .collect(),
        reads_only: story.follows % 2 == 1,
    }
}

/// Whether this hello is good, in the words of docs/formats.md.
fn good(story: &Story) -> bool {
    let age = i64::from(story.age);
    story.version.is_none_or(|v| v == PROTOCOL_VERSION)
        && !story.other_network
        && story.software <= 64
        && story.follows <= 4096
        && story.signer.is_none_or(|signer| signer == story.from)
        && story.from != Who::Stranger
        && story
            .certificate
            .is_none_or(|of| of.certificate() == story.from.certificate())
        && story.expected.is_none_or(|who| who == story.from)
        && story.chain.len() <= 4
        && story.chain.iter().all(|one| matches!(one, Chain::Of(_)))
        && (-AHEAD..=i64::try_from(SIGNED_DATA_LIFETIME_MS / 1000).expect("a day")).contains(&age)
}

fn tell(story: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let mut story = Story::arbitrary(story)?;
    story.chain.truncate(8);
    // A region is expected of homes only.
    story.expected = story.expected.filter(|who| *who != Who::Stranger);
    let mut frame = Message::Hello(Box::new(hello(&story))).encode();
    let whole = story.certificate_edits.is_empty() && story.frame_edits.is_empty();
    apply(&mut frame, &story.frame_edits);
    let known = read(&frame).is_some_and(|hello| {
        let again = story.twice.then(|| hello.clone());
        let known = meet(story.from, story.expected, hello);
        assert!(again.is_none_or(|again| meet(story.from, story.expected, again) == known));
        known
    });
    if whole {
        assert_eq!(known, good(&story), "{story:?}");
    }
    Ok(())
}

/// Reads a frame; gives the hello, if it is one.
fn read(frame: &[u8]) -> Option<Hello> {
    let message = memory::within(MEMORY + 16 * frame.len(), || Message::decode(frame)).ok()?;
    assert!(frame.len() <= MAX_MESSAGE);
    assert_eq!(message.encode(), frame, "read is what is written");
    match message {
        Message::Hello(hello) => {
            assert!(hello.follows.len() <= 4096 && hello.software.len() <= 64);
            Some(*hello)
        }
        _ => None,
    }
}

thread_local! {
    static NODE: RefCell<Follower> = RefCell::new(Follower::start(town().world.homes[HAKUSAN].disk.clone(), true));
}

/// A connection on which this hello comes first; whether the peer is known then.
fn meet(from: Who, expected: Option<Who>, hello: Hello) -> bool {
    let world = &town().world;
    let peer = from.transport().peer_id();
    let region = expected.map(|who| match who {
        Who::Komatsu => world.homes[KOMATSU].region.clone(),
        Who::Kanazawa | Who::Stranger => world.homes[KANAZAWA].region.clone(),
    });
    NODE.with_borrow_mut(|node| {
        let before = node.disk.rows.len();
        let ours = world.homes[HAKUSAN].announcement(world.now);
        let greeting = node.tell(Told::Connected(peer, Box::new(ours), region));
        assert_eq!(greeting.len(), 1, "our own hello");
        let input = node.input(peer, Message::Hello(Box::new(hello)), 0);
        let answer = memory::within(MEMORY, || node.tell(input));
        let known = node.knows(&peer);
        assert_eq!(known, sent_away(&answer).is_none(), "known or sent away");
        node.tell(Told::Disconnected(peer));
        assert!(!node.knows(&peer));
        assert_eq!(node.disk.rows.len(), before, "a stranger writes nothing");
        known
    })
}
