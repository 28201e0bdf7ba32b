//! The text and JSON forms of records, events and receipts.
//!
//! Everything printed is a list of named values. Text and JSON are made from the same list, so
//! neither shows more than the other.

mod command;
mod event;
pub mod plugin;
mod record;

pub use crate::fields::{Fields, Value};
pub use command::command;
pub use event::{event, note, receipt, verdict};
pub use record::{
    change, entry, feature, feed, feed_item, feed_key, global, metrics, policy, pool, pool_entry, roles, scheduled,
    scheduled_commands, user_switch,
};
