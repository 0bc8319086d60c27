//! The stack below the frames: TCP, TLS 1.3 with both peer ids proved, yamux; where it is on QUIC, with the same TLS; and the
//! behaviours on top of it. Owns their construction only. No plaintext and no noise is offered, so there is
//! nothing to be talked down to.

use super::{
    NetError,
    config::{Limits, NetConfig},
    friends::Friends,
    gate::Gate,
    handle::Shared,
};
use libp2p::{
    PeerId, Swarm, Transport as _,
    core::{
        muxing::{StreamMuxer, StreamMuxerBox, StreamMuxerEvent, SubstreamBox},
        transport::{Boxed, OptionalTransport, timeout::TransportTimeout},
        upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo, Version},
    },
    dns,
    futures::{
        AsyncRead, AsyncWrite,
        future::{Either, Ready},
        io::BufWriter,
    },
    identify,
    identity::Keypair,
    mdns, ping, quic,
    swarm::{Config, NetworkBehaviour, behaviour::toggle::Toggle},
    tcp, tls, yamux,
};
use libp2p_connection_limits::{self as connection_limits, ConnectionLimits};
use libp2p_memory_connection_limits as memory_limits;
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Sleep, sleep};
use tracing::warn;

/// A connection without streams is closed after this: longer than any setup, so it only sweeps.
const IDLE: Duration = Duration::from_secs(30);
/// A ping that takes longer has failed.
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// yamux lets the receive windows of one connection grow together to 1 GiB less 256 KiB for each
/// permitted stream, and libp2p exposes only their number. So many leave the windows 32 MiB to
/// grow: a peer cannot make this node hold more than that beside 256 KiB a stream. Streams that
/// nobody accepts are bounded elsewhere: [`MAX_NEGOTIATING`], and 256 unread in libp2p.
const MAX_STREAMS: usize = (1024 - 32) * 4;
/// Streams that a peer may have open over QUIC: two for frames, ping's, identify's, and some that end. Further ones wait with
/// the peer.
const QUIC_STREAMS: u32 = 64;
/// Bytes that a peer may send ahead of the reader on one stream over QUIC: three of the largest frames, and what a line of
/// 100 Mbit/s has on its way in 300 ms.
const QUIC_STREAM_WINDOW: u32 = 4 << 20;
/// The same on all streams of a connection, which is all that it can make this node hold: as many as two unread streams
/// and still one that flows, and less than yamux's windows come to. What this node sends and the peer does not acknowledge
/// is kept by quinn up to 10 MB; libp2p does not let that be set.
const QUIC_WINDOW: u32 = 12 << 20;
/// Inbound streams that may negotiate their protocol at once.
const MAX_NEGOTIATING: usize = 8;
/// How long saying goodbye may take. A peer that no longer reads would otherwise hold its place for
/// ever.
const GOODBYE: Duration = Duration::from_secs(2);
/// How long TCP may take to reach one address: a packet is sent again after one second and after three. The addresses behind one
/// name are tried one after the other, all within the handshake's time, so one that leads nowhere must not take all of it.
const ATTEMPT: Duration = Duration::from_secs(4);
/// The same for QUIC, where it is the whole handshake: it, too, sends again after one second and after three, and two round trips
/// of a slow line are in it.
const QUIC_ATTEMPT: Duration = Duration::from_secs(7);
/// What identify calls the protocol family.
const FAMILY: &str = "/city-node/1";

/// The gate first: when it refuses, no other handler is made.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    pub(super) gate: Gate,
    connections: connection_limits::Behaviour,
    memory: memory_limits::Behaviour,
    identify: Friends<identify::Behaviour>,
    ping: Friends<ping::Behaviour>,
    mdns: Toggle<mdns::tokio::Behaviour>,
}

/// Builds the swarm; nothing listens or dials yet.
pub(super) fn swarm(
    config: &NetConfig,
    keypair: &Keypair,
    shared: &Arc<Shared>,
) -> Result<Swarm<Behaviour>, NetError> {
    let me = keypair.public().to_peer_id();
    let limits = &config.limits;
    let behaviour = Behaviour {
        gate: Gate::new(Arc::clone(shared), limits, config.requests.is_some()),
        connections: connection_limits::Behaviour::new(
            ConnectionLimits::default()
                .with_max_pending_incoming(Some(limits.pending_incoming))
                .with_max_pending_outgoing(Some(limits.pending_outgoing))
                .with_max_established(Some(limits.established))
                .with_max_established_per_peer(Some(limits.established_per_peer)),
        ),
        memory: memory_limits::Behaviour::with_max_bytes(limits.memory),
        identify: Friends::only(
            identify::Behaviour::new(
                identify::Config::new(FAMILY.to_owned(), keypair.public())
                    .with_agent_version(config.agent.clone())
                    .with_cache_size(0),
            ),
            Arc::clone(shared),
        ),
        ping: Friends::only(
            ping::Behaviour::new(
                ping::Config::new()
                    .with_interval(limits.ping)
                    .with_timeout(PING_TIMEOUT),
            ),
            Arc::clone(shared),
        ),
        mdns: config
            .mdns
            .then(|| mdns::tokio::Behaviour::new(mdns::Config::default(), me))
            .transpose()
            .map_err(NetError::Mdns)?
            .into(),
    };
    let settings = Config::with_tokio_executor()
        .with_idle_connection_timeout(IDLE)
        .with_max_negotiating_inbound_streams(MAX_NEGOTIATING);
    Ok(Swarm::new(
        transport(config, keypair)?,
        behaviour,
        me,
        settings,
    ))
}

/// Names are looked up above both carriers, and the addresses behind one are tried one after the other until a handshake succeeds.
fn transport(
    config: &NetConfig,
    keypair: &Keypair,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, NetError> {
    // A box without /etc/resolv.conf still reaches peers by their numeric addresses.
    let all = match dns::tokio::Transport::system(carriers(config, keypair)?) {
        Ok(named) => named.boxed(),
        Err(error) => {
            warn!(%error, "no resolver: peers are reached by numeric addresses only");
            carriers(config, keypair)?
        }
    };
    Ok(TransportTimeout::new(all, config.limits.handshake)
        .map(|(peer, muxer), _| {
            let muxer = StreamMuxerBox::new(Hasty {
                muxer,
                patience: None,
            });
            (peer, muxer)
        })
        .boxed())
}

/// TCP, TLS and yamux; and QUIC where it is on.
fn carriers(
    config: &NetConfig,
    keypair: &Keypair,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, NetError> {
    let tls = tls::Config::new(keypair).map_err(|error| NetError::Tls(error.to_string()))?;
    let mut streams = yamux::Config::default();
    streams.set_max_num_streams(MAX_STREAMS);
    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
    let tcp = TransportTimeout::with_outgoing_timeout(tcp, ATTEMPT)
        .upgrade(Version::V1Lazy)
        .authenticate(tls)
        .multiplex(Gathered(streams))
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let quic = config.quic.then(|| {
        let quic = quic::tokio::Transport::new(quic_config(&config.limits, keypair));
        TransportTimeout::with_outgoing_timeout(quic, QUIC_ATTEMPT)
            .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
    });
    let quic = quic.map_or_else(OptionalTransport::none, OptionalTransport::some);
    Ok(tcp
        .or_transport(quic)
        .map(|either, _| match either {
            Either::Left(connection) | Either::Right(connection) => connection,
        })
        .boxed())
}

/// The limits that TCP has, in QUIC's words. A connection dies by silence as the others do, and its line is kept open by pings.
fn quic_config(limits: &Limits, keypair: &Keypair) -> quic::Config {
    let mut config = quic::Config::new(keypair);
    config.handshake_timeout = limits.handshake;
    config.max_idle_timeout = u32::try_from(limits.silence.as_millis()).unwrap_or(u32::MAX);
    config.keep_alive_interval = limits.ping;
    config.max_concurrent_stream_limit = QUIC_STREAMS;
    config.max_stream_data = QUIC_STREAM_WINDOW;
    config.max_connection_data = QUIC_WINDOW;
    config
}

/// yamux whose small frames leave whole. It writes a frame's head and its body one after the other, and TLS makes a record, a call
/// of the kernel and, without delay, a packet of each: gathered until yamux says that they are to go, a ping takes 66 bytes and not 88.
#[derive(Clone)]
struct Gathered(yamux::Config);

/// Bytes that are gathered at most: yamux' largest frame, less its head, goes by as it is.
const GATHERED: usize = 16 * 1024;

impl UpgradeInfo for Gathered {
    type Info = <yamux::Config as UpgradeInfo>::Info;
    type InfoIter = <yamux::Config as UpgradeInfo>::InfoIter;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.protocol_info()
    }
}

impl<C> InboundConnectionUpgrade<C> for Gathered
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = yamux::Muxer<BufWriter<C>>;
    type Error = io::Error;
    type Future = Ready<Result<Self::Output, io::Error>>;

    fn upgrade_inbound(self, socket: C, info: Self::Info) -> Self::Future {
        let socket = BufWriter::with_capacity(GATHERED, socket);
        self.0.upgrade_inbound(socket, info)
    }
}

impl<C> OutboundConnectionUpgrade<C> for Gathered
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = yamux::Muxer<BufWriter<C>>;
    type Error = io::Error;
    type Future = Ready<Result<Self::Output, io::Error>>;

    fn upgrade_outbound(self, socket: C, info: Self::Info) -> Self::Future {
        let socket = BufWriter::with_capacity(GATHERED, socket);
        self.0.upgrade_outbound(socket, info)
    }
}

/// A muxer whose orderly close takes at most [`GOODBYE`]; after that dropping it closes the socket.
struct Hasty {
    muxer: StreamMuxerBox,
    patience: Option<Pin<Box<Sleep>>>,
}

impl StreamMuxer for Hasty {
    type Substream = SubstreamBox;
    type Error = io::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<SubstreamBox>> {
        Pin::new(&mut self.muxer).poll_inbound(cx)
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<SubstreamBox>> {
        Pin::new(&mut self.muxer).poll_outbound(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(closed) = Pin::new(&mut self.muxer).poll_close(cx) {
            return Poll::Ready(closed);
        }
        let patience = self
            .patience
            .get_or_insert_with(|| Box::pin(sleep(GOODBYE)));
        ready!(patience.as_mut().poll(cx));
        Poll::Ready(Ok(()))
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        Pin::new(&mut self.muxer).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libp2p::core::{Endpoint, transport::DialOpts, transport::PortUse};
    use std::time::Instant;
    use tokio::{
        net::{TcpSocket, TcpStream},
        time::timeout,
    };

    /// A listener whose queue is full: what calls it is not answered, as behind a firewall that drops.
    #[tokio::test]
    async fn an_address_that_does_not_answer_leaves_time_for_the_next() {
        let socket = TcpSocket::new_v4().expect("a socket");
        let any = "127.0.0.1:0".parse().expect("an address");
        socket.bind(any).expect("a port");
        let listener = socket.listen(1).expect("a queue");
        let at = listener.local_addr().expect("an address");
        let mut queued = Vec::new();
        let soon = Duration::from_millis(300);
        while let Ok(taken) = timeout(soon, TcpStream::connect(at)).await {
            queued.push(taken.expect("there is room"));
            assert!(queued.len() < 16, "the queue has no end");
        }
        let (config, limits) = (NetConfig::default(), Limits::default());
        let mut dialer = transport(&config, &Keypair::generate_ed25519()).expect("a transport");
        let address = format!("/ip4/127.0.0.1/tcp/{}", at.port());
        let call = DialOpts {
            role: Endpoint::Dialer,
            port_use: PortUse::New,
        };
        let dialing = dialer.dial(address.parse().expect("an address"), call);
        let begun = Instant::now();
        let ended = timeout(limits.handshake, dialing.expect("it is TCP")).await;
        assert!(ended.expect("it ends before the handshake's time").is_err());
        let lasted = begun.elapsed();
        assert!(
            lasted < limits.handshake / 2 && lasted >= ATTEMPT / 2,
            "{lasted:?}"
        );
    }
}
