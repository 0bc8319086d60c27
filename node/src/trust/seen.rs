//! Which signed messages of peers were taken already: a window on the disk, so that a restart forgets none.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use city_protocol::amount::Timestamp;
use city_protocol::body::MAX_FUTURE_MS;
use city_protocol::codec;
use city_protocol::trust::Nonce;
use libp2p::PeerId;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::keys::KeyFileError;
use crate::keys::file::{read_public_up_to, write_public};

/// Messages that are remembered: some two a peer and day for a country's municipalities, 300 KB on the disk.
const MAX_SEEN: usize = 4096;
/// Messages of one peer among them: so many are taken in the time that one may be old. Whoever says more is passed over, and
/// makes this node neither write nor forget what others said.
const MAX_OF_ONE: usize = 128;
/// Longest file in bytes.
const MAX_FILE: u64 = 1 << 20;

/// When each was dated, its nonce, and its signer's binary peer id.
type Messages = BTreeSet<(Timestamp, Nonce, Vec<u8>)>;

/// The window.
#[derive(Default)]
pub(super) struct Seen {
    /// Where it stands; none in a data directory that is only looked at.
    path: Option<PathBuf>,
    /// How old a message may be, in milliseconds.
    max_age_ms: u64,
    /// Messages dated so or before are not taken: what was forgotten of them is not known.
    floor: Timestamp,
    /// By time, so that the oldest is forgotten first.
    messages: Messages,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    v: u64,
    floor: Timestamp,
    messages: Vec<(Timestamp, ByteBuf, ByteBuf)>,
}

impl Seen {
    /// Reads the window. One that is damaged is begun anew: then nothing is taken that could have come before.
    pub(super) fn open(path: PathBuf, max_age_ms: u64, now: Timestamp) -> Self {
        let mut seen = Self {
            path: Some(path),
            max_age_ms,
            ..Self::default()
        };
        let path = seen.path.as_deref().expect("set above");
        if path.try_exists().is_ok_and(|there| !there) {
            return seen;
        }
        let bytes = read_public_up_to(path, MAX_FILE);
        match bytes.as_deref().ok().and_then(read) {
            Some((floor, messages)) => (seen.floor, seen.messages) = (floor, messages),
            None => {
                tracing::warn!(path = %path.display(), "cannot be read as the list of peers' messages; it is begun anew");
                seen.floor = now.plus_ms(MAX_FUTURE_MS);
            }
        }
        seen
    }

    /// Whether a message is neither too old nor known; it is known afterwards, on the disk.
    ///
    /// # Errors
    /// It cannot be written; the message must not count then.
    pub(super) fn note(
        &mut self,
        from: &PeerId,
        nonce: Nonce,
        dated: Timestamp,
        now: Timestamp,
    ) -> Result<bool, KeyFileError> {
        let Some(path) = &self.path else {
            return Ok(false);
        };
        let message = (dated, nonce, from.to_bytes());
        let too_old = now.since(dated) > self.max_age_ms || dated <= self.floor;
        let of_one = |(dated, _, from): &&(Timestamp, Nonce, Vec<u8>)| {
            *from == message.2 && now.since(*dated) <= self.max_age_ms
        };
        if too_old
            || self.messages.contains(&message)
            || self.messages.iter().filter(of_one).count() >= MAX_OF_ONE
        {
            return Ok(false);
        }
        let mut messages = self.messages.clone();
        messages.insert(message);
        let floor = self.drop_old(&mut messages, now);
        write(path, floor, &messages)?;
        (self.floor, self.messages) = (floor, messages);
        // With a full window the message itself may be the oldest.
        Ok(dated > self.floor)
    }

    /// Forgets what is too old to be taken again, on the disk; says how many that were.
    ///
    /// # Errors
    /// It cannot be written; nothing is forgotten then.
    pub(super) fn forget_old(&mut self, now: Timestamp) -> Result<usize, KeyFileError> {
        let Some(path) = &self.path else {
            return Ok(0);
        };
        let mut messages = self.messages.clone();
        let floor = self.drop_old(&mut messages, now);
        let count = self.messages.len() - messages.len();
        if count > 0 {
            write(path, floor, &messages)?;
            (self.floor, self.messages) = (floor, messages);
        }
        Ok(count)
    }

    /// Takes out what is too old, or too much; gives the floor above it. What is forgotten is never taken again, even if
    /// the clock goes back or older ones may come from now on.
    fn drop_old(&self, messages: &mut Messages, now: Timestamp) -> Timestamp {
        let mut floor = self.floor;
        while let Some((oldest, ..)) = messages.first()
            && (messages.len() > MAX_SEEN || now.since(*oldest) > self.max_age_ms)
        {
            floor = *oldest;
            messages.pop_first();
        }
        floor
    }
}

fn write(path: &Path, floor: Timestamp, messages: &Messages) -> Result<(), KeyFileError> {
    let messages = messages
        .iter()
        .map(|(dated, nonce, from)| (*dated, ByteBuf::from(*nonce), ByteBuf::from(&from[..])));
    let file = File {
        v: 1,
        floor,
        messages: messages.collect(),
    };
    write_public(path, &codec::encode(&file))
}

fn read(bytes: &[u8]) -> Option<(Timestamp, Messages)> {
    let limit = usize::try_from(MAX_FILE).ok()?;
    let file: File = codec::decode_version(bytes, limit, 1).ok()?;
    let messages = file.messages.into_iter().map(|(dated, nonce, from)| {
        Some((dated, nonce.as_slice().try_into().ok()?, from.into_vec()))
    });
    Some((file.floor, messages.collect::<Option<_>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use libp2p::identity::Keypair;

    const HOUR: u64 = 60 * 60 * 1000;
    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    #[test]
    fn a_message_counts_once_also_after_a_restart_and_only_in_its_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seen.cbor");
        let [a, b] = [(); 2].map(|()| Keypair::generate_ed25519().public().to_peer_id());
        let mut seen = Seen::open(path.clone(), 24 * HOUR, NOW);
        let note = |seen: &mut Seen, from: &PeerId, nonce: u8, dated: Timestamp, now| {
            seen.note(from, [nonce; 16], dated, now).unwrap()
        };
        assert!(note(&mut seen, &a, 1, NOW, NOW));
        assert!(!note(&mut seen, &a, 1, NOW, NOW), "again");
        assert!(note(&mut seen, &b, 1, NOW, NOW), "another's");
        assert!(note(&mut seen, &a, 2, NOW, NOW));
        let old = NOW.minus_ms(24 * HOUR + 1);
        assert!(!note(&mut seen, &a, 3, old, NOW), "too old");
        let mut seen = Seen::open(path.clone(), 24 * HOUR, NOW);
        assert!(!note(&mut seen, &a, 1, NOW, NOW.plus_ms(HOUR)));
        assert!(note(&mut seen, &a, 4, NOW.plus_ms(HOUR), NOW.plus_ms(HOUR)));
        let tomorrow = NOW.plus_ms(25 * HOUR);
        assert!(note(&mut seen, &a, 5, tomorrow, tomorrow));
        assert_eq!(seen.messages.len(), 2, "what is too old is forgotten");
        assert_eq!(seen.forget_old(tomorrow).unwrap(), 0);
        let mut seen = Seen::open(path.clone(), 24 * HOUR, NOW);
        let later = tomorrow.plus_ms(24 * HOUR);
        assert_eq!(seen.forget_old(later).unwrap(), 1, "the one of before");
        let mut seen = Seen::open(path.clone(), 24 * HOUR, NOW);
        assert_eq!(
            (seen.messages.len(), seen.forget_old(later).unwrap()),
            (1, 0)
        );
        assert!(!note(
            &mut seen,
            &a,
            4,
            NOW.plus_ms(HOUR),
            NOW.plus_ms(HOUR)
        ));

        std::fs::write(&path, b"damaged").unwrap();
        let mut seen = Seen::open(path, 24 * HOUR, tomorrow);
        assert!(
            !note(&mut seen, &a, 6, tomorrow, tomorrow),
            "what was seen is not known"
        );
        let later = tomorrow.plus_ms(MAX_FUTURE_MS + 1);
        assert!(note(&mut seen, &a, 6, later, later));
    }

    #[test]
    fn a_peer_that_says_much_costs_no_more_than_its_share() {
        let directory = tempfile::tempdir().unwrap();
        let mut seen = Seen::open(directory.path().join("seen.cbor"), 24 * HOUR, NOW);
        let [loud, quiet] = [(); 2].map(|()| Keypair::generate_ed25519().public().to_peer_id());
        let taken = (0..200).filter(|n| seen.note(&loud, [*n; 16], NOW, NOW).unwrap());
        assert_eq!(taken.count(), MAX_OF_ONE);
        assert!(seen.note(&quiet, [1; 16], NOW, NOW).unwrap());
        let tomorrow = NOW.plus_ms(24 * HOUR + 1);
        assert!(seen.note(&loud, [1; 16], tomorrow, tomorrow).unwrap());
    }

    #[test]
    fn a_full_window_forgets_the_oldest_and_takes_nothing_as_old() {
        let directory = tempfile::tempdir().unwrap();
        let mut seen = Seen::open(directory.path().join("seen.cbor"), 24 * HOUR, NOW);
        let [peer, other] = [(); 2].map(|()| Keypair::generate_ed25519().public().to_peer_id());
        let from = other.to_bytes();
        seen.messages = (0..MAX_SEEN as u64)
            .map(|n| (NOW.plus_ms(n + 1), [1; 16], from.clone()))
            .collect();
        let newest = NOW.plus_ms(2 * MAX_SEEN as u64);
        assert!(seen.note(&peer, [2; 16], newest, newest).unwrap());
        assert_eq!(seen.messages.len(), MAX_SEEN);
        let first = NOW.plus_ms(1);
        assert!(
            !seen.note(&other, [1; 16], first, newest).unwrap(),
            "forgotten"
        );
        assert!(!seen.note(&peer, [3; 16], first, newest).unwrap(), "as old");
        assert!(!seen.note(&other, [1; 16], NOW.plus_ms(2), newest).unwrap());
        let path = directory.path().join("no").join("seen.cbor");
        let mut seen = Seen::open(path, 24 * HOUR, NOW);
        assert!(seen.note(&peer, [1; 16], NOW, NOW).is_err());
        assert!(
            seen.messages.is_empty(),
            "what is not on the disk is not known"
        );
    }
}
