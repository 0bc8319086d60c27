//! Somebody who has a node's transport key and certificate and speaks the sync protocol with its peer.

#![allow(unreachable_pub, reason = "for the tests beside it")]

use std::time::Duration;

use city_node::engine::{TransportKey, utc};
use city_node::net::{self, Channel, NetConfig, NetEvent, NetHandle, Whitelist};
use city_node::setup::{Identity, load_identity};
use city_protocol::sync::{Hello, Message, PROTOCOL_VERSION};
use city_protocol::trust::KeyAnnouncement;
use libp2p::PeerId;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::city::{City, PATIENCE};

/// A network task of the test's own.
pub struct Speaker {
    net: NetHandle,
    task: JoinHandle<()>,
    events: mpsc::Receiver<NetEvent>,
    peer: PeerId,
}

/// The hello that this node would send.
pub fn hello(identity: &Identity) -> Message {
    let key = TransportKey::new(identity.transport.clone()).unwrap();
    let announcement = KeyAnnouncement {
        certificate: identity.node_certificate.clone(),
        chain: identity.chain.iter().cloned().map(Into::into).collect(),
    };
    Message::Hello(Box::new(Hello {
        v: PROTOCOL_VERSION,
        network: identity.network,
        software: "speaker".into(),
        announcement: announcement.sign(&key, city_node::client::person::random(), utc()),
        follows: Vec::new(),
        reads_only: false,
    }))
}

impl Speaker {
    /// Calls a city's node with this transport key.
    pub fn call(city: &City, keypair: Keypair) -> Self {
        let peer = city.report.peer_id;
        let whitelist = Whitelist::default();
        whitelist.insert(peer, None).unwrap();
        let address = city.config.network.listen[0]
            .clone()
            .with(Protocol::P2p(peer));
        let config = NetConfig {
            bootstrap: vec![address],
            ..NetConfig::default()
        };
        let (sender, events) = mpsc::channel(16);
        let (net, task) = net::start(config, keypair, whitelist, sender).unwrap();
        Self {
            net,
            task,
            events,
            peer,
        }
    }

    /// Calls it as the (stopped) node of another city.
    pub fn instead_of(other: &City, city: &City) -> Self {
        Self::call(city, load_identity(&other.data).unwrap().transport)
    }

    pub async fn connected(&mut self) {
        while !matches!(self.next().await, NetEvent::Connected { .. }) {}
    }

    /// The next message that the peer sends.
    pub async fn hears(&mut self) -> Message {
        loop {
            match self.next().await {
                NetEvent::Frame { bytes, .. } => return Message::decode(&bytes).unwrap(),
                NetEvent::Disconnected { .. } => panic!("sent away"),
                _ => {}
            }
        }
    }

    /// Whether the peer says within this time that it has stored private values.
    pub async fn hears_stored(&mut self, within: Duration) -> bool {
        let hearing = async { while !matches!(self.hears().await, Message::PrivateStored(_)) {} };
        tokio::time::timeout(within, hearing).await.is_ok()
    }

    async fn next(&mut self) -> NetEvent {
        let next = tokio::time::timeout(PATIENCE, self.events.recv()).await;
        next.expect("the peer answers").expect("the network runs")
    }

    pub async fn says(&self, message: &Message) {
        self.net
            .send(&self.peer, Channel::Sync, message.encode())
            .await
            .unwrap();
    }

    /// Hangs up; gives what else was heard.
    pub async fn hang_up(mut self) -> Vec<NetEvent> {
        self.net.shutdown().await;
        let mut heard = Vec::new();
        while let Some(event) = self.events.recv().await {
            heard.push(event);
        }
        tokio::time::timeout(Duration::from_secs(10), self.task)
            .await
            .unwrap()
            .unwrap();
        heard
    }
}
