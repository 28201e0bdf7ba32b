//! The config feed, as rows: what each message does to an item in each state, puts in parts, the
//! order of the checks, the limits at their edges; and what holds for any order of messages.
//!
//! The rows follow RULES.md. [`World`] checks after every block that root, index, totals and records agree.

mod items;
mod limits;
mod puts;
mod sequences;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use coalmine_core::feed::{self, FeedAction, Receiver, Transition};
use coalmine_core::{
    Address, Block, Command, CommandKind, Decode, DecodeErrorKind, Encode, Event, FEED_FORGET_IDS_MAX, FEED_LIVE_MAX,
    FEED_LIVE_OPEN_MAX, FEED_PUT_IDS_MAX, FEED_RECORDS_MAX, FEED_UNBORN_MAX, FeedBody, FeedEntry, FeedId, FeedItem,
    FeedKey, FeedKind, FeedPart, FeedTotals, ItemState, Key, Note, Payload, Receipt, Reject, TxCommand, Valid, Writer,
    query,
};
use proptest::prelude::{Just, ProptestConfig, Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::subsequence;

use crate::common::*;

use FeedAction::{Delete, Insert, Noop, Updated};
use FeedKind::{Environment, Filter};
use FeedPart::{First, Last, More, Only};

/// The names of the events, with the id where there is one.
fn told(events: &[Event]) -> Vec<String> {
    let told = |event: &Event| match event {
        Event::FeedInsert { kind, id, version }
        | Event::FeedUpdated { kind, id, version }
        | Event::FeedDelete { kind, id, version } => format!("{} {kind} {id} {version}", event.code()),
        _ => event.code().to_string(),
    };
    events.iter().map(told).collect()
}
