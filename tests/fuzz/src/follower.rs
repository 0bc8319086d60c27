//! A home that follows the story: its replica, its disk and the commit step, without a network.

use city_protocol::body::Start;
use city_protocol::crypto::PublicKey;
use city_protocol::ids::{KeyId, LogId};
use city_protocol::place::PlacePolicy;
use city_protocol::refusal::Refusal;
use city_protocol::replica::{
    Action, Authorities, ClockQuality, Input, Now, Replica, ReplicaConfig,
};
use city_protocol::sync::{Channel, Message};
use city_protocol::trust::PeerId;
use city_protocol::vertex::{Authority, KeySource, VerifiedVertex, verify_header};
use std::sync::Arc;

use crate::disk::Disk;
use crate::town::town;
use crate::world::HAKUSAN;

/// 白山市, started on some disk.
pub(crate) struct Follower {
    pub(crate) replica: Replica,
    pub(crate) disk: Disk,
    pub(crate) now: Now,
}

/// What its verifying pool has at hand.
struct Pool<'a>(&'a Authorities);

impl KeySource for Pool<'_> {
    fn authority(&self, log: &LogId) -> Option<Arc<Authority>> {
        self.0.authority(log)
    }

    fn public_key(&self, id: &KeyId) -> Option<Arc<PublicKey>> {
        town().keys.public_key(id)
    }
}

impl Follower {
    pub(crate) fn start(disk: Disk, may_sequence: bool) -> Self {
        let town = town();
        let home = &town.world.homes[HAKUSAN];
        let replica = Replica::new(ReplicaConfig {
            genesis: town.world.genesis.clone(),
            authority: home.authority.clone(),
            signers: vec![Box::new(home.key.clone())],
            policy: PlacePolicy::default(),
            start: Start {
                v: 1,
                software: "fuzz/1".into(),
                clock: "ntp".into(),
                trust: None,
            },
            may_sequence,
        });
        let now = Now {
            time: town.world.now,
            quality: ClockQuality::Ntp,
        };
        let mut follower = Self { replica, disk, now };
        follower.tell(Input::Started);
        follower
    }

    /// Tells it something, commits, and gives all that it asks for.
    pub(crate) fn tell(&mut self, input: Input) -> Vec<Action> {
        let mut out = self.replica.handle(input, self.now, &self.disk);
        while self.replica.has_work() {
            let mut appended = false;
            for action in self.replica.handle(Input::Seal, self.now, &self.disk) {
                match action {
                    Action::Append(changes) => {
                        self.disk.write(changes);
                        appended = true;
                    }
                    other => out.push(other),
                }
            }
            if !appended {
                break;
            }
            out.extend(self.replica.handle(Input::Committed, self.now, &self.disk));
        }
        assert!(
            !out.iter().any(|action| matches!(action, Action::Append(_))),
            "only a seal appends"
        );
        out
    }

    /// What the node's tasks make of a message: verify what is a vertex.
    pub(crate) fn input(&self, from: PeerId, message: Message, size: usize) -> Input {
        let pool = Pool(self.replica.authorities());
        let genesis = &town().world.genesis;
        let size = size as u64;
        let read = match message {
            Message::Vertex(header, body) => {
                let vertex = VerifiedVertex::verify(genesis, &pool, &header, body.into_vec());
                vertex.map(|vertex| Input::Vertex(from, Box::new(vertex), size))
            }
            Message::Header(header) => verify_header(genesis, &pool, &header)
                .map(|header| Input::Header(from, Box::new(header), size)),
            message => return Input::Message(from, Channel::Sync, message),
        };
        read.unwrap_or_else(|refusal| Input::Garbage(from, refusal, size))
    }

    /// Whether the peer's hello was accepted.
    pub(crate) fn knows(&self, peer: &PeerId) -> bool {
        let status = self.replica.status(&self.disk);
        status.peers.iter().any(|(known, _)| known == peer)
    }
}

/// Why the peer is sent away, if it is.
pub(crate) fn sent_away(actions: &[Action]) -> Option<Refusal> {
    actions.iter().find_map(|action| match action {
        Action::Disconnect(_, refusal) => Some(*refusal),
        _ => None,
    })
}
