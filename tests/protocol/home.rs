//! One home of the stories: its keys, its replica, its disk, and what it did.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use city_protocol::amount::Timestamp;
use city_protocol::crypto::SecretKey;
use city_protocol::ids::{BlockId, LogId};
use city_protocol::ledger::{AccountRow, Changes, Frozen, LogRow, Rows as _, Table, key, read_row};
use city_protocol::refusal::Refusal;
use city_protocol::region::Region;
use city_protocol::replica::{ClockQuality, Outcome, Replica, Ticket};
use city_protocol::trust::{PeerId, SignedData, TransportSigner as _};
use city_protocol::vertex::{Authority, KeySource as _};

use super::disk::Disk;
use super::keys::Transport;
use super::people::Person;

/// Who a municipality's home is: its keys and what they are certified for.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) region: Region,
    pub(crate) key: Arc<SecretKey>,
    /// A key that is at hand for the next epoch.
    pub(crate) next_key: Option<Arc<SecretKey>>,
    pub(crate) transport: Transport,
    pub(crate) certificate: Vec<u8>,
    pub(crate) authority: Arc<Authority>,
    pub(crate) officers: Vec<Arc<SecretKey>>,
}

/// A municipality's home.
pub(crate) struct Home {
    pub(crate) identity: Identity,
    pub(crate) replica: Replica,
    pub(crate) disk: Disk,
    pub(crate) disk_is_full: bool,
    /// The box fails while it writes its next group: so many bytes of it survive.
    pub(crate) fails_after: Option<usize>,
    /// It is switched off: nothing reaches it.
    pub(crate) down: bool,
    pub(crate) quality: ClockQuality,
    /// How far its clock is ahead; below zero, behind.
    pub(crate) clock_ahead_ms: i64,
    /// Whether the verifying pool has people's keys at hand.
    pub(crate) pool_knows_people: bool,
    pub(crate) frozen: Vec<(LogId, Frozen, Option<Refusal>)>,
    pub(crate) disconnected: Vec<(PeerId, Refusal)>,
    /// It was shown a later vertex of its own log than it has: where it was, and where that stands.
    pub(crate) rolled_back: Option<[(u64, u64); 2]>,
    pub(crate) answers: BTreeMap<Ticket, Result<Outcome, Refusal>>,
    /// Vertices sent by this home so far.
    pub(crate) vertices_sent: usize,
    /// What it said of each vertex that it judged: whether it is valid.
    pub(crate) verdicts: BTreeMap<BlockId, BTreeSet<bool>>,
}

impl std::ops::Deref for Home {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        &self.identity
    }
}

impl Home {
    pub(crate) fn log(&self) -> LogId {
        self.authority.log
    }

    pub(crate) fn peer(&self) -> PeerId {
        self.transport.peer_id()
    }

    /// The key at hand that signs an epoch of its log.
    pub(crate) fn key_of(&self, epoch: u64) -> Arc<SecretKey> {
        let authority = self.replica.authorities().authority(&self.log());
        let named = authority.and_then(|it| it.key_of(epoch).map(|key| key.id()));
        let mut keys = std::iter::once(&self.key).chain(&self.next_key);
        let key = keys.find(|key| Some(key.public().id()) == named);
        key.unwrap_or(&self.key).clone()
    }

    /// What its clock shows.
    pub(crate) fn clock(&self, now: Timestamp) -> Timestamp {
        let ms = self.clock_ahead_ms.unsigned_abs();
        if self.clock_ahead_ms < 0 {
            now.minus_ms(ms)
        } else {
            now.plus_ms(ms)
        }
    }

    /// What its hello carries.
    pub(crate) fn announcement(&self, now: Timestamp) -> SignedData {
        self.transport.announce(&self.certificate, now)
    }

    pub(crate) fn row(&self, log: &LogId) -> LogRow {
        self.disk.read().log(log).unwrap()
    }

    /// What is available to an account, as this home knows it.
    pub(crate) fn available(&self, person: &Person) -> u64 {
        self.account(person).available.hundredths()
    }

    /// Remembers what a group says of vertices.
    pub(crate) fn note_verdicts(&mut self, changes: &Changes) {
        for (key, value) in &changes.rows {
            let valid = match key.first() {
                // Of what is followed by headers nothing was found valid.
                Some(table) if *table == Table::Position as u8 => {
                    if !is_folded(changes, key) {
                        continue;
                    }
                    true
                }
                Some(table) if *table == Table::Invalid as u8 => false,
                _ => continue,
            };
            if let Some(id) = value {
                let id = read_row(id);
                self.verdicts.entry(id).or_default().insert(valid);
            }
        }
    }

    pub(crate) fn account(&self, person: &Person) -> AccountRow {
        self.disk
            .read()
            .account(&person.home_log, &person.account)
            .unwrap()
    }
}

/// Whether the log of this position is folded up to there by these changes.
fn is_folded(changes: &Changes, position: &[u8]) -> bool {
    let (log, at) = position[1..].split_at(32);
    let row = changes.rows.get(&key(Table::Log, &[log]));
    row.and_then(Option::as_ref).is_some_and(|row| {
        let row: LogRow = read_row(row);
        [row.epoch.to_be_bytes(), row.seq.to_be_bytes()].concat()[..] >= *at
    })
}
