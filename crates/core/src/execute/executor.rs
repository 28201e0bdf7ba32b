//! The executor of a block: the overlay that it writes to, and the output beside it.
//!
//! A command is a ladder of guards, each of which returns its reject, followed by writes that cannot fail. A comment
//! marks the point of no return. Consequences of a command and due work have no guards. Whatever such a write needs
//! exists by an invariant of the state; if it is missing all the same, the state in memory is damaged, and
//! [`Output::broken`] fails the whole block.

use alloc::vec::Vec;

use crate::block::Receipt;
use crate::delta::{TouchedFeature, TouchedPlugin};
use crate::event::Event;
use crate::execute::error::BlockError;
use crate::feature::guard::GuardFinding;
use crate::feature::record::{Cause, Change, Feature, Reason, RollbackEvidence};
use crate::note::Note;
use crate::overlay::{Mark, Overlay};
use crate::plugin::deployment::Deployment;
use crate::plugin::record::{Evidence, PluginAction, PluginChange, PluginReason};
use crate::plugin::version::Version;
use crate::reject::Reject;
use crate::rules::RuleSet;
use crate::values::{Address, Height, Name};

/// Executes the transactions and the due work of one block.
#[derive(Debug)]
pub(super) struct Executor<'a> {
    pub(super) height: Height,
    pub(super) overlay: Overlay<'a>,
    pub(super) out: Output,
    /// The units of work that the block has left.
    pub(super) work_left: u32,
    /// How many pieces of due work of each kind the block does, by the parameters with which it began.
    pub(super) due_max: u32,
}

/// Events, history entries and notes of a block, in the order in which they happened.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) events: Vec<Event>,
    /// How many events there were before each transaction.
    pub(super) events_before: Vec<usize>,
    pub(super) history: Vec<PendingChange>,
    pub(super) plugin_history: Vec<PendingPluginChange>,
    /// Index of the current transaction.
    pub(super) tx: usize,
    pub(super) notes: Vec<(usize, Note)>,
    /// The first reason found for which the block has no result.
    pub(super) stopped: Option<BlockError>,
}

impl Output {
    /// Fails the whole block: an invariant of the state does not hold.
    pub(super) fn broken(&mut self, invariant: &'static str) {
        self.stop(BlockError::Broken(invariant));
    }

    /// Fails the whole block.
    pub(super) fn stop(&mut self, error: BlockError) {
        self.stopped.get_or_insert(error);
    }

    pub(super) fn schedule_executed(&mut self, id: u64, receipt: Receipt) {
        self.event(Event::ScheduleExecuted { id, code: receipt.code(), index: receipt.index() });
    }

    pub(super) fn event(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Adds a note about the current transaction.
    pub(super) fn note(&mut self, note: Note) {
        self.notes.push((self.tx, note));
    }

    /// Adds the present status and percent of a feature to its history.
    pub(super) fn change(&mut self, feature: &mut TouchedFeature, cause: Cause, actor: Address) {
        self.add_change(feature, cause, Reason::Manual, actor, None);
    }

    /// Adds a rollback of a feature to its history.
    pub(super) fn rollback(&mut self, feature: &mut TouchedFeature, finding: &GuardFinding, actor: Address) {
        self.add_change(feature, Cause::RolledBack, finding.reason, actor, Some(finding.evidence));
    }

    fn add_change(
        &mut self,
        feature: &mut TouchedFeature,
        cause: Cause,
        reason: Reason,
        actor: Address,
        evidence: Option<RollbackEvidence>,
    ) {
        let seq = feature.next_seq();
        let Feature { name, status, rollout_percent: percent, .. } = feature.data.feature;
        self.history.push(PendingChange {
            name,
            seq,
            change: Change { status, percent, cause, reason, actor, evidence },
        });
    }

    /// Adds an action on a version to the history of its plugin.
    pub(super) fn plugin_change(
        &mut self,
        height: Height,
        plugin: &mut TouchedPlugin,
        action: PluginAction,
        version: &Version,
        reason: PluginReason,
        actor: &Address,
    ) {
        self.plugin_change_with(height, plugin, action, version, reason, actor, None);
    }

    /// Adds a rollback or a verdict to the history of its plugin.
    #[expect(clippy::too_many_arguments, reason = "they are the fields of the entry")]
    pub(super) fn plugin_change_with(
        &mut self,
        height: Height,
        plugin: &mut TouchedPlugin,
        action: PluginAction,
        version: &Version,
        reason: PluginReason,
        actor: &Address,
        evidence: Option<Evidence>,
    ) {
        debug_assert_eq!(evidence.is_some(), action.has_evidence(), "the bytes have evidence for these actions alone");
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
            evidence,
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

/// The `success` flag of a history entry: whether the action achieved its purpose.
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

/// The reject of a command; for a load also the plugin that caused it.
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

/// Where a command comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A transaction of the block.
    Sent,
    /// The schedule, where it has waited.
    Schedule,
}

/// The point to which a failed transaction is undone.
#[derive(Debug)]
pub(super) struct Checkpoint {
    overlay: Mark,
    events: usize,
    history: usize,
    plugin_history: usize,
    notes: usize,
}

impl Executor<'_> {
    /// The rules of the block: those that the block before it has left.
    pub(super) const fn rules(&self) -> RuleSet {
        self.overlay.base.global().rules
    }

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

    /// Undoes all changes and output of the transaction.
    pub(super) fn undo(&mut self, start: Checkpoint) {
        self.overlay.undo(start.overlay);
        self.out.events.truncate(start.events);
        self.out.history.truncate(start.history);
        self.out.plugin_history.truncate(start.plugin_history);
        self.out.notes.truncate(start.notes);
    }
}

/// The due work, or the rollbacks of a draining breaker, of one kind that the block may still do: `max_due_per_block` at
/// first.
pub(super) struct Budget(pub(super) u32);

impl Budget {
    pub(super) const fn is_spent(&self) -> bool {
        self.0 == 0
    }

    pub(super) const fn spend(&mut self) {
        self.0 = self.0.saturating_sub(1);
    }
}
