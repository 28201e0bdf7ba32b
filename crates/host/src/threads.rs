//! The threads that plugins run on. Their stack holds as many plugins, one calling the other, as may be; so a plugin runs
//! on none but these.

use std::cell::Cell;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

/// The stack of a thread that runs plugins: eight times the stack of a plugin, and three times as much for what is between.
const STACK: usize = 4 << 20;

thread_local! {
    static IS_OURS: Cell<bool> = const { Cell::new(false) };
}

/// Whether plugins may run on this thread.
pub(crate) fn is_ours() -> bool {
    IS_OURS.get()
}

/// Starts a thread that plugins may run on.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let ours = move || {
        IS_OURS.set(true);
        body()
    };
    Builder::new().name(name.to_owned()).stack_size(STACK).spawn(ours)
}

type Job = Box<dyn FnOnce() + Send>;

/// A few threads that take jobs from one queue.
pub(crate) struct Threads {
    queue: Mutex<Option<SyncSender<Job>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Threads {
    /// Starts threads, with a queue of so many jobs before them.
    pub(crate) fn start(count: usize, queue: usize) -> io::Result<Self> {
        let (sender, receiver) = sync_channel::<Job>(queue);
        let receiver = Arc::new(Mutex::new(receiver));
        let start = |number| {
            let receiver = Arc::clone(&receiver);
            spawn(&format!("plugins-{number}"), move || {
                while let Some(job) = next(&receiver) {
                    job();
                }
            })
        };
        let threads = (0..count.max(1)).map(start).collect::<io::Result<Vec<_>>>()?;
        Ok(Self { queue: Mutex::new(Some(sender)), threads: Mutex::new(threads) })
    }

    /// Queues a job. Gives it back if there is no room, or the threads have stopped.
    pub(crate) fn queue(&self, job: Job) -> Result<(), Refused> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match queue.ok_or(Refused::Stopped)?.try_send(job) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(Refused::Full),
            Err(TrySendError::Disconnected(_)) => Err(Refused::Stopped),
        }
    }

    /// Takes no more jobs, and waits for those that were queued.
    pub(crate) fn stop(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            let _ = thread.join();
        }
    }
}

fn next(receiver: &Mutex<Receiver<Job>>) -> Option<Job> {
    receiver.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// Why a job was not queued.
pub(crate) enum Refused {
    Full,
    Stopped,
}
