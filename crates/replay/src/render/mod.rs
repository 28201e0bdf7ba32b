//! Records, events and receipts as text and JSON: the one place where they get their form.
//!
//! Everything printed is a list of fields with values. Text and JSON are made from the same list,
//! so that neither tells more than the other.

mod command;
mod event;
mod fields;
pub(crate) mod plugin;
mod record;

pub(crate) use event::{event, note, receipt, verdict};
pub(crate) use fields::{Fields, Value};
pub(crate) use record::{
    change, entry, feature, feed, feed_item, feed_key, global, metrics, policy, roles, scheduled, user_switch,
};
