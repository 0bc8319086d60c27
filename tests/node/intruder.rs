//! Somebody who speaks TLS and yamux but keeps none of our rules.

#![allow(unreachable_pub, reason = "for the tests beside it")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use libp2p::core::muxing::{StreamMuxerBox, StreamMuxerExt as _, SubstreamBox};
use libp2p::core::transport::{DialOpts, PortUse};
use libp2p::core::{Endpoint, upgrade::Version};
use libp2p::futures::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, PeerId, Transport as _, tcp, tls, yamux};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(20);

async fn within<T>(what: &str, step: impl Future<Output = T>) -> T {
    let done = timeout(PATIENCE, step).await;
    done.unwrap_or_else(|_| panic!("{what}: nothing for {PATIENCE:?}"))
}

/// A caller that speaks TLS and yamux but keeps none of our rules.
pub struct Intruder {
    muxer: Arc<Mutex<StreamMuxerBox>>,
    driver: JoinHandle<()>,
    /// Streams that the other side has opened.
    pub called: Arc<AtomicUsize>,
}

impl Intruder {
    pub async fn call(keypair: &Keypair, address: &Multiaddr, whom: PeerId) -> Self {
        Self::try_call(keypair, address, whom)
            .await
            .expect("the call is taken")
    }

    pub async fn try_call(keypair: &Keypair, address: &Multiaddr, whom: PeerId) -> Option<Self> {
        let mut transport = tcp::tokio::Transport::new(tcp::Config::default())
            .upgrade(Version::V1Lazy)
            .authenticate(tls::Config::new(keypair).unwrap())
            .multiplex(yamux::Config::default())
            .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
            .boxed();
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
        let driver = tokio::spawn(async move {
            // Identify and ping of the town call here and wait; refused, the town would hang up.
            let mut unanswered = Vec::new();
            // Polled by the clock, so that no waker of the muxer's can be missed.
            while poll_fn(|cx| {
                let mut muxer = driven.lock().unwrap();
                let broken = muxer.poll_unpin(cx).is_ready();
                let closed = match muxer.poll_inbound_unpin(cx) {
                    Poll::Ready(Ok(stream)) => {
                        counted.fetch_add(1, Ordering::SeqCst);
                        unanswered.push(stream);
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
            called,
        })
    }

    pub async fn stream(&mut self) -> Option<SubstreamBox> {
        let muxer = &self.muxer;
        within(
            "stream",
            poll_fn(|cx| muxer.lock().unwrap().poll_outbound_unpin(cx)),
        )
        .await
        .ok()
    }

    pub async fn both_streams(&mut self) -> (SubstreamBox, SubstreamBox) {
        let mut sync = self.stream().await.unwrap();
        assert!(negotiate(&mut sync, "/city-node/sync/1").await);
        let mut live = self.stream().await.unwrap();
        assert!(negotiate(&mut live, "/city-node/live/1").await);
        (sync, live)
    }

    /// Stops reading and writing; the socket stays open.
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
