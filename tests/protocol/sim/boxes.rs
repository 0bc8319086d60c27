//! What happens to boxes: they crash, lose power in the middle of a write, fill up, lose the time, and are set
//! back to an older copy of their disk. What they do at a start is what the node does (`node/src/daemon/open.rs`,
//! `node/src/engine/rebuild.rs`).

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use city_protocol::amount::{Amount, Timestamp};
use city_protocol::body::{Accept, Transfer};
use city_protocol::crypto::PublicKey;
use city_protocol::ids::{BlockId, KeyId, LogId};
use city_protocol::ledger::Rows as _;
use city_protocol::replica::{
    Action, Authorities, ClockQuality, Confirmation, Input, Now, Replica,
};
use city_protocol::vertex::{
    Authority, Entry, KeySource, Known, KnownBody as _, SignedHeader, VerifiedVertex, authority_of,
};

use super::guard::Guard;
use super::stage::Sim;
use crate::disk::Disk;
use crate::world::World;

/// Vertices that are folded and indexed together while an index is made again.
const STEP_VERTICES: usize = 8;
/// How long a box waits for a first peer before it signs anything, in milliseconds, as by default.
const WAIT_MS: u64 = 10_000;
/// What each account may send in a day while no peer was heard, in hundredths: a few of the payments of these stories.
const LIMIT: u64 = 2_000;

impl Sim {
    /// Something goes wrong with a box, or is set right again.
    pub(crate) fn trouble(&mut self) {
        let home = self.dice.index(self.plan.homes);
        if self.world.homes[home].down {
            return self.switch_on(home);
        }
        match self.dice.below(8) {
            0 => self.switch_off(home),
            1 | 2 => {
                // In the middle of a group, or just after its last byte.
                let bytes = self.dice.pick(&[0, 600, 6_000, 12_000, 1 << 20]);
                self.say(format!("{home} is to fail after {bytes} bytes"));
                self.world.homes[home].fails_after = Some(bytes);
            }
            3 => {
                let full = self.dice.percent(50);
                self.say(format!("{home}'s disk is full: {full}"));
                self.world.homes[home].disk_is_full = full;
            }
            4 => {
                let lost = self.dice.percent(50);
                self.say(format!("{home} does not know the time: {lost}"));
                let quality = if lost {
                    ClockQuality::Floor
                } else {
                    ClockQuality::Rtc
                };
                self.world.homes[home].quality = quality;
            }
            5 | 6 => {
                self.switch_off(home);
                self.switch_on(home);
            }
            _ => self.restore(home),
        }
    }

    pub(super) fn switch_off(&mut self, home: usize) {
        self.say(format!("{home} is switched off"));
        self.world.homes[home].down = true;
        self.follow_up();
    }

    /// The box starts: its index is whole, lags behind its log, or is made again.
    pub(crate) fn switch_on(&mut self, home: usize) {
        self.world.homes[home].fails_after = None;
        self.guards[home].raise(&self.world.homes[home]);
        let groups = self.world.homes[home].disk.groups();
        let known = match self.dice.below(4) {
            0 => 0,
            1 => groups.saturating_sub(self.dice.index(5)),
            _ => groups,
        };
        let torn = self.world.homes[home].disk.log_is_ahead();
        // A group whose rows were never written is always caught up.
        let known = if torn { known.min(groups - 1) } else { known };
        if torn {
            self.count("torn groups");
        }
        if known < groups {
            self.count("indexes made again");
            self.world.homes[home].disk = fold_again(&self.world, home, known);
        }
        let whole = self.guards[home].is_whole(&self.world.homes[home]);
        self.say(format!(
            "{home} starts, {known} of {groups} groups indexed; its log is whole: {whole}"
        ));
        if !whole {
            self.count("starts that book nothing");
        }
        let limit = Amount::from_hundredths(LIMIT);
        let wait_ms = WAIT_MS;
        let known = Confirmation::Unconfirmed { wait_ms, limit };
        self.world.boot_as(home, whole, known);
        self.follow_up();
    }

    /// The ledger directory is replaced by an older copy; the high-water mark stays, unless the whole data
    /// directory is the copy. Only where a peer has all of the log: else it is gone, whatever software does.
    fn restore(&mut self, home: usize) {
        let h = &self.world.homes[home];
        let (log, groups) = (h.log(), h.disk.groups());
        let head = h.row(&log).head;
        let elsewhere = self.honest().iter().any(|other| {
            let disk = self.world.homes[*other].disk.read();
            *other != home && disk.vertex(&head).is_some() && disk.headers(&log).is_none()
        });
        if self.lies(home) || !elsewhere || h.row(&log).frozen.is_some() {
            return;
        }
        // The mark follows within a second.
        self.pass(1_500, 500);
        if self.world.homes[home].down || self.world.homes[home].row(&log).head != head {
            return;
        }
        let back = self.dice.between(1, 30) as usize;
        let old = self.world.homes[home]
            .disk
            .as_of(groups.saturating_sub(back).max(1));
        if old.read().log(&log).is_none() {
            return;
        }
        self.switch_off(home);
        let whole = self.plan.whole_restores && self.dice.percent(50);
        self.say(format!(
            "{home} is restored to {back} groups ago, with its mark: {whole}"
        ));
        self.world.homes[home].disk = old;
        self.count(if whole {
            "restored data directories"
        } else {
            "restored ledgers"
        });
        if whole {
            self.excused.insert(home);
            self.guards[home] = Guard::new(&self.world.homes[home]);
        }
        self.switch_on(home);
    }

    /// All boxes run and know the time; what is not whole is not extended yet.
    pub(crate) fn repair_all(&mut self) {
        for home in 0..self.world.homes.len() {
            let h = &mut self.world.homes[home];
            (h.disk_is_full, h.fails_after) = (false, None);
            h.quality = ClockQuality::Ntp;
            h.clock_ahead_ms = 0;
            if h.down {
                self.switch_on(home);
            }
        }
    }

    /// The operator starts a home again whose log has come back.
    pub(crate) fn resume(&mut self) -> bool {
        let mut resumed = false;
        for home in 0..self.world.homes.len() {
            if self.guards[home].gone && self.all_have_nothing_newer(home) {
                self.guards[home].gone = false;
            }
            let h = &self.world.homes[home];
            let stands =
                !h.replica.status(h.disk.read()).sequencing && h.row(&h.log()).frozen.is_none();
            if stands && self.guards[home].is_whole(h) {
                self.switch_off(home);
                self.switch_on(home);
                self.count("homes that book again");
                resumed = true;
            }
        }
        resumed
    }

    /// Whether everybody who speaks with this home has of its log what it has itself.
    fn all_have_nothing_newer(&self, home: usize) -> bool {
        let (h, log) = (&self.world.homes[home], self.world.homes[home].log());
        let mine = h.row(&log);
        let others = self.honest().into_iter().filter(|other| *other != home);
        others.into_iter().all(|other| {
            let theirs = self.world.homes[other].disk.read().head(&log);
            theirs.is_none_or(|theirs| (theirs.epoch, theirs.seq) <= (mine.epoch, mine.seq))
        })
    }

    /// The time at a home.
    pub(crate) fn time_at(&self, home: usize) -> Timestamp {
        self.world.homes[home].clock(self.world.now)
    }
}

/// A home's disk with its index made again beyond the first groups.
pub(crate) fn fold_again(world: &World, home: usize, known: usize) -> Disk {
    let h = &world.homes[home];
    let mut disk = h.disk.clone();
    let unknown = disk.forget_index(known);
    let mut replica = world.new_replica(&h.identity, false);
    let now = Now {
        time: world.now,
        quality: ClockQuality::Floor,
    };
    drop(replica.handle(Input::Started, now, &disk));
    let mut learned = Learned::of(world, &replica);
    let mut indexed: Vec<BlockId> = Vec::new();
    let mut folded = 0;
    let mut later: HashSet<BlockId> = unknown.iter().copied().collect();
    for (i, id) in unknown.iter().copied().enumerate() {
        later.remove(&id);
        indexed.push(id);
        if let Some(header) = header_alone(&disk, &later, &id) {
            let body = header.header.body;
            let unjudged = stored_vertex(world, &learned, &disk, &id, Known::nothing)
                .filter(|_| unknown.get(i + 1) == Some(&body));
            let input = match unjudged {
                Some(vertex) => Input::Replay(Box::new(vertex)),
                None => Input::Alone(Box::new(header)),
            };
            drop(replica.handle(input, now, &disk));
            let known = replica.authorities().iter();
            known.for_each(|authority| learned.learn(authority));
        } else if let Some(vertex) = stored_vertex(world, &learned, &disk, &id, as_stored) {
            learned.learn(&vertex.authority);
            drop(replica.handle(Input::Replay(Box::new(vertex)), now, &disk));
            folded += 1;
            if folded % STEP_VERTICES == 0 {
                index_step(&mut replica, &mut disk, std::mem::take(&mut indexed), now);
            }
        }
    }
    index_step(&mut replica, &mut disk, indexed, now);
    disk
}

/// What is known of an entry that was found valid. It is read without a look at how it is written, and comes to the same.
fn as_stored(entry: &Entry) -> Known {
    let (known, strict) = (
        Known::stored(entry),
        Known::find_out(entry, &Authorities::default()),
    );
    assert_eq!(Transfer::of(&known), Transfer::of(&strict));
    assert_eq!(Accept::of(&known), Accept::of(&strict));
    known
}

/// The authorities of the logs as far as they are folded: their newest epochs and charters.
struct Learned(BTreeMap<LogId, Arc<Authority>>);

impl Learned {
    /// What a home that has just started knows, and each log's first epoch.
    fn of(world: &World, replica: &Replica) -> Self {
        let first = world.homes.iter().map(|home| &home.authority);
        let known = first.chain(replica.authorities().iter());
        Self(
            known
                .map(|authority| (authority.log, authority.clone()))
                .collect(),
        )
    }

    fn learn(&mut self, authority: &Arc<Authority>) {
        let known = self.0.get(&authority.log);
        if known.is_none_or(|known| authority.knows_more_than(known)) {
            self.0.insert(authority.log, authority.clone());
        }
    }
}

impl KeySource for Learned {
    fn authority(&self, log: &LogId) -> Option<Arc<Authority>> {
        self.0.get(log).cloned()
    }

    fn public_key(&self, _: &KeyId) -> Option<Arc<PublicKey>> {
        None
    }
}

/// Indexes what was folded; the blocks are in the log already.
fn index_step(replica: &mut Replica, disk: &mut Disk, blocks: Vec<BlockId>, now: Now) {
    let sealed = replica.handle(Input::Seal, now, disk);
    let rows = sealed.into_iter().find_map(|action| match action {
        Action::Append(changes) => Some(changes.rows),
        _ => None,
    });
    let appended = rows.is_some();
    disk.index(blocks, rows.unwrap_or_default());
    if appended {
        drop(replica.handle(Input::Committed, now, disk));
    }
}

/// A header whose body is not there, or stored later.
fn header_alone(disk: &Disk, later: &HashSet<BlockId>, id: &BlockId) -> Option<SignedHeader> {
    let header = SignedHeader::read(disk.blocks.get(id)?).ok()?;
    let body = &header.header.body;
    let here = disk.blocks.contains_key(body) && !later.contains(body);
    (!here && !disk.stubs.contains_key(body)).then_some(header)
}

/// A vertex of a disk, with what is known of its entries.
fn stored_vertex(
    world: &World,
    learned: &Learned,
    disk: &Disk,
    id: &BlockId,
    known: impl Fn(&Entry) -> Known,
) -> Option<VerifiedVertex> {
    let header = SignedHeader::read(disk.blocks.get(id)?).ok()?;
    let body = &header.header.body;
    let Some(body_block) = disk.blocks.get(body) else {
        let entries = disk.stubs.get(body)?.entries.iter().cloned();
        let (entries, known): (Vec<_>, _) = entries.map(Known::pruned).unzip();
        let entries = Ok(entries);
        let authority = authority_of(&world.genesis, learned, &header, &entries).ok()?;
        return Some(VerifiedVertex {
            header,
            body_block: Vec::new(),
            entries,
            known,
            authority,
        });
    };
    let body_block = body_block.to_vec();
    let entries = city_protocol::vertex::decode_body(&body_block);
    let authority = authority_of(&world.genesis, learned, &header, &entries).ok()?;
    let known = entries.iter().flatten().map(known).collect();
    Some(VerifiedVertex {
        header,
        body_block,
        entries,
        known,
        authority,
    })
}
