//! The lying home: it runs twice under one key, signs what no honest software would, withholds, replays, garbles
//! and claims what is not so.

use city_protocol::amount::{Amount, Timestamp};
use city_protocol::body::{Kind, OwnEntry, Settle};
use city_protocol::codec;
use city_protocol::ids::{BlockId, Digest, LogId};
use city_protocol::ledger::Rows as _;
use city_protocol::sync::{Channel, FrontierEntry, Message};
use city_protocol::vertex::Entry;

use super::stage::Sim;
use super::trace::name_of;
use crate::liar::{Liar, Vertex, start};
use crate::people::decided_by;
use crate::world::Sent;

/// Frames of the liar that are kept for sending them again.
const OVERHEARD: usize = 16;
/// The first position behind what a log begins with.
const FOUNDED: u64 = 6;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

impl Sim {
    /// The liar does one thing that nobody should.
    pub(crate) fn lie(&mut self) {
        let Some(liar) = self.liar() else { return };
        if self.plays_its_trick() {
            return;
        }
        if self.twin.is_none() {
            // Everything before this was honest; from here on two boxes sign with one key.
            let h = &self.world.homes[liar];
            let (identity, mut disk) = (h.identity.clone(), h.disk.clone());
            // The second is a copy of the first, mostly an older one: what was booked since is there once only.
            let groups = disk.groups().saturating_sub(self.dice.index(16));
            let old = disk.as_of(groups.max(1));
            if old.read().log(&identity.authority.log).is_some() {
                disk = old;
            }
            let twin = self.world.add_box(identity, disk);
            self.world.homes[twin].pool_knows_people = true;
            self.guards.push(self.guards[liar]);
            self.twin = Some(twin);
            self.say(format!("{liar} begins a second life as {twin}"));
            return self.follow_up();
        }
        let face = self.face();
        match self.dice.below(8) {
            0..=2 => self.sign_a_lie(face),
            3 => {
                let victim = self.dice.index(self.plan.homes);
                let starve = self.dice.percent(60) && self.starved.insert(victim);
                if !starve {
                    self.starved.remove(&victim);
                }
                self.say(format!("{liar} keeps bodies back from {:?}", self.starved));
            }
            4 => self.claim(face),
            5 => self.repeat(face),
            6 => self.accuse(face),
            _ => self.garble(face),
        }
    }

    /// One of the liar's two boxes.
    fn face(&mut self) -> usize {
        let faces = [self.liar(), self.twin].map(|face| face.unwrap_or_default());
        self.dice.pick(&faces)
    }

    /// Signs one vertex behind the back of its own software, and sends it to some.
    fn sign_a_lie(&mut self, face: usize) {
        let kind = self.dice.below(11);
        let vertex = self.lie_of(kind, face);
        let mut told = Vec::new();
        for home in self.honest() {
            if self.world.is_connected(face, home) && self.dice.percent(60) {
                told.push(home);
                self.send_vertex(face, home, &vertex);
            }
        }
        self.count("lies");
        self.say(format!("{face} tells {told:?} a lie of kind {kind}"));
    }

    fn lie_of(&mut self, kind: u64, face: usize) -> Vertex {
        let mut pen = Liar::new(&self.world, face);
        pen.time = self
            .time_at(face)
            .max(self.world.homes[face].row(&pen.log).time);
        let name = format!("lie {}", self.dice.below(1 << 32));
        let mut entries = vec![start(&name)];
        match kind {
            // Two of these at one position are an equivocation, and valid each.
            0 => {}
            1 => entries.push(start(&name)),
            2 => pen.time = Timestamp(pen.time.0 - DAY_MS),
            3 => pen.time = pen.time.plus_ms(self.dice.between(1, 40) * DAY_MS),
            4 => pen.parents = vec![BlockId::of(name.as_bytes())],
            5 => return pen.sign_body(&entries, b"no body at all".to_vec()),
            6 => entries = vec![self.grant(face, 1)],
            7 => {
                let mut grant = self.grant(face, 2);
                grant.booked.balance_after = Some(Amount::from_hundredths(1));
                entries = vec![grant];
            }
            8 => {
                let settle = Settle {
                    v: 1,
                    transfer: Digest::of(&[name.as_bytes()]),
                    own: OwnEntry {
                        epoch: 1,
                        seq: 1,
                        index: 0,
                    },
                    amount: Amount::from_hundredths(100),
                    reason: Settle::ACCEPTED.into(),
                };
                entries = vec![Entry::home_authored(Kind::Settle, codec::encode(&settle))];
            }
            // Another past.
            9 => {
                let disk = self.world.homes[face].disk.read();
                // Not so far that its people never were.
                let back = self.dice.between(1, 6).min(pen.seq.saturating_sub(FOUNDED));
                pen.seq -= back;
                if let Some(prev) = disk.vertex_at(&pen.log, 1, pen.seq - 1) {
                    pen.prev = prev;
                }
            }
            // A future without a present.
            _ => {
                pen.seq += self.dice.between(1, 5);
                pen.prev = BlockId::of(name.as_bytes());
            }
        }
        let mut vertex = pen.sign(&entries);
        if self.dice.percent(10) {
            let at = self.dice.index(vertex.header.len());
            vertex.header[at] ^= 1;
        }
        vertex
    }

    /// A grant to somebody, signed by so many officers.
    fn grant(&mut self, face: usize, officers: usize) -> Entry {
        let home = self.liar().unwrap_or_default();
        let person = self.dice.index(self.people[home].len());
        let mut person = self.people[home][person].clone();
        person.home = face;
        let officers = &self.world.homes[face].officers[..officers];
        let grant = decided_by(&self.world.grant_body(&person, "50.00"), officers);
        let mut entry = Entry::home_authored(Kind::Grant, grant.bytes);
        entry.sig = grant.signatures;
        entry.sig.sort_by_key(|sig| sig.key);
        entry.booked.received_at = Some(self.time_at(face));
        let row = self.world.homes[face]
            .disk
            .read()
            .account(&person.home_log, &person.account);
        let balance = row.map_or(0, |row| row.available.hundredths()) + 5_000;
        entry.booked.balance_after = Some(Amount::from_hundredths(balance));
        entry
    }

    /// Claims heads that do not exist, of its own log or of others'.
    fn claim(&mut self, face: usize) {
        let log = self.some_log();
        let entry = FrontierEntry {
            log,
            epoch: 1,
            seq: self.dice.between(1, 1_000),
            head: vec![7; 16].into(),
            forked: self.dice.percent(30),
        };
        let message = Message::Announce(vec![entry]);
        self.send_to_somebody(face, &message);
    }

    fn some_log(&mut self) -> LogId {
        let home = self.dice.index(self.plan.homes);
        self.world.homes[home].log()
    }

    /// Sends again what it sent before.
    fn repeat(&mut self, face: usize) {
        if self.overheard.is_empty() {
            return;
        }
        let (_, to, channel, frame) = self.overheard[self.dice.index(self.overheard.len())].clone();
        if self.world.is_connected(face, to) {
            self.wire
                .post(self.world.now, (face, to, channel, frame), &mut self.dice);
        }
    }

    /// Accuses somebody of two vertices at one position, with two that stand at different ones.
    fn accuse(&mut self, face: usize) {
        let log = self.some_log();
        let disk = self.world.homes[face].disk.read();
        let header = |seq| disk.block(&disk.vertex_at(&log, 1, seq)?);
        if let (Some(a), Some(b)) = (header(1), header(2)) {
            self.send_to_somebody(face, &Message::Proof(a.into(), b.into()));
        }
    }

    /// Sends bytes that are nothing.
    fn garble(&mut self, face: usize) {
        let message = Message::Fetch(vec![BlockId::of(b"nothing")]);
        let mut frame = message.encode();
        let at = self.dice.index(frame.len());
        frame[at] ^= 0x55;
        if let Some(to) = self.somebody_connected(face) {
            self.wire.post(
                self.world.now,
                (face, to, Channel::Live, frame),
                &mut self.dice,
            );
        }
    }

    fn send_to_somebody(&mut self, face: usize, message: &Message) {
        if let Some(to) = self.somebody_connected(face) {
            self.send(face, to, message);
        }
    }

    fn somebody_connected(&mut self, face: usize) -> Option<usize> {
        let honest = self.honest();
        let to = self.dice.pick(&honest);
        self.world.is_connected(face, to).then_some(to)
    }

    pub(super) fn send(&mut self, face: usize, to: usize, message: &Message) {
        let sent = (face, to, Channel::Live, message.encode());
        self.wire.post(self.world.now, sent, &mut self.dice);
    }

    /// What the liar makes of a frame that its software sends: nothing, the same, or something else.
    pub(crate) fn as_told(&mut self, mut sent: Sent) -> Option<Sent> {
        let (from, to, ..) = sent;
        if !self.lies(from) {
            return Some(sent);
        }
        self.without_body(&mut sent);
        if self.twin.is_none() {
            return Some(sent);
        }
        let named = [&b"vertex"[..], b"proof"].contains(&name_of(&sent.3));
        if named && self.starved.contains(&to) && self.dice.percent(80) {
            return None;
        }
        if named && self.dice.percent(2) {
            let at = self.dice.index(sent.3.len());
            sent.3[at] ^= 1;
        }
        if self.dice.percent(5) {
            if self.overheard.len() == OVERHEARD {
                self.overheard.remove(0);
            }
            self.overheard.push(sent.clone());
        }
        Some(sent)
    }
}
