//! Stands between a client and a node and keeps every byte that the node answers.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use city_node::client::ApiClient;
use city_node::engine::utc;
use city_node::pki::tls::{client_config, server_config};
use city_node::pki::{Authority, Validity};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::daemon::city::{City, Node};

/// What a node answered.
#[derive(Clone, Default)]
pub(super) struct Answers(Arc<Mutex<Vec<u8>>>);

impl Answers {
    pub(super) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// Passes on what both sides say, until one of them goes.
    async fn between(self, client: impl AsyncRead + AsyncWrite, node: impl AsyncRead + AsyncWrite) {
        let (mut asked, mut told) = tokio::io::split(client);
        let (mut answers, mut asks) = tokio::io::split(node);
        let forth = async {
            let _over = tokio::io::copy(&mut asked, &mut asks).await;
            let _over = asks.shutdown().await;
        };
        let back = async {
            let mut buffer = vec![0; 64 << 10];
            while let Ok(read @ 1..) = answers.read(&mut buffer).await {
                self.0.lock().unwrap().extend(&buffer[..read]);
                if told.write_all(&buffer[..read]).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! { () = forth => {}, () = back => {} }
    }

    /// A client of the node's API that asks through here.
    pub(super) async fn api(&self, city: &City, node: &Node) -> ApiClient {
        let authority = Authority::open(&city.ca, None).unwrap();
        let validity = Validity::days(utc().minus_ms(60_000), 2);
        let address = ["127.0.0.1".parse().unwrap()];
        let identity = authority.issue_tls_server(&[], &address, validity).unwrap();
        let accept = TlsAcceptor::from(Arc::new(server_config(identity).unwrap()));
        let root = city.tls_root();
        let connect = TlsConnector::from(Arc::new(
            client_config(std::slice::from_ref(&root)).unwrap(),
        ));
        let node: SocketAddr = node.address().parse().unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let answers = self.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (accept, connect, answers) = (accept.clone(), connect.clone(), answers.clone());
                tokio::spawn(async move {
                    let client = accept.accept(client).await.unwrap();
                    let name = ServerName::try_from("127.0.0.1").unwrap();
                    let there = TcpStream::connect(node).await.unwrap();
                    let there = connect.connect(name, there).await.unwrap();
                    answers.between(client, there).await;
                });
            }
        });
        ApiClient::new(&url, &[root]).unwrap()
    }

    /// An admin socket at `path` that is the node's, through here.
    pub(super) fn admin(&self, path: &Path, node: &Node) {
        let listener = UnixListener::bind(path).unwrap();
        let (there, answers) = (node.data.admin_socket(), self.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let there = UnixStream::connect(&there).await.unwrap();
                tokio::spawn(answers.clone().between(client, there));
            }
        });
    }
}
