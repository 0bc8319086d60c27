//! One connection's streams, before they carry frames: the dialer opens one of each kind, the other
//! side accepts one of each, and the pair is handed over. Made only for whitelisted peers, by the
//! gate.

use super::Channel;
use libp2p::{
    Stream, StreamProtocol,
    core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo},
    futures::future::{Ready, ready},
    swarm::{
        ConnectionHandler, ConnectionHandlerEvent, SubstreamProtocol,
        handler::{ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound},
    },
};
use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Sleep, sleep};

const SYNC: StreamProtocol = StreamProtocol::new("/city-node/sync/1");
const LIVE: StreamProtocol = StreamProtocol::new("/city-node/live/1");

/// What the handler tells the gate, once.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Both streams are open.
    Open {
        sync: Box<Stream>,
        live: Box<Stream>,
    },
    /// They are not, and will not be: close the connection.
    Failed(SetupError),
}

/// Why a connection never got its streams.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetupError {
    #[error("the peer does not open or accept our streams in time")]
    TimedOut,
    #[error("the peer refuses the {0} stream")]
    Refused(Channel),
}

/// Collects the two streams of a connection.
pub(super) struct Handler {
    dialer: bool,
    to_open: Vec<Channel>,
    sync: Option<Stream>,
    live: Option<Stream>,
    failed: Option<SetupError>,
    deadline: Pin<Box<Sleep>>,
    told: bool,
}

impl Handler {
    /// `setup`: how long the two streams may take.
    pub(super) fn new(dialer: bool, setup: Duration) -> Self {
        Self {
            dialer,
            to_open: if dialer {
                vec![Channel::Live, Channel::Sync]
            } else {
                Vec::new()
            },
            sync: None,
            live: None,
            failed: None,
            deadline: Box::pin(sleep(setup)),
            told: false,
        }
    }

    /// Keeps the first stream of a kind; a further one is dropped, which resets it.
    fn keep(&mut self, channel: Channel, stream: Stream) {
        if self.told {
            return;
        }
        match channel {
            Channel::Sync => self.sync.get_or_insert(stream),
            Channel::Live => self.live.get_or_insert(stream),
        };
    }

    fn outcome(&mut self, cx: &mut Context<'_>) -> Option<Outcome> {
        if let Some(error) = self.failed.take() {
            return Some(Outcome::Failed(error));
        }
        match (self.sync.take(), self.live.take()) {
            (Some(sync), Some(live)) => {
                let (sync, live) = (Box::new(sync), Box::new(live));
                return Some(Outcome::Open { sync, live });
            }
            (sync, live) => (self.sync, self.live) = (sync, live),
        }
        self.deadline
            .as_mut()
            .poll(cx)
            .is_ready()
            .then_some(Outcome::Failed(SetupError::TimedOut))
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = Outcome;
    type InboundProtocol = Accept;
    type OutboundProtocol = Open;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Channel;

    fn listen_protocol(&self) -> SubstreamProtocol<Accept> {
        SubstreamProtocol::new(
            Accept {
                dialer: self.dialer,
            },
            (),
        )
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Open, Channel, Outcome>> {
        if let Some(channel) = self.to_open.pop() {
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(Open(channel), channel),
            });
        }
        if !self.told
            && let Some(outcome) = self.outcome(cx)
        {
            self.told = true;
            (self.sync, self.live) = (None, None);
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(outcome));
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Accept, Open, (), Channel>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (channel, stream),
                ..
            }) => self.keep(channel, stream),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: stream,
                info: channel,
            }) => self.keep(channel, stream),
            ConnectionEvent::DialUpgradeError(error) => {
                self.failed = Some(SetupError::Refused(error.info));
            }
            _ => {}
        }
    }
}

/// Accepts our two protocols on the side that was called, none on the dialer's.
#[derive(Clone, Debug)]
pub(super) struct Accept {
    dialer: bool,
}

impl UpgradeInfo for Accept {
    type Info = StreamProtocol;
    type InfoIter = Vec<StreamProtocol>;

    fn protocol_info(&self) -> Vec<StreamProtocol> {
        if self.dialer {
            Vec::new()
        } else {
            vec![SYNC, LIVE]
        }
    }
}

impl InboundUpgrade<Stream> for Accept {
    type Output = (Channel, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        let channel = if protocol == SYNC {
            Channel::Sync
        } else {
            Channel::Live
        };
        ready(Ok((channel, stream)))
    }
}

/// Opens one of our streams.
#[derive(Clone, Debug)]
pub(super) struct Open(Channel);

impl UpgradeInfo for Open {
    type Info = StreamProtocol;
    type InfoIter = [StreamProtocol; 1];

    fn protocol_info(&self) -> [StreamProtocol; 1] {
        [match self.0 {
            Channel::Sync => SYNC,
            Channel::Live => LIVE,
        }]
    }
}

impl OutboundUpgrade<Stream> for Open {
    type Output = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Stream, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, _: StreamProtocol) -> Self::Future {
        ready(Ok(stream))
    }
}
