//! Verification on every core, away from the threads that wait for sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

/// A limit on how much is verified at once: one job a core.
#[derive(Clone)]
pub struct Pool {
    places: Arc<Semaphore>,
    pending: Arc<AtomicUsize>,
}

impl Pool {
    /// A pool as wide as the machine.
    #[must_use]
    pub fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            places: Arc::new(Semaphore::new(cores)),
            pending: Arc::default(),
        }
    }

    /// Whether something is being verified: the commit thread then waits a little for company.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.pending.load(Ordering::Relaxed) > 0
    }

    /// Runs a job when a core is free. `None` when the runtime is stopping.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let _pending = Pending::new(&self.pending);
        let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
        let answer = tokio::task::spawn_blocking(move || {
            let answer = job();
            drop(place);
            answer
        });
        answer.await.ok()
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self::new()
    }
}

/// Counts a job from its question to its answer, also when nobody waits for that any more.
struct Pending(Arc<AtomicUsize>);

impl Pending {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
