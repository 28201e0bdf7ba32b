//! What an instance knows of the call that it serves, and all that it can ask of the host.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use coalmine_core::{Height, Name, Version};

use crate::limits::{DEPTH_MAX, LOG_LINE_MAX, LOG_LINES};
use crate::response::{CallError, Failure, Response};

/// The part of its fuel that a plugin keeps when it calls another: one in 64, so that it can still answer if the other
/// uses up all that it gets.
const KEPT: u64 = 64;

/// How important a line of a plugin's log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// For the author of the plugin.
    Debug,
    /// Normal.
    Info,
    /// To be looked at.
    Warn,
    /// Wrong.
    Error,
}

/// Which version of which plugin an instance runs.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) plugin: Name,
    pub(crate) version: Version,
    /// The plugins that it may call, ascending.
    pub(crate) requirements: Vec<Name>,
}

/// A call, as every plugin that takes part in it sees it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Call {
    pub(crate) unit: Vec<u8>,
    pub(crate) height: Height,
    /// 1 for the plugin that was asked.
    pub(crate) depth: u8,
    /// Whether every plugin that takes part gets a fresh instance, and nothing else of this node matters.
    pub(crate) is_fresh: bool,
}

/// The host, as seen from a plugin.
pub(crate) trait Services: Send + Sync {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>>;
    fn call(&self, plugin: &Name, request: &[u8], call: &Call, fuel: u64) -> Response;
}

/// What an instance knows of the call that it serves.
pub struct Context {
    identity: Arc<Identity>,
    services: Weak<dyn Services>,
    call: Call,
    log: VecDeque<String>,
}

impl Context {
    pub(crate) fn new(identity: Arc<Identity>, services: Weak<dyn Services>) -> Self {
        Self { identity, services, call: Call::default(), log: VecDeque::new() }
    }

    /// The plugin that the instance runs.
    #[must_use]
    pub fn plugin(&self) -> &Name {
        &self.identity.plugin
    }

    /// Turns to another call.
    pub(crate) fn begin(&mut self, unit: &[u8], height: Height, depth: u8, is_fresh: bool) {
        self.call.unit.clear();
        self.call.unit.extend_from_slice(unit);
        (self.call.height, self.call.depth, self.call.is_fresh) = (height, depth, is_fresh);
        self.log.clear();
    }

    /// The last lines that were logged in this call.
    pub(crate) fn take_log(&mut self) -> Vec<String> {
        self.log.drain(..).collect()
    }

    /// Writes a line to the log of the node.
    pub fn log(&mut self, level: Level, message: &str) {
        let Identity { plugin, version, .. } = &*self.identity;
        // A line is a line, whatever is in it: control characters must not forge others.
        let cut: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LOG_LINE_MAX).collect();
        let cut = cut.get(..cut.floor_char_boundary(LOG_LINE_MAX)).unwrap_or_default();
        match level {
            Level::Debug => tracing::debug!(target: "coalmine::plugin", %plugin, %version, "{cut}"),
            Level::Info => tracing::info!(target: "coalmine::plugin", %plugin, %version, "{cut}"),
            Level::Warn => tracing::warn!(target: "coalmine::plugin", %plugin, %version, "{cut}"),
            Level::Error => tracing::error!(target: "coalmine::plugin", %plugin, %version, "{cut}"),
        }
        if self.log.len() >= LOG_LINES {
            self.log.pop_front();
        }
        self.log.push_back(cut.to_owned());
    }

    /// The height of the last committed block when the call began.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.call.height
    }

    /// The unit that the call is routed by.
    #[must_use]
    pub fn unit(&self) -> &[u8] {
        &self.call.unit
    }

    /// Reads what the embedder offers.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.services.upgrade()?.get(key)
    }

    /// Asks a plugin that this version requires, with a part of the fuel that is left. Returns the answer and the fuel that
    /// it took.
    ///
    /// # Errors
    /// [`CallError`] if the whole call cannot go on, for a reason that is not the plugin's.
    pub fn call(
        &mut self,
        plugin: &str,
        request: &[u8],
        fuel: u64,
    ) -> (Result<Result<Vec<u8>, Failure>, CallError>, u64) {
        let failed = |message: String| (Ok(Err(Failure::Failed(message))), 0);
        let Some(plugin) = self.identity.requirements.iter().find(|name| name.as_str() == plugin) else {
            let shown: String = plugin.chars().take(Name::LEN_MAX).collect();
            return failed(format!("{shown} is not among the requirements of {}", self.identity.plugin));
        };
        let Some(depth) = self.call.depth.checked_add(1).filter(|depth| *depth <= DEPTH_MAX) else {
            return (Err(CallError::TooDeep), 0);
        };
        let Some(services) = self.services.upgrade() else { return (Err(CallError::Stopped), 0) };
        let given = fuel.saturating_sub(fuel.div_ceil(KEPT));
        let asked = std::mem::replace(&mut self.call.depth, depth);
        let Response { outcome, fuel, .. } = services.call(plugin, request, &self.call, given);
        self.call.depth = asked;
        let result = match outcome {
            Ok(answer) => Ok(Ok(answer)),
            Err(CallError::Refused(message)) => Ok(Err(Failure::Refused(message))),
            Err(CallError::Version(error)) => Ok(Err(Failure::Failed(format!("{plugin}: {}", error.kind.name())))),
            Err(error @ CallError::RequestTooLarge { .. }) => Ok(Err(Failure::Failed(error.to_string()))),
            Err(error) => Err(error),
        };
        (result, fuel)
    }
}

/// Cuts what a plugin says to a length.
pub(crate) fn cut(mut message: String, max: usize) -> String {
    message.truncate(message.floor_char_boundary(max));
    message
}
