//! The rules of the features, as rows: what each command does from each status, each reject by its
//! shortest path, the order of the checks, ties of the guard, due work, the breaker, the answers.
//!
//! The rows follow RULES.md. [`World`] checks after every block that root, indexes, history and records agree.

mod answers;
mod breaker;
mod due;
mod guard;
mod rejects;
mod transitions;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::num::NonZeroU64;

use coalmine_core::query::{self, Entry, Fault, Visit};
use coalmine_core::{
    Address, Block, BlockError, BreakerClosedBy, Bucketing, Cause, Command, CommandKind, Encode, Event, EventCode,
    FeatureChanges, FeedPart, Height, Key, KeyPrefix, Name, OpenBreaker, Outcome, Params, ParamsChanges, Payload,
    Policy, Read, Reason, Receipt, Reject, Report, Role, RollbackRule, Status, Why,
};

use crate::common::plugins::set_host;
use crate::common::*;

/// A ledger with everything that falls due: steps of several intervals, one held, one parked for
/// ever, scheduled entries, a backlog, a breaker that drains and expires.
fn busy(max_due: u32) -> World {
    let mut world = World::with_params(Params {
        max_due_per_block: max_due,
        breaker_rollbacks: NonZeroU32::new(2),
        breaker_window: 30,
        ..Params::default()
    });
    let held = Policy { step_min_operations: 5, ..Policy::default() };
    world.run(
        1,
        ADMIN,
        &[
            create_with("a", steps_every(7)),
            create_with("ab", FeatureChanges { increment_percent: Some(percent(1)), ..steps_every(3) }),
            create_with("b", FeatureChanges { policy: Some(held), ..steps_every(11) }),
            create_with("c", manual(steps_every(2))),
            create_with("d", steps_every(u32::MAX)),
            create("e"),
        ],
    );
    world.run(2, OPERATOR, &["a", "ab", "b", "c", "d"].map(|feature| canary(feature, 5)));
    world.run(3, OPERATOR, &["a", "b", "c", "d"].map(|feature| rollout(feature, 100)));
    world.run(4, OPERATOR, &[rollout("ab", 9)]);
    world.run(
        5,
        OPERATOR,
        &(20..36).map(|at| schedule(at, vec![set_override("e", user(at), at % 2 == 0)])).collect::<Vec<_>>(),
    );
    world.run(
        6,
        OPERATOR,
        &[
            schedule(30, vec![enable("e")]),
            schedule(30, vec![enable("e")]),
            schedule(100, vec![canary("ab", 3), rollout("ab", 100)]),
            schedule(140, vec![disable("e")]),
            schedule(141, vec![disable("e")]),
        ],
    );
    world
}
