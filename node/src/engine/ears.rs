//! Where what a peer says to the keeper of the whitelist goes: past the engine, which hears nothing of it.

use std::sync::{Mutex, PoisonError};

use city_protocol::sync::Message;
use city_protocol::trust::{PeerId, SignedData, SignedRotation};
use tokio::sync::mpsc;

use crate::trust::MAX_SAID;

/// What a peer says to the keeper of the whitelist.
pub type Word = (PeerId, Said);

/// Such a word, as it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// The peer recommends another.
    Recommendation(Box<SignedData>),
    /// Its own node certificate.
    Announcement(Box<SignedData>),
    /// It asks for others' certificates.
    KeyRequest(Box<SignedData>),
    /// One that it was asked for.
    KeyResponse(Box<SignedData>),
    /// A transport key follows another, its own or one that it knows of.
    Rotation(Box<SignedRotation>),
}

impl Said {
    /// The word in a message, if it is one for the keeper; else the message again.
    pub(super) fn of(message: Message) -> Result<Self, Box<Message>> {
        match message {
            Message::Recommend(signed) => Ok(Self::Recommendation(signed)),
            Message::KeyAnnouncement(signed) => Ok(Self::Announcement(signed)),
            Message::KeyRequest(signed) => Ok(Self::KeyRequest(signed)),
            Message::KeyResponse(signed) => Ok(Self::KeyResponse(signed)),
            Message::Rotation(signed) => Ok(Self::Rotation(signed)),
            other => Err(Box::new(other)),
        }
    }
}

/// Where what a peer says to the keeper of the whitelist goes.
pub(super) struct Ears {
    peer: PeerId,
    words: Option<mpsc::Sender<Word>>,
    /// What a peer that may only read said so far; none once its hello was accepted. What it says counts for others' reading, so its
    /// certificate is judged first.
    held: Mutex<Option<Vec<Said>>>,
}

impl Ears {
    /// Those for one connection; `words` is where they go, if anybody hears them.
    pub(super) fn of(peer: PeerId, words: Option<mpsc::Sender<Word>>, reads_only: bool) -> Self {
        Self {
            peer,
            words,
            held: Mutex::new(reads_only.then(Vec::new)),
        }
    }

    /// What finds no room is said again with the next connection.
    pub(super) fn say(&self, word: Said) {
        if let Some(words) = &self.words {
            let _full = words.try_send((self.peer, word));
        }
    }

    /// The same for a peer that may only read: once its hello is accepted.
    pub(super) fn hold(&self, word: Said) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *held {
            None => {
                drop(held);
                self.say(word);
            }
            Some(words) if words.len() < MAX_SAID => words.push(word),
            Some(_) => {}
        }
    }

    /// The engine has accepted the peer's hello.
    pub(super) fn accepted(&self) {
        let held = self
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        held.into_iter().flatten().for_each(|word| self.say(word));
    }
}

#[cfg(test)]
mod tests {
    use city_protocol::trust::{KeyAnnouncement, TransportSigner as _};
    use libp2p::identity::Keypair;

    use super::*;
    use crate::engine::{TransportKey, utc};

    #[test]
    fn a_reader_is_heard_once_its_hello_is_accepted_and_others_at_once() {
        let key = TransportKey::new(Keypair::generate_ed25519()).expect("Ed25519");
        let said = KeyAnnouncement {
            certificate: Vec::new(),
            chain: Vec::new(),
        };
        let said = said.sign(&key, [1; 16], utc());
        let word = || Said::Recommendation(Box::new(said.clone()));
        let heard =
            |inbox: &mut mpsc::Receiver<Word>| std::iter::from_fn(|| inbox.try_recv().ok()).count();
        for reads_only in [true, false] {
            let (words, mut inbox) = mpsc::channel(2 * MAX_SAID);
            let ears = Ears::of(key.peer_id(), Some(words), reads_only);
            ears.hold(word());
            assert_eq!(heard(&mut inbox), usize::from(!reads_only));
            ears.accepted();
            assert_eq!(heard(&mut inbox), usize::from(reads_only));
            ears.hold(word());
            assert_eq!(heard(&mut inbox), 1, "from then on at once");
        }
        // No more is kept than anybody has to say.
        let (words, mut inbox) = mpsc::channel(2 * MAX_SAID);
        let ears = Ears::of(key.peer_id(), Some(words), true);
        for _ in 0..=MAX_SAID {
            ears.hold(word());
        }
        ears.accepted();
        assert_eq!(heard(&mut inbox), MAX_SAID);
    }
}
