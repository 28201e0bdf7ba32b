//! What runs code: the seam between the host and an engine. There are two, WebAssembly components and Rust closures.

use std::sync::Arc;

use crate::context::Context;
use crate::limits::Limits;
use crate::response::{CallError, ErrorKind, Failure};

/// Makes code ready to run.
pub trait Runtime: Send + Sync {
    /// Checks and compiles code. It runs on a thread of its own and may take long; a panic counts as a failure.
    ///
    /// # Errors
    /// [`LoadError`], in words for the author of the plugin.
    fn load(&self, code: &[u8], limits: &Limits) -> Result<Arc<dyn Code>, LoadError>;
}

/// Why code cannot be loaded, in words for its author.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LoadError(pub String);

/// Code that is ready to run. Versions with the same code share it.
pub trait Code: Send + Sync {
    /// Makes an instance, without `setup`.
    ///
    /// # Errors
    /// [`Stop`], when its start stops it or there is no room for it.
    fn instance(&self, context: Context, limits: &Limits) -> Result<Box<dyn Instance>, Stop>;
}

/// One running copy of code. After a [`Stop`] it is in an unknown state, and is dropped.
pub trait Instance: Send {
    /// What it knows of the call that it serves.
    fn context(&mut self) -> &mut Context;

    /// Runs `setup`, once, before everything else.
    fn setup(&mut self, config: &[u8], fuel: u64) -> Ended<Result<(), String>>;

    /// Runs `check`.
    fn check(&mut self, fuel: u64) -> Ended<Result<(), String>>;

    /// Runs `handle`.
    fn handle(&mut self, request: &[u8], fuel: u64) -> Ended<Result<Vec<u8>, Failure>>;

    /// Bytes of memory that it holds.
    fn memory(&self) -> u64;
}

/// How a call into an instance ended, and the fuel that it took.
#[derive(Debug)]
pub struct Ended<T> {
    /// What it returned, or what stopped it.
    pub result: Result<T, Stop>,
    /// The fuel that it took.
    pub fuel: u64,
}

/// What stopped an instance in the middle.
#[derive(Debug)]
pub enum Stop {
    /// A fault of the plugin, in the engine's words.
    Plugin(ErrorKind, String),
    /// Something else, as when a plugin that it called is not here. It is no fault of the plugin.
    Call(Box<CallError>),
}
