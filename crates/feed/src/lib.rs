//! A stream manager: keeps a server-sent-events stream of environments and filters open, and turns its messages into
//! commands of the config feed.
//!
//! * [`manager::Manager`] decides: events and failures go in, commands, delays and log entries come out.
//!   [`message`], [`backoff`] and [`secret`] are its parts. None of them does I/O.
//! * [`stream`] connects it to a transport and has the clock of the connection. The tool, [`cli`], has another clock, for
//!   the heights.
//! * [`projects`] and [`rotation`] are for consumers of the feed: they derive the filtered environments and the valid
//!   credentials.
//!
//! ```
//! use coalmine_feed::backoff::Delays;
//! use coalmine_feed::manager::{Action, Input, Manager};
//! use coalmine_feed::secret::Salt;
//!
//! let mut manager = Manager::new(Salt::new(*b"sixteen bytes....")?, Delays::default());
//! let event = Input::Event { name: "delete", data: r#"{"path":"/filters/f1","version":3}"#, retry_ms: None };
//! let actions = manager.handle(event, 0, 0);
//! assert!(matches!(&actions[..], [Action::Emit(commands)] if commands.len() == 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The ledger decides which version of an item counts; nothing is dropped here for being late. So messages that are
//! repeated or out of order are harmless, and so is a new connection.
//!
//! Two things are up to the host. It must withhold the rest of a put of which the ledger rejected a part: see
//! [`manager::Action::Emit`]. And it must keep the log records of the crate `eventsource-client` out of its logs, because
//! they contain bytes of the stream, and so keys: see [`stream`].
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::as_conversions, reason = "tests"))]

pub mod backoff;
pub mod cli;
pub mod command;
pub mod manager;
pub mod message;
pub mod projects;
pub mod rotation;
pub mod secret;
pub mod stream;

mod blocks;
mod json;

pub use json::Malformed;
pub use launchdarkly_sdk_transport as transport;
