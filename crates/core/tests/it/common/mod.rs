//! What the tests of core share beside the support of the model crate: golden rows, and what kinds of command are
//! about.

pub(crate) mod document;

use coalmine_core::{CommandKind, Decode, Encode, Key, Pool, PoolKind, Writer};
use serde_json::Value;

pub(crate) use coalmine_model::support::commands::*;
pub(crate) use coalmine_model::support::{Random, Records, World, bring_feature, plugins, refused, writes};

// Golden rows.

/// The files of `fixtures/vectors`.
pub(crate) const FILES: [&str; 6] = ["records", "commands", "events", "blocks", "roots", "buckets"];

/// One golden row.
pub(crate) struct Row {
    /// `file/id`, for messages.
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) fields: Value,
    whole: Value,
}

impl Row {
    /// The bytes that a member of the row has in hex.
    pub(crate) fn hex(&self, member: &str) -> Vec<u8> {
        hex::decode(self.whole[member].as_str().unwrap_or_else(|| panic!("{}: no {member}", self.id))).unwrap()
    }

    /// A number of the row.
    pub(crate) fn number(&self, member: &str) -> u64 {
        self.whole[member].as_u64().unwrap_or_else(|| panic!("{}: no {member}", self.id))
    }

    /// The encoding: `value` of a record, else `bytes`.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.hex(if self.whole.get("value").is_some() { "value" } else { "bytes" })
    }
}

/// The rows of a file of golden vectors.
pub(crate) fn rows(file: &str) -> Vec<Row> {
    let path = format!("{}/../../fixtures/vectors/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let Value::Array(rows) = serde_json::from_str(&text).unwrap() else { panic!("{path} is no array") };
    let row = |whole: Value| Row {
        id: format!("{file}/{}", whole["id"].as_str().unwrap()),
        kind: whole["type"].as_str().unwrap().into(),
        fields: whole["fields"].clone(),
        whole,
    };
    rows.into_iter().map(row).collect()
}

// Kinds of command.

/// What a command is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The ledger itself: breaker, schedule, roles, parameters.
    Ledger,
    Feature,
    Plugin,
    Feed,
}

/// What the commands of a kind are about. A new kind gets its place here first.
pub(crate) fn subject(kind: CommandKind) -> Subject {
    match kind {
        CommandKind::CreateFeature
        | CommandKind::ConfigureFeature
        | CommandKind::StartCanary
        | CommandKind::StartRollout
        | CommandKind::AdvanceRollout
        | CommandKind::Enable
        | CommandKind::Disable
        | CommandKind::Rollback
        | CommandKind::SetOverride
        | CommandKind::ClearOverride
        | CommandKind::Report
        | CommandKind::PauseRollout => Subject::Feature,
        CommandKind::TripBreaker
        | CommandKind::ResetBreaker
        | CommandKind::Schedule
        | CommandKind::CancelSchedule
        | CommandKind::GrantRole
        | CommandKind::RevokeRole
        | CommandKind::SetParams
        | CommandKind::SetRules => Subject::Ledger,
        CommandKind::RegisterVersion
        | CommandKind::Deploy
        | CommandKind::Pause
        | CommandKind::Resume
        | CommandKind::Promote
        | CommandKind::RollbackDeployment
        | CommandKind::Revert
        | CommandKind::RetireVersion
        | CommandKind::SetRule
        | CommandKind::SetHostVersion
        | CommandKind::SetRegistryParams
        | CommandKind::Load
        | CommandKind::Unload
        | CommandKind::ReportVersion
        | CommandKind::AttestHealth
        | CommandKind::ReportLoad
        | CommandKind::ReportUnload => Subject::Plugin,
        CommandKind::FeedPut | CommandKind::FeedPatch | CommandKind::FeedDelete | CommandKind::FeedForget => {
            Subject::Feed
        }
    }
}

// Rounds.

/// The pool of a kind about a version of a plugin, which only a report makes by itself.
pub(crate) fn pool_of_version(kind: PoolKind, plugin: &str, version: &str) -> Pool {
    let mut key = Writer::default();
    key.raw(&[0xd7, 4, 0, 0, 0, 0]);
    kind.encode(&mut key);
    key.lp8(plugin.as_bytes());
    key.lp8(version.as_bytes());
    match Key::from_bytes(&key.into_bytes()) {
        Ok(Key::Round { pool, .. }) => pool,
        other => panic!("{other:?}"),
    }
}

// What the environment asks for.

/// A number from the environment.
pub(crate) fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}
