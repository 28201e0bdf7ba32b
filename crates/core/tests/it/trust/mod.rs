//! Sequences, the timelock, rounds of reporters, and changes of the rules.
//!
//! The rows follow RULES.md. What is tried here is tried by somebody who has a key too many, or one key of several.

mod rounds;
mod rules;
mod sequences;
mod timelock;

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use coalmine_core::{
    Address, Block, BlockError, Command, CommandKind, Encode, Event, FeatureChanges, FeedKind, FeedPart, Height, Key,
    KeyPrefix, LoadState, Params, ParamsChanges, Payload, Policy, Pool, PoolKind, RULES_NOTICE, Reason, Receipt,
    Reject, Report, Role, State, Status,
};

#[cfg(feature = "test-rules")]
use coalmine_core::{Decode, DecodeErrorKind, Genesis, GenesisError, RuleSet};

use crate::common::plugins::*;
use crate::common::*;

fn rejected(reject: Reject, index: u8) -> Receipt {
    Receipt::Rejected { reject, index }
}

fn params(changes: ParamsChanges) -> Params {
    changes.apply_to(&Params::default())
}

/// Codes and indexes of the entries that ran in a block.
fn executed(events: &[Event]) -> Vec<(u16, u8)> {
    let executed = |event: &Event| match event {
        Event::ScheduleExecuted { code, index, .. } => Some((*code, *index)),
        _ => None,
    };
    events.iter().filter_map(executed).collect()
}
