//! What the threads of a host share, and how it follows the ledger: what a sync begins, and what then goes on by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use coalmine_core::{Hash, Height, Name, State};
use tokio::sync::broadcast;

use crate::code::{self, CodeError, CodeProblem, CodeStore, Incoming, Source};
use crate::context::{Identity, Services};
use crate::event::{HostEvent, HostEventKind};
use crate::follow::{Follow, Found, Job, Patience};
use crate::limits::Limits;
use crate::meter::command;
use crate::native::panic_message;
use crate::outbox::Outbox;
use crate::response::CallError;
use crate::runtime::{Code, Runtime};
use crate::slot::Slot;
use crate::table::Table;
use crate::threads::Threads;
use crate::wanted::{Spec, said, view};
use crate::worker::{Pending, Worker};

/// What an embedder lets plugins read, by key.
pub type Offers = dyn Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync;

/// What the threads of a host share.
pub(crate) struct Shared {
    pub(crate) limits: Arc<Limits>,
    pub(crate) report_blocks: u32,
    pub(crate) patience: Patience,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) store: CodeStore,
    pub(crate) source: Option<Arc<dyn Source>>,
    pub(crate) outbox: Arc<dyn Outbox>,
    pub(crate) offers: Arc<Offers>,
    pub(crate) table: RwLock<Arc<Table>>,
    pub(crate) height: AtomicU32,
    pub(crate) is_stopped: AtomicBool,
    pub(crate) follow: Mutex<Follow>,
    /// Held while the outbox is offered something, so that nothing is offered twice at a time.
    pub(crate) speaking: Mutex<Spoken>,
    pub(crate) incoming: Mutex<Incoming>,
    /// Compiled code, shared by the versions that have it.
    pub(crate) compiled: Mutex<BTreeMap<Hash, Weak<dyn Code>>>,
    /// From which height on no version has named a code.
    pub(crate) unnamed: Mutex<BTreeMap<Hash, Height>>,
    pub(crate) events: broadcast::Sender<HostEvent>,
    pub(crate) pending: Arc<Pending>,
    pub(crate) threads: Threads,
    pub(crate) loader: Worker<LoaderJob>,
    pub(crate) fetcher: Worker<Hash>,
}

/// What has been said lately.
#[derive(Default)]
pub(crate) struct Spoken {
    /// The height of the last reports.
    pub(crate) reported: Height,
    /// Whether the outbox took everything.
    pub(crate) is_behind: bool,
}

pub(crate) enum LoaderJob {
    Do(Job),
    Scan,
}

// Following.

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Follow> {
        self.follow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn sync(self: &Arc<Self>, state: &State) {
        let height = state.tip().unwrap_or_default();
        self.height.store(height, Ordering::Relaxed);
        if self.incoming.try_lock().is_ok_and(|incoming| incoming.has_changed()) {
            self.loader.queue(LoaderJob::Scan);
        }
        let (is_behind, is_report_due) = {
            let spoken = self.speaking.lock().unwrap_or_else(PoisonError::into_inner);
            (spoken.is_behind, height.saturating_sub(spoken.reported) >= self.report_blocks)
        };
        {
            let mut follow = self.lock();
            let is_same = follow.mark.as_ref() == Some(state.plugins_mark());
            if is_same && !is_behind && !is_report_due && !follow.is_restless() {
                follow.height = height;
                return;
            }
            follow.height = height;
            if !is_same {
                follow.view = view(state, &follow.view);
                follow.mark = Some(state.plugins_mark().clone());
            }
            follow.said = self.outbox.reporter().map(|reporter| said(state, &reporter)).unwrap_or_default();
            self.look(&mut follow);
        }
        self.tell();
        if is_report_due {
            self.report(state, height);
        }
    }

    /// Does what the view and what is held call for.
    fn look(&self, follow: &mut Follow) {
        if self.is_stopped.load(Ordering::SeqCst) {
            return;
        }
        let todo = follow.look(|hash| self.store.contains(hash));
        self.set_table(todo.table);
        for slot in &todo.closing {
            slot.close();
        }
        todo.events.into_iter().chain(follow.drained()).for_each(|event| self.emit(event));
        todo.jobs.into_iter().for_each(|job| self.loader.queue(LoaderJob::Do(job)));
        todo.fetches.into_iter().for_each(|hash| self.fetcher.queue(hash));
    }

    pub(crate) fn set_table(&self, table: Table) {
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
    }

    /// Offers the outbox what holds here and the state does not show.
    fn tell(&self) {
        let mut spoken = self.speaking.lock().unwrap_or_else(PoisonError::into_inner);
        let to_tell = self.lock().what_to_tell(self.patience);
        spoken.is_behind = false;
        for (subject, is_good) in to_tell {
            match self.outbox.take(subject.command(is_good)) {
                Ok(()) => self.lock().told(subject, is_good),
                Err(_) => spoken.is_behind = true,
            }
        }
    }

    /// Offers the outbox what versions have served. Only what it takes is taken from the counts.
    fn report(&self, state: &State, height: Height) {
        let mut spoken = self.speaking.lock().unwrap_or_else(PoisonError::into_inner);
        let reports = self.lock().reports(|plugin, version| state.plugin_version(plugin, version).is_some());
        for (key, deployment, meter) in reports {
            while let Some(report) = meter.report() {
                let Some(command) = command(&key, report, deployment) else { break };
                if self.outbox.take(command).is_err() {
                    break;
                }
                meter.take(&report);
            }
        }
        spoken.reported = height;
    }

    pub(crate) fn emit(&self, event: HostEvent) {
        let HostEvent { kind, version, hash, detail } = &event;
        let (plugin, version) = version
            .as_ref()
            .map_or((String::new(), String::new()), |(plugin, version)| (plugin.to_string(), version.to_string()));
        let what = kind.name();
        match kind {
            HostEventKind::Missing | HostEventKind::LoadFailed | HostEventKind::Quarantined => {
                tracing::warn!(target: "coalmine::host", plugin, version, %hash, "{what} {detail}");
            }
            HostEventKind::Discovered
            | HostEventKind::Fetching
            | HostEventKind::Loading
            | HostEventKind::Loaded
            | HostEventKind::Serving
            | HostEventKind::Draining
            | HostEventKind::Unloaded => {
                tracing::info!(target: "coalmine::host", plugin, version, %hash, "{what} {detail}");
            }
        }
        let _ = self.events.send(event);
    }

    pub(crate) fn collect(&self, state: &State, keep_blocks: u32) -> Result<BTreeSet<Hash>, CodeError> {
        let height = state.tip().unwrap_or_default();
        let versions = state.plugins().flat_map(|(name, _)| state.plugin_versions(name));
        let named: BTreeSet<Hash> = versions.map(|version| version.manifest.code_hash).collect();
        let mut unnamed = self.unnamed.lock().unwrap_or_else(PoisonError::into_inner);
        let stored = self.store.hashes()?;
        unnamed.retain(|hash, _| stored.contains(hash) && !named.contains(hash));
        let mut removed = BTreeSet::new();
        for hash in stored.difference(&named) {
            let since = *unnamed.entry(*hash).or_insert(height);
            if height.saturating_sub(since) >= keep_blocks {
                self.store.remove(hash)?;
                removed.insert(*hash);
            }
        }
        unnamed.retain(|hash, _| !removed.contains(hash));
        Ok(removed)
    }
}

// What takes long.

impl Shared {
    pub(crate) fn work(self: Arc<Self>, job: LoaderJob) {
        match job {
            LoaderJob::Scan => self.scan(),
            LoaderJob::Do(Job::Load { key, number, spec }) => {
                let found = self.load(&key.0, &spec);
                let mut follow = self.lock();
                if let Some(event) = follow.loaded(&key, number, found) {
                    self.emit(event);
                    self.look(&mut follow);
                }
            }
            LoaderJob::Do(Job::Check { subject, slot }) => {
                let height = self.height.load(Ordering::Relaxed);
                let checked = slot.check(|context| context.begin(b"", height, 1, false));
                if let Err(why) = &checked {
                    let version = Some((slot.identity.plugin, slot.identity.version.clone()));
                    let detail = format!("check: {why}");
                    let hash = slot.manifest.code_hash;
                    self.emit(HostEvent { kind: HostEventKind::LoadFailed, version, hash, detail });
                }
                self.lock().checked(&subject, checked.is_ok());
            }
        }
        self.tell();
    }

    fn scan(&self) {
        let wanted = self.lock().hashes();
        let found = {
            let mut incoming = self.incoming.lock().unwrap_or_else(PoisonError::into_inner);
            incoming.scan(&self.store, |hash| wanted.contains(hash))
        };
        match found {
            Ok(found) => {
                for found in found {
                    match found {
                        code::Found::Placed { file, hash } => self.emit(HostEvent {
                            kind: HostEventKind::Discovered,
                            version: None,
                            hash,
                            detail: file.file_name().unwrap_or_default().display().to_string(),
                        }),
                        code::Found::Refused(error) => tracing::warn!(target: "coalmine::host", "incoming {error}"),
                    }
                }
                self.look(&mut self.lock());
            }
            Err(error) => tracing::warn!(target: "coalmine::host", "incoming {error}"),
        }
    }

    /// Makes a version ready.
    fn load(self: &Arc<Self>, plugin: &Name, spec: &Spec) -> Found {
        let code = match self.compiled(&spec.manifest.code_hash) {
            Ok(code) => code,
            Err(found) => return found,
        };
        let requirements = spec.manifest.requirements.iter().map(|requirement| requirement.plugin).collect();
        let identity = Identity { plugin: *plugin, version: spec.version.clone(), requirements };
        let services: Weak<dyn Services> = Weak::<Self>::clone(&Arc::downgrade(self));
        let slot = Slot::new(identity, Arc::clone(&spec.manifest), code, services, Arc::clone(&self.limits));
        match catch_unwind(AssertUnwindSafe(|| slot.warm())) {
            Ok(Ok(())) => Found::Ready(Arc::new(slot)),
            Ok(Err(CallError::Version(error))) => Found::Failed(error.to_string()),
            Ok(Err(error)) => Found::Later(error.to_string()),
            Err(panic) => Found::Failed(format!("the engine panics: {}", panic_message(&*panic))),
        }
    }

    /// The code of a hash, compiled once for all versions that have it.
    fn compiled(&self, hash: &Hash) -> Result<Arc<dyn Code>, Found> {
        let compiled = || self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        // What is on the disk may have changed since; it is checked again, at every load.
        let bytes = self.store.get(hash).map_err(|error| match error.problem() {
            CodeProblem::Io(_) | CodeProblem::Changed => Found::Later(error.to_string()),
            CodeProblem::Missing
            | CodeProblem::NotAFile
            | CodeProblem::NotAFolder
            | CodeProblem::Empty
            | CodeProblem::TooLarge { .. }
            | CodeProblem::Damaged { .. }
            | CodeProblem::DiskFull
            | CodeProblem::Open { .. }
            | CodeProblem::NotOurs { .. } => Found::Missing(error.to_string()),
        })?;
        if let Some(code) = compiled().get(hash).and_then(Weak::upgrade) {
            return Ok(code);
        }
        let code = catch_unwind(AssertUnwindSafe(|| self.runtime.load(&bytes, &self.limits)));
        let code = match code {
            Ok(code) => code.map_err(|error| Found::Failed(error.to_string()))?,
            Err(panic) => return Err(Found::Failed(format!("the compiler panics: {}", panic_message(&*panic)))),
        };
        let mut compiled = compiled();
        compiled.retain(|_, code| code.strong_count() > 0);
        compiled.insert(*hash, Arc::downgrade(&code));
        Ok(code)
    }

    /// Asks the mirrors.
    pub(crate) fn fetch(&self, hash: Hash) {
        if let Some(source) = &self.source {
            let versions = self.lock().versions_of(&hash);
            let tell = |kind, detail: String| {
                for version in &versions {
                    self.emit(HostEvent { kind, version: Some(version.clone()), hash, detail: detail.clone() });
                }
            };
            tell(HostEventKind::Fetching, String::new());
            let fetched = source.fetch(&hash, self.store.size_max()).and_then(|code| {
                let found = code::code_hash(&code);
                let is_right = found == hash;
                is_right.then_some(code).ok_or_else(|| format!("bytes with the hash {found} came"))
            });
            let stored = fetched.and_then(|code| self.store.put(&code).map_err(|error| error.to_string()));
            if let Err(why) = stored {
                tell(HostEventKind::Missing, why);
            }
        }
        let mut follow = self.lock();
        follow.fetched(&hash);
        if self.store.contains(&hash) {
            self.look(&mut follow);
        }
    }
}
