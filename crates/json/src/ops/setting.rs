//! Settings by path: the same commands with another value of one field.
//!
//! A path names what it is of and a field of the table: `feature.NAME.max_error_rate`, `policy.NAME.window_blocks`,
//! `deploy.NAME.error_threshold_bps`, `params.quorum`. Wherever a command of a replay sets that field, it gets the value
//! instead; where a feature is created, it gets it in any case.

use std::fmt;

use coalmine_core::{
    Command, CommandKind, Decode, Name, Params, ParamsChanges, Reader, StrategyKind, TxCommand, Writer,
};
use serde::de::IgnoredAny;
use serde_json::Value as Json;

use super::kind::{Field, Kind, Limit};
use super::table::{self, GUARDRAILS, POLICY, strategy_fields};
use super::{command_bytes, command_json};
use crate::json::{Val, quoted};

/// What a setting is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingOf {
    /// A feature: what create_feature and configure_feature set.
    Feature(Name),
    /// The policy of a feature, which the same commands set.
    Policy(Name),
    /// The deployments of a plugin: strategy and guardrails.
    Deploy(Name),
    /// The parameters of the ledger: those of the genesis, and what set_params sets.
    Params,
}

impl SettingOf {
    /// The feature or plugin.
    #[must_use]
    pub const fn name(&self) -> Option<&Name> {
        match self {
            Self::Feature(name) | Self::Policy(name) | Self::Deploy(name) => Some(name),
            Self::Params => None,
        }
    }
}

/// A field of commands and the value that it gets.
#[derive(Debug, Clone)]
pub struct Setting {
    of: SettingOf,
    field: &'static Field,
    /// As JSON.
    value: String,
}

/// What becomes of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// The setting is of something else.
    Other,
    /// The command is about it, but does not set this field.
    Unset,
    /// The command with the value.
    Set(Vec<u8>),
}

const FEATURE: &str = "feature";
const POLICY_OF: &str = "policy";
const DEPLOY: &str = "deploy";
const PARAMS: &str = "params";
/// The guardrail whose default depends on the stages.
const MAX_BLOCKS: &str = "max_blocks";

/// The fields of a group of settings, each once.
fn fields(group: &str) -> Vec<&'static Field> {
    let mut found: Vec<&'static Field> = Vec::new();
    match group {
        FEATURE => {
            let settings = table::command(CommandKind::ConfigureFeature).fields.iter();
            found.extend(settings.filter(|field| field.key != "name" && !matches!(field.kind, Kind::Policy)));
        }
        POLICY_OF => found.extend(POLICY),
        DEPLOY => {
            for field in StrategyKind::ALL.iter().flat_map(|kind| strategy_fields(*kind)).chain(GUARDRAILS) {
                if !found.iter().any(|known| known.key == field.key) {
                    found.push(field);
                }
            }
        }
        PARAMS => found.extend(table::command(CommandKind::SetParams).fields),
        _ => {}
    }
    found
}

impl Setting {
    /// Every path that there is, with `NAME` for the name of a feature or plugin.
    #[must_use]
    pub fn paths() -> Vec<String> {
        let of = |group: &str, prefix: &str| -> Vec<String> {
            fields(group).into_iter().map(|field| format!("{prefix}.{}", field.key)).collect()
        };
        [of(FEATURE, "feature.NAME"), of(POLICY_OF, "policy.NAME"), of(DEPLOY, "deploy.NAME"), of(PARAMS, PARAMS)]
            .concat()
    }

    /// Reads a path and a value. Text needs no quotes, and a list is separated by commas.
    ///
    /// # Errors
    /// The path does not exist, with what there is; or the value is of another type, or out of the range of its field.
    pub fn new(path: &str, value: &str) -> Result<Self, String> {
        let (group, rest) = path.split_once('.').unwrap_or((path, ""));
        // A name may have dots, a field has none.
        let (name, key) = rest.rsplit_once('.').unwrap_or(("", rest));
        let all = fields(group);
        if all.is_empty() {
            let groups = "feature.NAME.FIELD, policy.NAME.FIELD, deploy.NAME.FIELD and params.FIELD";
            return Err(format!("there is no setting {path}; there are {groups}"));
        }
        let keys = || all.iter().map(|field| field.key).collect::<Vec<_>>().join(", ");
        let missing = || format!("there is no setting {path}; {group} has {}", keys());
        let of = if group == PARAMS {
            if !name.is_empty() {
                return Err(missing());
            }
            SettingOf::Params
        } else {
            if name.is_empty() {
                return Err(format!("{path} has no name; write {group}.NAME.FIELD, with a field of {}", keys()));
            }
            let name: Name = name.parse().map_err(|error| format!("{path}: {error}"))?;
            match group {
                FEATURE => SettingOf::Feature(name),
                POLICY_OF => SettingOf::Policy(name),
                _ => SettingOf::Deploy(name),
            }
        };
        let field = all.iter().find(|field| field.key == key).ok_or_else(missing)?;
        let value = json_of(field, value).map_err(|why| format!("{path}={value}: {why}"))?;
        Ok(Self { of, field, value })
    }

    /// What it is of.
    #[must_use]
    pub const fn of(&self) -> &SettingOf {
        &self.of
    }

    /// Gives the command the value.
    #[must_use]
    pub fn apply(&self, command: &[u8]) -> Applied {
        let mut input = Reader::new(command);
        let Ok(kind) = CommandKind::decode(&mut input) else { return Applied::Other };
        let is_meant = match (&self.of, kind) {
            (
                SettingOf::Feature(name) | SettingOf::Policy(name),
                CommandKind::CreateFeature | CommandKind::ConfigureFeature,
            )
            | (SettingOf::Deploy(name), CommandKind::Deploy) => input.lp8().is_ok_and(|bytes| bytes == name.as_bytes()),
            (SettingOf::Params, CommandKind::SetParams) => true,
            (_, _) => false,
        };
        if !is_meant {
            return Applied::Other;
        }
        match self.changed(kind, command) {
            Some(changed) => Applied::Set(changed),
            None => Applied::Unset,
        }
    }

    fn changed(&self, kind: CommandKind, command: &[u8]) -> Option<Vec<u8>> {
        let Json::Object(mut object) = serde_json::from_str(&command_json(command)?).ok()? else { return None };
        let value: Json = serde_json::from_str(&self.value).ok()?;
        let is_created = kind == CommandKind::CreateFeature;
        match &self.of {
            SettingOf::Feature(_) | SettingOf::Params | SettingOf::Deploy(_) => {
                if !is_created && !object.contains_key(self.field.key) {
                    return None;
                }
                if kind == CommandKind::Deploy && has_standard_deadline(command) && self.field.key != MAX_BLOCKS {
                    // A deadline that follows from the stages follows them.
                    object.remove(MAX_BLOCKS);
                }
                object.insert(self.field.key.into(), value);
            }
            SettingOf::Policy(_) => {
                let policy = if is_created {
                    object.entry(POLICY_OF).or_insert_with(|| Json::Object(serde_json::Map::new()))
                } else {
                    object.get_mut(POLICY_OF)?
                };
                policy.as_object_mut()?.insert(self.field.key.into(), value);
            }
        }
        let text = Json::Object(object).to_string();
        command_bytes(&Val::document(&text).object().ok()?, &[], 0).ok()
    }

    /// Gives the parameters of a genesis the value; others are left as they are.
    #[must_use]
    pub fn apply_to(&self, params: &Params) -> Params {
        if self.of != SettingOf::Params {
            return *params;
        }
        let changes = || {
            let text = format!("{{{}:{}}}", quoted(self.field.key), self.value);
            let mut out = Writer::default();
            let fields = table::command(CommandKind::SetParams).fields;
            super::to_bytes::object_bytes(&Val::document(&text).object().ok()?, PARAMS, fields, &[], 0, &mut out)
                .ok()?;
            ParamsChanges::from_bytes(out.as_bytes()).ok()
        };
        changes().map_or(*params, |changes| changes.apply_to(params))
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.of {
            SettingOf::Feature(name) => write!(f, "{FEATURE}.{name}")?,
            SettingOf::Policy(name) => write!(f, "{POLICY_OF}.{name}")?,
            SettingOf::Deploy(name) => write!(f, "{DEPLOY}.{name}")?,
            SettingOf::Params => f.write_str(PARAMS)?,
        }
        write!(f, ".{}={}", self.field.key, self.value)
    }
}

/// Whether the deadline of a deploy is the one that it gets when none is given.
fn has_standard_deadline(command: &[u8]) -> bool {
    let Ok(TxCommand::Valid(Command::Deploy { strategy, .. })) = TxCommand::from_bytes(command) else { return false };
    strategy.plan().guardrails().max_blocks == strategy.strategy().default_guardrails().max_blocks
}

/// A value as JSON of the type of a field, within its range.
fn json_of(field: &Field, value: &str) -> Result<String, String> {
    let wrong = || format!("{} takes {}", field.key, about(field));
    let json = match field.kind {
        Kind::Words(_) if !value.starts_with('[') => {
            let words = value.split(',').filter(|word| !word.is_empty()).map(|word| quoted(word.trim()));
            format!("[{}]", words.collect::<Vec<_>>().join(","))
        }
        Kind::Word(_) | Kind::Text | Kind::Hash | Kind::Bytes | Kind::Address | Kind::Tag(_)
            if !value.starts_with('"') =>
        {
            quoted(value)
        }
        Kind::Word(_)
        | Kind::Text
        | Kind::Hash
        | Kind::Bytes
        | Kind::Address
        | Kind::Tag(_)
        | Kind::Words(_)
        | Kind::U8
        | Kind::U16
        | Kind::U32
        | Kind::U64
        | Kind::Bool
        | Kind::Pairs(_)
        | Kind::Policy
        | Kind::Stages
        | Kind::Commands
        | Kind::FeedItems => value.into(),
    };
    serde_json::from_str::<IgnoredAny>(&json).map_err(|_| wrong())?;
    field.kind.bytes(Val::document(&json), 0, &mut Writer::default()).map_err(|_| wrong())?;
    if let (Limit::Within(range), Ok(number)) = (field.limit, json.trim().parse::<u64>()) {
        let (min, max) = range();
        if number < min || number > max {
            return Err(wrong());
        }
    }
    Ok(json)
}

fn about(field: &Field) -> String {
    match field.range() {
        Some(range) => format!("{} ({range})", field.kind.about()),
        None => field.kind.about(),
    }
}
