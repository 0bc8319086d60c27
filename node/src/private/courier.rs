//! From the sender's home to the receiver's, and to nobody else: sends what waits to the connected peer whose node
//! certificate stands in the charter of the receiver's log, until it acknowledges; checks and keeps what is sent here.
//!
//! The transport proves a peer's id; the charter says whose it is. Nothing here is answered with an error: what is
//! not acknowledged is sent again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use city_protocol::Refusal;
use city_protocol::body::{PrivateBytes, PrivateValues, Transfer, read_person_body};
use city_protocol::ids::{Digest, LogId};
use city_protocol::ledger::{History, Rows as _};
use city_protocol::sync::{Channel, Message};
use city_protocol::trust::PeerId;
use city_protocol::vertex::KeySource as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::record::Kind;
use super::{Kept, Vault};
use crate::engine::{EngineHandle, Outgoing, protocol_peer};
use crate::journal::log_rows;
use crate::trust;

/// Transfers whose values are on their way to one home at once: with the longest values 512 KiB.
const WINDOW: usize = 16;
/// Pause before the first attempt: the transfer itself arrives meanwhile. Doubles with each attempt.
const FIRST: Duration = Duration::from_millis(500);
/// Attempts in a row, the last after a minute; then others have their turn.
const ATTEMPTS: u32 = 8;
/// After this, what was not acknowledged has its turn again.
const LATE: Duration = Duration::from_secs(5 * 60);
/// How often the courier looks what is due.
const LOOK: Duration = Duration::from_millis(250);
/// Values that are checked and written at once; more are not acknowledged, and sent again.
const RECEIVING: usize = 64;
/// Values that one peer may send in a second: an honest one has [`WINDOW`] under way.
const PER_SECOND: u32 = 256;

/// What the courier is told.
#[derive(Debug)]
pub enum Post {
    /// A transfer to this home was booked with private values.
    Queue(Digest, LogId),
    /// A whitelisted peer is connected.
    Connected(PeerId),
    /// It is not any more.
    Disconnected(PeerId),
    /// It sent the values of a transfer.
    Values(PeerId, Digest, PrivateBytes),
    /// It says that it has the values of a transfer.
    Stored(PeerId, Digest),
}

/// The task that carries private values.
pub struct Courier {
    engine: EngineHandle,
    /// Which peer ids follow others.
    trust: trust::Keeper,
    vault: Vault,
    outgoing: mpsc::UnboundedSender<Outgoing>,
    homes: HashMap<LogId, Home>,
    peers: HashMap<PeerId, Rate>,
    receiving: JoinSet<()>,
    /// In which log a peer's people stand, as it was found last.
    logs: Arc<Mutex<HashMap<PeerId, LogId>>>,
}

/// What one home has not acknowledged.
#[derive(Default)]
struct Home {
    /// Whose certificate stands in its charter; none while the charter is not known.
    peer: Option<PeerId>,
    waiting: VecDeque<Digest>,
    flight: HashMap<Digest, Attempt>,
    late: Vec<Digest>,
    late_due: Option<Instant>,
}

struct Attempt {
    count: u32,
    due: Instant,
}

/// How many values a peer sent in the second that runs.
struct Rate {
    since: Instant,
    count: u32,
}

/// Why values that came from a peer are not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unkept {
    /// The transfer is not known here yet: they are sent again.
    NotYet,
    /// They are not what was signed, or not for this home.
    Refused(Refusal),
}

impl Courier {
    /// A courier between this vault and the peers that `outgoing` leads to.
    #[must_use]
    pub fn new(
        engine: EngineHandle,
        trust: trust::Keeper,
        vault: Vault,
        outgoing: mpsc::UnboundedSender<Outgoing>,
    ) -> Self {
        Self {
            engine,
            trust,
            vault,
            outgoing,
            homes: HashMap::new(),
            peers: HashMap::new(),
            receiving: JoinSet::new(),
            logs: Arc::default(),
        }
    }

    /// Runs until `stop`.
    pub async fn run(mut self, mut posts: mpsc::Receiver<Post>, stop: CancellationToken) {
        self.take_up().await;
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                post = posts.recv() => match post {
                    Some(post) => self.post(post).await,
                    None => break,
                },
                _ = look.tick() => self.send_due(Instant::now()).await,
                Some(_) = self.receiving.join_next() => {}
            }
        }
        // What is being written is finished; it holds the engine until then.
        while self.receiving.join_next().await.is_some() {}
    }

    /// What an earlier run did not bring to its end.
    async fn take_up(&mut self) {
        let (vault, engine) = (self.vault.clone(), self.engine.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let history: &dyn History = engine.history();
            let home = |of: Digest| Some(history.transfer(&engine.log(), &of)?.receiver_home);
            let waiting = vault.to_send().into_iter();
            waiting
                .filter_map(|transfer| Some((transfer, home(transfer)?)))
                .collect::<Vec<_>>()
        });
        for (transfer, home) in reading.await.unwrap_or_default() {
            self.queue(transfer, home);
        }
    }

    fn queue(&mut self, transfer: Digest, home: LogId) {
        let peer = self.peer_of(&home);
        let home = self.homes.entry(home).or_default();
        home.peer = peer;
        home.waiting.push_back(transfer);
    }

    /// Whose certificate stands in a log's charter, or whose key followed that one since.
    fn peer_of(&self, log: &LogId) -> Option<PeerId> {
        peer_of(&self.engine, &self.trust, log)
    }

    async fn post(&mut self, post: Post) {
        match post {
            Post::Queue(transfer, home) => self.queue(transfer, home),
            Post::Connected(peer) => self.connected(peer),
            Post::Disconnected(peer) => {
                self.peers.remove(&peer);
            }
            Post::Values(peer, transfer, bytes) => self.receive(peer, transfer, bytes),
            Post::Stored(peer, transfer) => {
                let of = |home: &&mut Home| home.peer == Some(peer);
                let mut homes = self.homes.values_mut().filter(of);
                if homes.any(|home| home.flight.remove(&transfer).is_some()) {
                    self.vault.delivered(transfer).await;
                }
            }
        }
    }

    fn connected(&mut self, peer: PeerId) {
        let now = Instant::now();
        let rate = Rate {
            since: now,
            count: 0,
        };
        self.peers.insert(peer, rate);
        let logs: Vec<LogId> = self.homes.keys().copied().collect();
        for log in logs {
            let of = self.peer_of(&log);
            let home = self.homes.get_mut(&log).expect("its key was just read");
            home.peer = of;
            if of == Some(peer) {
                home.begin_again(now);
            }
        }
    }

    /// Sends what is due to those who are connected.
    async fn send_due(&mut self, now: Instant) {
        self.homes.retain(|_, home| !home.is_empty());
        let mut due = Vec::new();
        let logs: Vec<LogId> = self.homes.keys().copied().collect();
        for log in logs {
            let unknown = self.homes.get(&log).is_some_and(|home| home.peer.is_none());
            let found = unknown.then(|| self.peer_of(&log)).flatten();
            let Some(home) = self.homes.get_mut(&log) else {
                continue;
            };
            home.peer = home.peer.or(found);
            if let Some(peer) = home.peer.filter(|peer| self.peers.contains_key(peer)) {
                due.extend(
                    home.due(now)
                        .into_iter()
                        .map(|transfer| (log, peer, transfer)),
                );
            }
        }
        for (log, peer, transfer) in due {
            if self.send(peer, transfer).await {
                continue;
            }
            if let Some(home) = self.homes.get_mut(&log) {
                home.flight.remove(&transfer);
            }
        }
    }

    /// Sends the values of a transfer; false if there are none to send.
    async fn send(&self, peer: PeerId, transfer: Digest) -> bool {
        if !self.vault.is_to_send(&transfer) {
            return false;
        }
        let vault = self.vault.clone();
        let read = tokio::task::spawn_blocking(move || vault.get(&transfer)).await;
        match read {
            Ok(Ok(Kept::Values(values))) => {
                let bytes = PrivateBytes::from(values.to_bytes().to_vec());
                let message = Message::Private(transfer, bytes);
                let _stopping = self
                    .outgoing
                    .send(Outgoing::Send(peer, Channel::Live, message));
                true
            }
            Ok(Ok(Kept::Erased | Kept::Nothing)) | Err(_) => false,
            Ok(Err(error)) => {
                tracing::error!(%error, %transfer, "private values cannot be sent to the receiver's home");
                false
            }
        }
    }

    fn receive(&mut self, peer: PeerId, transfer: Digest, bytes: PrivateBytes) {
        let now = Instant::now();
        let within = self.peers.get_mut(&peer).is_some_and(|rate| rate.take(now));
        if !within || self.receiving.len() >= RECEIVING {
            tracing::debug!("a peer sends private values faster than they are taken");
            return;
        }
        let (engine, trust) = (self.engine.clone(), self.trust.clone());
        let vault = self.vault.clone();
        let (outgoing, logs) = (self.outgoing.clone(), Arc::clone(&self.logs));
        self.receiving.spawn(async move {
            let judging = tokio::task::spawn_blocking(move || {
                judge(&engine, &trust, &logs, peer, transfer, bytes.expose())
            });
            let values = match judging.await {
                Ok(Ok(values)) => values,
                Ok(Err(Unkept::Refused(refusal))) => {
                    let code = refusal.code();
                    tracing::debug!(%transfer, code, "private values of a peer were refused");
                    return;
                }
                Ok(Err(Unkept::NotYet)) | Err(_) => return,
            };
            // Its transfer is booked, so what was erased here is not kept again; it is acknowledged all the same.
            match vault.put(Kind::Received, transfer, values, true).await {
                Ok(()) => {
                    let message = Message::PrivateStored(transfer);
                    let _stopping = outgoing.send(Outgoing::Send(peer, Channel::Live, message));
                }
                Err(error) => tracing::error!(%error, "private values of a peer could not be kept"),
            }
        });
    }
}

fn peer_of(engine: &EngineHandle, trust: &trust::Keeper, log: &LogId) -> Option<PeerId> {
    let authority = engine.directory().authority(log)?;
    protocol_peer(&trust.newest(authority.peer_id()).parse().ok()?)
}

/// Whether these are the values of a transfer from this peer's people to this home's.
fn judge(
    engine: &EngineHandle,
    trust: &trust::Keeper,
    logs: &Mutex<HashMap<PeerId, LogId>>,
    peer: PeerId,
    transfer: Digest,
    bytes: &[u8],
) -> Result<PrivateValues, Unkept> {
    let values = PrivateValues::read(bytes).map_err(Unkept::Refused)?;
    let history: &dyn History = engine.history();
    let is_its = |log: &LogId| peer_of(engine, trust, log) == Some(peer);
    let known = logs
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get(&peer)
        .copied();
    let in_log = |log: LogId| Some((log, history.transfer(&log, &transfer)?));
    let found = known.filter(is_its).and_then(in_log).or_else(|| {
        let all = log_rows(history).into_iter().map(|(log, _)| log);
        all.filter(is_its).find_map(in_log)
    });
    let (log, row) = found.ok_or(Unkept::NotYet)?;
    logs.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(peer, log);
    if row.receiver_home != engine.log() {
        return Err(Unkept::Refused(Refusal::WrongHome));
    }
    let signed = history.transfer_body(&log, &row.at, &transfer);
    let signed = signed.ok_or_else(|| match history.entry_stub(&log, &row.at) {
        Some(_) => Unkept::Refused(Refusal::BodyPruned),
        None => Unkept::NotYet,
    })?;
    let body: Transfer = read_person_body(&signed).map_err(Unkept::Refused)?;
    values.check(&body).map_err(Unkept::Refused)?;
    Ok(values)
}

impl Home {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.flight.is_empty() && self.late.is_empty()
    }

    /// Everything is tried afresh: the peer has just come.
    fn begin_again(&mut self, now: Instant) {
        self.waiting.extend(self.late.drain(..));
        self.late_due = None;
        for attempt in self.flight.values_mut() {
            *attempt = Attempt {
                count: 0,
                due: now + FIRST,
            };
        }
    }

    /// What is to be sent now.
    fn due(&mut self, now: Instant) -> Vec<Digest> {
        if self.late_due.is_some_and(|due| due <= now) {
            self.waiting.extend(self.late.drain(..));
            self.late_due = None;
        }
        while self.flight.len() < WINDOW
            && let Some(transfer) = self.waiting.pop_front()
        {
            let attempt = Attempt {
                count: 0,
                due: now + FIRST,
            };
            self.flight.entry(transfer).or_insert(attempt);
        }
        let (mut due, mut late) = (Vec::new(), HashSet::new());
        for (transfer, attempt) in &mut self.flight {
            if attempt.due > now {
                continue;
            }
            if attempt.count == ATTEMPTS {
                late.insert(*transfer);
                continue;
            }
            attempt.count += 1;
            attempt.due = now + FIRST * 2_u32.pow(attempt.count);
            due.push(*transfer);
        }
        if !late.is_empty() {
            self.flight.retain(|transfer, _| !late.contains(transfer));
            self.late.extend(late);
            self.late_due.get_or_insert(now + LATE);
        }
        due
    }
}

impl Rate {
    fn take(&mut self, now: Instant) -> bool {
        if now.duration_since(self.since) >= Duration::from_secs(1) {
            (self.since, self.count) = (now, 0);
        }
        self.count += 1;
        self.count <= PER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(n: u8) -> Digest {
        Digest([n; 32])
    }

    #[test]
    fn what_is_not_acknowledged_is_sent_again_more_and_more_seldom() {
        let begun = Instant::now();
        let mut home = Home::default();
        home.waiting.push_back(digest(1));
        let mut sent = Vec::new();
        for ms in (0..1_000_000).step_by(250) {
            let now = begun + Duration::from_millis(ms);
            sent.extend(home.due(now).iter().map(|_| ms));
        }
        let first = [500, 1_500, 3_500, 7_500, 15_500, 31_500, 63_500, 127_500];
        assert_eq!(sent[..8], first);
        // After the last attempt's pause and the five minutes that follow, from the beginning.
        let again = 127_500 + 128_000 + 300_000;
        assert_eq!(sent[8], again + 500, "{sent:?}");
    }

    #[test]
    fn a_peer_that_comes_is_sent_everything_at_once_and_never_more_than_the_window() {
        let begun = Instant::now();
        let mut home = Home::default();
        home.waiting.extend((0..40).map(digest));
        let soon = begun + FIRST;
        assert_eq!(home.due(begun), []);
        assert_eq!(home.due(soon).len(), WINDOW);
        assert_eq!(home.due(soon), [], "sent a moment ago");
        home.begin_again(soon);
        assert_eq!(home.due(soon + FIRST).len(), WINDOW);
        let done: Vec<Digest> = home.flight.keys().copied().collect();
        for transfer in done {
            home.flight.remove(&transfer);
        }
        assert_eq!(home.due(soon + 2 * FIRST), []);
        assert_eq!(home.due(soon + 3 * FIRST).len(), WINDOW);
    }

    #[test]
    fn a_peer_sends_so_many_in_a_second() {
        let begun = Instant::now();
        let mut rate = Rate {
            since: begun,
            count: 0,
        };
        let taken = (0..1000).filter(|_| rate.take(begun)).count();
        assert_eq!(taken, 256);
        assert!(rate.take(begun + Duration::from_secs(1)));
    }
}
