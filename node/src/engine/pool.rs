//! Verification on every core, away from the threads that wait for sockets.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// One thread a core. Jobs run in the order in which they come, without a switch of threads between two of
/// them; how many may wait is bounded by those who ask (each waits for its answer). The threads end when the
/// last handle is gone.
#[derive(Clone)]
pub struct Pool(Arc<Owner>);

/// Closes the queue when the last handle is dropped.
struct Owner(Arc<Queue>);

#[derive(Default)]
struct Queue {
    jobs: Mutex<Jobs>,
    filled: Condvar,
    /// Jobs that wait or run.
    pending: AtomicUsize,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    /// Threads that sleep.
    idle: usize,
    closed: bool,
}

impl Pool {
    /// A pool as wide as the machine.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn new() -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let pool = Self(Arc::new(Owner(Arc::clone(&queue))));
        let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        for core in 0..cores {
            let queue = Arc::clone(&queue);
            thread::Builder::new()
                .name(format!("verify-{core}"))
                .spawn(move || queue.work())?;
        }
        Ok(pool)
    }

    /// Whether something is being verified: the commit thread then waits a little for company.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.0.0.pending.load(Ordering::Acquire) > 0
    }

    /// Runs a job when a core is free. `None` if it panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        self.begin(job).await.ok()
    }

    /// The same for whoever waits for the answer elsewhere: it comes straight from the thread that has it. Whoever no longer
    /// wants it lets go of the receiver.
    pub fn begin<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (done, answer) = oneshot::channel();
        let pending = Pending::new(&self.0.0);
        self.0.0.push(Box::new(move || {
            // Whoever asked may have gone away meanwhile.
            if !done.is_closed() {
                let value = job();
                // Before the answer: who has it is not to be told that the pool is still busy with it.
                drop(pending);
                let _gone = done.send(value);
            }
        }));
        answer
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.filled.notify_all();
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().expect("no job runs under this lock")
    }

    fn push(&self, job: Job) {
        let mut jobs = self.lock();
        jobs.waiting.push_back(job);
        let somebody_sleeps = jobs.idle > 0;
        drop(jobs);
        if somebody_sleeps {
            self.filled.notify_one();
        }
    }

    /// The life of one thread.
    fn work(&self) {
        let mut jobs = self.lock();
        loop {
            let Some(job) = jobs.waiting.pop_front() else {
                if jobs.closed {
                    return;
                }
                jobs.idle += 1;
                jobs = self.filled.wait(jobs).expect("no job runs under this lock");
                jobs.idle -= 1;
                continue;
            };
            drop(jobs);
            // Where a panic does not end the process it costs the job's answer, and not the thread.
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                tracing::error!("a verification ended by a bug; its report stands above");
            }
            jobs = self.lock();
        }
    }
}

/// Counts a job from its question to its end.
struct Pending(Arc<Queue>);

impl Pending {
    fn new(queue: &Arc<Queue>) -> Self {
        queue.pending.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(queue))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn jobs_run_in_turn_and_a_panic_costs_only_its_own_answer() {
        let pool = Pool::new().unwrap();
        assert_eq!(pool.run(|| 1 + 1).await, Some(2));
        assert_eq!(pool.run(|| panic!("a bug")).await, None::<()>);
        let all = (0..100).map(|n| {
            let pool = pool.clone();
            tokio::spawn(async move { pool.run(move || n).await })
        });
        for (n, task) in all.collect::<Vec<_>>().into_iter().enumerate() {
            assert_eq!(task.await.unwrap(), Some(n));
        }
        // The answer is there before the thread has put the job down.
        while pool.is_busy() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_pool_is_busy_while_a_job_runs() {
        let pool = Pool::new().unwrap();
        let (go, wait) = mpsc::channel::<()>();
        let running = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(move || wait.recv().is_ok()).await }
        });
        while !pool.is_busy() {
            tokio::task::yield_now().await;
        }
        go.send(()).unwrap();
        assert_eq!(running.await.unwrap(), Some(true));
    }

    #[tokio::test]
    async fn the_threads_end_with_the_last_handle() {
        let pool = Pool::new().unwrap();
        let queue = Arc::downgrade(&pool.0.0);
        drop(pool);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while queue.strong_count() > 0 {
            assert!(std::time::Instant::now() < deadline, "a thread stays");
            tokio::task::yield_now().await;
        }
    }
}
