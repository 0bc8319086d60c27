//! Whether somebody speaks QUIC at an address: a packet of a version that nobody has is answered by the list of versions
//! (RFC 8999 section 6, RFC 9000 section 6.1). That costs neither side a handshake and opens no connection.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{UdpSocket, lookup_host};
use tokio::time::timeout;

/// A version that is kept free to force this answer (RFC 9000 section 15).
const NO_VERSION: [u8; 4] = [0x1a, 0x2a, 0x3a, 0x4a];
/// Shorter datagrams are not answered (RFC 9000 section 14.1).
const LENGTH: usize = 1200;
/// A datagram or its answer may be lost: it is sent again after so long.
const AGAIN: Duration = Duration::from_secs(1);
/// Length of both connection ids.
const ID: usize = 8;

/// Asks until there is an answer, of each address behind the name in turn; the caller ends it.
///
/// # Errors
/// Those of the name and the socket, such as a port that is closed.
pub(super) async fn ask(at: (&str, u16)) -> io::Result<()> {
    let addresses: Vec<SocketAddr> = lookup_host(at).await?.collect();
    loop {
        let mut refused = io::Error::other("the name has no address");
        let mut silent = false;
        for address in &addresses {
            match ask_once(*address).await {
                Ok(true) => return Ok(()),
                Ok(false) => silent = true,
                Err(error) => refused = error,
            }
        }
        if !silent {
            return Err(refused);
        }
    }
}

/// Whether an answer came in time.
async fn ask_once(address: SocketAddr) -> io::Result<bool> {
    let mut ids = [0; 2 * ID];
    getrandom::fill(&mut ids).map_err(io::Error::other)?;
    let socket = open(address).await?;
    socket.send(&question(&ids)).await?;
    let mut answer = [0; LENGTH];
    // What is no answer does not end the waiting: else whoever answers at once is asked without a pause.
    let answered = async {
        loop {
            let length = socket.recv(&mut answer).await?;
            if answers(&answer[..length], &ids) {
                return Ok(true);
            }
        }
    };
    timeout(AGAIN, answered).await.unwrap_or(Ok(false))
}

async fn open(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    Ok(socket)
}

/// A long header with both ids, and zeroes behind it.
fn question(ids: &[u8; 2 * ID]) -> Vec<u8> {
    let (to, from) = ids.split_at(ID);
    let length = &[8];
    let mut datagram = [&[0xc0][..], &NO_VERSION, length, to, length, from].concat();
    datagram.resize(LENGTH, 0);
    datagram
}

/// Whether this is the list of versions for that question: a long header, version 0, and the ids the other way round.
fn answers(datagram: &[u8], ids: &[u8; 2 * ID]) -> bool {
    let (to, from) = ids.split_at(ID);
    let length = &[8];
    let expected = [&[0, 0, 0, 0][..], length, from, length, to].concat();
    let long = datagram.first().is_some_and(|first| first & 0x80 != 0);
    long && datagram[1..].starts_with(&expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_this_question_is_one() {
        let mut ids = [0; 2 * ID];
        for (n, byte) in (0..).zip(&mut ids) {
            *byte = n;
        }
        let answer = |version: u8, first: u8, to: &[u8], from: &[u8]| {
            [
                &[first, 0, 0, 0, version, 8][..],
                to,
                &[8],
                from,
                &[0, 0, 0, 1],
            ]
            .concat()
        };
        assert!(answers(&answer(0, 0x80, &ids[ID..], &ids[..ID]), &ids));
        assert!(!answers(&answer(1, 0x80, &ids[ID..], &ids[..ID]), &ids));
        assert!(!answers(&answer(0, 0x40, &ids[ID..], &ids[..ID]), &ids));
        assert!(!answers(&answer(0, 0x80, &ids[..ID], &ids[ID..]), &ids));
        assert!(!answers(&question(&ids), &ids));
        assert!(!answers(&[], &ids) && !answers(&[0x80], &ids));
    }
}
