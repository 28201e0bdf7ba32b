//! Reporters: what the counters of applications say of features and versions becomes signed reports.
//!
//! Everything that was seen is reported once, whatever fails: how far counters were read, what is owed to the ledger and
//! the report under way are one durable value. A reporter has a thread of its own; no block waits for it.

mod book;
mod config;
mod counters;
mod figures;
mod local;
mod outbox;
mod prometheus;
mod subject;
#[cfg(test)]
mod tests;
mod worker;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use coalmine_auth::{SecretKey, read_key};
use coalmine_core::Fault;
use coalmine_store::StoreError;
use tokio::runtime::Handle;

pub use config::{LocalConfig, PrometheusConfig, REPORTERS_MAX, ReporterConfig, ReporterError, check_reporters};
pub(crate) use local::{KEY_LEN_MAX, Local, LocalError};

use crate::node::Node;
use crate::outgoing::check_url;
use outbox::Outbox;
use prometheus::{Prometheus, QueryError};
use worker::{About, Worker};

/// How a reporter is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReporterStatus {
    /// Its name.
    pub name: String,
    /// How many reports it has signed since the node started.
    pub reports: u64,
    /// How many times it could not do what it had to since the node started.
    pub failures: u64,
    /// The time of the server up to which it has read, in milliseconds since 1970; 0 if not since the node started.
    pub read_until: u64,
    /// What is wrong; empty if nothing is.
    pub error: String,
}

/// What a reporter shares with whoever asks about it.
#[derive(Debug)]
pub(crate) struct Shared(Mutex<ReporterStatus>);

impl Shared {
    fn new(name: &str) -> Self {
        let (name, error) = (name.to_owned(), String::new());
        Self(Mutex::new(ReporterStatus { name, reports: 0, failures: 0, read_until: 0, error }))
    }

    fn status(&self) -> MutexGuard<'_, ReporterStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps how a step ended, and logs it when that is news.
    fn stepped(&self, step: Result<(), StepError>) {
        let mut status = self.status();
        match step {
            Ok(()) => {
                if !std::mem::take(&mut status.error).is_empty() {
                    tracing::info!(reporter = status.name, "a reporter goes on");
                }
            }
            Err(error) => {
                status.failures = status.failures.saturating_add(1);
                let error = error.to_string();
                if status.error != error {
                    tracing::warn!(reporter = status.name, error, "a reporter cannot go on; it tries again");
                }
                status.error = error;
            }
        }
    }
}

/// Why a reporter could not do what it had to. It tries again.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum StepError {
    /// The database fails.
    #[error("{0}")]
    Store(String),
    /// The server does not answer.
    #[error("the Prometheus server: {0}")]
    Query(#[from] QueryError),
    /// The node takes no report now.
    #[error("the report is not taken: {0}")]
    NotTaken(String),
    /// The selectors match too much.
    #[error("the selectors match more than {} series; narrow them", counters::SERIES_MAX)]
    Series,
}

impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}

impl From<Fault> for StepError {
    fn from(error: Fault) -> Self {
        Self::Store(error.to_string())
    }
}

/// Why reporters do not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// One cannot be used.
    #[error(transparent)]
    Reporter(#[from] ReporterError),
    /// The database fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no thread.
    #[error("no thread for a reporter: {0}")]
    Thread(io::Error),
}

/// All reporters of a node. Cloning it makes another handle.
#[derive(Debug, Clone)]
pub struct Reporters(Arc<Vec<Running>>);

#[derive(Debug)]
struct Running {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

impl Reporters {
    /// Starts a thread for each reporter, and one for what applications report themselves. They end with the node. Must be
    /// called within a runtime.
    ///
    /// # Errors
    /// [`StartError`]; nothing has been reported then.
    pub(crate) fn start(
        node: &Node,
        reporters: &[ReporterConfig],
        local: &LocalConfig,
        home: &Path,
    ) -> Result<(Self, Option<Arc<Local>>), StartError> {
        check_reporters(reporters, local)?;
        let workers = reporters.iter().map(|reporter| worker(node, reporter, home)).collect::<Result<Vec<_>, _>>()?;
        let of_applications = match local_key(local, home)? {
            None => None,
            Some(key) => Some(Arc::new(Local::new(Outbox::new(node.clone(), key, "local".into()))?)),
        };
        let mut running = Vec::new();
        for mut worker in workers {
            let shared = worker.shared();
            running.push(spawn(node, shared, move || worker.step())?);
        }
        if let Some(local) = &of_applications {
            let (shared, local) = (local.shared(), Arc::clone(local));
            running.push(spawn(node, shared, move || local.step())?);
        }
        Ok((Self(Arc::new(running)), of_applications))
    }

    /// How the reporters are: those of the configuration in their order, then that of applications.
    #[must_use]
    pub fn status(&self) -> Vec<ReporterStatus> {
        self.0.iter().map(|reporter| reporter.shared.status().clone()).collect()
    }

    /// Waits until the reporters have ended after [`Node::begin_stop`]. What they have in hand is durable either way.
    pub fn join(&self, at_most: Duration) {
        let deadline = Instant::now().checked_add(at_most);
        while self.0.iter().any(|reporter| !reporter.thread.is_finished())
            && deadline.is_some_and(|deadline| Instant::now() < deadline)
        {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn worker(node: &Node, config: &ReporterConfig, home: &Path) -> Result<Worker<Prometheus>, StartError> {
    let (key, server) = opened(config, home)?;
    let label = config.prometheus.version_label.clone().unwrap_or_else(|| "version".into());
    let about = match (config.feature, config.plugin) {
        (Some(feature), _) => About::Feature(feature),
        (None, Some(plugin)) => About::Plugin(plugin, label),
        (None, None) => return Err(config.error("it takes a feature or a plugin").into()),
    };
    let outbox = Outbox::new(node.clone(), key, config.name.clone());
    Ok(Worker::new(&config.name, about, config.every, config.prometheus.clone(), server, outbox)?)
}

/// The key of a reporter, and its server.
fn opened(config: &ReporterConfig, home: &Path) -> Result<(SecretKey, Prometheus), ReporterError> {
    let refused = |what: String| config.error(what);
    let key = read_key(&home.join(&config.key)).map_err(|error| refused(format!("key: {error}")))?;
    let prometheus = &config.prometheus;
    let url = prometheus.url.read(home).map_err(|error| refused(format!("url: {error}")))?;
    check_url(&url, prometheus.allow_http).map_err(|error| refused(format!("url: {error}")))?;
    let token = prometheus.token.as_ref().map(|token| token.read(home)).transpose();
    let token = token.map_err(|error| refused(format!("token: {error}")))?;
    Ok((key, Prometheus::new(url, token).map_err(refused)?))
}

fn local_key(local: &LocalConfig, home: &Path) -> Result<Option<SecretKey>, ReporterError> {
    let key = local.key.as_ref().map(|key| read_key(&home.join(key))).transpose();
    key.map_err(|error| ReporterError { of: "local".into(), what: format!("key: {error}") })
}

/// Reads the keys and secrets of reporters, and checks them.
///
/// # Errors
/// The first thing that is wrong.
pub fn check_secrets(reporters: &[ReporterConfig], local: &LocalConfig, home: &Path) -> Result<(), ReporterError> {
    check_reporters(reporters, local)?;
    reporters.iter().try_for_each(|reporter| opened(reporter, home).map(drop))?;
    local_key(local, home).map(drop)
}

/// Runs a step for each height until the node stops.
fn spawn(
    node: &Node,
    shared: Arc<Shared>,
    mut step: impl FnMut() -> Result<(), StepError> + Send + 'static,
) -> Result<Running, StartError> {
    let (runtime, mut tips, mut stop) = (Handle::current(), node.watch(), node.stop());
    let of_thread = Arc::clone(&shared);
    let name = format!("reporter-{}", shared.status().name);
    let thread = Builder::new().name(name).spawn(move || {
        while !stop.is_stopping() {
            tips.mark_unchanged();
            of_thread.stepped(step());
            runtime.block_on(async {
                tokio::select! {
                    // If its sender is gone, the node is, and the signal comes.
                    moved = tips.changed() => if moved.is_err() { stop.stopped().await },
                    () = async { stop.clone().stopped().await } => {}
                }
            });
        }
    });
    Ok(Running { shared, thread: thread.map_err(StartError::Thread)? })
}
