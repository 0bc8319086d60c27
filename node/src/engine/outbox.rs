//! What waits to be sent to one peer: bounded in messages and bytes, in order, and for whom may only read at a pace of its own and what
//! is live first.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use city_protocol::sync::{Channel, Message};
use city_protocol::trust::PeerId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::budget::Budget;
use super::lane::Frame;
use super::libp2p_peer;
use crate::net::{self, NetHandle};

/// Messages that wait for one peer. With credit and one message a change this is far from full.
const OUTBOX: usize = 8192;
/// Bytes that wait for one peer: far more than the credit that it can have (4 MiB and one vertex), because frontiers and proofs need
/// none. This, and not credit alone, is what bounds a peer that asks and does not read.
const OUTBOX_BYTES: usize = 16 << 20;

/// How fast a peer that may only read is sent something. It outlives a connection: who comes back is sent no more for it.
pub(super) type Pace = Arc<Mutex<Budget>>;

/// A new one, bytes a second.
pub(super) fn pace(rate: usize) -> Pace {
    Arc::new(Mutex::new(Budget::pace(rate, Instant::now())))
}

/// How long such a peer has to wait until it is sent more.
pub(super) fn owes(pace: &Pace) -> Duration {
    let mut budget = pace.lock().unwrap_or_else(PoisonError::into_inner);
    budget.owes(Instant::now())
}

/// Where messages for a peer are put.
pub(super) struct Outbox {
    messages: mpsc::Sender<Frame>,
    /// Where what is live stands, if it goes first.
    live: Option<mpsc::Sender<Frame>>,
    unsent: Arc<AtomicUsize>,
}

impl Outbox {
    /// Begins sending what is put in; it ends with the token, and what was not sent then never is.
    pub(super) fn begin(
        peer: &PeerId,
        net: NetHandle,
        pace: Option<Pace>,
        ended: &CancellationToken,
    ) -> Self {
        let (messages, to_send) = mpsc::channel(OUTBOX);
        let (live, live_to_send) = mpsc::channel(OUTBOX);
        let unsent = Arc::<AtomicUsize>::default();
        let live = pace.is_some().then_some(live);
        let queue = Queue {
            messages: to_send,
            live: live_to_send,
            unsent: Arc::clone(&unsent),
            pace,
        };
        let sending = send(libp2p_peer(peer), net, queue);
        tokio::spawn(ended.clone().run_until_cancelled_owned(sending));
        Self {
            messages,
            live,
            unsent,
        }
    }

    /// Queues a message; says whether there was room.
    pub(super) fn put(&self, channel: Channel, message: &Message) -> bool {
        let frame = message.encode();
        let unsent = self.unsent.fetch_add(frame.len(), Ordering::Relaxed);
        let first = self.live.as_ref().filter(|_| channel == Channel::Live);
        let outbox = first.unwrap_or(&self.messages);
        unsent <= OUTBOX_BYTES && outbox.try_send((channel, frame)).is_ok()
    }
}

/// What waits for a peer, as it is taken out.
struct Queue {
    messages: mpsc::Receiver<Frame>,
    /// What goes first, where that is told apart.
    live: mpsc::Receiver<Frame>,
    unsent: Arc<AtomicUsize>,
    /// How fast it is sent something; none: as fast as it takes it.
    pace: Option<Pace>,
}

impl Queue {
    /// What is sent next; what is live stands before what is not, but never before the hello, which is `first`.
    async fn next(&mut self, first: bool) -> Option<Frame> {
        if first {
            return self.messages.recv().await;
        }
        tokio::select! {
            biased;
            Some(frame) = self.live.recv() => Some(frame),
            frame = self.messages.recv() => frame,
        }
    }
}

/// Sends what waits for a peer, as fast as it takes it or is meant to.
async fn send(peer: libp2p::PeerId, net: NetHandle, mut queue: Queue) {
    let mut first = true;
    loop {
        if let Some(pace) = &queue.pace {
            tokio::time::sleep(owes(pace)).await;
        }
        let Some((channel, frame)) = queue.next(first).await else {
            return;
        };
        first = false;
        let size = frame.len();
        queue.unsent.fetch_sub(size, Ordering::Relaxed);
        if net.send(&peer, to_net(channel), frame).await.is_err() {
            return;
        }
        if let Some(pace) = &queue.pace {
            let mut budget = pace.lock().unwrap_or_else(PoisonError::into_inner);
            let _owed = budget.take(size, Instant::now());
        }
    }
}

const fn to_net(channel: Channel) -> net::Channel {
    match channel {
        Channel::Sync => net::Channel::Sync,
        Channel::Live => net::Channel::Live,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{NetConfig, Whitelist};
    use libp2p::identity::Keypair;

    fn queue(pace: Option<Pace>) -> (mpsc::Sender<Frame>, mpsc::Sender<Frame>, Queue) {
        let (outbox, messages) = mpsc::channel(8);
        let (first, live) = mpsc::channel(8);
        let unsent = Arc::default();
        let queue = Queue {
            messages,
            live,
            unsent,
            pace,
        };
        (outbox, first, queue)
    }

    #[tokio::test]
    async fn what_is_live_goes_first_but_for_the_hello() {
        let (outbox, live, mut queue) = queue(None);
        for (to, frame) in [(&live, 1), (&outbox, 2), (&outbox, 3), (&live, 4)] {
            to.try_send((Channel::Sync, vec![frame])).expect("room");
        }
        let mut order = Vec::new();
        for first in [true, false, false, false] {
            order.extend(queue.next(first).await.map(|(_, frame)| frame[0]));
        }
        assert_eq!(order, [2, 1, 4, 3]);
        drop((outbox, live));
        assert_eq!(queue.next(false).await, None);
    }

    /// Who comes back before it was sent everything has it neither sent by the earlier connection nor kept for it.
    #[tokio::test]
    async fn what_waits_ends_with_its_connection_and_what_was_sent_does_not() {
        let (events, _events) = mpsc::channel(8);
        let key = Keypair::generate_ed25519();
        let started = net::start(NetConfig::default(), key, Whitelist::default(), events);
        let (net, _task) = started.expect("a network that listens nowhere");
        let pace = pace(1000);
        let now = Instant::now();
        let owed = pace.lock().expect("nobody panics").take(100_000, now);
        assert!(owed > Duration::from_secs(99));
        let (outbox, _live, queue) = queue(Some(Arc::clone(&pace)));
        let frame = (Channel::Sync, vec![0; 1 << 20]);
        outbox.try_send(frame).expect("room");
        let ended = CancellationToken::new();
        let sending = send(libp2p::PeerId::random(), net, queue);
        tokio::spawn(ended.clone().run_until_cancelled_owned(sending));
        let guard = ended.drop_guard();
        let soon = Duration::from_millis(200);
        assert!(tokio::time::timeout(soon, outbox.closed()).await.is_err());
        drop(guard);
        let patience = Duration::from_secs(20);
        let ended = tokio::time::timeout(patience, outbox.closed()).await;
        ended.expect("the task ends with its lane");
        assert!(owes(&pace) > Duration::from_secs(60), "the next waits, too");
    }
}
