//! Which connections are dead: neither a pong nor a frame for a while. Pure: time is an argument.
//!
//! libp2p's ping keeps its first failure to itself and tries again on a new stream, so by it alone a line that went
//! would be noticed after more than a minute.

use libp2p::{PeerId, swarm::ConnectionId};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// When each open connection was heard of last.
pub(super) struct Alive {
    silence: Duration,
    heard: HashMap<ConnectionId, Heard>,
}

struct Heard {
    at: Instant,
    /// Frame bytes received by then.
    bytes: u64,
}

impl Alive {
    pub(super) fn new(silence: Duration) -> Self {
        Self {
            silence,
            heard: HashMap::new(),
        }
    }

    /// The connection's streams are open, or a ping was answered.
    pub(super) fn heard(&mut self, connection: ConnectionId, now: Instant) {
        let heard = self.heard.entry(connection);
        heard.or_insert(Heard { at: now, bytes: 0 }).at = now;
    }

    pub(super) fn gone(&mut self, connection: ConnectionId) {
        self.heard.remove(&connection);
    }

    /// Takes how many frame bytes each connection has received; gives those that have been silent for too long.
    pub(super) fn dead(
        &mut self,
        received: impl Iterator<Item = (PeerId, ConnectionId, u64)>,
        now: Instant,
    ) -> Vec<(PeerId, ConnectionId)> {
        let mut dead = Vec::new();
        for (peer, connection, bytes) in received {
            let Some(heard) = self.heard.get_mut(&connection) else {
                continue;
            };
            if heard.bytes != bytes {
                *heard = Heard { at: now, bytes };
            }
            if now.duration_since(heard.at) > self.silence {
                dead.push((peer, connection));
            }
        }
        dead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pong_or_a_frame_shows_that_a_connection_lives() {
        let (begin, second) = (Instant::now(), Duration::from_secs(1));
        let mut alive = Alive::new(35 * second);
        let peer = PeerId::random();
        let line = ConnectionId::new_unchecked(1);
        let dead = |alive: &mut Alive, bytes, after: u32| {
            !alive
                .dead([(peer, line, bytes)].into_iter(), begin + after * second)
                .is_empty()
        };
        alive.heard(line, begin);
        assert!(!dead(&mut alive, 0, 35));
        alive.heard(line, begin + 15 * second);
        assert!(!dead(&mut alive, 0, 50));
        assert!(!dead(&mut alive, 9, 51), "a frame came");
        assert!(!dead(&mut alive, 9, 86));
        assert!(dead(&mut alive, 9, 87));
        alive.gone(line);
        assert!(!dead(&mut alive, 9, 88), "it is none of ours any more");
    }
}
