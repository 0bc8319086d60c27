//! One connection's streams, before they carry frames. Between whitelisted peers the dialer opens one
//! of each kind, the other side accepts one of each, and the pair is handed over. With a stranger there
//! is one stream for one request, and then the connection ends. Made by the gate, which knows which.

use super::{Channel, enrol};
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
const ENROL: StreamProtocol = StreamProtocol::new("/city-node/enrol/1");

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A whitelisted peer that this node called.
    Called,
    /// A whitelisted peer that called.
    Caller,
    /// A peer that this node asks to be whitelisted.
    Asked,
    /// A peer that called and may only read, because others recommend it; if so, it may also ask once.
    Reader { asks: bool },
    /// A stranger, who may ask once.
    Stranger,
}

impl Kind {
    pub(super) const fn dialer(self) -> bool {
        matches!(self, Self::Called | Self::Asked)
    }

    pub(super) const fn reads_only(self) -> bool {
        matches!(self, Self::Reader { .. })
    }

    pub(super) const fn is_enrolment(self) -> bool {
        matches!(self, Self::Asked | Self::Stranger)
    }
}

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Frames(Channel),
    Enrol,
}

/// What the handler tells the gate, once; at an enrolment's end a second time.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Both streams are open.
    Open {
        sync: Box<Stream>,
        live: Box<Stream>,
    },
    /// The stream for one request is open.
    Enrol(Box<Stream>),
    /// They are not, and will not be, or the time is over: close the connection.
    Failed(SetupError),
}

/// Why a connection never got its streams.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetupError {
    #[error("the peer does not open or accept our streams in time")]
    TimedOut,
    #[error("the peer refuses the {0} stream")]
    Refused(Channel),
    #[error("the peer takes no requests")]
    NoRequests,
    #[error("the time for a request is over")]
    Over,
}

/// Collects the two streams of a connection.
pub(super) struct Handler {
    kind: Kind,
    to_open: Vec<Purpose>,
    sync: Option<Stream>,
    live: Option<Stream>,
    enrol: Option<Stream>,
    failed: Option<SetupError>,
    deadline: Pin<Box<Sleep>>,
    told: bool,
    ended: bool,
}

impl Handler {
    /// `setup`: how long the two streams may take; an enrolment has its own time.
    pub(super) fn new(kind: Kind, setup: Duration) -> Self {
        let time = if kind.is_enrolment() {
            enrol::LIFE
        } else {
            setup
        };
        Self {
            kind,
            to_open: match kind {
                Kind::Called => vec![
                    Purpose::Frames(Channel::Live),
                    Purpose::Frames(Channel::Sync),
                ],
                Kind::Asked => vec![Purpose::Enrol],
                Kind::Caller | Kind::Reader { .. } | Kind::Stranger => Vec::new(),
            },
            sync: None,
            live: None,
            enrol: None,
            failed: None,
            deadline: Box::pin(sleep(time)),
            told: false,
            ended: false,
        }
    }

    /// Keeps the first stream of a kind; a further one is dropped, which resets it.
    fn keep(&mut self, purpose: Purpose, stream: Stream) {
        if self.told {
            return;
        }
        match purpose {
            Purpose::Frames(Channel::Sync) => self.sync.get_or_insert(stream),
            Purpose::Frames(Channel::Live) => self.live.get_or_insert(stream),
            Purpose::Enrol => self.enrol.get_or_insert(stream),
        };
    }

    fn outcome(&mut self, cx: &mut Context<'_>) -> Option<Outcome> {
        if let Some(error) = self.failed.take() {
            return Some(Outcome::Failed(error));
        }
        if let Some(stream) = self.enrol.take() {
            return Some(Outcome::Enrol(Box::new(stream)));
        }
        match (self.sync.take(), self.live.take()) {
            (Some(sync), Some(live)) => {
                let (sync, live) = (Box::new(sync), Box::new(live));
                return Some(Outcome::Open { sync, live });
            }
            (sync, live) => (self.sync, self.live) = (sync, live),
        }
        self.over(cx, SetupError::TimedOut)
    }

    fn over(&mut self, cx: &mut Context<'_>, error: SetupError) -> Option<Outcome> {
        let over = self.deadline.as_mut().poll(cx).is_ready();
        over.then_some(Outcome::Failed(error))
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = Outcome;
    type InboundProtocol = Accept;
    type OutboundProtocol = Open;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Purpose;

    fn listen_protocol(&self) -> SubstreamProtocol<Accept> {
        SubstreamProtocol::new(Accept(self.kind), ())
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Open, Purpose, Outcome>> {
        if let Some(purpose) = self.to_open.pop() {
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(Open(purpose), purpose),
            });
        }
        if !self.told
            && let Some(outcome) = self.outcome(cx)
        {
            self.told = true;
            (self.sync, self.live) = (None, None);
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(outcome));
        }
        // Whatever becomes of the request, the connection does not outlive its time.
        if self.kind.is_enrolment()
            && !self.ended
            && let Some(outcome) = self.over(cx, SetupError::Over)
        {
            self.ended = true;
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(outcome));
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Accept, Open, (), Purpose>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (purpose, stream),
                ..
            }) => self.keep(purpose, stream),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: stream,
                info: purpose,
            }) => self.keep(purpose, stream),
            ConnectionEvent::DialUpgradeError(error) => {
                self.failed = Some(match error.info {
                    Purpose::Frames(channel) => SetupError::Refused(channel),
                    Purpose::Enrol => SetupError::NoRequests,
                });
            }
            _ => {}
        }
    }
}

/// Accepts our two protocols on the side that was called, of a stranger the one for requests, and
/// none on the dialer's. A reader comes with the two, or with a request.
#[derive(Clone, Debug)]
pub(super) struct Accept(Kind);

impl UpgradeInfo for Accept {
    type Info = StreamProtocol;
    type InfoIter = Vec<StreamProtocol>;

    fn protocol_info(&self) -> Vec<StreamProtocol> {
        match self.0 {
            Kind::Caller | Kind::Reader { asks: false } => vec![SYNC, LIVE],
            Kind::Reader { asks: true } => vec![SYNC, LIVE, ENROL],
            Kind::Stranger => vec![ENROL],
            Kind::Called | Kind::Asked => Vec::new(),
        }
    }
}

impl InboundUpgrade<Stream> for Accept {
    type Output = (Purpose, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        let purpose = if protocol == SYNC {
            Purpose::Frames(Channel::Sync)
        } else if protocol == LIVE {
            Purpose::Frames(Channel::Live)
        } else {
            Purpose::Enrol
        };
        ready(Ok((purpose, stream)))
    }
}

/// Opens one of our streams.
#[derive(Clone, Debug)]
pub(super) struct Open(Purpose);

impl UpgradeInfo for Open {
    type Info = StreamProtocol;
    type InfoIter = [StreamProtocol; 1];

    fn protocol_info(&self) -> [StreamProtocol; 1] {
        [match self.0 {
            Purpose::Frames(Channel::Sync) => SYNC,
            Purpose::Frames(Channel::Live) => LIVE,
            Purpose::Enrol => ENROL,
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
