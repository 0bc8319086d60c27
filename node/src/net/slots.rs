//! Which connection of a peer carries its session. Owns the running sessions, one for each peer,
//! and the connection that waits for its turn; closing the connections it turns down is the task's.

use super::{
    NetEvent,
    config::Limits,
    gate::Opened,
    handle::Shared,
    session::{Over, Session},
};
use libp2p::{PeerId, swarm::ConnectionId};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// Sessions that may wait to say that they are over.
const OVER: usize = 64;
/// Two connections of one peer younger than this come from both sides dialling at once. A node
/// dials only peers it has no connection with, so a later one means that the peer lost the first.
const SIMULTANEOUS: Duration = Duration::from_secs(10);

/// The peers with a session.
pub(super) struct Slots {
    me: PeerId,
    limits: Limits,
    shared: Arc<Shared>,
    events: mpsc::Sender<NetEvent>,
    slots: HashMap<PeerId, Slot>,
    sessions: JoinSet<PeerId>,
    over: (mpsc::Sender<Over>, mpsc::Receiver<Over>),
}

/// A peer's session, and the connection that takes over when it has said its last event.
struct Slot {
    standing: Standing,
    /// Cancelled as soon as the session carries no more frames.
    stop: CancellationToken,
    next: Option<(Standing, Opened)>,
    reads_only: bool,
}

/// How a session ended.
pub(super) struct Ended {
    /// How long it had lasted.
    pub(super) lasted: Duration,
    /// Whether another connection of the peer has taken its place, which only a peer that may only read has to answer for: two
    /// that list each other may call at once.
    pub(super) replaced: bool,
}

/// What decides between two connections of one peer.
#[derive(Clone, Copy, Debug)]
struct Standing {
    connection: ConnectionId,
    /// Dialled by the one of the two with the smaller peer id: both sides see this alike.
    by_smaller: bool,
    since: Instant,
}

/// What a session has to say.
pub(super) enum Word {
    /// Its connection can be closed; its last event may still wait for the consumer.
    Over(Over),
    /// It has said its last event.
    Ended(PeerId),
}

impl Slots {
    pub(super) fn new(
        me: PeerId,
        limits: Limits,
        shared: Arc<Shared>,
        events: mpsc::Sender<NetEvent>,
    ) -> Self {
        Self {
            me,
            limits,
            shared,
            events,
            slots: HashMap::new(),
            sessions: JoinSet::new(),
            over: mpsc::channel(OVER),
        }
    }

    pub(super) fn contains(&self, peer: &PeerId) -> bool {
        self.slots.contains_key(peer)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Waits for the next word of any session; may be dropped and called again.
    pub(super) async fn word(&mut self) -> Word {
        tokio::select! {
            Some(over) = self.over.1.recv() => Word::Over(over),
            Some(ended) = self.sessions.join_next() => match ended {
                Ok(peer) => Word::Ended(peer),
                Err(error) => match error.try_into_panic() {
                    Ok(bug) => std::panic::resume_unwind(bug),
                    // Nobody aborts a session but a runtime that ends, and this task with it.
                    Err(_) => std::future::pending().await,
                },
            },
        }
    }

    /// A peer's streams are open. Answers with a connection that is turned down, if one is.
    pub(super) fn opened(&mut self, opened: Opened) -> Option<ConnectionId> {
        let (peer, connection) = (opened.peer, opened.connection);
        let standing = Standing {
            connection,
            by_smaller: opened.dialer == (self.me.to_bytes() < peer.to_bytes()),
            since: Instant::now(),
        };
        let Some(slot) = self.slots.get_mut(&peer) else {
            self.begin(standing, opened);
            return None;
        };
        let rival = match &slot.next {
            Some((standing, _)) => Some(standing),
            None => (!slot.stop.is_cancelled()).then_some(&slot.standing),
        };
        if rival.is_some_and(|rival| !rival.yields_to(&standing)) {
            return Some(connection);
        }
        slot.stop.cancel();
        let older = slot.next.replace((standing, opened));
        older.map(|(standing, _)| standing.connection)
    }

    /// A session carries no more frames: any newer connection is better than its own.
    pub(super) fn over(&mut self, over: &Over) {
        if let Some(slot) = self.slots.get_mut(&over.peer)
            && slot.standing.connection == over.connection
        {
            slot.stop.cancel();
        }
    }

    /// A session has said its last event: its successor begins, or the answer is how it ended; for a peer that may only read
    /// both.
    pub(super) fn ended(&mut self, peer: &PeerId) -> Option<Ended> {
        let slot = self.slots.remove(peer)?;
        let ended = Ended {
            lasted: slot.standing.since.elapsed(),
            replaced: slot.next.is_some(),
        };
        if let Some((standing, opened)) = slot.next {
            self.begin(standing, opened);
        }
        (!ended.replaced || slot.reads_only).then_some(ended)
    }

    /// A connection is gone. A running session reads its streams to their end by itself.
    pub(super) fn closed(&mut self, peer: &PeerId, connection: ConnectionId) {
        if let Some(slot) = self.slots.get_mut(peer) {
            slot.next.take_if(|(next, _)| next.connection == connection);
        }
    }

    /// This node closes a dead connection. yamux wakes nobody who reads its streams then, so its session, if it has
    /// one, is told.
    pub(super) fn cut(&mut self, peer: &PeerId, connection: ConnectionId) {
        if let Some(slot) = self.slots.get_mut(peer)
            && slot.standing.connection == connection
        {
            slot.stop.cancel();
        }
    }

    /// Ends a peer's session now: no frame of it is delivered after this, beyond those that
    /// already stand in the events queue.
    pub(super) fn expel(&mut self, peer: &PeerId) {
        if let Some(slot) = self.slots.get_mut(peer) {
            slot.stop.cancel();
            slot.next = None;
        }
    }

    /// Closes the queues, so that sessions end when what is queued has left.
    pub(super) fn drain(&mut self) {
        self.shared.links_mut().clear();
        self.slots.values_mut().for_each(|slot| slot.next = None);
    }

    /// Ends all sessions now.
    pub(super) fn stop(&self) {
        self.slots.values().for_each(|slot| slot.stop.cancel());
    }

    fn begin(&mut self, standing: Standing, opened: Opened) {
        let peer = opened.peer;
        debug!(%peer, address = %opened.address, "session begins");
        let stop = CancellationToken::new();
        let reads_only = opened.reads_only;
        let session = Session::new(
            opened,
            &self.limits,
            Arc::clone(&self.shared),
            self.events.clone(),
            self.over.0.clone(),
            stop.clone(),
        );
        self.sessions.spawn(session.run());
        let next = None;
        let slot = Slot {
            standing,
            stop,
            next,
            reads_only,
        };
        self.slots.insert(peer, slot);
    }
}

impl Standing {
    /// Whether a connection that has just opened replaces this one.
    fn yields_to(&self, new: &Self) -> bool {
        new.by_smaller || !self.by_smaller || new.since.duration_since(self.since) > SIMULTANEOUS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(old_by_smaller: bool, new_by_smaller: bool, later: Duration, expected: bool) {
        let begin = Instant::now();
        let standing = |by_smaller, since| Standing {
            connection: ConnectionId::new_unchecked(1),
            by_smaller,
            since,
        };
        let old = standing(old_by_smaller, begin);
        let new = standing(new_by_smaller, begin + later);
        assert_eq!(old.yields_to(&new), expected, "{old:?} {new:?}");
    }

    /// Of two connections that cross, both sides keep the one that the smaller peer id dialled,
    /// whichever opened first for them. A much later one is the only one its dialer has.
    #[test]
    fn of_crossing_connections_the_smaller_dialers_stays() {
        let soon = Duration::from_secs(1);
        check(false, true, soon, true);
        check(true, false, soon, false);
        check(true, true, soon, true);
        check(false, false, soon, true);
        check(true, false, SIMULTANEOUS + soon, true);
    }
}
