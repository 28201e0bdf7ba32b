//! What happens in the host: for the node's log, its metrics and its pages.

use coalmine_core::{Hash, Name, Version};

/// Something that happened to a version on this node, or to code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostEvent {
    /// What.
    pub kind: HostEventKind,
    /// The plugin and version; `None` if it is about code alone.
    pub version: Option<(Name, Version)>,
    /// The code.
    pub hash: Hash,
    /// Why, where there is more to say.
    pub detail: String,
}

/// The kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostEventKind {
    /// A file was found in the folder incoming, and is in the code store now.
    Discovered,
    /// The mirrors are being asked for code.
    Fetching,
    /// Code is not here, and was not to be had.
    Missing,
    /// Code is being checked, compiled and set up.
    Loading,
    /// A version is ready.
    Loaded,
    /// A version cannot be made ready.
    LoadFailed,
    /// Requests are routed to a version.
    Serving,
    /// A version has trapped so often in a row that it is not asked for a while.
    Quarantined,
    /// A version takes no more calls; those in flight end.
    Draining,
    /// A version is gone.
    Unloaded,
}

impl HostEventKind {
    /// The name in logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Discovered => "discovered",
            Self::Fetching => "fetching",
            Self::Missing => "missing",
            Self::Loading => "loading",
            Self::Loaded => "loaded",
            Self::LoadFailed => "load_failed",
            Self::Serving => "serving",
            Self::Quarantined => "quarantined",
            Self::Draining => "draining",
            Self::Unloaded => "unloaded",
        }
    }
}
