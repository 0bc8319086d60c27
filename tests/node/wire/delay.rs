//! A line that takes its time: hands on what it gets, each byte so much later.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// Pieces on their way one way: beyond it the sender is held back, as by a line that carries only so much.
const ON_THE_WAY: usize = 256;

/// Until it is dropped, who calls `listen` is connected with `to`, and everything takes `later` each way.
pub(super) struct Delay(JoinHandle<()>);

impl Delay {
    pub(super) async fn between(listen: SocketAddr, to: SocketAddr, later: Duration) -> Self {
        let listener = TcpListener::bind(listen).await.unwrap();
        Self(tokio::spawn(async move {
            while let Ok((caller, _)) = listener.accept().await {
                tokio::spawn(connect(caller, to, later));
            }
        }))
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn connect(caller: TcpStream, to: SocketAddr, later: Duration) {
    let Ok(called) = TcpStream::connect(to).await else {
        return;
    };
    let (caller, called) = (caller.into_split(), called.into_split());
    tokio::spawn(carry(caller.0, called.1, later));
    carry(called.0, caller.1, later).await;
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, later: Duration) {
    let (sender, mut pieces) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
    tokio::spawn(async move {
        while let Some((due, piece)) = pieces.recv().await {
            sleep_until(due).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
        let _gone = to.shutdown().await;
    });
    let mut buffer = vec![0; 8 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let piece = (Instant::now() + later, buffer[..count].to_vec());
        if sender.send(piece).await.is_err() {
            return;
        }
    }
}
