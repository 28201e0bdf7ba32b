//! What has become of a feature or plugin, folded from the entries of its history as they come.
//!
//! Of a long history only what an explanation needs is kept: the last entry, the one since which it is what it is, and
//! the verdicts.

use coalmine_core::query::{HistoryEntry, PluginHistoryEntry};
use coalmine_core::{
    Change, Decode, DecodeError, Execution, Fault, Height, Key, Name, PluginAction, PluginChange, PluginReason, Read,
    Status, query,
};

/// What an explanation or a figure is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A feature.
    Feature(Name),
    /// A plugin.
    Plugin(Name),
    /// The ledger itself: its breaker, its schedule, its roles.
    Ledger,
}

/// A history that is folded entry by entry.
pub trait History {
    /// Takes the entries that a block adds. Executions come in the order of their heights.
    ///
    /// # Errors
    /// A record that does not decode, which an execution of core never has.
    fn watch(&mut self, execution: &Execution) -> Result<(), DecodeError>;
}

/// The number of entries that are read from a store at a time.
const PAGE: usize = 1_024;

/// The history of a feature as far as it explains what the feature is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureHistory {
    /// The feature.
    pub name: Name,
    /// The first entry.
    pub created: Option<HistoryEntry>,
    /// The entry since which it has its status.
    pub status_since: Option<HistoryEntry>,
    /// The last entry: since when it has its percentage.
    pub last: Option<HistoryEntry>,
    /// Every rollback, in order, with the percentage that it had before.
    pub verdicts: Vec<(HistoryEntry, Option<Change>)>,
}

impl FeatureHistory {
    /// Nothing so far.
    #[must_use]
    pub const fn new(name: Name) -> Self {
        Self { name, created: None, status_since: None, last: None, verdicts: Vec::new() }
    }

    /// Reads the entries up to a height from a store.
    ///
    /// # Errors
    /// The store fails, or has a corrupt record.
    pub fn read(source: &impl Read, name: &Name, until: Height) -> Result<Self, Fault> {
        let mut history = Self::new(*name);
        loop {
            let after = history.last.map(|entry| (entry.height, entry.seq));
            let page = query::history(source, name, after, PAGE)?;
            for entry in &page {
                if entry.height > until {
                    return Ok(history);
                }
                history.push(*entry);
            }
            if page.len() < PAGE {
                return Ok(history);
            }
        }
    }

    /// Adds the next entry.
    pub fn push(&mut self, entry: HistoryEntry) {
        self.created.get_or_insert(entry);
        let before = self.last.map(|last| last.change);
        if before.is_none_or(|before| before.status != entry.change.status) || entry.change.status == Status::RolledBack
        {
            self.status_since = Some(entry);
        }
        if entry.change.evidence.is_some() {
            self.verdicts.push((entry, before));
        }
        self.last = Some(entry);
    }
}

impl History for FeatureHistory {
    fn watch(&mut self, execution: &Execution) -> Result<(), DecodeError> {
        let mut found = Vec::new();
        for (key, value) in execution.writes().iter() {
            if let (Key::Change { name, height, seq }, Some(value)) = (Key::from_bytes(key)?, value)
                && name == self.name
            {
                found.push(HistoryEntry { height, seq, change: Change::from_bytes(value)? });
            }
        }
        found.sort_by_key(|entry| entry.seq);
        found.into_iter().for_each(|entry| self.push(entry));
        Ok(())
    }
}

/// The history of a plugin as far as it explains what the plugin is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginHistory {
    /// The plugin.
    pub name: Name,
    /// The first entry.
    pub created: Option<PluginHistoryEntry>,
    /// The entry since which its current version is that.
    pub current_since: Option<PluginHistoryEntry>,
    /// The last entry.
    pub last: Option<PluginHistoryEntry>,
    /// What rules, hosts and people have decided about its deployments, in order: rollbacks, pauses by a rule, verdicts
    /// of comparisons, and reverts.
    pub verdicts: Vec<PluginHistoryEntry>,
}

impl PluginHistory {
    /// Nothing so far.
    #[must_use]
    pub const fn new(name: Name) -> Self {
        Self { name, created: None, current_since: None, last: None, verdicts: Vec::new() }
    }

    /// Reads the entries up to a height from a store.
    ///
    /// # Errors
    /// The store fails, or has a corrupt record.
    pub fn read(source: &impl Read, name: &Name, until: Height) -> Result<Self, Fault> {
        let mut history = Self::new(*name);
        loop {
            let after = history.last.as_ref().map(|entry| (entry.height, entry.seq));
            let page = query::plugin_history(source, name, after, PAGE)?;
            let is_last = page.len() < PAGE;
            for entry in page {
                if entry.height > until {
                    return Ok(history);
                }
                history.push(entry);
            }
            if is_last {
                return Ok(history);
            }
        }
    }

    /// Adds the next entry.
    pub fn push(&mut self, entry: PluginHistoryEntry) {
        self.created.get_or_insert_with(|| entry.clone());
        let PluginChange { action, reason, .. } = &entry.change;
        match action {
            PluginAction::Promoted => self.current_since = Some(entry.clone()),
            PluginAction::Reverted => {
                self.current_since = Some(entry.clone());
                self.verdicts.push(entry.clone());
            }
            PluginAction::RolledBack | PluginAction::Concluded => self.verdicts.push(entry.clone()),
            PluginAction::Paused if *reason != PluginReason::Manual => self.verdicts.push(entry.clone()),
            PluginAction::Registered if self.current_since.is_none() => self.current_since = Some(entry.clone()),
            PluginAction::Registered
            | PluginAction::Deployed
            | PluginAction::Staged
            | PluginAction::Paused
            | PluginAction::Resumed
            | PluginAction::Retired
            | PluginAction::Loaded
            | PluginAction::Unloaded
            | PluginAction::LoadFailed => {}
        }
        self.last = Some(entry);
    }
}

impl History for PluginHistory {
    fn watch(&mut self, execution: &Execution) -> Result<(), DecodeError> {
        let mut found = Vec::new();
        for (key, value) in execution.writes().iter() {
            if let (Key::PluginChange { plugin, height, seq }, Some(value)) = (Key::from_bytes(key)?, value)
                && plugin == self.name
            {
                found.push(PluginHistoryEntry { height, seq, change: PluginChange::from_bytes(value)? });
            }
        }
        found.sort_by_key(|entry| entry.seq);
        found.into_iter().for_each(|entry| self.push(entry));
        Ok(())
    }
}
