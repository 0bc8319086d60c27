//! The desk at which strangers' requests to be whitelisted are taken, one after the other; and what peers say of others, and of
//! keys.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::engine::{Said, TransportKey, Word, libp2p_peer, utc};
use crate::net::{Channel, Enrolment, NetHandle};
use crate::pki::DoorKeeper;
use crate::trust::Keeper;
use crate::trust::keyfile::Judges;

/// Requests that wait for the disk; a further one is told to come again.
pub(super) const WAITING: usize = 8;

/// Words of peers that wait for the disk; a further one is said again with the peer's next connection.
pub(super) const WORDS: usize = 64;

/// Who hears what peers say.
pub(super) struct Ear {
    /// Where it is recorded.
    pub(super) trust: Keeper,
    /// By whom certificates are judged.
    pub(super) doors: DoorKeeper,
    /// Signs answers.
    pub(super) key: TransportKey,
    /// Takes them to who asked.
    pub(super) net: NetHandle,
    /// Whether peers get certificates that they ask for.
    pub(super) share_keys: bool,
}

impl Ear {
    /// Judges and records what peers say, and answers what they ask, until `stop`.
    pub(super) async fn hear(self, mut words: mpsc::Receiver<Word>, stop: CancellationToken) {
        loop {
            let word = tokio::select! {
                word = words.recv() => word,
                () = stop.cancelled() => return,
            };
            let Some((from, what, signed)) = word else {
                return;
            };
            let (trust, doors, share) = (self.trust.clone(), self.doors.now(), self.share_keys);
            let judge = move || {
                let judges = Judges {
                    roots: &doors.trust.roots,
                    crls: &doors.trust.crls,
                    now: utc(),
                };
                let from = libp2p_peer(&from);
                // What was refused, or is no news, changes nothing.
                match what {
                    Said::Recommendation => drop(trust.hear(&from, &signed, judges.now)),
                    Said::Announcement => drop(trust.announced(&from, &signed, judges)),
                    Said::KeyResponse => drop(trust.answered(&from, &signed, judges)),
                    Said::KeyRequest if share => return trust.answer(&from, &signed, judges),
                    Said::KeyRequest => {}
                }
                Vec::new()
            };
            // So does one that panicked.
            let answers = tokio::task::spawn_blocking(judge).await.unwrap_or_default();
            for answer in answers {
                let frame = self.key.answer(&from, &answer).encode();
                // One that takes nothing now asks again with its next connection.
                let _full = self.net.try_send(&libp2p_peer(&from), Channel::Sync, frame);
            }
        }
    }
}

/// Judges and records requests until `stop`; each has its answer when it is durable.
pub(super) async fn take(
    mut requests: mpsc::Receiver<Enrolment>,
    trust: Keeper,
    stop: CancellationToken,
) {
    loop {
        let enrolment = tokio::select! {
            enrolment = requests.recv() => enrolment,
            () = stop.cancelled() => return,
        };
        let Some(Enrolment {
            peer,
            address,
            request,
            answer,
        }) = enrolment
        else {
            return;
        };
        let trust = trust.clone();
        let judge = move || trust.request(&peer, &address, &request, utc());
        // Where it panicked there is no answer, and the connection ends.
        if let Ok(verdict) = tokio::task::spawn_blocking(judge).await {
            // The stranger may have gone.
            let _gone = answer.send(verdict);
        }
    }
}
