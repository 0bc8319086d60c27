//! What a connected peer says: whatever reads is what writing it again gives. And whatever it says in whatever
//! order, the node sends no more than it was allowed, believes no vertex that no home signed, freezes no log
//! but one that convicted itself, and its sums hold.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use arbitrary::{Arbitrary, Unstructured};
use city_protocol::body::{Fault, FaultReason, Kind};
use city_protocol::ids::{BlockId, Digest, LogId};
use city_protocol::ledger::{LogRow, Rows as _};
use city_protocol::replica::{Action, Input as Told, log_rows};
use city_protocol::sync::{
    Beacon, FrontierEntry, Hello, INITIAL_CREDIT, LogPrefix, MAX_MESSAGE, Message,
    PROTOCOL_VERSION, Want,
};
use city_protocol::trust::{ROTATION_MS, Rotation, SignedRotation, TransportSigner as _};
use city_protocol::vertex::SignedHeader;
use serde_bytes::ByteBuf;

use crate::edits::{Edit, Input, apply};
use crate::follower::{Follower, sent_away};
use crate::keys::Transport;
use crate::memory;
use crate::town::{NOMI, Written, headers, town};
use crate::world::{HAKUSAN, KANAZAWA};

/// What one message may make the node hold, beside some copies of it: what it answers, at most 16 vertices
/// of the story, and what it verifies.
const MEMORY: usize = 16 << 20;
/// Most messages of one story.
const MAX_SAID: usize = 24;

/// What the peer does.
#[derive(Arbitrary, Debug)]
enum Deed<'a> {
    Beacon(Option<u8>),
    Frontier(Vec<Claim>),
    Difference(Vec<Claim>),
    Announce(Vec<Claim>),
    Want {
        log: u8,
        epoch: u8,
        from: u8,
        to: u64,
    },
    Fetch(Vec<u8>),
    Vertex(u8),
    Mixed(u8, u8, Vec<Edit>),
    /// The home of this vertex signs another one at its position.
    Fork(u8, u8),
    Proof(u8, u8),
    ProofOfFork(u8, u8, u8),
    Credit(u64),
    Frame(&'a [u8]),
    Again,
    Time(u16),
    /// The header of this vertex, and never the body behind it.
    Header(u8),
}

/// What the peer claims to have.
#[derive(Arbitrary, Debug)]
struct Claim {
    log: u8,
    epoch: u8,
    seq: u64,
    head: u8,
    forked: bool,
}

/// Runs the target.
pub fn run(data: &[u8]) {
    match Input::of(data) {
        Some(Input::Raw(bytes)) => drop(read(bytes)),
        Some(Input::Story(mut story)) => drop(tell(&mut story)),
        None => {}
    }
}

/// Inputs to begin with: every kind of message, and the story's vertices in order.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let vertices = &town().vertices;
    let last = vertices.last().expect("the story has vertices");
    let [one, two] = &forked()[..] else {
        panic!("two headers stand in one place");
    };
    let disk = &town().world.homes[HAKUSAN].disk;
    let frontier: Vec<_> = log_rows(disk)
        .iter()
        .map(|(log, row)| FrontierEntry::of(log, row))
        .collect();
    let messages = [
        Message::Beacon(Beacon::of(&frontier)),
        Message::Frontier(frontier.clone()),
        Message::Difference(frontier.clone()),
        Message::Announce(frontier),
        Message::Want(vec![Want {
            log: LogPrefix::from(&log(0)),
            epoch: 1,
            from: 1,
            to: 9,
        }]),
        Message::Fetch(vec![id(0), id(1)]),
        Message::Vertex(last.header.clone().into(), last.body.clone().into()),
        Message::Header(last.header.clone().into()),
        Message::Credit(1 << 20),
        Message::Proof(last.header.clone().into(), last.header.clone().into()),
        Message::Proof(one.clone().into(), two.clone().into()),
        Message::Rotation(Box::new(rotation())),
    ];
    let mut seeds: Vec<_> = messages
        .iter()
        .map(|message| Input::raw(&message.encode()))
        .collect();
    let each = vertices.iter().map(|vertex| {
        let frame = Message::Vertex(vertex.header.clone().into(), vertex.body.clone().into());
        Input::raw(&frame.encode())
    });
    seeds.extend(each);
    // The story as it was, told to a node that has nothing, and to one that has the beginning.
    seeds.extend([1, 40, 80, 120].map(told));
    seeds.extend((0..16_u8).map(|n| {
        [
            vec![1],
            (0..96_u8).map(|i| n.wrapping_mul(i)).collect::<Vec<u8>>(),
        ]
        .concat()
    }));
    seeds
}

/// The node is as it was before this vertex, and is told this one and those behind it.
fn told(begin: u8) -> Vec<u8> {
    // The seventh of sixteen deeds is a vertex.
    let deed = 6_u32 << 28;
    let vertices = (begin - 1..).take(MAX_SAID);
    let deeds = vertices.flat_map(|n| [&deed.to_le_bytes()[..], &[n]].concat());
    [1, begin].into_iter().chain(deeds).collect()
}

/// The headers of the story's first fault: two vertices of 能美市 at one position.
fn forked() -> Vec<Vec<u8>> {
    let entries = town().receipts().into_iter().map(|receipt| receipt.entry);
    let faults = entries.filter(|entry| entry.kind == Kind::Fault);
    let mut faults = faults.filter_map(|entry| Fault::read(&entry.body).ok());
    let fault = faults.find(|fault| fault.reason == FaultReason::Equivocation);
    let evidence = fault.expect("somebody is at fault").evidence;
    evidence.into_iter().map(ByteBuf::into_vec).collect()
}

/// 金沢市's transport key is followed by another.
fn rotation() -> SignedRotation {
    let world = &town().world;
    let (old, new) = (Transport::new("17201"), Transport::new("17201, the next"));
    let home = &world.homes[KANAZAWA];
    let peer = new.peer_id().to_string();
    let said = Rotation {
        network: world.network(),
        old: old.peer_id(),
        new: new.peer_id(),
        certificate: world
            .ca
            .node(home.identity.authority.region(), home.key.public(), &peer),
        chain: Vec::new(),
        made_at: world.now,
        expires_at: world.now.plus_ms(ROTATION_MS),
    };
    said.sign(&old, &new)
}

fn log(n: u8) -> LogId {
    let homes = &town().world.homes;
    let log = homes.get(usize::from(n)).map(|home| home.log());
    log.unwrap_or(LogId([n; 32]))
}

fn vertex(n: u8) -> &'static Written {
    let vertices = &town().vertices;
    &vertices[usize::from(n) % vertices.len()]
}

fn id(n: u8) -> BlockId {
    BlockId::of(&vertex(n).header)
}

/// Reads a frame and writes it again.
fn read(frame: &[u8]) -> Option<Message> {
    let message = memory::within(MEMORY + 16 * frame.len(), || Message::decode(frame)).ok()?;
    assert!(frame.len() <= MAX_MESSAGE);
    assert_eq!(message.encode(), frame, "read is what is written");
    let list = match &message {
        Message::Frontier(entries) | Message::Difference(entries) | Message::Announce(entries) => {
            entries.len()
        }
        Message::Want(wants) => wants.len(),
        Message::Fetch(ids) => ids.len(),
        _ => 0,
    };
    assert!(list <= 4096);
    Some(message)
}

thread_local! {
    /// Signing takes longer than all the rest of a story, and there are few to sign.
    static FORKS: RefCell<BTreeMap<(u8, u8), SignedHeader>> = RefCell::default();
}

fn fork(n: u8, shift: u8) -> SignedHeader {
    let mut header = SignedHeader::read(&vertex(n).header)
        .expect("a home wrote it")
        .header;
    header.time = header.time.plus_ms(shift.into());
    let key = &town().secrets[&header.key];
    SignedHeader::sign(header, &**key)
}

/// The node, the peer and what is between them.
struct Talk {
    node: Follower,
    peer: city_protocol::trust::PeerId,
    /// Logs whose homes signed twice at one position.
    forked: BTreeSet<LogId>,
    /// Every vertex that some home signed, beyond a cut or not.
    signed: BTreeSet<BlockId>,
    /// Bytes of vertices that the node may still send.
    credit: i64,
}

fn tell(story: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let begin: u8 = story.arbitrary()?;
    let mut talk = Talk::begin(begin);
    for _ in 0..MAX_SAID {
        if story.is_empty() {
            break;
        }
        let deed: Deed<'_> = story.arbitrary()?;
        talk.do_it(deed);
    }
    talk.check();
    Ok(())
}

impl Talk {
    /// The node as it was before this vertex of the story, connected with 金沢市.
    fn begin(n: u8) -> Self {
        let world = &town().world;
        let disk = match usize::from(n) % (town().vertices.len() + 1) {
            0 => world.homes[HAKUSAN].disk.clone(),
            n => town().vertices[n - 1].before.clone(),
        };
        // A node that has lost its own log must not go on in it before it has it back.
        let own = |disk: &crate::disk::Disk| disk.read().log(&log(2)).map(|row| row.seq);
        let whole = own(&disk) == own(&world.homes[HAKUSAN].disk);
        let mut talk = Self {
            node: Follower::start(disk, whole),
            peer: world.homes[KANAZAWA].peer(),
            // 能美市 of the story has convicted itself, again and again.
            forked: BTreeSet::from([world.homes[NOMI].log()]),
            signed: headers().iter().map(|header| BlockId::of(header)).collect(),
            credit: 0,
        };
        talk.connect();
        assert!(talk.node.knows(&talk.peer));
        talk
    }

    fn connect(&mut self) {
        let world = &town().world;
        self.credit = INITIAL_CREDIT.cast_signed();
        let ours = world.homes[HAKUSAN].announcement(world.now);
        let actions = self
            .node
            .tell(Told::Connected(self.peer, Box::new(ours), None));
        self.look(&actions);
        let hello = Hello {
            v: PROTOCOL_VERSION,
            network: world.network(),
            software: "fuzz/1".into(),
            announcement: world.homes[KANAZAWA].announcement(self.node.now.time),
            follows: Vec::new(),
            reads_only: false,
        };
        self.say(Message::Hello(Box::new(hello)));
    }

    fn do_it(&mut self, deed: Deed<'_>) {
        let claims = |claims: Vec<Claim>| claims.into_iter().take(64).map(Claim::entry).collect();
        match deed {
            Deed::Beacon(None) => {
                let hash = self.node.replica.status(&self.node.disk).frontier_hash;
                self.say(Message::Beacon(Beacon { hash, sum: 0 }));
            }
            Deed::Beacon(Some(byte)) => {
                let (hash, sum) = (Digest([byte; 32]), u64::from(byte));
                self.say(Message::Beacon(Beacon { hash, sum }));
            }
            Deed::Difference(list) => self.say(Message::Difference(claims(list))),
            Deed::Frontier(list) => self.say(Message::Frontier(claims(list))),
            Deed::Announce(list) => self.say(Message::Announce(claims(list))),
            Deed::Want {
                log: n,
                epoch,
                from,
                to,
            } => self.say(Message::Want(vec![Want {
                log: LogPrefix::from(&log(n)),
                epoch: epoch.into(),
                from: from.into(),
                to,
            }])),
            Deed::Fetch(picks) => self.say(Message::Fetch(picks.into_iter().map(id).collect())),
            Deed::Vertex(n) => self.vertex(&vertex(n).header, &vertex(n).body),
            Deed::Header(n) => {
                let header = ByteBuf::from(&vertex(n).header[..]);
                self.say(Message::Header(header));
            }
            Deed::Mixed(a, b, edits) => {
                let mut header = vertex(a).header.clone();
                apply(&mut header, &edits);
                self.vertex(&header, &vertex(b).body);
            }
            Deed::Fork(n, shift) => {
                let header = self.fork(n, shift);
                self.vertex(&header, &vertex(n).body);
            }
            Deed::Proof(a, b) => self.proof(&vertex(a).header, &vertex(b).header),
            Deed::ProofOfFork(n, a, b) => {
                let (a, b) = (self.fork(n, a), self.fork(n, b));
                self.proof(&a, &b);
            }
            Deed::Credit(bytes) => self.say(Message::Credit(bytes)),
            Deed::Frame(bytes) => match read(bytes) {
                Some(message) => self.say(message),
                None => self.give(Told::Garbage(self.peer, city_protocol::Refusal::BadCbor, 0)),
            },
            Deed::Again => {
                self.give(Told::Disconnected(self.peer));
                self.connect();
            }
            Deed::Time(seconds) => {
                self.node.now.time = self.node.now.time.plus_ms(u64::from(seconds) * 1000);
                self.give(Told::Tick);
            }
        }
    }

    /// Another header at the position of this vertex, signed by its home; the true one for shift 0.
    fn fork(&mut self, n: u8, shift: u8) -> Vec<u8> {
        let n = u8::try_from(usize::from(n) % town().vertices.len()).expect("few");
        let shift = shift % 4;
        let signed = FORKS.with_borrow_mut(|forks| {
            let made = forks.entry((n, shift));
            made.or_insert_with(|| fork(n, shift)).clone()
        });
        if shift > 0 {
            self.forked.insert(signed.header.log);
        }
        self.signed.insert(signed.id);
        signed.block
    }

    fn vertex(&mut self, header: &[u8], body: &[u8]) {
        self.say(Message::Vertex(ByteBuf::from(header), ByteBuf::from(body)));
    }

    fn proof(&mut self, a: &[u8], b: &[u8]) {
        self.say(Message::Proof(ByteBuf::from(a), ByteBuf::from(b)));
    }

    fn say(&mut self, message: Message) {
        let frame = message.encode();
        assert_eq!(Message::decode(&frame).as_ref(), Ok(&message));
        if let Message::Credit(bytes) = message {
            let bytes = bytes.min(2 * INITIAL_CREDIT).cast_signed();
            self.credit = (self.credit + bytes).min(INITIAL_CREDIT.cast_signed());
        }
        let input = self.node.input(self.peer, message, frame.len());
        self.give(input);
    }

    fn give(&mut self, input: Told) {
        let node = &mut self.node;
        let actions = memory::within(MEMORY, || node.tell(input));
        self.look(&actions);
        if sent_away(&actions).is_some() {
            self.node.tell(Told::Disconnected(self.peer));
            self.connect();
        }
    }

    /// What the node says is short enough and reads; of vertices it sends no more than it may.
    fn look(&mut self, actions: &[Action]) {
        for action in actions {
            match action {
                Action::Send(_, _, message) => {
                    let frame = message.encode();
                    assert_eq!(Message::decode(&frame).as_ref(), Ok(message));
                    if let Message::Vertex(header, body) = message {
                        assert!(self.signed.contains(&BlockId::of(header)) || self.is_own(header));
                        assert!(self.credit > 0, "credit is used up");
                        let size = header.len() + body.len();
                        self.credit -= size as i64;
                    }
                }
                Action::Frozen(log, ..) => assert!(self.forked.contains(log), "an honest log"),
                Action::Reply(..) => panic!("nobody asked"),
                // It may be sent what its own key signed.
                Action::Disconnect(..) | Action::Append(_) | Action::RolledBack { .. } => {}
            }
        }
    }

    fn is_own(&self, header: &[u8]) -> bool {
        SignedHeader::read(header).is_ok_and(|read| read.header.log == log(2))
    }

    /// What the node has, at the end.
    fn check(&self) {
        let rows: BTreeMap<LogId, LogRow> = log_rows(&self.node.disk).into_iter().collect();
        for (log_id, row) in rows {
            assert!(row.totals.conserved(), "{:?}", row.totals);
            assert!(row.frozen.is_none() || self.forked.contains(&log_id));
            let own = log_id == log(2);
            assert!(row.seq == 0 || own || self.signed.contains(&row.head));
        }
    }
}

impl Claim {
    fn entry(self) -> FrontierEntry {
        let head = id(self.head);
        FrontierEntry {
            log: log(self.log % 8),
            epoch: self.epoch.into(),
            seq: self.seq,
            head: ByteBuf::from(&head.digest()[..usize::from(self.head % 18)]),
            forked: self.forked,
        }
    }
}
