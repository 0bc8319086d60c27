//! What is exchanged with a stranger: one short frame each way on `/city-node/enrol/1`, then the connection ends. Owns
//! how long, how large and how often; what a request says is judged elsewhere.

use libp2p::{
    Multiaddr, PeerId, Stream,
    futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
};
use std::{collections::HashMap, io, net::IpAddr, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::DialFailure;
use city_protocol::trust::{EnrolVerdict, MAX_ENROL_ANSWER, MAX_WHITELIST_REQUEST};

/// A stranger's connection lives at most this long, from its handshake: a request over a slow line, an fsync and the
/// answer.
pub(super) const LIFE: Duration = Duration::from_secs(10);
/// Own requests under way at once: an operator makes them by hand.
pub(super) const MAX_ASKING: usize = 4;
/// How long rates are counted.
const WINDOW_MS: u64 = 60 * 60 * 1000;
/// How long the asker may take to hang up when it has its answer.
const GOODBYE: Duration = Duration::from_secs(1);

/// A stranger's request.
#[derive(Debug)]
pub struct Enrolment {
    /// Who, as TLS proved it.
    pub peer: PeerId,
    /// From where.
    pub address: Multiaddr,
    /// The request as it came, at most [`MAX_WHITELIST_REQUEST`] bytes.
    pub request: Vec<u8>,
    /// Where the answer goes; dropping it ends the connection without one.
    pub answer: oneshot::Sender<EnrolVerdict>,
}

/// Why a request of this node got no answer.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// Others are under way.
    #[error("{MAX_ASKING} requests are under way; wait a moment and try again")]
    Busy,
    /// It was not reached, or it let nobody in.
    #[error("{0}")]
    Dial(#[from] DialFailure),
    /// It does not speak the protocol with this node.
    #[error(
        "the peer takes no requests of this node: it has whitelisted it already, or takes none at all"
    )]
    NotTaken,
    /// It ended without an answer.
    #[error(
        "the peer ended the connection without an answer; it may take no requests, or none at the moment"
    )]
    Silent,
    /// It answered what is none.
    #[error("the peer's answer is none of this protocol's")]
    BadAnswer,
}

/// How many requests were read lately. Its table has no more sources than requests are read in all.
#[derive(Debug)]
pub(super) struct Rate {
    most: u32,
    most_per_source: u32,
    since_ms: u64,
    in_all: u32,
    sources: HashMap<IpAddr, u32>,
}

impl Rate {
    /// With what may be read in an hour, from everybody and from one source.
    pub(super) fn new(most: u32, most_per_source: u32) -> Self {
        Self {
            most,
            most_per_source,
            since_ms: 0,
            in_all: 0,
            sources: HashMap::new(),
        }
    }

    /// Whether one more of this source is read; counts it.
    pub(super) fn take(&mut self, source: Option<IpAddr>, now_ms: u64) -> bool {
        if now_ms.abs_diff(self.since_ms) >= WINDOW_MS {
            *self = Self {
                since_ms: now_ms,
                ..Self::new(self.most, self.most_per_source)
            };
        }
        // What has no address is no caller over TCP.
        let Some(source) = source.filter(|_| self.in_all < self.most) else {
            return false;
        };
        let read = self.sources.entry(source).or_default();
        if *read >= self.most_per_source {
            return false;
        }
        *read += 1;
        self.in_all += 1;
        true
    }
}

/// Reads one request and writes the answer; `read` is whether there is room for it at the moment.
pub(super) async fn answer(
    mut stream: Box<Stream>,
    peer: PeerId,
    address: Multiaddr,
    desk: mpsc::Sender<Enrolment>,
    read: bool,
) {
    let exchange = async {
        let verdict = if read {
            let request = read_short(&mut stream, MAX_WHITELIST_REQUEST).await?;
            let (answer, verdict) = oneshot::channel();
            let enrolment = Enrolment {
                peer,
                address,
                request,
                answer,
            };
            match desk.try_send(enrolment) {
                Ok(()) => verdict.await.map_err(|_| io::ErrorKind::BrokenPipe)?,
                Err(_) => EnrolVerdict::Busy,
            }
        } else {
            EnrolVerdict::Busy
        };
        write_short(&mut stream, &verdict.encode()).await?;
        stream.close().await?;
        // The answer is on its way; whoever asked hangs up first.
        let mut rest = [0];
        let _gone = timeout(GOODBYE, stream.read(&mut rest)).await;
        io::Result::Ok(())
    };
    // A stranger's mistakes are nobody's news, and its connection ends anyway.
    let _over = timeout(LIFE, exchange).await;
}

/// Sends a request and reads the answer.
pub(super) async fn ask(
    mut stream: Box<Stream>,
    request: Vec<u8>,
) -> Result<EnrolVerdict, EnrolError> {
    let exchange = async {
        write_short(&mut stream, &request).await?;
        read_short(&mut stream, MAX_ENROL_ANSWER).await
    };
    let answered = timeout(LIFE, exchange).await;
    let bytes = answered
        .map_err(|_| EnrolError::Silent)?
        .map_err(|_| EnrolError::Silent)?;
    EnrolVerdict::decode(&bytes).map_err(|_| EnrolError::BadAnswer)
}

/// One frame: a big-endian u32 length, then at most `most` bytes.
async fn read_short<R: AsyncRead + Unpin>(stream: &mut R, most: usize) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > most {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame).await?;
    Ok(frame)
}

async fn write_short<W: AsyncWrite + Unpin>(stream: &mut W, frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    stream
        .write_all(&[&length.to_be_bytes(), frame].concat())
        .await?;
    stream.flush().await
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use libp2p::futures::io::Cursor;

    #[test]
    fn few_requests_of_one_source_are_read_and_not_many_of_all() {
        let (most, most_per_source) = (120, 6);
        let mut rate = Rate::new(most, most_per_source);
        let ip = |n: u32| Some(IpAddr::from((0xc000_0200 + n).to_be_bytes()));
        let now = 5_000_000;
        for _ in 0..most_per_source {
            assert!(rate.take(ip(1), now));
        }
        assert!(!rate.take(ip(1), now));
        assert!(!rate.take(None, now));
        let others = (2..1000).filter(|n| rate.take(ip(*n), now)).count();
        assert_eq!(others, (most - most_per_source) as usize);
        assert!(rate.sources.len() <= most as usize);
        assert!(!rate.take(ip(1), now + WINDOW_MS - 1));
        assert!(rate.take(ip(1), now + WINDOW_MS));
    }

    #[tokio::test]
    async fn a_frame_is_short_or_none() {
        let read = async |bytes: &[u8]| read_short(&mut Cursor::new(bytes), 3).await.ok();
        assert_eq!(read(&[0, 0, 0, 2, 7, 8, 9]).await, Some(vec![7, 8]));
        assert_eq!(read(&[0, 0, 0, 4, 7, 8, 9, 9]).await, None);
        assert_eq!(read(&[0, 0, 0, 3, 7]).await, None);
        assert_eq!(read(&[0xff; 9]).await, None);
        let mut written = Cursor::new(Vec::new());
        write_short(&mut written, &[5]).await.unwrap();
        assert_eq!(written.into_inner(), [0, 0, 0, 1, 5]);
    }
}
