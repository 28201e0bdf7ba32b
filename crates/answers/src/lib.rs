//! Answers about a ledger as named values: what the replay tool prints and the node sends are made here, so that both say
//! the same of the same state.
//!
//! An [`Answer`] is what is asked for once; lists have one each. Nothing is decided here: records are read by
//! [`coalmine_core::query`], what is foretold comes from [`coalmine_foresight`], and how a record is shown is up to
//! [`coalmine_json::render`].

mod answer;
mod change;
mod feature;
mod foretold;
mod ledger;
mod plugin;
mod upcoming;
mod verdict;

pub use answer::Answer;
pub use change::{Differing, differing, record_change};
pub use feature::{
    feature, feature_change, feature_in_the_past, feature_standing, metrics, override_of_user, stale_feature,
};
pub use foretold::{
    event, events, feature_shift, plugin_shift, preview, receipt, rejection, upcoming_pair, upcoming_pairs,
};
pub use ledger::{feed, feed_item, global, pool_entry, role_holder, rules, scheduled};
pub use plugin::{plugin, plugin_change, plugin_standing};
pub use upcoming::{event_with_sentence, past_expiry, upcoming};
pub use verdict::{UnitError, no_route, route, routing, unit_from_text, verdict};
