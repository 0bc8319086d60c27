//! Somebody who speaks TLS and yamux, or QUIC, but keeps none of our rules.

#![allow(unreachable_pub, reason = "for the tests beside it")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use city_node::net::Carrier;
use libp2p::core::muxing::{StreamMuxerBox, StreamMuxerExt as _, SubstreamBox};
use libp2p::core::transport::{DialOpts, PortUse};
use libp2p::core::{Endpoint, upgrade::Version};
use libp2p::futures::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, PeerId, Transport as _, quic, tcp, tls, yamux};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(20);

async fn within<T>(what: &str, step: impl Future<Output = T>) -> T {
    let done = timeout(PATIENCE, step).await;
    done.unwrap_or_else(|_| panic!("{what}: nothing for {PATIENCE:?}"))
}

/// A caller that speaks TLS and yamux, or QUIC, as the address says, but keeps none of our rules.
pub struct Intruder {
    muxer: Arc<Mutex<StreamMuxerBox>>,
    driver: JoinHandle<()>,
    /// Whether a stream was asked for in vain: a muxer that failed must not be asked again.
    broken: bool,
    /// The streams that the other side has opened: they wait, also where this side holds still, for QUIC would tell of their end.
    _unanswered: Arc<Mutex<Vec<SubstreamBox>>>,
    /// How many those are.
    pub called: Arc<AtomicUsize>,
}

impl Intruder {
    pub async fn call(keypair: &Keypair, address: &Multiaddr, whom: PeerId) -> Self {
        Self::try_call(keypair, address, whom)
            .await
            .expect("the call is taken")
    }

    pub async fn try_call(keypair: &Keypair, address: &Multiaddr, whom: PeerId) -> Option<Self> {
        let mut transport = match Carrier::of(address) {
            Carrier::Tcp => tcp::tokio::Transport::new(tcp::Config::default())
                .upgrade(Version::V1Lazy)
                .authenticate(tls::Config::new(keypair).unwrap())
                .multiplex(yamux::Config::default())
                .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
                .boxed(),
            Carrier::Quic => quic::tokio::Transport::new(quic::Config::new(keypair))
                .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
                .boxed(),
        };
        let options = DialOpts {
            role: Endpoint::Dialer,
            port_use: PortUse::New,
        };
        let call = transport.dial(address.clone(), options).unwrap();
        let (peer, muxer) = within("call", call).await.ok()?;
        assert_eq!(peer, whom);
        let muxer = Arc::new(Mutex::new(muxer));
        let driven = Arc::clone(&muxer);
        let called = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&called);
        let unanswered = Arc::<Mutex<Vec<SubstreamBox>>>::default();
        let waiting = Arc::clone(&unanswered);
        let driver = tokio::spawn(async move {
            // Identify and ping of the town call here and wait; refused, the town would hang up.
            // Polled by the clock, so that no waker of the muxer's can be missed.
            while poll_fn(|cx| {
                let mut muxer = driven.lock().unwrap();
                let broken = muxer.poll_unpin(cx).is_ready();
                let closed = match muxer.poll_inbound_unpin(cx) {
                    Poll::Ready(Ok(stream)) => {
                        counted.fetch_add(1, Ordering::SeqCst);
                        waiting.lock().unwrap().push(stream);
                        false
                    }
                    Poll::Ready(Err(_)) => true,
                    Poll::Pending => false,
                };
                Poll::Ready(!broken && !closed)
            })
            .await
            {
                sleep(Duration::from_millis(1)).await;
            }
        });
        Some(Self {
            muxer,
            driver,
            broken: false,
            _unanswered: unanswered,
            called,
        })
    }

    pub async fn stream(&mut self) -> Option<SubstreamBox> {
        if self.broken {
            return None;
        }
        let muxer = &self.muxer;
        let stream = within(
            "stream",
            poll_fn(|cx| muxer.lock().unwrap().poll_outbound_unpin(cx)),
        )
        .await
        .ok();
        self.broken = stream.is_none();
        stream
    }

    pub async fn both_streams(&mut self) -> (SubstreamBox, SubstreamBox) {
        let mut sync = self.stream().await.unwrap();
        assert!(negotiate(&mut sync, "/city-node/sync/1").await);
        let mut live = self.stream().await.unwrap();
        assert!(negotiate(&mut live, "/city-node/live/1").await);
        (sync, live)
    }

    /// Stops reading and writing; the socket stays open. Over QUIC what has come is acknowledged and not read.
    pub fn hold_still(&self) {
        self.driver.abort();
    }

    /// Waits until the other side has closed the connection, however long that takes.
    pub async fn gone(&mut self) {
        (&mut self.driver).await.unwrap();
    }

    /// Waits until the other side has closed the connection.
    pub async fn closed(&mut self) {
        let soon = Duration::from_secs(5);
        timeout(soon, &mut self.driver)
            .await
            .expect("closed soon")
            .unwrap();
    }
}

/// A line of datagrams to a port of this machine that brings no answers: whoever calls over it never ends a handshake. Dropping it
/// ends it.
pub struct OneWay {
    pub address: Multiaddr,
    driver: JoinHandle<()>,
    /// Bytes there, and bytes that came back and were kept.
    counts: Arc<[AtomicUsize; 2]>,
}

impl OneWay {
    pub async fn to(port: u16) -> Self {
        let near = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
        let far = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
        far.connect(("127.0.0.1", port)).await.unwrap();
        let own = near.local_addr().unwrap().port();
        let counts = Arc::<[AtomicUsize; 2]>::default();
        let counted = Arc::clone(&counts);
        let driver = tokio::spawn(async move {
            let (mut there, mut back) = ([0; 65_536], [0; 65_536]);
            loop {
                tokio::select! {
                    Ok(length) = near.recv(&mut there) => {
                        counted[0].fetch_add(length, Ordering::SeqCst);
                        let _lost = far.send(&there[..length]).await;
                    }
                    Ok(length) = far.recv(&mut back) => {
                        counted[1].fetch_add(length, Ordering::SeqCst);
                    }
                }
            }
        });
        Self {
            address: format!("/ip4/127.0.0.1/udp/{own}/quic-v1").parse().unwrap(),
            driver,
            counts,
        }
    }

    /// Bytes that went there, and bytes that came back.
    pub fn counted(&self) -> (usize, usize) {
        let [there, back] = &*self.counts;
        // What came back first: it was an answer to what went there before.
        let back = back.load(Ordering::SeqCst);
        (there.load(Ordering::SeqCst), back)
    }
}

impl Drop for OneWay {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Asks for a protocol (multistream-select 1.0); says whether the other side speaks it.
pub async fn negotiate(stream: &mut SubstreamBox, protocol: &str) -> bool {
    let expected = [line("/multistream/1.0.0"), line(protocol)].concat();
    let mut answer = vec![0; expected.len()];
    let talk = async {
        stream.write_all(&expected).await?;
        stream.flush().await?;
        stream.read_exact(&mut answer).await
    };
    within("negotiation", talk).await.is_ok() && answer == expected
}

/// A multistream-select message: length, text, newline.
pub fn line(text: &str) -> Vec<u8> {
    let mut message = vec![u8::try_from(text.len() + 1).unwrap()];
    message.extend(text.as_bytes());
    message.push(b'\n');
    message
}

impl Drop for Intruder {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
