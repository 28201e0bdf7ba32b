//! Threads for what takes long: one that checks and compiles code and looks into the folder incoming, one that waits for
//! mirrors. Jobs run in the order in which they came.

use std::io;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// The stack of the thread that compiles: compilers recurse.
const STACK: usize = 32 << 20;

/// Counts the jobs that are queued or run.
#[derive(Default)]
pub(crate) struct Pending {
    count: Mutex<usize>,
    none: Condvar,
}

impl Pending {
    fn add(&self) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count = count.saturating_add(1);
    }

    fn remove(&self) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.none.notify_all();
        }
    }

    /// Waits until there are none. Whether there were none in time.
    pub(crate) fn wait(&self, at_most: Duration) -> bool {
        let until = Instant::now().checked_add(at_most);
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        while *count > 0 {
            let left = until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return false;
            }
            count = self.none.wait_timeout(count, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

/// A thread with a queue.
pub(crate) struct Worker<J> {
    queue: Mutex<Option<Sender<J>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    pending: Arc<Pending>,
}

impl<J: Send + 'static> Worker<J> {
    pub(crate) fn start(
        name: &str,
        pending: &Arc<Pending>,
        mut work: impl FnMut(J) + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, receiver) = channel();
        let counted = Arc::clone(pending);
        let body = move || {
            for job in receiver {
                work(job);
                counted.remove();
            }
        };
        let thread = Builder::new().name(name.to_owned()).stack_size(STACK).spawn(body)?;
        Ok(Self { queue: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)), pending: Arc::clone(pending) })
    }

    /// A worker that does nothing, for a host that does not start.
    pub(crate) fn none(pending: &Arc<Pending>) -> Self {
        Self { queue: Mutex::default(), thread: Mutex::default(), pending: Arc::clone(pending) }
    }

    /// Queues a job. After [`Worker::stop`] it is dropped.
    pub(crate) fn queue(&self, job: J) {
        self.pending.add();
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.as_ref().is_none_or(|queue| queue.send(job).is_err()) {
            self.pending.remove();
        }
    }

    /// Takes no more jobs, and waits for those that were queued.
    pub(crate) fn stop(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}
