//! The text and JSON forms of records, events and receipts.
//!
//! Everything printed is a list of named values. Text and JSON are made from the same list, so
//! neither shows more than the other.

mod command;
mod event;
mod fields;
pub mod plugin;
mod record;

pub use event::{event, note, receipt, verdict};
pub use fields::{Fields, Value};
pub use record::{
    change, entry, feature, feed, feed_item, feed_key, global, metrics, policy, pool, pool_entry, roles, scheduled,
    user_switch,
};
