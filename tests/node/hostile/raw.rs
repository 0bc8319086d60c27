//! The node under attack, and the layers below libp2p by hand: TCP, TLS with any certificate, yamux frames.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use city_node::config::Peer;
use city_node::net::Carrier;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, tls};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::daemon::city::{City, Node};
use crate::intruder::line;

/// How soon somebody is hung up on who has broken a rule.
pub(super) const AT_ONCE: Duration = Duration::from_secs(3);

/// The node under attack.
pub(super) struct Target<'a> {
    pub(super) node: &'a Node,
    pub(super) socket: SocketAddr,
    pub(super) address: Multiaddr,
    /// The same over QUIC, where it is on.
    pub(super) quic: Option<SocketAddr>,
    pub(super) peer: PeerId,
    /// Who is whitelisted and has not been used up yet.
    pub(super) keys: Vec<Keypair>,
    /// Cases that were played.
    pub(super) played: usize,
    /// What did not come out as it should.
    pub(super) wrong: Vec<String>,
    /// What is held open until the end.
    pub(super) held: Vec<Box<dyn std::any::Any + Send>>,
}

/// Entries for these keys, as that of a peer is.
pub(super) fn listed<'a>(keys: &'a [Keypair], as_is: &'a Peer) -> impl Iterator<Item = Peer> + 'a {
    keys.iter().map(|key| Peer {
        peer_id: key.public().to_peer_id(),
        addresses: Vec::new(),
        ..as_is.clone()
    })
}

impl<'a> Target<'a> {
    /// A city's node, and who is whitelisted there to speak badly.
    pub(super) fn of(city: &City, node: &'a Node, keys: Vec<Keypair>) -> Self {
        let listen = &city.config.network.listen;
        let over = |carrier| {
            let mut addresses = listen.iter();
            addresses.find(|address| Carrier::of(address) == carrier)
        };
        let address = over(Carrier::Tcp).expect("it listens").clone();
        Self {
            node,
            socket: socket(&address),
            address,
            quic: over(Carrier::Quic).map(socket),
            peer: city.report.peer_id,
            keys,
            played: 0,
            wrong: Vec::new(),
            held: Vec::new(),
        }
    }

    /// A case is over: the node answers.
    pub(super) async fn stands(&mut self, case: &str) {
        self.played += 1;
        let admin = self.node.admin().await;
        let asked = async { admin?.status().await.ok() };
        let answer = timeout(Duration::from_secs(10), asked).await;
        assert!(
            answer.ok().flatten().is_some(),
            "{case}: no status\n{}",
            self.node.log()
        );
    }

    pub(super) fn key(&mut self) -> Keypair {
        self.keys.pop().expect("enough were whitelisted")
    }

    pub(super) async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.socket).await.unwrap()
    }

    /// TLS as this configuration has it.
    pub(super) async fn tls(&self, config: ClientConfig) -> io::Result<TlsStream<TcpStream>> {
        let mut socket = self.tcp().await;
        ask(&mut socket, "/tls/1.0.0").await?;
        // libp2p names no server: an address, which is not sent.
        let name = ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into());
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(name, socket).await
    }

    /// Up to where yamux begins.
    pub(super) async fn muxer(&self, key: &Keypair) -> io::Result<TlsStream<TcpStream>> {
        let config = tls::make_client_config(key, Some(self.peer)).unwrap();
        let mut stream = self.tls(config).await?;
        ask(&mut stream, "/yamux/1.0.0").await?;
        Ok(stream)
    }
}

/// The port of an address on this machine.
fn socket(address: &Multiaddr) -> SocketAddr {
    let port = address.iter().find_map(|part| match part {
        Protocol::Tcp(port) | Protocol::Udp(port) => Some(port),
        _ => None,
    });
    ([127, 0, 0, 1], port.unwrap()).into()
}

/// Agrees on a protocol (multistream-select 1.0).
async fn ask<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, protocol: &str) -> io::Result<()> {
    let expected = [line("/multistream/1.0.0"), line(protocol)].concat();
    stream.write_all(&expected).await?;
    stream.flush().await?;
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer).await?;
    if answer == expected {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// Whether the other side hangs up soon.
pub(super) async fn hung_up<S: AsyncRead + Unpin>(stream: &mut S, soon: Duration) -> bool {
    let mut heard = vec![0; 16 * 1024];
    let listening = async { while let Ok(1..) = stream.read(&mut heard).await {} };
    timeout(soon, listening).await.is_ok()
}

/// Bytes that look like noise; the same for a seed.
pub(super) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let next = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    };
    (0..length).map(next).collect()
}
