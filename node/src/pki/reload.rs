//! Keeps both doors and the trust store as their files are: read again on SIGHUP and when a file changes.
//! A change is taken as a whole or not at all; what cannot be read leaves the old state standing, says so once
//! in the log and in `status` until it is mended.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use city_protocol::amount::Timestamp;
use city_protocol::pki::Root;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::door::{Door, DoorKind};
use super::log_lists::MAX_LOG_LISTS;
use super::tls::{TlsError, TlsIdentity};
use super::tls_trust::ListState;
use super::trust_store::{MAX_CRL_FILES, TrustFiles, TrustStore, TrustStoreError};
use crate::engine::SystemClock;
use crate::keys::Keystore;
use crate::setup::{IdentityError, read_tls};

/// How often files are looked at: a revoked certificate works at most this much longer. A look is a few calls.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often what goes on is said again: a stale list, a certificate that ends.
const SAY_AGAIN: Duration = Duration::from_secs(24 * 60 * 60);
/// How long before its end a certificate of this node is warned of, in milliseconds: 30 days.
pub const RENEW_BEFORE_MS: u64 = 30 * 24 * 60 * 60 * 1000;

/// Both doors with one trust store; unchanging.
#[derive(Debug)]
pub struct Doors {
    /// For apps.
    pub app: Door,
    /// For operators.
    pub operator: Door,
    /// Who judges at both, and submissions.
    pub trust: Arc<TrustStore>,
    /// Counts up with every exchange: what was judged under another number is judged again.
    pub generation: u64,
    /// Certificates of this node that end: what they are called, and their last second.
    own: Vec<(String, Timestamp)>,
}

/// Where everything is that the doors are made of.
#[derive(Clone, Debug)]
pub struct DoorFiles {
    /// The server's certificate, PEM, leaf first.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// What opens it.
    pub keystore: Arc<Keystore>,
    /// Whom to believe.
    pub trust: TrustFiles,
}

/// Why the doors could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// Certificate or key.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// rustls refused.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The trust store.
    #[error(transparent)]
    Trust(#[from] TrustStoreError),
}

/// What does not change with the files.
#[derive(Clone, Debug)]
pub struct DoorTerms {
    /// Post-quantum roots of the genesis record.
    pub roots: Arc<[Root]>,
    /// The clock that judges dates.
    pub clock: SystemClock,
    /// Whether TLS 1.2 is spoken, too.
    pub tls12: bool,
    /// Other certificates of this node that end: what they are called, and their last second.
    pub others: Vec<(String, Timestamp)>,
}

/// Operators who ask at once that everything is read again; each reading takes milliseconds.
const ASKING: usize = 4;

/// What reading everything again came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reread {
    /// Files that are others than at the look before, which is at most two seconds ago.
    pub changed: Vec<PathBuf>,
    /// Why what is on disk is not what holds, if so.
    pub problem: Option<String>,
}

/// Reads the doors as they are now; cheap to clone.
#[derive(Clone, Debug)]
pub struct DoorKeeper {
    doors: watch::Receiver<Arc<Doors>>,
    ask: mpsc::Sender<oneshot::Sender<Reread>>,
    problem: Arc<Mutex<Option<String>>>,
    clock: SystemClock,
}

impl DoorKeeper {
    /// The doors as they are now.
    #[must_use]
    pub fn now(&self) -> Arc<Doors> {
        Arc::clone(&self.doors.borrow())
    }

    /// Why what is on disk is not what holds, if so.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.problem.lock().expect(HELD).clone()
    }

    /// Has everything read again now, as on SIGHUP. `None` where there are no files, or the node is stopping.
    pub async fn read_again(&self) -> Option<Reread> {
        let (reply, done) = oneshot::channel();
        self.ask.send(reply).await.ok()?;
        done.await.ok()
    }

    /// The clock that judges dates.
    #[must_use]
    pub const fn clock(&self) -> &SystemClock {
        &self.clock
    }

    /// To wait for the next exchange.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<Doors>> {
        self.doors.clone()
    }

    /// Doors that never change, for what runs without files.
    ///
    /// # Errors
    /// [`TlsError`] if chain and key do not fit.
    pub fn fixed(
        identity: TlsIdentity,
        trust: TrustStore,
        terms: &DoorTerms,
    ) -> Result<Self, TlsError> {
        let doors = Doors::new(identity, trust, terms, 0)?;
        let (_, doors) = watch::channel(Arc::new(doors));
        let (ask, _) = mpsc::channel(ASKING);
        Ok(Self {
            doors,
            ask,
            problem: Arc::default(),
            clock: terms.clock,
        })
    }
}

const HELD: &str = "no holder of this lock panics";

impl Doors {
    fn new(
        identity: TlsIdentity,
        trust: TrustStore,
        terms: &DoorTerms,
        generation: u64,
    ) -> Result<Self, TlsError> {
        let mut own = terms.others.clone();
        own.push((
            "the TLS certificate (certs/tls.pem)".into(),
            identity.not_after()?,
        ));
        let trust = Arc::new(trust);
        let door = |kind| {
            let trust = Arc::clone(&trust);
            Door::new(kind, identity.clone(), trust, terms.clock, terms.tls12)
        };
        Ok(Self {
            app: door(DoorKind::App)?,
            operator: door(DoorKind::Operator)?,
            trust,
            generation,
            own,
        })
    }

    /// The door of a kind.
    #[must_use]
    pub const fn door(&self, kind: DoorKind) -> &Door {
        match kind {
            DoorKind::App => &self.app,
            DoorKind::Operator => &self.operator,
        }
    }
}

/// Looks after the files.
pub struct DoorWatch {
    files: DoorFiles,
    terms: DoorTerms,
    seen: Vec<Seen>,
    doors: watch::Sender<Arc<Doors>>,
    problem: Arc<Mutex<Option<String>>>,
    asked: mpsc::Receiver<oneshot::Sender<Reread>>,
    said: Option<(Instant, Vec<String>)>,
}

/// What tells one state of a file from another. A file that is exchanged by `mv` has another inode.
type Seen = (PathBuf, Option<(u64, u64, i64, i64)>);

impl DoorWatch {
    /// Reads everything for the first time. A trust store that cannot be read does not keep the node from
    /// starting: it admits nobody by certificate until it is mended.
    ///
    /// # Errors
    /// [`DoorError`] of the server's own certificate and key.
    pub fn open(files: DoorFiles, terms: DoorTerms) -> Result<(Self, DoorKeeper), DoorError> {
        let seen = look(&files);
        let identity = read_tls(&files.certificate, &files.key, &files.keystore)?;
        let roots = Arc::clone(&terms.roots);
        let mut problem = None;
        let trust = TrustStore::read(&files.trust, roots).unwrap_or_else(|error| {
            tracing::error!(%error, "the trust store cannot be read: nobody is admitted by certificate until it is mended");
            problem = Some(error.to_string());
            TrustStore::closed(Arc::clone(&terms.roots))
        });
        let (doors, receiver) = watch::channel(Arc::new(Doors::new(identity, trust, &terms, 0)?));
        let problem = Arc::new(Mutex::new(problem));
        let (ask, asked) = mpsc::channel(ASKING);
        let keeper = DoorKeeper {
            doors: receiver,
            ask,
            problem: Arc::clone(&problem),
            clock: terms.clock,
        };
        let said = None;
        let watch = Self {
            files,
            terms,
            seen,
            doors,
            problem,
            asked,
            said,
        };
        Ok((watch, keeper))
    }

    /// Looks after the files until `stop`; `hear` is told of every exchange after it took effect.
    pub async fn run(mut self, hear: impl Fn(&Doors) + Send + 'static, stop: CancellationToken) {
        let mut hangup = signal(SignalKind::hangup()).ok();
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let hung_up = async {
                match &mut hangup {
                    Some(hangup) => drop(hangup.recv().await),
                    None => std::future::pending().await,
                }
            };
            let mut reply = None;
            let asked = tokio::select! {
                () = stop.cancelled() => return,
                () = hung_up => true,
                Some(asked) = self.asked.recv() => {
                    reply = Some(asked);
                    true
                }
                _ = tick.tick() => false,
            };
            let looked = tokio::task::spawn_blocking(move || {
                let looked = self.look_again(asked);
                self.say_what_ends();
                (self, looked)
            });
            let Ok((watch, (exchanged, changed))) = looked.await else {
                tracing::error!(
                    "looking after certificates ended by a bug; its report stands above"
                );
                return;
            };
            self = watch;
            if exchanged {
                hear(&self.doors.borrow());
            }
            if let Some(reply) = reply {
                let problem = self.problem.lock().expect(HELD).clone();
                // Who asked may have gone.
                let _gone = reply.send(Reread { changed, problem });
            }
        }
    }

    /// Reads everything again if a file changed or it was asked for; says whether that was an exchange, and which files
    /// are others than before.
    fn look_again(&mut self, asked: bool) -> (bool, Vec<PathBuf>) {
        let seen = look(&self.files);
        let changed = different(&self.seen, &seen);
        if !asked && seen == self.seen {
            return (false, changed);
        }
        self.seen = seen;
        (self.exchange(), changed)
    }

    /// Reads everything and takes it, if it is good; says whether it was.
    fn exchange(&mut self) -> bool {
        let generation = self.doors.borrow().generation + 1;
        let read = || -> Result<Doors, DoorError> {
            let identity = read_tls(
                &self.files.certificate,
                &self.files.key,
                &self.files.keystore,
            )?;
            let roots = Arc::clone(&self.terms.roots);
            let trust = TrustStore::read(&self.files.trust, roots)?;
            Ok(Doors::new(identity, trust, &self.terms, generation)?)
        };
        match read() {
            Ok(doors) => {
                self.doors.send_replace(Arc::new(doors));
                *self.problem.lock().expect(HELD) = None;
                self.said = None;
                tracing::info!(
                    "certificates, roots and lists of revoked certificates were read again"
                );
                true
            }
            Err(error) => {
                let text = error.to_string();
                tracing::error!(error = %text, "the changed certificates, roots or lists are not used; the old ones stay in force");
                *self.problem.lock().expect(HELD) = Some(text);
                false
            }
        }
    }

    /// Warns of what ends, when that changes and once a day.
    fn say_what_ends(&mut self) {
        let doors = Arc::clone(&self.doors.borrow());
        let now = self.terms.clock.now().time;
        let ends = warnings(&doors, now);
        let due = match &self.said {
            None => true,
            Some((at, said)) => *said != ends || at.elapsed() >= SAY_AGAIN,
        };
        if due {
            for what in &ends {
                tracing::warn!("{what}");
            }
            self.said = Some((Instant::now(), ends));
        }
    }
}

/// What ends soon or has ended, in words for operators.
#[must_use]
pub fn warnings(doors: &Doors, now: Timestamp) -> Vec<String> {
    let own = doors.own.iter();
    let own = own.filter_map(|(what, not_after)| ends(what, *not_after, now));
    let mut warnings: Vec<String> = own.collect();
    for (kind, root) in doors.trust.states(now) {
        let which = format!("the {kind} {}", root.fingerprint);
        warnings.extend(ends(&which, root.not_after, now));
        let list = match root.list {
            ListState::Current => continue,
            ListState::None => "has no list of revoked certificates (crl-none)",
            ListState::Stale => {
                "has a list of revoked certificates past its nextUpdate (crl-stale)"
            }
            ListState::Expired => {
                "has a list of revoked certificates past its grace (crl-expired): nobody is admitted under it"
            }
        };
        warnings.push(format!(
            "{which} {list}; put the CA's newest CRL into crls/"
        ));
    }
    warnings
}

/// Says of a certificate that it ends within 30 days or has ended.
fn ends(what: &str, not_after: Timestamp, now: Timestamp) -> Option<String> {
    let at = crate::config::rfc3339(not_after);
    if now > not_after {
        Some(format!(
            "{what} expired at {at}: renew it; the node goes on with it"
        ))
    } else if not_after.0 - now.0 <= RENEW_BEFORE_MS {
        Some(format!("{what} expires at {at}: renew it"))
    } else {
        None
    }
}

/// The files that are in one look and not the same in the other, each once.
fn different(before: &[Seen], after: &[Seen]) -> Vec<PathBuf> {
    let old = before.iter().filter(|seen| !after.contains(seen));
    let new = after.iter().filter(|seen| !before.contains(seen));
    let mut paths: Vec<PathBuf> = old.chain(new).map(|(path, _)| path.clone()).collect();
    paths.sort();
    paths.dedup();
    paths
}

fn look(files: &DoorFiles) -> Vec<Seen> {
    let mut paths = vec![
        files.certificate.clone(),
        files.key.clone(),
        files.trust.tls_roots.clone(),
        files.trust.crls.clone(),
        files.trust.from_logs.clone(),
    ];
    let directories = [
        (&files.trust.crls, MAX_CRL_FILES),
        (&files.trust.from_logs, MAX_LOG_LISTS),
    ];
    for (dir, most) in directories {
        let lists = fs::read_dir(dir).into_iter().flatten().flatten();
        // One more than are taken, so that too many are seen as a change, too.
        let lists = lists.take(most + 1).map(|entry| entry.path());
        let mut lists: Vec<PathBuf> = lists.collect();
        lists.sort();
        paths.append(&mut lists);
    }
    let state = |path: &Path| {
        let file = fs::metadata(path).ok()?;
        Some((file.ino(), file.len(), file.mtime(), file.mtime_nsec()))
    };
    paths
        .into_iter()
        .map(|path| {
            let state = state(&path);
            (path, state)
        })
        .collect()
}
