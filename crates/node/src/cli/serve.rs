//! A node that runs: its engine, its API, signals, and the service manager.

use std::io;
use std::net::TcpListener;
use std::process;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::interval;
use tracing_subscriber::EnvFilter;

use crate::beside::Beside;
use crate::chain::Stopped;
use crate::cli::error::Error;
use crate::config::{Log, LogFormat};
use crate::engine::{Clock, Solo};
use crate::http;
use crate::node::Node;

/// Threads of the API; blocks have one of their own.
const WORKERS: usize = 2;
/// The exit code of a second signal.
const INTERRUPTED: i32 = 130;

/// Sends the log to standard error.
pub(super) fn log(config: &Log) {
    // The configuration has checked it.
    let filter = EnvFilter::try_new(&config.filter).unwrap_or_default();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // Only a second log in the same process is refused, and there is one.
    let _started = match config.format {
        LogFormat::Text => log.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).try_init(),
        LogFormat::Json => log.json().try_init(),
    };
}

/// Takes an address before anything else is done, so that an error comes at once.
pub(super) fn listen(address: std::net::SocketAddr) -> Result<TcpListener, Error> {
    let failed = |error: io::Error| {
        Error::Input(format!("cannot listen on {address}: {error}; choose another address with --listen"))
    };
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

/// Lets this process have as many files as the system gives it, and returns how many connections are half of them: the
/// database needs the others, and a node whose database finds no file stops.
fn connections_max() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, wanted) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    let files = getrlimit(Resource::Nofile).current;
    files.and_then(|files| usize::try_from(files).ok()).map_or(usize::MAX, |files| files / 2)
}

/// Runs a node until a signal ends it, or it can make no more blocks.
pub(super) fn serve<C: Clock + 'static>(
    node: &Node,
    solo: Solo<C>,
    listener: TcpListener,
    api: http::Options,
    beside: impl FnOnce(Node) -> Result<Option<Beside>, Error>,
) -> Result<(), Error> {
    let connections = api.connections.min(connections_max());
    let api = http::Options { connections, ..api };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    let runtime = runtime.map_err(Error::input)?;
    let _inside = runtime.enter();
    // Before the first block, so that sinks which are new are told of it.
    let beside = beside(node.clone())?;
    let api = http::Options { beside: beside.clone(), ..api };
    let blocks = solo.spawn().map_err(Error::input)?;
    let (ended, mut has_ended) = oneshot::channel();
    runtime.spawn_blocking(move || {
        // A thread that panics is a bug, which its message is about.
        let _heard = ended.send(blocks.join().unwrap_or(Err(Stopped::Heights)));
    });
    let result = runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).map_err(Error::input)?;
        let server = tokio::spawn(http::serve(listener, node.clone(), api));
        let mut signals = Signals::new().map_err(Error::input)?;
        tokio::spawn(watchdog(node.clone()));
        tell(&[NotifyState::Ready]);

        // Evaluations go on when there are no more blocks, unless a newer build has to take over.
        let mut halted = None;
        loop {
            tokio::select! {
                () = signals.next() => break,
                result = &mut has_ended, if halted.is_none() => {
                    let result = result.unwrap_or(Ok(()));
                    let takes_another_build = matches!(&result, Err(Stopped::Block(_)));
                    halted = Some(result);
                    if takes_another_build {
                        break;
                    }
                }
            }
        }
        tracing::info!("stopping");
        tell(&[NotifyState::Stopping]);
        node.begin_stop();
        tokio::spawn(async move {
            signals.next().await;
            process::exit(INTERRUPTED);
        });
        let result = match halted {
            Some(result) => result,
            None => has_ended.await.unwrap_or(Ok(())),
        };
        // It cuts what does not end in time.
        let _ended = server.await;
        result.map_err(Error::from)
    });
    if let Some(beside) = beside {
        beside.join();
    }
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Tells the service manager, if there is one.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

/// Tells the service manager that heights go on, as often as it wants to hear it.
async fn watchdog(node: Node) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let mut ticks = interval(limit.checked_div(2).unwrap_or(limit).max(Duration::from_millis(1)));
    let mut last = None;
    loop {
        ticks.tick().await;
        let height = node.tip().height;
        if height != last {
            last = height;
            tell(&[NotifyState::Watchdog]);
        }
    }
}
