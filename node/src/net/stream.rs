//! Frames on one stream: a big-endian u32 length, then that many bytes. Owns the framing, its
//! bounds and the queue before the stream; what a frame means and when a connection ends stand
//! elsewhere.

use super::handle::SendError;
use libp2p::futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, io::BufWriter};
use std::{future::Future, io, sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc},
    time::timeout,
};

/// Longest frame in bytes: a block of 1 MiB, and room for the message around it.
pub const MAX_FRAME: usize = 1_152_000;
/// The first piece of a body that is allocated; more only when its bytes have arrived.
const FIRST_PIECE: usize = 16 * 1024;
/// Small frames leave as one TLS record of at most this many bytes.
const WRITE_BUFFER: usize = 16 * 1024;

/// Why a stream ended, other than in order.
#[derive(Debug, thiserror::Error)]
pub(super) enum StreamError {
    #[error("a frame of {0} bytes, more than {MAX_FRAME}")]
    Oversize(u32),
    #[error("the stream ended within a frame")]
    Truncated,
    #[error("not one byte moved for {0:?}")]
    Stalled(Duration),
    #[error("nobody takes the frames any more")]
    ConsumerGone,
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Reads one frame; `None` is the stream's end between frames. Waits for a frame's first byte for
/// ever, for each further piece `stall`.
pub(super) async fn read_frame<R: AsyncRead + Unpin>(
    stream: &mut R,
    stall: Duration,
) -> Result<Option<Vec<u8>>, StreamError> {
    let mut header = [0; 4];
    let mut have = stream.read(&mut header).await?;
    if have == 0 {
        return Ok(None);
    }
    while have < header.len() {
        have += read_some(stream, &mut header[have..], stall).await?;
    }
    let announced = u32::from_be_bytes(header);
    let length = usize::try_from(announced)
        .ok()
        .filter(|length| *length <= MAX_FRAME)
        .ok_or(StreamError::Oversize(announced))?;
    let mut body = Vec::new();
    let mut have = 0;
    while have < length {
        if have == body.len() {
            body.resize(length.min(FIRST_PIECE.max(2 * have)), 0);
        }
        have += read_some(stream, &mut body[have..], stall).await?;
    }
    Ok(Some(body))
}

async fn read_some<R: AsyncRead + Unpin>(
    stream: &mut R,
    into: &mut [u8],
    stall: Duration,
) -> Result<usize, StreamError> {
    match within(stall, stream.read(into)).await? {
        0 => Err(StreamError::Truncated),
        count => Ok(count),
    }
}

/// Writes what the queue brings until its senders are gone, then closes the stream. Each step may
/// take `stall`.
pub(super) async fn write_frames<W: AsyncWrite + Unpin>(
    stream: W,
    mut queue: Intake,
    stall: Duration,
    mut sent: impl FnMut(usize),
) -> Result<(), StreamError> {
    let mut stream = BufWriter::with_capacity(WRITE_BUFFER, stream);
    while let Some(frame) = queue.frames.recv().await {
        let length = u32::try_from(frame.body.len()).expect("the outbox took at most MAX_FRAME");
        for mut part in [length.to_be_bytes().as_slice(), frame.body.as_slice()] {
            while !part.is_empty() {
                let written = within(stall, stream.write(part)).await?;
                if written == 0 {
                    return Err(StreamError::Io(io::ErrorKind::WriteZero.into()));
                }
                part = &part[written..];
            }
        }
        if queue.frames.is_empty() {
            within(stall, stream.flush()).await?;
        }
        sent(frame.body.len());
    }
    within(stall, stream.close()).await
}

async fn within<T>(
    stall: Duration,
    step: impl Future<Output = io::Result<T>>,
) -> Result<T, StreamError> {
    match timeout(stall, step).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(StreamError::Stalled(stall)),
    }
}

/// The sending end of one stream's queue, bounded in frames and in bytes.
#[derive(Debug)]
pub(super) struct Outbox {
    frames: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
}

/// The stream's end of its queue. Dropping it fails the senders that wait.
#[derive(Debug)]
pub(super) struct Intake {
    frames: mpsc::Receiver<Queued>,
    room: Arc<Semaphore>,
}

/// A frame with the room it takes, given back when it has been written.
#[derive(Debug)]
struct Queued {
    body: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

/// Makes a queue of at most `frames` frames and `bytes` bytes.
pub(super) fn queue(frames: usize, bytes: usize) -> (Outbox, Intake) {
    let (sender, receiver) = mpsc::channel(frames);
    let room = Arc::new(Semaphore::new(bytes));
    let outbox = Outbox {
        frames: sender,
        room: Arc::clone(&room),
    };
    (
        outbox,
        Intake {
            frames: receiver,
            room,
        },
    )
}

impl Outbox {
    /// Waits for room and queues the frame.
    pub(super) async fn send(&self, body: Vec<u8>) -> Result<(), SendError> {
        let weight = weight(&body)?;
        let room = Arc::clone(&self.room)
            .acquire_many_owned(weight)
            .await
            .map_err(|_| SendError::NotConnected)?;
        self.frames
            .send(Queued { body, _room: room })
            .await
            .map_err(|_| SendError::NotConnected)
    }

    /// Queues the frame if there is room now.
    pub(super) fn try_send(&self, body: Vec<u8>) -> Result<(), SendError> {
        let weight = weight(&body)?;
        let room = Arc::clone(&self.room)
            .try_acquire_many_owned(weight)
            .map_err(|refusal| match refusal {
                TryAcquireError::NoPermits => SendError::Full,
                TryAcquireError::Closed => SendError::NotConnected,
            })?;
        self.frames
            .try_send(Queued { body, _room: room })
            .map_err(|refusal| match refusal {
                mpsc::error::TrySendError::Full(_) => SendError::Full,
                mpsc::error::TrySendError::Closed(_) => SendError::NotConnected,
            })
    }
}

/// A frame's weight in the queue: its bytes.
fn weight(body: &[u8]) -> Result<u32, SendError> {
    u32::try_from(body.len())
        .ok()
        .filter(|_| body.len() <= MAX_FRAME)
        .ok_or(SendError::TooLarge(body.len()))
}

impl Drop for Intake {
    fn drop(&mut self) {
        self.room.close();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use libp2p::futures::io::Cursor;

    const STALL: Duration = Duration::from_millis(50);

    /// Hands out one byte for each read, then waits for ever.
    struct Dripping(Cursor<Vec<u8>>);

    impl AsyncRead for Dripping {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
            into: &mut [u8],
        ) -> std::task::Poll<io::Result<usize>> {
            if self.0.position() == self.0.get_ref().len() as u64 {
                return std::task::Poll::Pending;
            }
            std::pin::Pin::new(&mut self.0).poll_read(cx, &mut into[..1])
        }
    }

    async fn check(bytes: &[u8], expected: Result<Option<&[u8]>, &str>) {
        let read = read_frame(&mut Cursor::new(bytes), STALL).await;
        match (read, expected) {
            (Ok(read), Ok(expected)) => assert_eq!(read.as_deref(), expected),
            (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
            (read, expected) => panic!("{read:?}, expected {expected:?}"),
        }
    }

    #[tokio::test]
    async fn frames_are_read_whole_or_refused() {
        check(&[], Ok(None)).await;
        check(&[0, 0, 0, 0], Ok(Some(&[]))).await;
        check(&[0, 0, 0, 2, 7, 8, 9], Ok(Some(&[7, 8]))).await;
        check(&[0, 0], Err("within a frame")).await;
        check(&[0, 0, 0, 2, 7], Err("within a frame")).await;
        check(&[0x40, 0, 0, 0, 7], Err("1073741824 bytes")).await;
        check(&[0xff; 64], Err("4294967295 bytes")).await;
        let over = u32::try_from(MAX_FRAME + 1).unwrap().to_be_bytes();
        check(&over, Err("1152001 bytes")).await;
        let mut largest = u32::try_from(MAX_FRAME).unwrap().to_be_bytes().to_vec();
        largest.resize(4 + MAX_FRAME, 3);
        check(&largest, Ok(Some(&largest[4..]))).await;
    }

    #[tokio::test]
    async fn a_peer_that_stops_within_a_frame_is_given_up() {
        let mut stream = Dripping(Cursor::new(vec![0, 0, 0, 5, 1, 2]));
        let error = read_frame(&mut stream, STALL).await.unwrap_err();
        assert!(matches!(error, StreamError::Stalled(_)), "{error}");
    }

    #[tokio::test]
    async fn the_queue_is_bounded_in_frames_and_in_bytes() {
        let (by_frames, _intake) = queue(2, MAX_FRAME);
        assert_eq!(by_frames.try_send(vec![0; 10]), Ok(()));
        assert_eq!(by_frames.try_send(vec![0; 10]), Ok(()));
        assert_eq!(by_frames.try_send(vec![0; 10]), Err(SendError::Full));

        let (by_bytes, intake) = queue(9, MAX_FRAME);
        assert_eq!(by_bytes.try_send(vec![0; MAX_FRAME]), Ok(()));
        assert_eq!(by_bytes.try_send(vec![0; 1]), Err(SendError::Full));
        assert_eq!(
            by_bytes.try_send(vec![0; MAX_FRAME + 1]),
            Err(SendError::TooLarge(MAX_FRAME + 1))
        );
        drop(intake);
        assert_eq!(
            by_bytes.send(vec![0; 1]).await,
            Err(SendError::NotConnected)
        );
    }
}
