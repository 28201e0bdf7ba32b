//! What a plugin may use. Every limit holds for each call, instance or version by itself.

use std::time::Duration;

/// How deep calls between plugins go: the plugin that is asked is at depth 1.
///
/// Each level may use the stack that the engine allows plugins, all on one thread; so this, and the stack of the threads
/// that run plugins, belong together.
pub const DEPTH_MAX: u8 = 8;

/// The longest line that a plugin logs, in bytes; the rest is cut off.
pub const LOG_LINE_MAX: usize = 1_024;

/// How many of the last lines go into an error.
pub const LOG_LINES: usize = 8;

/// The longest message of a plugin about a request, a failed load or its health, in bytes; the rest is cut off.
pub const MESSAGE_MAX: usize = 4_096;

/// What plugins may use on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Fuel of one call, and of one check. It is the only limit of time: 50 million are 2.5 to 8 ms.
    pub fuel: u64,
    /// Fuel of starting an instance, `setup` included. Interpreters need much.
    pub setup_fuel: u64,
    /// Bytes of memory of one instance, all its memories together.
    pub memory: u64,
    /// Bytes of a request.
    pub request: usize,
    /// Bytes of a response.
    pub response: usize,
    /// Calls of one version that run at a time. Calls from other plugins run in any case.
    pub in_flight: u32,
    /// Calls of one version that wait for one of these to end. One more is told that the version is busy.
    pub queue: u32,
    /// How many calls an instance serves before it is replaced; 1: a fresh one for each.
    pub reuse: u32,
    /// How many idle instances of one version are kept.
    pub idle: usize,
    /// How many traps in a row quarantine a version.
    pub traps: u32,
    /// How long a quarantined version answers at once before one call is let through; doubled each time that traps, too,
    /// up to a minute.
    pub pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel: 50_000_000,
            setup_fuel: 1_000_000_000,
            memory: 16 << 20,
            request: 1 << 20,
            response: 1 << 20,
            in_flight: 64,
            queue: 256,
            reuse: 1_000,
            idle: 8,
            traps: 5,
            pause: Duration::from_secs(1),
        }
    }
}
