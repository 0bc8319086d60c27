//! What passes between two nodes, counted in this process: what that costs is part of every time.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// Counts what passes in both directions; tells when the first connection comes.
pub async fn count_between(at: u16, to: u16, met: oneshot::Sender<Instant>, count: Arc<AtomicU64>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, at)).await;
    let listener = listener.expect("a port");
    let mut met = Some(met);
    loop {
        let (near, _) = listener.accept().await.expect("a caller");
        if let Some(met) = met.take() {
            met.send(Instant::now()).expect("somebody waits for it");
        }
        let far = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await;
        let far = far.expect("the node listens");
        near.set_nodelay(true).expect("a socket");
        far.set_nodelay(true).expect("a socket");
        let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
        tokio::spawn(pass(near_in, far_out, Arc::clone(&count)));
        tokio::spawn(pass(far_in, near_out, Arc::clone(&count)));
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    count: Arc<AtomicU64>,
) {
    let mut buffer = vec![0; 256 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        count.fetch_add(length as u64, Ordering::Relaxed);
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
