//! What runs beside a node: sinks, reporters, early warnings, and the API of this machine alone.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::http::serve_local;
use crate::node::Node;
use crate::notify::{self, SinkError, Sinks};
use crate::reporter::{self, Local, ReporterError, Reporters};
use crate::warnings;

/// How long sinks and reporters may take to end.
const END_MAX: Duration = Duration::from_secs(3);

/// Why what runs beside a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum BesideError {
    /// Sinks.
    #[error(transparent)]
    Notify(#[from] notify::StartError),
    /// Reporters.
    #[error(transparent)]
    Reporter(#[from] reporter::StartError),
    /// The socket of the API of this machine alone.
    #[error("cannot listen for this machine: {0}")]
    Listen(#[from] std::io::Error),
    /// A sink that cannot be used.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// A reporter that cannot be used.
    #[error(transparent)]
    ReporterConfig(#[from] ReporterError),
}

/// What runs beside a node. Cloning it makes another handle.
#[derive(Clone)]
pub struct Beside(Arc<Inner>);

struct Inner {
    sinks: Sinks,
    reporters: Reporters,
    local: Option<Arc<Local>>,
}

impl std::fmt::Debug for Beside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Beside").field("sinks", &self.0.sinks).finish_non_exhaustive()
    }
}

impl Beside {
    /// Starts everything that a configuration has, within a runtime. It ends with the node.
    ///
    /// # Errors
    /// [`BesideError`]. What was started ends with the node.
    pub fn start(node: &Node, config: &Config, home: &Path) -> Result<Self, BesideError> {
        let listener = config.local.listen.map(TcpListener::bind).transpose()?;
        let (reporters, local) = Reporters::start(node, &config.reporter, &config.local, home)?;
        let sinks = Sinks::start(node, &config.notify, home)?;
        let beside = Self(Arc::new(Inner { sinks, reporters, local }));
        if let Some(listener) = listener {
            listener.set_nonblocking(true)?;
            let listener = tokio::net::TcpListener::from_std(listener)?;
            tokio::spawn(serve_local(listener, beside.clone(), node.stop()));
        }
        tokio::spawn(warnings::follow(node.clone()));
        Ok(beside)
    }

    /// Reads the keys and secrets of a configuration, and checks them, without using them.
    ///
    /// # Errors
    /// The first one that cannot be used.
    pub fn check(config: &Config, home: &Path) -> Result<(), BesideError> {
        notify::check_secrets(&config.notify, home)?;
        Ok(reporter::check_secrets(&config.reporter, &config.local, home)?)
    }

    /// The sinks.
    #[must_use]
    pub fn sinks(&self) -> &Sinks {
        &self.0.sinks
    }

    /// The reporters.
    #[must_use]
    pub fn reporters(&self) -> &Reporters {
        &self.0.reporters
    }

    pub(crate) fn local(&self) -> Option<Arc<Local>> {
        self.0.local.clone()
    }

    /// Waits, not for long, until everything has ended after [`Node::begin_stop`].
    pub fn join(&self) {
        self.0.sinks.join(END_MAX);
        self.0.reporters.join(END_MAX);
    }
}
