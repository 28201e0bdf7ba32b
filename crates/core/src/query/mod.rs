//! Decoded reads from any [`Read`] of records: a store, a snapshot, a bundle of proofs.
//!
//! Block execution does not use this module. A record that does not decode is a fault, never "not found".

mod features;
mod feed;
mod plugins;
mod source;
pub(crate) mod trust;

pub use crate::fault::Fault;
pub use features::{
    HistoryEntry, active, check, due, feature, feature_at, features, global, history, last_change, metrics,
    override_of, overrides, policy, progress, roles, roles_of, schedule,
};
pub use feed::{feed, feed_item, feed_items};
pub use plugins::{
    PluginHistoryEntry, Routing, dependents, deployment, last_plugin_change, plugin, plugin_history, plugin_versions,
    plugins, registry, route, routing,
};
pub use source::{Entries, Entry, Read, Visit};
pub use trust::{OpenRound, pools, scheduled_rules, sequence_of};
