//! The desk at which strangers' requests to be whitelisted are taken, one after the other; and what peers say of others, and of
//! keys.

use city_protocol::ids::NetworkId;
use city_protocol::trust::SignedRotation;
use libp2p::PeerId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::access::AccessLog;
use crate::admin::rotation::go_by;
use crate::engine::{EngineHandle, Said, TransportKey, Word, libp2p_peer, protocol_peer, utc};
use crate::net::{Channel, Enrolment, NetHandle};
use crate::pki::DoorKeeper;
use crate::trust::keyfile::Judges;
use crate::trust::{Bringer, ChangeError, Following, Keeper, MAX_SAID};

/// Requests that wait for the disk; a further one is told to come again.
pub(super) const WAITING: usize = 8;

/// Words of peers that wait for the disk: what two say as they connect. A further one is said again with the peer's next connection.
pub(super) const WORDS: usize = 2 * MAX_SAID;

/// The same of those who may only read, behind all others'.
pub(super) const WORDS_OF_READERS: usize = MAX_SAID;

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
    /// Who keeps what was heard of the own log.
    pub(super) engine: EngineHandle,
    /// Whether peers get certificates that they ask for.
    pub(super) share_keys: bool,
    /// For which network rotations are.
    pub(super) network: NetworkId,
    /// Where it is noted whose key another one followed.
    pub(super) access: AccessLog,
}

impl Ear {
    /// Judges and records what peers say, and answers what they ask, until `stop`; what readers say while nobody else does.
    pub(super) async fn hear(
        self,
        mut words: mpsc::Receiver<Word>,
        mut of_readers: mpsc::Receiver<Word>,
        stop: CancellationToken,
    ) {
        loop {
            let word = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                word = words.recv() => word,
                Some(word) = of_readers.recv() => Some(word),
            };
            let Some((from, said)) = word else {
                return;
            };
            let from = libp2p_peer(&from);
            let said = match said {
                Said::Rotation(signed) => {
                    self.follow(from, *signed).await;
                    continue;
                }
                said => said,
            };
            let (trust, doors, share) = (self.trust.clone(), self.doors.now(), self.share_keys);
            let judge = move || {
                let judges = Judges {
                    roots: &doors.trust.roots,
                    crls: &doors.trust.crls,
                    now: utc(),
                };
                // What was refused, or is no news, changes nothing.
                match said {
                    Said::Recommendation(signed) => drop(trust.hear(&from, &signed, judges.now)),
                    Said::Announcement(signed) => drop(trust.announced(&from, &signed, judges)),
                    Said::KeyResponse(signed) => drop(trust.answered(&from, &signed, judges)),
                    Said::KeyRequest(signed) if share => {
                        return trust.answer(&from, &signed, judges);
                    }
                    Said::KeyRequest(_) | Said::Rotation(_) => {}
                }
                Vec::new()
            };
            // So does one that panicked.
            let answers = tokio::task::spawn_blocking(judge).await.unwrap_or_default();
            let Some(to) = protocol_peer(&from) else {
                continue;
            };
            for answer in answers {
                let frame = self.key.answer(&to, &answer).encode();
                // One that takes nothing now asks again with its next connection.
                let _full = self.net.try_send(&from, Channel::Sync, frame);
            }
        }
    }

    /// Follows a rotation that a peer brings, if it is to be followed.
    async fn follow(&self, from: PeerId, signed: SignedRotation) {
        let (trust, doors, network) = (self.trust.clone(), self.doors.now(), self.network);
        let following = move || {
            let judges = Judges {
                roots: &doors.trust.roots,
                crls: &doors.trust.crls,
                now: utc(),
            };
            let followed = trust.follow(&signed, &network, judges, Bringer::Peer(&from));
            (followed, signed)
        };
        // One that panicked changed nothing.
        let Ok((followed, signed)) = tokio::task::spawn_blocking(following).await else {
            return;
        };
        match followed {
            Ok(Following::Moved(moved)) => {
                self.access.write(moved.event(&from.to_string())).await;
                go_by(&self.net, &self.engine, &self.trust, moved, signed).await;
            }
            // Everybody hands on what it knows, also to those whom that does not concern.
            Ok(Following::Known(_))
            | Err(
                ChangeError::NotListed(_)
                | ChangeError::Myself(_)
                | ChangeError::NotInForce(_)
                | ChangeError::TooMuchSaid,
            ) => {}
            // Said again with each connection, and with any content by who wishes this node ill: told as seldom as it would be recorded.
            Err(error) if self.trust.may_record(&from, utc()) => {
                tracing::warn!(%from, %error, "a rotation that a peer brought");
            }
            Err(_) => {}
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
