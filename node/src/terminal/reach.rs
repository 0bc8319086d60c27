//! Whether the home answers: as the last question went, a submission's or one of the terminal's own.

use std::sync::Mutex;
use std::time::Duration;

use city_protocol::amount::Timestamp;
use hyper::Method;
use hyper::body::Bytes;
use tokio_util::sync::CancellationToken;

use super::Terminal;
use super::relay::HomeError;
use crate::api::wire::NodePage;
use crate::client::Reply;
use crate::engine::utc;

/// How often the terminal asks by itself: whoever stands before the screen sees within that time that the home is back.
const LOOK_EVERY: Duration = Duration::from_secs(10);

const HELD: &str = "no holder of this lock panics";

/// Whether the home answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Whether it does.
    pub reachable: bool,
    /// Since when it does, or does not.
    pub since: Timestamp,
    /// Why not.
    pub why: Option<String>,
}

/// The last answer to that.
pub(super) struct Reached(Mutex<Reach>);

impl Reached {
    pub(super) const fn new(now: Timestamp) -> Self {
        Self(Mutex::new(Reach {
            reachable: false,
            since: now,
            why: None,
        }))
    }

    pub(super) fn now(&self) -> Reach {
        self.0.lock().expect(HELD).clone()
    }

    /// Notes how a question went; says whether that changes anything.
    pub(super) fn note(&self, why: Option<String>, now: Timestamp) -> bool {
        let mut reach = self.0.lock().expect(HELD);
        let reachable = why.is_none();
        let changed = reach.reachable != reachable;
        if changed {
            reach.since = now;
        }
        reach.reachable = reachable;
        reach.why = why;
        changed
    }
}

impl Terminal {
    /// Asks the home until `stop` whether it is there.
    pub async fn watch(self, stop: CancellationToken) {
        let mut ticker = tokio::time::interval(LOOK_EVERY);
        ticker.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let looking = async {
            loop {
                ticker.tick().await;
                let _noted = self.look().await;
            }
        };
        stop.run_until_cancelled(looking).await;
    }

    /// Asks the home who it is, and notes whether it is the one that this terminal belongs to.
    ///
    /// # Errors
    /// [`HomeError`].
    pub async fn look(&self) -> Result<(), HomeError> {
        let looked = match self.call(Method::GET, "/send/api/node", Bytes::new()).await {
            Ok(reply) => self.is_home(&reply),
            Err(error) => Err(error),
        };
        self.tell(looked.as_ref().err());
        looked
    }

    /// Whether this is the page of this terminal's home.
    fn is_home(&self, reply: &Reply) -> Result<(), HomeError> {
        if !reply.status.is_success() {
            return Err(HomeError::Silent(format!("it answers {}", reply.status)));
        }
        let page: Option<NodePage> = serde_json::from_slice(&reply.body).ok();
        let ours = |page: NodePage| {
            let same = page.network == self.0.genesis.network() && page.log == self.0.log;
            same && page.terminal.is_none()
        };
        match page.is_some_and(ours) {
            true => Ok(()),
            false => Err(HomeError::Untrusted(
                "who answers there is not this terminal's home".into(),
            )),
        }
    }

    /// Notes how a question to the home went.
    pub(super) fn tell(&self, error: Option<&HomeError>) {
        let why = error.map(ToString::to_string);
        if self.0.reached.note(why.clone(), utc()) {
            match why {
                None => tracing::info!(home = %self.0.home, "the home answers"),
                Some(why) => tracing::warn!(home = %self.0.home, why, "the home does not answer"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_when_it_changed_and_why_is_the_newest() {
        let reached = Reached::new(Timestamp(1));
        assert!(!reached.note(Some("refused".into()), Timestamp(2)));
        assert!(!reached.note(Some("timeout".into()), Timestamp(3)));
        let away = reached.now();
        assert_eq!(
            (away.since, away.why.as_deref()),
            (Timestamp(1), Some("timeout"))
        );
        assert!(reached.note(None, Timestamp(4)));
        assert!(!reached.note(None, Timestamp(5)));
        let there = reached.now();
        assert_eq!(
            (there.reachable, there.since, there.why),
            (true, Timestamp(4), None)
        );
    }
}
