//! One peer's connection while its streams carry frames. Owns the two streams and the order of
//! events: Connected, frames, Disconnected. Clean-up is written once, at its end; closing the
//! connection itself is the task's.

use super::{
    Carrier, Channel, NetEvent,
    config::Limits,
    gate::Opened,
    handle::{Link, Shared, Traffic},
    stream::{Intake, StreamError, queue, read_frame, write_frames},
};

use libp2p::{
    PeerId, Stream,
    futures::{AsyncReadExt, io::ReadHalf},
    swarm::ConnectionId,
};
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::mpsc, try_join};
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// A session's word that its connection can be closed.
pub(super) struct Over {
    pub(super) peer: PeerId,
    pub(super) connection: ConnectionId,
    /// Whether the peer sent what no honest one sends.
    pub(super) offence: bool,
}

/// One connection's frames.
pub(super) struct Session {
    opened: Opened,
    queues: (Intake, Intake),
    traffic: Arc<Traffic>,
    stall: Duration,
    /// Whether what was written and not read yet may be lost as the connection is closed.
    forgets: bool,
    shared: Arc<Shared>,
    events: mpsc::Sender<NetEvent>,
    /// Where the session says at once that its connection can be closed, however long its events
    /// then wait.
    over: mpsc::Sender<Over>,
    stop: CancellationToken,
}

impl Session {
    /// Puts the peer on the table of the connected; [`Self::run`] does the rest.
    pub(super) fn new(
        opened: Opened,
        limits: &Limits,
        shared: Arc<Shared>,
        events: mpsc::Sender<NetEvent>,
        over: mpsc::Sender<Over>,
        stop: CancellationToken,
    ) -> Self {
        let (sync, sync_queue) = queue(limits.queue_frames, limits.queue_bytes);
        let (live, live_queue) = queue(limits.queue_frames, limits.queue_bytes);
        let traffic = Arc::new(Traffic::default());
        let forgets = Carrier::may_be_quic(&opened.address);
        let link = Link {
            connection: opened.connection,
            address: opened.address.clone(),
            dialer: opened.dialer,
            reads_only: opened.reads_only,
            since_ms: (shared.clock)(),
            agent: OnceLock::new(),
            observed: OnceLock::new(),
            rtt_us: AtomicU64::new(0),
            traffic: Arc::clone(&traffic),
            sync,
            live,
        };
        shared.links_mut().insert(opened.peer, Arc::new(link));
        Self {
            opened,
            queues: (sync_queue, live_queue),
            traffic,
            stall: limits.stall,
            forgets,
            shared,
            events,
            over,
            stop,
        }
    }

    /// Carries frames until the connection ends or `stop` is cancelled; answers with whose session
    /// it was.
    pub(super) async fn run(self) -> PeerId {
        let Self {
            opened,
            queues,
            traffic,
            stall,
            forgets,
            shared,
            events,
            over,
            stop,
        } = self;
        let (peer, connection) = (opened.peer, opened.connection);
        let connected = NetEvent::Connected {
            peer,
            address: opened.address,
            dialer: opened.dialer,
            reads_only: opened.reads_only,
        };
        // A session that is stopped before anybody heard of it leaves no event.
        let announced = tokio::select! {
            () = stop.cancelled() => false,
            sent = events.send(connected) => sent.is_ok(),
        };
        let mut offence = false;
        if announced {
            let pump = Pump {
                peer,
                stall,
                forgets,
                shared: &shared,
                traffic: &traffic,
                events: &events,
            };
            let outcome = tokio::select! {
                () = stop.cancelled() => Ok(()),
                outcome = pump.run(opened.sync, opened.live, queues) => outcome,
            };
            if let Err(error) = outcome {
                offence = matches!(error, StreamError::Oversize(_));
                pump.note(&error);
            }
        }
        shared.unlink(&peer, connection);
        // Both receivers live as long as the task; without it there is nothing left to tell.
        let word = Over {
            peer,
            connection,
            offence,
        };
        let _ = over.send(word).await;
        if announced {
            let _ = events.send(NetEvent::Disconnected { peer }).await;
        }
        peer
    }
}

/// What the four directions of a session need.
struct Pump<'a> {
    peer: PeerId,
    stall: Duration,
    /// Whether what was written and not read yet may be lost as the connection is closed.
    forgets: bool,
    shared: &'a Shared,
    traffic: &'a Traffic,
    events: &'a mpsc::Sender<NetEvent>,
}

impl Pump<'_> {
    /// Ends when both streams were closed by the peer, when both queues are closed and empty, or by
    /// an error. TCP carries to its end what was written before a connection is closed, QUIC forgets it: there the peer, who
    /// hangs up when it has read both streams to their end, is waited for, until the task stops the session.
    async fn run(
        &self,
        sync: Box<Stream>,
        live: Box<Stream>,
        queues: (Intake, Intake),
    ) -> Result<(), StreamError> {
        let (sync_read, sync_write) = sync.split();
        let (live_read, live_write) = live.split();
        let sent = |bytes| {
            self.traffic.sent(bytes);
            self.shared.counters.traffic.sent(bytes);
        };
        let outward = async {
            try_join!(
                write_frames(sync_write, queues.0, self.stall, sent),
                write_frames(live_write, queues.1, self.stall, sent),
            )
        };
        let inward = async {
            try_join!(
                self.receive(sync_read, Channel::Sync),
                self.receive(live_read, Channel::Live),
            )
        };
        tokio::pin!(inward);
        tokio::select! {
            ended = &mut inward => ended.map(drop),
            ended = outward => match ended {
                // The connection is gone. What it brought is still read to its end.
                Err(StreamError::Io(_)) => inward.await.map(drop),
                Ok(_) if self.forgets => inward.await.map(drop),
                ended => ended.map(drop),
            },
        }
    }

    /// Hands the stream's frames straight to the consumer: while it does not take them nothing more
    /// is read, yamux grants no credit, and the sender's queue fills.
    async fn receive(
        &self,
        mut stream: ReadHalf<Box<Stream>>,
        channel: Channel,
    ) -> Result<(), StreamError> {
        while let Some(bytes) = read_frame(&mut stream, self.stall).await? {
            self.traffic.received(bytes.len());
            self.shared.counters.traffic.received(bytes.len());
            let peer = self.peer;
            self.events
                .send(NetEvent::Frame {
                    peer,
                    channel,
                    bytes,
                })
                .await
                .map_err(|_| StreamError::ConsumerGone)?;
        }
        Ok(())
    }

    fn note(&self, error: &StreamError) {
        if matches!(
            error,
            StreamError::Oversize(_) | StreamError::Truncated | StreamError::Stalled(_)
        ) {
            self.shared
                .counters
                .faulty_streams
                .fetch_add(1, Ordering::Relaxed);
        }
        debug!(peer = %self.peer, %error, "connection ends");
    }
}
