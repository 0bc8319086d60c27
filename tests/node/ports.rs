//! Ports of nodes that others have to know beforehand, also while the node is stopped.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below what Linux gives to whoever asks for any port or calls somebody (32768 to 60999): nobody else comes to a port of
/// these while its node is away.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;
/// Apart from where another process of tests begins.
const APART: u32 = 127;

/// A port of TCP and of UDP that nobody listens on, and that is given once.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let begin = process::id().wrapping_mul(APART);
    for _ in 0..COUNT {
        let number = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = FIRST + u16::try_from(number % u32::from(COUNT)).unwrap();
        let at = (Ipv4Addr::LOCALHOST, port);
        if TcpListener::bind(at).is_ok() && UdpSocket::bind(at).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}
