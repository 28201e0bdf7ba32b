//! Notifications: what happens on the ledger is told to webhooks, Slack and mailboxes.
//!
//! At least once, and in order for each sink. Nothing is kept for them but how far each is: events come from the durable
//! outcomes of blocks. A sink has a thread of its own and waits for nobody but its receiver, so that it slows no block and
//! no other sink.

mod carrier;
mod config;
mod email;
mod filter;
mod message;
mod progress;
mod signature;
#[cfg(test)]
mod tests;
mod worker;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use coalmine_store::StoreError;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::sync::watch;

pub(crate) use config::is_label;
pub use config::{EmailConfig, SINKS_MAX, SinkConfig, SinkError, SlackConfig, SmtpTls, WebhookConfig, check_sinks};
pub use filter::{Filter, Kind, Pattern, kind};
pub use message::Position;
pub(crate) use message::time;
pub use signature::SecretFormat;
pub use worker::SinkStatus;

use crate::node::{Node, StopSignal};
use carrier::carrier;
use worker::{Pause, Shared, Worker};

/// The longest pause after the database has failed.
const PAUSE_FAULT: Duration = Duration::from_secs(10);
/// How many blocks are looked at to count what a sink has before it.
const PENDING_BLOCKS: usize = 256;

/// Why the sinks do not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// One cannot be used.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The database fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no thread.
    #[error("no thread for a sink: {0}")]
    Thread(io::Error),
}

/// Reads the secrets of sinks, and checks them.
///
/// # Errors
/// The first thing that is wrong.
pub fn check_secrets(sinks: &[SinkConfig], home: &Path) -> Result<(), SinkError> {
    check_sinks(sinks)?;
    sinks.iter().try_for_each(|sink| carrier(sink, home).map(drop))
}

/// All sinks of a node. Cloning it makes another handle.
#[derive(Debug, Clone)]
pub struct Sinks(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    node: Node,
    sinks: Vec<Sink>,
}

#[derive(Debug)]
struct Sink {
    shared: Arc<Shared>,
    asked: Arc<Notify>,
    filter: Filter,
    thread: JoinHandle<()>,
}

impl Sinks {
    /// Starts a thread for each sink. They end with the node. Must be called within a runtime.
    ///
    /// # Errors
    /// [`StartError`]; nothing has been sent then.
    pub fn start(node: &Node, sinks: &[SinkConfig], home: &Path) -> Result<Self, StartError> {
        check_sinks(sinks)?;
        let carriers = sinks.iter().map(|sink| carrier(sink, home)).collect::<Result<Vec<_>, _>>()?;
        let mut workers = Vec::new();
        for (sink, carrier) in sinks.iter().zip(carriers) {
            workers.push((sink, Worker::new(node.clone(), &sink.name, sink.kind(), sink.filter(), carrier)?));
        }
        let mut started = Vec::new();
        for (sink, worker) in workers {
            let (shared, asked) = (worker.shared(), Arc::new(Notify::new()));
            let waiting = Waiting {
                runtime: Handle::current(),
                tips: node.watch(),
                stop: node.stop(),
                asked: Arc::clone(&asked),
            };
            let thread = Builder::new().name(format!("notify-{}", sink.name)).spawn(move || run(worker, waiting));
            let thread = thread.map_err(StartError::Thread)?;
            started.push(Sink { shared, asked, filter: sink.filter(), thread });
        }
        Ok(Self(Arc::new(Inner { node: node.clone(), sinks: started })))
    }

    /// How the sinks are, in the order of the configuration.
    #[must_use]
    pub fn status(&self) -> Vec<SinkStatus> {
        self.0.sinks.iter().map(|sink| sink.shared.status().clone()).collect()
    }

    /// How many events each sink has before it, of the next blocks: a few hundred are looked at.
    ///
    /// # Errors
    /// The database fails.
    pub fn pending(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let node = &self.0.node;
        let tip = node.tip().height;
        let mut pending = Vec::new();
        for sink in &self.0.sinks {
            let (name, next) = {
                let status = sink.shared.status();
                (status.name.clone(), status.next)
            };
            let is_behind = tip.is_some_and(|tip| next.height <= tip);
            let records = if is_behind { node.outcomes(next.height, PENDING_BLOCKS)? } else { Vec::new() };
            let count = records.iter().flat_map(|record| (0..).zip(&record.events).map(|(i, e)| (record.height, i, e)));
            let count = count.filter(|(height, index, event)| {
                Position { height: *height, index: *index } >= next && sink.filter.wants(event)
            });
            pending.push((name, u64::try_from(count.count()).unwrap_or(u64::MAX)));
        }
        Ok(pending)
    }

    /// Sends again what was given up, enables a sink that its receiver has disabled, and tries at once what waits. `None`:
    /// of all sinks. Returns how many dead letters there are; nothing if there is no such sink.
    #[must_use]
    pub fn replay(&self, name: Option<&str>) -> Option<u64> {
        let mut dead = None;
        for sink in &self.0.sinks {
            let count = {
                let status = sink.shared.status();
                name.is_none_or(|name| name == status.name).then_some(status.dead)
            };
            if let Some(count) = count {
                sink.shared.replay();
                sink.asked.notify_one();
                dead = Some(dead.unwrap_or(0_u64).saturating_add(count));
            }
        }
        dead
    }

    /// Waits until the sinks have ended after [`Node::begin_stop`], so that they have written how far they are. What is
    /// under way longer is sent again after the next start.
    pub fn join(&self, at_most: Duration) {
        let deadline = Instant::now().checked_add(at_most);
        while self.0.sinks.iter().any(|sink| !sink.thread.is_finished())
            && deadline.is_some_and(|deadline| Instant::now() < deadline)
        {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// What a sink waits for.
struct Waiting {
    runtime: Handle,
    tips: watch::Receiver<coalmine_store::Tip>,
    stop: StopSignal,
    asked: Arc<Notify>,
}

impl Waiting {
    fn wait(&mut self, pause: Pause) {
        let Self { runtime, tips, stop, asked } = self;
        runtime.block_on(async {
            let time = async {
                match pause {
                    Pause::No => {}
                    Pause::For(time) => tokio::time::sleep(time).await,
                    // If its sender is gone, the node is, and the signal comes.
                    Pause::UntilBlock => match tips.changed().await {
                        Ok(()) => {}
                        Err(_) => std::future::pending().await,
                    },
                    Pause::UntilAsked => std::future::pending().await,
                }
            };
            tokio::select! {
                () = time => {}
                () = stop.stopped() => {}
                () = asked.notified() => {}
            }
        });
    }
}

fn run(mut worker: Worker, mut waiting: Waiting) {
    while !waiting.stop.is_stopping() {
        // Whatever is committed while the sink is at work is seen afterwards.
        waiting.tips.mark_unchanged();
        let pause = match worker.step(SystemTime::now(), getrandom::u32().unwrap_or_default()) {
            Ok(pause) => pause,
            Err(error) => {
                tracing::error!(%error, "a sink cannot read or write how far it is");
                Pause::For(PAUSE_FAULT)
            }
        };
        if pause != Pause::No {
            waiting.wait(pause);
        }
    }
    let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
    if let Err(error) = worker.save(u64::try_from(at).unwrap_or(u64::MAX)) {
        tracing::error!(%error, "a sink cannot write how far it is; some notifications will be sent again");
    }
}
