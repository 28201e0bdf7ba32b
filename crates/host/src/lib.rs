//! Plugin code that really runs, as the ledger says.
//!
//! The ledger decides which version of which plugin serves whom, in which order plugins load, and when a version goes. A
//! [`Host`] makes a node do so: it gets the code by its hash ([`code`]), loads it in the ledger's order, routes each request
//! to the version that the ledger names, isolates and meters it, and reports back through an [`Outbox`].
//!
//! What runs the code is a [`Runtime`]: WebAssembly components (`wasm`, a cargo feature), or Rust closures ([`native`]).
//! Nothing here is part of consensus, but for [`Host::handle_fresh`], which can be.

pub mod code;
mod context;
mod event;
mod follow;
mod host;
mod limits;
mod meter;
pub mod native;
mod outbox;
mod response;
mod runtime;
mod serve;
mod shared;
mod slot;
mod table;
mod threads;
mod wanted;
#[cfg(feature = "wasm")]
pub mod wasm;
mod worker;

pub use context::{Context, Level};
pub use event::{HostEvent, HostEventKind};
pub use host::{Host, HostError, HostOptions};
pub use limits::{DEPTH_MAX, LOG_LINE_MAX, LOG_LINES, Limits, MESSAGE_MAX};
pub use meter::Served;
pub use outbox::{NotTaken, Outbox, Silent};
pub use response::{Arm, CallError, ErrorKind, Failure, Response, VersionError};
pub use runtime::{Code, Ended, Instance, LoadError, Runtime, Stop};
pub use shared::Offers;
pub use slot::SlotStatus;
