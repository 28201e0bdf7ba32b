//! What executes a block: the overlay that it writes to, and what it reports besides.
//!
//! A command is a ladder of guards, each of which returns its reject, and then writes that cannot fail: a
//! comment marks the line between them. What follows from a command, and what is due, has no guards. Whatever
//! such a write needs is there by an invariant of the state; should it be missing all the same, the state in
//! memory is damaged, and [`Output::broken`] notes that for the whole block.

use alloc::vec::Vec;

use crate::delta::{TouchedFeature, TouchedPlugin};
use crate::event::Event;
use crate::feature::record::{Cause, Change, Reason};
use crate::note::Note;
use crate::overlay::{Mark, Overlay};
use crate::plugin::deployment::Deployment;
use crate::plugin::record::{PluginAction, PluginChange, PluginReason};
use crate::plugin::version::Version;
use crate::reject::Reject;
use crate::values::{Address, Height, Name};

/// Executes the transactions and the due work of one block.
#[derive(Debug)]
pub(super) struct Executor<'a> {
    pub(super) height: Height,
    pub(super) overlay: Overlay<'a>,
    pub(super) out: Output,
}

/// What a block reports besides its writes, in the order in which it happened.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) events: Vec<Event>,
    pub(super) history: Vec<PendingChange>,
    pub(super) plugin_history: Vec<PendingPluginChange>,
    /// The index of the transaction at hand.
    pub(super) tx: usize,
    pub(super) notes: Vec<(usize, Note)>,
    /// The first thing found missing that cannot be: the block has no result then.
    pub(super) broken: Option<&'static str>,
}

impl Output {
    /// Notes that an invariant of the state does not hold, so that the whole block fails.
    pub(super) fn broken(&mut self, invariant: &'static str) {
        self.broken.get_or_insert(invariant);
    }

    pub(super) fn event(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Notes something about the transaction at hand.
    pub(super) fn note(&mut self, note: Note) {
        self.notes.push((self.tx, note));
    }

    /// Adds to the history of a feature what it is now.
    pub(super) fn change(&mut self, feature: &mut TouchedFeature, cause: Cause, reason: Reason, actor: Address) {
        let seq = feature.next_seq();
        let feature = &feature.data.feature;
        let change = Change { status: feature.status, percent: feature.rollout_percent, cause, reason, actor };
        self.history.push(PendingChange { name: feature.name, seq, change });
    }

    /// Adds to the history of a plugin what happens to a version now.
    pub(super) fn plugin_change(
        &mut self,
        height: Height,
        plugin: &mut TouchedPlugin,
        action: PluginAction,
        version: &Version,
        reason: PluginReason,
        actor: &Address,
    ) {
        let seq = plugin.next_seq();
        let deployment = plugin.data.deployment.as_ref();
        let change = PluginChange {
            action,
            version: version.clone(),
            success: is_success(action, reason),
            share: deployment.map(Deployment::share).unwrap_or_default(),
            duration: deployment.map_or(0, |deployment| height.saturating_sub(deployment.start)),
            reason,
            actor: *actor,
        };
        self.plugin_history.push(PendingPluginChange { name: plugin.data.name, seq, change });
    }
}

/// A history entry of a feature that is written when the block ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct PendingChange {
    pub(super) name: Name,
    pub(super) seq: u32,
    pub(super) change: Change,
}

/// A history entry of a plugin that is written when the block ends.
#[derive(Debug, Clone)]
pub(super) struct PendingPluginChange {
    pub(super) name: Name,
    pub(super) seq: u32,
    pub(super) change: PluginChange,
}

/// Whether an action did what it was meant for.
fn is_success(action: PluginAction, reason: PluginReason) -> bool {
    match action {
        PluginAction::RolledBack | PluginAction::Reverted | PluginAction::LoadFailed => false,
        PluginAction::Paused => reason == PluginReason::Manual,
        PluginAction::Concluded => reason == PluginReason::Canary,
        PluginAction::Registered
        | PluginAction::Deployed
        | PluginAction::Staged
        | PluginAction::Resumed
        | PluginAction::Promoted
        | PluginAction::Retired
        | PluginAction::Loaded
        | PluginAction::Unloaded => true,
    }
}

/// Why a command was refused, and for a load at which plugin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refusal {
    pub(super) reject: Reject,
    pub(super) plugin: Option<Name>,
}

impl From<Reject> for Refusal {
    fn from(reject: Reject) -> Self {
        Self { reject, plugin: None }
    }
}

/// Where a transaction began.
#[derive(Debug)]
pub(super) struct Checkpoint {
    overlay: Mark,
    events: usize,
    history: usize,
    plugin_history: usize,
    notes: usize,
}

impl Executor<'_> {
    /// Begins a transaction that may fail after a change.
    pub(super) fn begin(&mut self) -> Checkpoint {
        Checkpoint {
            overlay: self.overlay.begin(),
            events: self.out.events.len(),
            history: self.out.history.len(),
            plugin_history: self.out.plugin_history.len(),
            notes: self.out.notes.len(),
        }
    }

    /// Undoes what the transaction did.
    pub(super) fn undo(&mut self, start: Checkpoint) {
        self.overlay.undo(start.overlay);
        self.out.events.truncate(start.events);
        self.out.history.truncate(start.history);
        self.out.plugin_history.truncate(start.plugin_history);
        self.out.notes.truncate(start.notes);
    }
}

/// How much due work the block may still do.
pub(super) struct Budget(pub(super) u32);

impl Budget {
    pub(super) const fn is_spent(&self) -> bool {
        self.0 == 0
    }

    pub(super) const fn spend(&mut self) {
        self.0 = self.0.saturating_sub(1);
    }
}
