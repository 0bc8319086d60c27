//! The world of the stories: homes with disks in memory, a network that carries encoded frames, a clock
//! that moves when it is told to. The commit step is the node's: inputs, seal, append, committed, sends.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use city_protocol::amount::Timestamp;
use city_protocol::body::{Charter, Der, Kind, Officer, Officers, Start};
use city_protocol::crypto::{PublicKey, Suite};
use city_protocol::genesis::{Genesis, Purpose};
use city_protocol::ids::{KeyId, LogId, NetworkId};
use city_protocol::json;
use city_protocol::pki::Role;
use city_protocol::place::PlacePolicy;
use city_protocol::refusal::Refusal;
use city_protocol::region::Region;
use city_protocol::replica::{
    Action, Authorities, BookedEntry, Clearing, ClockQuality, Confirmation, Follow, Input, Now,
    Outcome, Replica, ReplicaConfig, Ticket,
};
use city_protocol::stage::Submission;
use city_protocol::sync::{Channel, Message};
use city_protocol::trust::{PeerId, TransportSigner as _};
use city_protocol::vertex::{Authority, KeySource, SignedHeader, VerifiedVertex, verify_header};

use super::ca::Ca;
use super::disk::Disk;
use super::home::{Home, Identity};
use super::keys::{Transport, signing_key};
use super::memo::Memo;

/// When every story begins: 2026-03-30 00:00:00 UTC.
pub(crate) const BEGIN: Timestamp = Timestamp(1_774_828_800_000);
/// The homes of the stories.
pub(crate) const KANAZAWA: usize = 0;
pub(crate) const KOMATSU: usize = 1;
pub(crate) const HAKUSAN: usize = 2;
/// More messages than any story needs: beyond, the nodes talk for ever.
const MAX_MESSAGES: usize = 400_000;

/// From, to, stream and frame.
pub(crate) type Sent = (usize, usize, Channel, Vec<u8>);

/// Homes, people, a network and a clock.
pub(crate) struct World {
    pub(crate) genesis: Arc<Genesis>,
    pub(crate) ca: Ca,
    pub(crate) now: Timestamp,
    pub(crate) homes: Vec<Home>,
    links: BTreeSet<(usize, usize)>,
    wire: VecDeque<Sent>,
    pub(crate) people: BTreeMap<KeyId, Arc<PublicKey>>,
    next_ticket: Ticket,
    pub(crate) transfers: u64,
    /// Where many homes verify the same vertices, once is enough.
    pub(crate) memo: Option<Memo>,
    /// Whom the charters of homes that join from now on name as their witnesses.
    pub(crate) witnesses: Vec<LogId>,
    /// What a home takes from others, from its next start on.
    pub(crate) clearing: Clearing,
    /// How a home follows others' logs, from its next start on.
    pub(crate) follow: Follow,
    /// How often a home writes a checkpoint, from its next start on.
    pub(crate) checkpoint_every: Option<u64>,
}

/// What a verifying pool has at hand.
struct Pool<'a>(&'a Authorities, Option<&'a BTreeMap<KeyId, Arc<PublicKey>>>);

impl KeySource for Pool<'_> {
    fn authority(&self, log: &LogId) -> Option<Arc<Authority>> {
        self.0.authority(log)
    }

    fn public_key(&self, id: &KeyId) -> Option<Arc<PublicKey>> {
        self.1?.get(id).cloned()
    }
}

impl World {
    /// 金沢, 小松 and 白山, started and not connected yet.
    pub(crate) fn new() -> Self {
        let mut world = Self::empty();
        for code in ["17201", "17203", "17210"] {
            world.add_home(code);
        }
        world
    }

    /// A network without municipalities.
    pub(crate) fn empty() -> Self {
        let ca = Ca::new("test root", BEGIN.minus_ms(1000));
        let genesis = Arc::new(Genesis {
            v: 1,
            name: "test".into(),
            purpose: Purpose::Test,
            created_at: BEGIN,
            roots: vec![ca.root.clone()],
            suites: vec![Suite::Dilithium5Ntru],
        });
        Self {
            genesis,
            ca,
            now: BEGIN.plus_ms(1000),
            homes: Vec::new(),
            links: BTreeSet::new(),
            wire: VecDeque::new(),
            people: BTreeMap::new(),
            next_ticket: 0,
            transfers: 0,
            memo: None,
            witnesses: Vec::new(),
            clearing: Clearing::default(),
            follow: Follow::default(),
            checkpoint_every: None,
        }
    }

    /// The same with all three connected and in step.
    pub(crate) fn connected() -> Self {
        let mut world = Self::new();
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            world.connect(a, b);
        }
        world.run();
        world
    }

    pub(crate) fn network(&self) -> NetworkId {
        self.genesis.network()
    }

    /// A municipality of 石川県 joins with an empty disk.
    pub(crate) fn add_home(&mut self, code: &str) -> usize {
        let region: Region = format!("Asia/JP/17/{code}").parse().unwrap();
        let key = signing_key(&format!("node of {code}"));
        let transport = Transport::new(code);
        let certificate = self
            .ca
            .node(&region, key.public(), &transport.peer_id().to_string());
        let officer = |n: u8| signing_key(&format!("officer {n} of {code}"));
        let officers: Vec<_> = (1..=3).map(officer).collect();
        let charter = Charter {
            version: 1,
            kind: Kind::Charter,
            network: self.network(),
            region: region.clone(),
            created_at: BEGIN,
            suite: Suite::Dilithium5Ntru,
            node_certificate: Der(certificate.clone()),
            chain: Vec::new(),
            officers: Officers {
                k: 2,
                keys: officers
                    .iter()
                    .map(|key| Officer {
                        alg: key.public().algorithm(),
                        key: key.public().as_bytes().to_vec(),
                    })
                    .collect(),
            },
            witnesses: self.witnesses.clone(),
        };
        let authority = Authority::from_charter(&self.genesis, &json::canonical(&charter)).unwrap();
        let authority = Arc::new(authority);
        for key in &officers {
            self.people
                .insert(key.public().id(), Arc::new(key.public().clone()));
        }
        let identity = Identity {
            region,
            key,
            next_key: None,
            transport,
            certificate,
            authority,
            officers,
        };
        self.add_box(identity, Disk::default())
    }

    /// A kiosk of this home's municipality: its own keys and certificate, its home's charter, and an empty disk.
    pub(crate) fn add_terminal(&mut self, of: usize) -> usize {
        let identity = self.homes[of].identity.clone();
        let name = format!("terminal {} of {}", self.homes.len(), identity.region);
        let (key, transport) = (signing_key(&name), Transport::new(&name));
        let peer_id = transport.peer_id().to_string();
        let certificate = self
            .ca
            .node_as(Role::Terminal, &identity.region, key.public(), &peer_id);
        let terminal = Identity {
            key,
            transport,
            certificate,
            ..identity
        };
        self.add_box(terminal, Disk::default())
    }

    /// A box with this identity and this disk is switched on.
    pub(crate) fn add_box(&mut self, identity: Identity, disk: Disk) -> usize {
        let replica = self.new_replica(&identity, true);
        self.homes.push(Home {
            identity,
            replica,
            disk,
            disk_is_full: false,
            fails_after: None,
            down: false,
            quality: ClockQuality::Ntp,
            clock_ahead_ms: 0,
            pool_knows_people: self.homes.len().is_multiple_of(2),
            frozen: Vec::new(),
            disconnected: Vec::new(),
            rolled_back: None,
            answers: BTreeMap::new(),
            vertices_sent: 0,
            verdicts: BTreeMap::new(),
        });
        let home = self.homes.len() - 1;
        self.tell(home, Input::Started);
        self.commit(home);
        home
    }

    pub(crate) fn new_replica(&self, identity: &Identity, may_sequence: bool) -> Replica {
        let authority = &identity.authority;
        let keys = std::iter::once(&identity.key).chain(&identity.next_key);
        let replica = Replica::new(ReplicaConfig {
            genesis: self.genesis.clone(),
            authority: authority.clone(),
            signers: keys.map(|key| Box::new(key.clone()) as _).collect(),
            policy: PlacePolicy::default(),
            start: Start {
                v: 1,
                software: "test/1".into(),
                clock: "ntp".into(),
                trust: None,
            },
            may_sequence,
        });
        let mut replica = replica
            .with_clearing(self.clearing.clone())
            .with_follow(self.follow.clone());
        replica.checkpoint_every(self.checkpoint_every);
        replica
    }

    /// The node stops and starts on the same disk; its connections are gone.
    pub(crate) fn restart(&mut self, home: usize) {
        for other in 0..self.homes.len() {
            self.disconnect(home, other);
        }
        self.boot(home, true);
    }

    /// The box is switched on; it is connected to nobody.
    pub(crate) fn boot(&mut self, home: usize, may_sequence: bool) {
        self.boot_as(home, may_sequence, Confirmation::Confirmed);
    }

    /// The same where this is known of its log.
    pub(crate) fn boot_as(&mut self, home: usize, may_sequence: bool, known: Confirmation) {
        let h = &mut self.homes[home];
        (h.down, h.rolled_back) = (false, None);
        let replica = self.new_replica(&self.homes[home].identity, may_sequence);
        self.homes[home].replica = replica.with_confirmation(known);
        self.tell(home, Input::Started);
        self.commit(home);
    }

    // Clock and network.

    pub(crate) fn connect(&mut self, a: usize, b: usize) {
        self.links.insert((a.min(b), a.max(b)));
        for (me, other) in [(a, b), (b, a)] {
            let home = &self.homes[me];
            let announcement = home.announcement(self.now);
            let peer = self.homes[other].peer();
            self.tell(me, Input::Connected(peer, Box::new(announcement), None));
            self.commit(me);
        }
    }

    /// Connects a home with one that may only read there.
    pub(crate) fn connect_reader(&mut self, home: usize, reader: usize) {
        self.links.insert((home.min(reader), home.max(reader)));
        let announcement = Box::new(self.homes[home].announcement(self.now));
        let peer = self.homes[reader].peer();
        self.tell(home, Input::Reader(peer, announcement, None));
        self.commit(home);
        let announcement = Box::new(self.homes[reader].announcement(self.now));
        let peer = self.homes[home].peer();
        self.tell(reader, Input::Connected(peer, announcement, None));
        self.commit(reader);
    }

    pub(crate) fn disconnect(&mut self, a: usize, b: usize) {
        if !self.links.remove(&(a.min(b), a.max(b))) {
            return;
        }
        self.wire
            .retain(|(from, to, ..)| (*from.min(to), *from.max(to)) != (a.min(b), a.max(b)));
        for (me, other) in [(a, b), (b, a)] {
            let peer = self.homes[other].peer();
            self.tell(me, Input::Disconnected(peer));
            self.commit(me);
        }
    }

    /// Carries messages until nobody says anything more.
    pub(crate) fn run(&mut self) {
        for _ in 0..MAX_MESSAGES {
            if !self.deliver() {
                return;
            }
        }
        panic!("the nodes talk for ever");
    }

    /// Carries one message; says whether there was one.
    pub(crate) fn deliver(&mut self) -> bool {
        let Some((from, to, channel, frame)) = self.wire.pop_front() else {
            return false;
        };
        self.hand(from, to, channel, &frame);
        true
    }

    /// A frame arrives.
    pub(crate) fn hand(&mut self, from: usize, to: usize, channel: Channel, frame: &[u8]) {
        let peer = self.homes[from].peer();
        let input = self.receive(to, peer, channel, frame);
        self.tell(to, input);
        self.commit(to);
    }

    /// What was sent and not delivered yet, for who carries it himself.
    pub(crate) fn take_sent(&mut self) -> VecDeque<Sent> {
        std::mem::take(&mut self.wire)
    }

    pub(crate) fn is_connected(&self, a: usize, b: usize) -> bool {
        self.links.contains(&(a.min(b), a.max(b)))
    }

    /// What the node's tasks make of a frame: decode, and verify what is a vertex.
    pub(crate) fn receive(&self, to: usize, peer: PeerId, channel: Channel, frame: &[u8]) -> Input {
        match Message::decode(frame) {
            Err(refusal) => Input::Garbage(peer, refusal, 0),
            Ok(Message::Vertex(header, body)) => match self.verify(to, &header, body.into_vec()) {
                Ok(vertex) => Input::Vertex(peer, Box::new(vertex), frame.len() as u64),
                Err(refusal) => Input::Garbage(peer, refusal, 0),
            },
            Ok(Message::Header(header)) => {
                let keys = Pool(self.homes[to].replica.authorities(), None);
                match verify_header(&self.genesis, &keys, &header) {
                    Ok(it) => Input::Header(peer, Box::new(it), frame.len() as u64),
                    Err(refusal) => Input::Garbage(peer, refusal, 0),
                }
            }
            Ok(message) => Input::Message(peer, channel, message),
        }
    }

    /// The verifying pool of a home.
    pub(crate) fn verify(
        &self,
        home: usize,
        header: &[u8],
        body: Vec<u8>,
    ) -> Result<VerifiedVertex, Refusal> {
        let home = &self.homes[home];
        let people = home.pool_knows_people.then_some(&self.people);
        let pool = Pool(home.replica.authorities(), people);
        let verify = |body| VerifiedVertex::verify(&self.genesis, &pool, header, body);
        let Some(memo) = &self.memo else {
            return verify(body);
        };
        let log = SignedHeader::read(header)?.header.log;
        // The answer depends on which epochs' beginnings are known.
        let mut known = vec![u8::from(home.pool_knows_people)];
        if let Some(authority) = pool.authority(&log) {
            for epoch in 1..=authority.epoch() {
                let start = authority.start_of(epoch).map(|start| start.leaf());
                known.extend(start.unwrap_or_default());
            }
        }
        memo.verify(&known, header, body, verify)
    }

    /// Time passes; everybody notices, and the messages that follow are carried.
    pub(crate) fn pass(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
        for home in 0..self.homes.len() {
            self.tell(home, Input::Tick);
            self.commit(home);
        }
        self.run();
    }

    // One home.

    pub(crate) fn tell(&mut self, home: usize, input: Input) {
        if self.homes[home].down {
            return;
        }
        let now = self.clock_of(home);
        let h = &mut self.homes[home];
        let actions = h.replica.handle(input, now, &h.disk);
        self.apply(home, actions);
    }

    /// The commit step.
    pub(crate) fn commit(&mut self, home: usize) {
        while !self.homes[home].down && self.homes[home].replica.has_work() {
            let now = self.clock_of(home);
            let h = &mut self.homes[home];
            let mut append = None;
            let mut others = Vec::new();
            for action in h.replica.handle(Input::Seal, now, &h.disk) {
                match action {
                    Action::Append(changes) => append = Some(changes),
                    other => others.push(other),
                }
            }
            self.apply(home, others);
            let Some(changes) = append else { return };
            if self.homes[home].disk_is_full {
                self.tell(home, Input::Aborted(Refusal::StorageFull));
                return;
            }
            let h = &mut self.homes[home];
            if let Some(bytes) = h.fails_after.take() {
                h.disk.tear(changes, bytes);
                h.down = true;
                return;
            }
            h.note_verdicts(&changes);
            h.disk.write(changes);
            self.tell(home, Input::Committed);
        }
    }

    /// What time it is at a home.
    fn clock_of(&self, home: usize) -> Now {
        let home = &self.homes[home];
        Now {
            time: home.clock(self.now),
            quality: home.quality,
        }
    }

    fn apply(&mut self, home: usize, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Append(_) => panic!("only a seal appends"),
                Action::Reply(ticket, answer) => {
                    let twice = self.homes[home].answers.insert(ticket, answer);
                    assert!(twice.is_none(), "ticket {ticket} is answered twice");
                }
                Action::Send(peer, channel, message) => {
                    self.homes[home].vertices_sent +=
                        usize::from(matches!(message, Message::Vertex(..)));
                    let is_reached =
                        |to: &usize| self.homes[*to].peer() == peer && self.is_connected(home, *to);
                    if let Some(to) = (0..self.homes.len()).find(is_reached) {
                        self.wire.push_back((home, to, channel, message.encode()));
                    }
                }
                Action::Disconnect(peer, refusal) => {
                    self.homes[home].disconnected.push((peer, refusal));
                }
                Action::Frozen(log, frozen, refusal) => {
                    self.homes[home].frozen.push((log, frozen, refusal));
                }
                Action::RolledBack { here, shown } => {
                    let twice = self.homes[home].rolled_back.replace([here, shown]);
                    assert!(twice.is_none(), "it is told once in a run");
                }
            }
        }
    }

    pub(crate) fn new_ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        self.next_ticket
    }

    /// Asks without committing.
    pub(crate) fn ask(&mut self, home: usize, submission: Submission) -> Ticket {
        let ticket = self.new_ticket();
        self.tell(home, Input::Submit(ticket, submission));
        ticket
    }

    /// The answer to a ticket, if there is one yet.
    pub(crate) fn answer(
        &mut self,
        home: usize,
        ticket: Ticket,
    ) -> Option<Result<BookedEntry, Refusal>> {
        let answer = self.homes[home].answers.remove(&ticket)?;
        Some(answer.map(|outcome| match outcome {
            Outcome::Booked(booked) => *booked,
            Outcome::Place(_) => panic!("a submission is not answered with a proof"),
        }))
    }

    /// Submits, commits, and gives the answer; nothing is carried yet.
    pub(crate) fn submit(
        &mut self,
        home: usize,
        submission: Submission,
    ) -> Result<BookedEntry, Refusal> {
        let ticket = self.ask(home, submission);
        self.commit(home);
        self.answer(home, ticket)
            .expect("every submission is answered")
    }
}
