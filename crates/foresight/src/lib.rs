//! See before deciding, understand after: functions on a [`State`](coalmine_core::State) that only read it.
//!
//! * [`preview`] runs a block dry: receipts and why, events, records before and after, who is switched on and off, and
//!   what falls due then.
//! * [`Calendar`] says what happens without traffic, height by height.
//! * [`ErrorsLeft`] says how many errors a feature or deployment still bears, under every rule.
//! * [`explain_feature`] and [`explain_plugin`] say in sentences what it is, why, what it waits for and who could act.
//! * [`Comparison`] replays blocks with other settings and tells which decisions differ.
//!
//! Nothing here has a rule of its own: all of it clones a state and runs it, so what is foretold is what will be if the
//! blocks are those. There is no file, no command line and no JSON here.

mod calendar;
mod changes;
mod errors_left;
mod explain;
mod found;
mod history;
mod limits;
mod nearest;
mod preview;
mod rejection;
mod switched;
mod tally;
mod what_if;
mod why;
mod words;

pub use calendar::{Calendar, Upcoming, stale_features};
pub use changes::{Changes, Rewrite};
pub use errors_left::{ErrorsLeft, Rounds};
pub use explain::{
    Could, FeatureExplanation, Next, OpenRound, Planned, PluginExplanation, explain_feature, explain_plugin,
};
pub use history::{FeatureHistory, History, PluginHistory, Subject};
pub use nearest::nearest;
pub use preview::{Options, Preview, PreviewError, RecordChange, TxPreview, preview};
pub use rejection::{Rejection, rejections};
pub use switched::{FeatureShift, Move, PluginShare, PluginShift, Users, sample};
pub use tally::{Tally, Times};
pub use what_if::{Comparison, Difference, Figures, Observer, ReceiptDifference, Side, WhatIfError};
pub use why::why;
pub use words::{event_sentence, feature_change_sentence, plugin_change_sentence, rate};
