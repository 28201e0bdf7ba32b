//! The host: what an embedder calls.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use coalmine_core::{Hash, Name, State};
use tokio::sync::broadcast;

use crate::code::{self, CodeError, CodeStore, Incoming, Source};
use crate::event::HostEvent;
use crate::follow::Patience;
use crate::limits::Limits;
use crate::outbox::{Outbox, Silent};
use crate::response::{CallError, Response};
use crate::runtime::Runtime;
use crate::serve::refused;
use crate::shared::{Offers, Shared};
use crate::slot::{Slot, SlotStatus};
use crate::table::Table;
use crate::threads::{Refused, Threads, is_ours, spawn};
use crate::worker::{Pending, Worker};

/// Events that a slow subscriber may be behind.
const EVENTS_KEPT: usize = 1_024;

/// How a host is set up.
pub struct HostOptions {
    /// Where `code/` and `incoming/` are, or will be.
    pub folder: PathBuf,
    /// The most bytes that code has.
    pub code_size_max: u64,
    /// What plugins may use.
    pub limits: Limits,
    /// Threads that run plugins.
    pub threads: usize,
    /// Blocks between two reports of what a version has served.
    pub report_blocks: u32,
    /// Blocks until a version whose code is not to be had, or whose requirements are not, is attested as failed.
    pub patience_blocks: u32,
    /// Blocks until an attestation that the state does not show is said again.
    pub repeat_blocks: u32,
    /// Where commands go.
    pub outbox: Arc<dyn Outbox>,
    /// Where missing code comes from.
    pub source: Option<Arc<dyn Source>>,
    /// What plugins may read.
    pub offers: Arc<Offers>,
}

impl HostOptions {
    /// The defaults: nothing is reported, fetched or offered.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            code_size_max: code::CODE_SIZE_MAX,
            limits: Limits::default(),
            threads: 8,
            report_blocks: 10,
            patience_blocks: 60,
            repeat_blocks: 20,
            outbox: Arc::new(Silent),
            source: None,
            offers: Arc::new(|_| None),
        }
    }
}

/// Why a host does not start.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Its folders cannot be used.
    #[error("{0}")]
    Code(#[from] CodeError),
    /// The system gives it no threads.
    #[error("the threads of the host do not start: {0}")]
    Threads(#[from] io::Error),
}

/// Runs plugins as a ledger says. Dropping it stops it.
pub struct Host {
    shared: Arc<Shared>,
}

impl Host {
    /// Starts a host. It does nothing until the first [`Host::sync`].
    ///
    /// # Errors
    /// [`HostError`].
    pub fn start(runtime: Arc<dyn Runtime>, options: HostOptions) -> Result<Self, HostError> {
        let HostOptions { folder, code_size_max, limits, threads, report_blocks, outbox, source, offers, .. } = options;
        let store = CodeStore::open_with(folder.join("code"), code_size_max)?;
        let incoming = Incoming::open(folder.join("incoming"))?;
        let patience =
            Patience { patience_blocks: options.patience_blocks, repeat_blocks: options.repeat_blocks.max(1) };
        // Enough for one version with all that it may serve at a time and all that may wait for it.
        let queue = usize::try_from(limits.in_flight.saturating_add(limits.queue)).unwrap_or(usize::MAX);
        let pending = Arc::new(Pending::default());
        let threads = Threads::start(threads, queue)?;
        let mut failed = None;
        let shared = Arc::new_cyclic(|shared: &Weak<Shared>| {
            let worker = |name: &str| {
                let shared = Weak::clone(shared);
                Worker::start(name, &pending, move |job| {
                    if let Some(shared) = shared.upgrade() {
                        shared.work(job);
                    }
                })
            };
            let fetcher = Weak::clone(shared);
            let fetcher = Worker::start("plugin-fetch", &pending, move |hash| {
                if let Some(shared) = fetcher.upgrade() {
                    shared.fetch(hash);
                }
            });
            let (loader, fetcher) = match (worker("plugin-load"), fetcher) {
                (Ok(loader), Ok(fetcher)) => (loader, fetcher),
                (Err(error), _) | (_, Err(error)) => {
                    failed = Some(error);
                    (Worker::none(&pending), Worker::none(&pending))
                }
            };
            Shared {
                limits: Arc::new(limits),
                report_blocks: report_blocks.max(1),
                patience,
                runtime,
                store,
                source,
                outbox,
                offers,
                table: RwLock::default(),
                height: AtomicU32::new(0),
                is_stopped: AtomicBool::new(false),
                follow: Mutex::default(),
                speaking: Mutex::default(),
                incoming: Mutex::new(incoming),
                compiled: Mutex::default(),
                unnamed: Mutex::default(),
                events: broadcast::Sender::new(EVENTS_KEPT),
                pending: Arc::clone(&pending),
                threads,
                loader,
                fetcher,
            }
        });
        match failed {
            None => Ok(Self { shared }),
            Some(error) => Err(error.into()),
        }
    }

    /// Follows the ledger. To be called after every commit, and at start.
    ///
    /// It is enough to call it with the last state: nothing that happened in between is needed. What takes long is begun
    /// here and goes on by itself. After a block that changes no plugin it costs next to nothing.
    pub fn sync(&self, state: &State) {
        self.shared.sync(state);
    }

    /// Serves a request by the version that the ledger routes the unit to, or says why not. It waits for the answer.
    ///
    /// On a thread of [`Host::spawn`] it runs right there, which saves two switches of threads.
    #[must_use]
    pub fn handle(&self, plugin: &Name, unit: &[u8], request: &[u8]) -> Response {
        if is_ours() {
            return self.shared.serve_first(plugin, unit, request);
        }
        let (sender, receiver) = sync_channel(1);
        self.handle_then(*plugin, unit.to_vec(), request.to_vec(), move |response| {
            let _ = sender.send(response);
        });
        receiver.recv().unwrap_or_else(|_| refused(CallError::Stopped))
    }

    /// Like [`Host::handle`] without waiting: the answer goes to `then`, on one of the host's threads, or at once if there
    /// is no room for the request.
    pub fn handle_then(
        &self,
        plugin: Name,
        unit: Vec<u8>,
        request: Vec<u8>,
        then: impl FnOnce(Response) + Send + 'static,
    ) {
        // Whoever gets to it first takes it: the thread, or this function if there is no room.
        let then = Arc::new(Mutex::new(Some(then)));
        let take = |then: &Mutex<Option<_>>| then.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (shared, later) = (Arc::clone(&self.shared), Arc::clone(&then));
        let queued = self.shared.threads.queue(Box::new(move || {
            let response = shared.serve_first(&plugin, &unit, &request);
            if let Some(then) = take(&later) {
                then(response);
            }
        }));
        let Err(refusal) = queued else { return };
        if let Some(then) = take(&then) {
            then(refused(match refusal {
                Refused::Full => CallError::Busy(plugin),
                Refused::Stopped => CallError::Stopped,
            }));
        }
    }

    /// Serves a request on fresh instances, deterministically: the same engine version, state and request give the same
    /// answer, error and fuel on every machine. Starting the instance is not metered, and nothing is counted.
    ///
    /// What it takes to build consensus on it is in HOST.md.
    #[must_use]
    pub fn handle_fresh(&self, plugin: &Name, unit: &[u8], request: &[u8]) -> Response {
        let shared = &self.shared;
        if is_ours() {
            return shared.serve_fresh_first(plugin, unit, request);
        }
        let (sender, receiver) = sync_channel(1);
        let (plugin, unit, request) = (*plugin, unit.to_vec(), request.to_vec());
        let runner = Arc::clone(shared);
        // Nothing about this node, such as how busy it is, may change the answer: a thread of its own.
        let spawned = spawn("plugin-fresh", move || {
            let _ = sender.send(runner.serve_fresh_first(&plugin, &unit, &request));
        });
        match spawned {
            Ok(_) => receiver.recv().unwrap_or_else(|_| refused(CallError::Stopped)),
            Err(_) => refused(CallError::Stopped),
        }
    }

    /// Starts a thread on which [`Host::handle`] runs plugins right there: it has the stack for it.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn spawn<T: Send + 'static>(
        name: &str,
        body: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<JoinHandle<T>> {
        spawn(name, body)
    }

    /// The hashes that the ledger names and the code store lacks. A node is not ready until there are none.
    #[must_use]
    pub fn missing(&self) -> BTreeSet<Hash> {
        self.shared.lock().missing()
    }

    /// Takes code in, from wherever it comes, and returns its hash. The next [`Host::sync`] finds it.
    ///
    /// # Errors
    /// [`CodeError`], as of [`CodeStore::put`].
    pub fn put(&self, code: &[u8]) -> Result<Hash, CodeError> {
        self.shared.store.put(code)
    }

    /// The code store.
    #[must_use]
    pub fn store(&self) -> &CodeStore {
        &self.shared.store
    }

    /// The folder that files are dropped into.
    #[must_use]
    pub fn incoming(&self) -> PathBuf {
        let incoming = self.shared.incoming.lock().unwrap_or_else(PoisonError::into_inner);
        Path::to_owned(incoming.path())
    }

    /// Removes code that no version has named for so many blocks, and returns its hashes. After a start the blocks are
    /// counted anew.
    ///
    /// # Errors
    /// [`CodeError`], if the store cannot be read or written.
    pub fn collect(&self, state: &State, keep_blocks: u32) -> Result<BTreeSet<Hash>, CodeError> {
        self.shared.collect(state, keep_blocks)
    }

    /// What is ready here, for metrics and pages, in the order of plugins and versions.
    #[must_use]
    pub fn status(&self) -> Vec<SlotStatus> {
        let slots: Vec<Arc<Slot>> = self.shared.lock().slots().cloned().collect();
        slots.iter().map(|slot| slot.status()).collect()
    }

    /// What happens from now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<HostEvent> {
        self.shared.events.subscribe()
    }

    /// Waits until all that was begun has ended: for tests, and for a node that is to be ready before it says so. Returns
    /// whether it has in time.
    #[must_use]
    pub fn settle(&self, at_most: Duration) -> bool {
        self.shared.pending.wait(at_most)
    }

    /// Takes no more calls, waits for those in flight, and frees everything.
    pub fn stop(&self) {
        let shared = &self.shared;
        shared.is_stopped.store(true, Ordering::SeqCst);
        shared.set_table(Table::default());
        for slot in shared.lock().clear() {
            slot.close();
        }
        shared.loader.stop();
        shared.fetcher.stop();
        shared.threads.stop();
        for slot in shared.lock().clear() {
            slot.close();
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop();
    }
}
