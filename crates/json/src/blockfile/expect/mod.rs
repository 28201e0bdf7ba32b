//! The expectations of a file, for blocks and for its end: read and checked for form only.
//!
//! An unknown name of a field, status, reject or event is an error of the file, so that a misspelled
//! expectation cannot pass. A key of `expect` is a row in `block` or `state` below.

use std::fmt;

use coalmine_core::{
    Address, DeploymentStatus, DeploymentSummary, EventCode, Feature, FeedKind, Hash, Height, ItemState, LoadState,
    Metrics, Name, Percent, Plugin, Reason, Reject, Status, Version, VersionStatus,
};

use crate::error::Place;
use crate::json::{Entry, Object, Problem, Val, push, shown};

/// The expectations for a block, at its end.
#[derive(Debug, Clone)]
pub struct BlockExpect {
    /// The place of the `expect`.
    pub place: Place,
    /// Its JSON.
    pub text: String,
    /// All receipts, in order.
    pub receipts: Option<Vec<ExpectedReceipt>>,
    /// The names of all events, in order.
    pub events: Option<Vec<EventCode>>,
    /// The expectations for the state.
    pub state: StateExpect,
}

/// The expectations at the end of a file.
#[derive(Debug, Clone)]
pub struct FinalExpect {
    /// The place of the `expect`.
    pub place: Place,
    /// Its JSON.
    pub text: String,
    /// The height of the last block.
    pub height: Option<Height>,
    /// The expectations for the state.
    pub state: StateExpect,
}

/// The expectations for the state.
#[derive(Debug, Clone, Default)]
pub struct StateExpect {
    /// The root.
    pub root: Option<Hash>,
    /// Fields of features.
    pub features: ByName<Vec<ExpectedField<Feature>>>,
    /// Fields of metrics.
    pub metrics: ByName<Vec<ExpectedField<Metrics>>>,
    /// Whole histories.
    pub history: ByName<Vec<HistoryExpect>>,
    /// The users for whom features are on or off.
    pub enabled: Vec<EnabledExpect>,
    /// Fields and versions of plugins.
    pub plugins: ByName<PluginExpect>,
    /// The versions that serve units.
    pub routes: Vec<RouteExpect>,
    /// Items of the feed.
    pub feed: Vec<FeedExpect>,
}

/// Expectations for features or plugins, by name. They are kept as text, because a [`Name`] always takes the room of
/// the longest one and there may be many short ones.
#[derive(Debug, Clone)]
pub struct ByName<T>(Vec<(Box<str>, T)>);

impl<T> Default for ByName<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> ByName<T> {
    /// The names and the expectations for them, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (Name, &T)> {
        // Every name was parsed when the file was read.
        self.0.iter().filter_map(|(name, expected)| Some((name.parse().ok()?, expected)))
    }
}

/// The expectations for a plugin.
#[derive(Debug, Clone)]
pub struct PluginExpect {
    /// Fields of the plugin and of its deployment.
    pub fields: Vec<ExpectedField<PluginFacts>>,
    /// The statuses of versions; `None` for a version that must not be registered.
    pub versions: Vec<(Version, Option<VersionStatus>)>,
}

/// A plugin with a summary of its deployment.
#[derive(Debug, Clone)]
pub struct PluginFacts {
    /// The record.
    pub plugin: Plugin,
    /// The summary.
    pub standing: DeploymentSummary,
}

/// The version expected to serve a unit.
#[derive(Debug, Clone)]
pub struct RouteExpect {
    /// The plugin.
    pub plugin: Name,
    /// The unit.
    pub unit: Vec<u8>,
    /// The version; `None` if no such plugin is expected.
    pub version: Option<Version>,
}

/// An expected receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedReceipt {
    /// `ok`.
    Ok,
    /// This reject.
    Rejected(Reject),
}

impl ExpectedReceipt {
    /// The name of the receipt, as [`coalmine_core::Receipt::name`] gives it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Rejected(reject) => reject.name(),
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        if name == Self::Ok.name() { Some(Self::Ok) } else { Reject::from_name(name).map(Self::Rejected) }
    }
}

/// An entry of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryExpect {
    /// The height of the change.
    pub height: Height,
    /// The status from that height on.
    pub status: Status,
    /// The percent from that height on.
    pub percent: Percent,
}

/// Whether a feature is on for a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnabledExpect {
    /// The feature.
    pub name: Name,
    /// The user.
    pub user: Address,
    /// On or off.
    pub value: bool,
}

/// The expectations for an item of the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedExpect {
    /// Its kind.
    pub kind: FeedKind,
    /// Its id, valid or not.
    pub id: Box<str>,
    /// The expected record; `None` if none is expected.
    pub item: Option<Box<ItemExpect>>,
}

/// The expected fields of the record of an item, as far as given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemExpect {
    /// The version.
    pub version: Option<u64>,
    /// The name of the state.
    pub state: Option<&'static str>,
    /// The body; empty unless the item is live.
    pub body: Option<Vec<u8>>,
}

/// The value of a field of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldValue {
    /// A number.
    Number(u64),
    /// Anything that is a string in JSON.
    Text(String),
    /// A boolean.
    Bool(bool),
    /// Null.
    None,
}

impl<T: Into<u64>> From<T> for FieldValue {
    fn from(number: T) -> Self {
        Self::Number(number.into())
    }
}

impl fmt::Display for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
            Self::Bool(value) => value.fmt(f),
            Self::None => "null".fmt(f),
        }
    }
}

/// A field of the record `R`: its key, and how to read it.
#[derive(Debug)]
pub struct RecordField<R: 'static> {
    /// The key in JSON.
    pub key: &'static str,
    /// Reads the value from the record of the feature or plugin of this name.
    pub of: fn(&Name, &R) -> FieldValue,
    read: fn(Val<'_>) -> Result<FieldValue, Problem>,
}

/// A field and its expected value.
#[derive(Debug, Clone)]
pub struct ExpectedField<R: 'static> {
    /// The field.
    pub field: &'static RecordField<R>,
    /// The value.
    pub value: FieldValue,
}

const fn field<R>(
    key: &'static str,
    read: fn(Val<'_>) -> Result<FieldValue, Problem>,
    of: fn(&Name, &R) -> FieldValue,
) -> RecordField<R> {
    RecordField { key, of, read }
}

/// Every field of a feature, in the order of its record.
pub const FEATURE_FIELDS: &[RecordField<Feature>] = &[
    field("name", read_text, |_, f| text(f.name)),
    field("description", read_text, |_, f| text(f.description.as_str())),
    field("status", read_status, |_, f| text(f.status)),
    field("rollout_percent", read_u8, |_, f| f.rollout_percent.get().into()),
    field("target_percent", read_u8, |_, f| f.target_percent.get().into()),
    field("increment_percent", read_u8, |_, f| f.increment_percent.get().into()),
    field("increment_blocks", read_u32, |_, f| f.increment_blocks.into()),
    field("start_block", read_u32, |_, f| f.start_block.into()),
    field("last_increment_block", read_u32, |_, f| f.last_increment_block.into()),
    field("error_count", read_u64, |_, f| f.error_count.into()),
    field("success_count", read_u64, |_, f| f.success_count.into()),
    field("max_error_rate", read_u32, |_, f| f.max_error_rate.into()),
    field("min_success_count", read_u64, |_, f| f.min_success_count.into()),
    field("enabled_by", read_address, |_, f| text(f.enabled_by)),
    field("rollback_reason", read_reason, |_, f| text(f.rollback_reason)),
];

/// Every field of the metrics of a feature, in the order of their record.
pub const METRICS_FIELDS: &[RecordField<Metrics>] = &[
    field("name", read_text, |name, _| text(name)),
    field("total_operations", read_u64, |_, m| m.total_operations.into()),
    field("successful_ops", read_u64, |_, m| m.successful_ops.into()),
    field("failed_ops", read_u64, |_, m| m.failed_ops.into()),
    field("average_latency", read_u64, |_, m| m.average_latency().into()),
    field("peak_latency", read_u64, |_, m| m.peak_latency.into()),
    field("invariant_checks", read_u64, |_, m| m.invariant_checks.into()),
    field("invariant_failures", read_u64, |_, m| m.invariant_failures.into()),
    field("latency_sum", read_u64, |_, m| m.latency_sum.into()),
    field("trial_invariant_failures", read_u64, |_, m| m.trial_invariant_failures.into()),
    field("trial_latency_sum", read_u64, |_, m| m.trial_latency_sum.into()),
    field("trial_operations", read_u64, |_, m| m.trial_operations.into()),
    field("step_operations", read_u64, |_, m| m.step_operations.into()),
    field("window_start", read_u32, |_, m| m.window_start.into()),
    field("current_successes", read_u64, |_, m| m.current_successes.into()),
    field("current_errors", read_u64, |_, m| m.current_errors.into()),
    field("previous_successes", read_u64, |_, m| m.previous_successes.into()),
    field("previous_errors", read_u64, |_, m| m.previous_errors.into()),
];

/// Every field that can be expected of a plugin, except its versions. Build metadata does not matter.
pub const PLUGIN_FIELDS: &[RecordField<PluginFacts>] = &[
    field("current", read_version, |_, p| text(p.plugin.current.without_build())),
    field("previous", read_version_or_null, |_, p| version_or_none(p.plugin.previous.as_ref())),
    field("status", read_deployment_status, |_, p| text(p.standing.status)),
    field("canary", read_version_or_null, |_, p| version_or_none(p.standing.canary.as_ref())),
    field("paused", read_bool, |_, p| FieldValue::Bool(p.standing.paused)),
    field("waiting", read_bool, |_, p| FieldValue::Bool(p.standing.waiting)),
    field("share_bps", read_u16, |_, p| p.standing.share.get().into()),
    field("stage", read_u8, |_, p| p.standing.stage.into()),
    field("load_state", read_load_state, |_, p| text(p.plugin.load_state)),
];

fn version_or_none(version: Option<&Version>) -> FieldValue {
    version.map_or(FieldValue::None, |version| text(version.without_build()))
}

fn read_version(value: Val<'_>) -> Result<FieldValue, Problem> {
    value.parse::<Version>().map(|version| text(version.without_build()))
}

fn read_version_or_null(value: Val<'_>) -> Result<FieldValue, Problem> {
    if value.is_null() { Ok(FieldValue::None) } else { read_version(value) }
}

fn read_bool(value: Val<'_>) -> Result<FieldValue, Problem> {
    value.bool().map(FieldValue::Bool)
}

fn read_u16(value: Val<'_>) -> Result<FieldValue, Problem> {
    value.u16().map(FieldValue::from)
}

fn read_deployment_status(value: Val<'_>) -> Result<FieldValue, Problem> {
    let names = || DeploymentStatus::ALL.iter().map(|status| status.name()).collect();
    value.one_of("status", DeploymentStatus::from_name, names).map(text)
}

fn read_load_state(value: Val<'_>) -> Result<FieldValue, Problem> {
    let names = || LoadState::ALL.iter().map(|state| state.name()).collect();
    value.one_of("load state", LoadState::from_name, names).map(text)
}

fn text(value: impl fmt::Display) -> FieldValue {
    FieldValue::Text(value.to_string())
}

fn read_text(value: Val<'_>) -> Result<FieldValue, Problem> {
    value.string().map(text)
}

fn read_u8(value: Val<'_>) -> Result<FieldValue, Problem> {
    value.u8().map(FieldValue::from)
}

fn read_u32(value: Val<'_>) -> Result<FieldValue, Problem> {
    value.u32().map(FieldValue::from)
}

fn read_u64(value: Val<'_>) -> Result<FieldValue, Problem> {
    value.integer(u64::MAX).map(FieldValue::from)
}

fn read_address(value: Val<'_>) -> Result<FieldValue, Problem> {
    value.parse::<Address>().map(text)
}

fn read_status(value: Val<'_>) -> Result<FieldValue, Problem> {
    status(value).map(text)
}

fn read_reason(value: Val<'_>) -> Result<FieldValue, Problem> {
    let names = || Reason::ALL.iter().map(|reason| reason.name()).collect();
    value.one_of("reason", Reason::from_name, names).map(text)
}

fn status(value: Val<'_>) -> Result<Status, Problem> {
    value.one_of("status", Status::from_name, || Status::ALL.iter().map(|status| status.name()).collect())
}

/// The `expect` of a block.
pub(super) fn block(expect: Val<'_>, place: Place) -> Result<BlockExpect, Problem> {
    let mut block =
        BlockExpect { place, text: expect.raw().into(), receipts: None, events: None, state: StateExpect::default() };
    for entry in expect.object()?.entries() {
        let value = entry.value;
        match &*entry.key {
            "receipts" => block.receipts = Some(list(value, receipt).map_err(|problem| problem.in_key("receipts"))?),
            "events" => block.events = Some(list(value, event).map_err(|problem| problem.in_key("events"))?),
            key if block.state.read(key, value)? => {}
            key => {
                let message = format!("unknown key {}; expect takes receipts, events, {STATE_KEYS}", shown(key));
                return Err(entry.key_problem(message));
            }
        }
    }
    Ok(block)
}

/// The `expect` of a file.
pub(super) fn end(expect: Val<'_>, place: Place) -> Result<FinalExpect, Problem> {
    let mut end = FinalExpect { place, text: expect.raw().into(), height: None, state: StateExpect::default() };
    for entry in expect.object()?.entries() {
        match &*entry.key {
            "height" => end.height = Some(entry.value.u32().map_err(|problem| problem.in_key("height"))?),
            key if end.state.read(key, entry.value)? => {}
            key => {
                let message = format!("unknown key {}; the final expect takes height, {STATE_KEYS}", shown(key));
                return Err(entry.key_problem(message));
            }
        }
    }
    Ok(end)
}

const STATE_KEYS: &str = "root, features, metrics, history, enabled, plugins, routes, feed";

impl StateExpect {
    /// Takes the key if it is one of [`STATE_KEYS`].
    fn read(&mut self, key: &str, value: Val<'_>) -> Result<bool, Problem> {
        let mut read = || -> Result<bool, Problem> {
            match key {
                "root" => self.root = Some(value.parse()?),
                "features" => self.features = by_name(value, |value| fields(value, "a feature", FEATURE_FIELDS))?,
                "metrics" => self.metrics = by_name(value, |value| fields(value, "metrics", METRICS_FIELDS))?,
                "history" => self.history = by_name(value, |value| list(value, change))?,
                "enabled" => self.enabled = list(value, enabled)?,
                "plugins" => self.plugins = by_name(value, plugin)?,
                "routes" => self.routes = list(value, route)?,
                "feed" => self.feed = feed(value)?,
                _ => return Ok(false),
            }
            Ok(true)
        };
        read().map_err(|problem| problem.in_key(key))
    }
}

fn list<'a, T>(value: Val<'a>, read: fn(Val<'a>) -> Result<T, Problem>) -> Result<Vec<T>, Problem> {
    let mut list = Vec::new();
    for element in value.elements()? {
        push(&mut list, read(element?)?);
    }
    Ok(list)
}

/// The entries of an object, in a vector without spare room.
fn entries<'a, T>(value: Val<'a>, read: impl Fn(Entry<'a>) -> Result<T, Problem>) -> Result<Vec<T>, Problem> {
    let object = value.object()?;
    let mut list = Vec::with_capacity(object.len());
    for entry in object.entries() {
        list.push(read(entry)?);
    }
    Ok(list)
}

fn by_name<'a, T>(value: Val<'a>, read: impl Fn(Val<'a>) -> Result<T, Problem>) -> Result<ByName<T>, Problem> {
    let read = |entry: Entry<'a>| {
        let is_name = entry.key.parse::<Name>().map(|_| ());
        is_name.map_err(|error| entry.key_problem(format!("{}: {error}", shown(&entry.key))))?;
        let expected = read(entry.value).map_err(|problem| problem.in_key(&entry.key))?;
        Ok((entry.key.into(), expected))
    };
    entries(value, read).map(ByName)
}

fn fields<R>(value: Val<'_>, what: &str, table: &'static [RecordField<R>]) -> Result<Vec<ExpectedField<R>>, Problem> {
    let object = value.object()?;
    object.only(what, table.iter().map(|field| field.key))?;
    fields_of(&object, table)
}

/// The keys of the table that the object has.
fn fields_of<R>(object: &Object<'_>, table: &'static [RecordField<R>]) -> Result<Vec<ExpectedField<R>>, Problem> {
    let expected = object.entries().filter_map(|entry| {
        let field = table.iter().find(|field| entry.key == field.key)?;
        let value = (field.read)(entry.value).map_err(|problem| problem.in_key(field.key));
        Some(value.map(|value| ExpectedField { field, value }))
    });
    expected.collect()
}

fn receipt(value: Val<'_>) -> Result<ExpectedReceipt, Problem> {
    let names = || std::iter::once("ok").chain(Reject::ALL.iter().map(|reject| reject.name())).collect();
    value.one_of("receipt", ExpectedReceipt::from_name, names)
}

fn event(value: Val<'_>) -> Result<EventCode, Problem> {
    value.one_of("event", EventCode::from_name, || EventCode::ALL.iter().map(|code| code.name()).collect())
}

fn change(value: Val<'_>) -> Result<HistoryExpect, Problem> {
    let object = value.object()?;
    object.only("an entry of history", ["height", "status", "percent"].into_iter())?;
    let percent = object.need("percent")?;
    Ok(HistoryExpect {
        height: object.need("height")?.u32().map_err(|problem| problem.in_key("height"))?,
        status: status(object.need("status")?)?,
        percent: Percent::new(percent.u8().map_err(|problem| problem.in_key("percent"))?)
            .map_err(|error| percent.problem(format!("percent: {error}")))?,
    })
}

fn enabled(value: Val<'_>) -> Result<EnabledExpect, Problem> {
    let object = value.object()?;
    object.only("an entry of enabled", ["name", "user", "value"].into_iter())?;
    Ok(EnabledExpect {
        name: object.need("name")?.parse().map_err(|problem| problem.in_key("name"))?,
        user: object.need("user")?.parse().map_err(|problem| problem.in_key("user"))?,
        value: object.need("value")?.bool().map_err(|problem| problem.in_key("value"))?,
    })
}

fn plugin(value: Val<'_>) -> Result<PluginExpect, Problem> {
    const VERSIONS: &str = "versions";
    let object = value.object()?;
    object.only("a plugin", PLUGIN_FIELDS.iter().map(|field| field.key).chain([VERSIONS]))?;
    let versions = object.get(VERSIONS).map(|value| versions(value).map_err(|problem| problem.in_key(VERSIONS)));
    let versions = versions.transpose()?.unwrap_or_default();
    Ok(PluginExpect { fields: fields_of(&object, PLUGIN_FIELDS)?, versions })
}

fn versions(value: Val<'_>) -> Result<Vec<(Version, Option<VersionStatus>)>, Problem> {
    let names = || VersionStatus::ALL.iter().map(|status| status.name()).collect();
    entries(value, |entry| {
        let version =
            entry.key.parse().map_err(|error| entry.key_problem(format!("{}: {error}", shown(&entry.key))))?;
        if entry.value.is_null() {
            return Ok((version, None));
        }
        let status = entry.value.one_of("status", VersionStatus::from_name, names);
        Ok((version, Some(status.map_err(|problem| problem.in_key(&entry.key))?)))
    })
}

fn route(value: Val<'_>) -> Result<RouteExpect, Problem> {
    let object = value.object()?;
    object.only("an entry of routes", ["plugin", "unit", "version"].into_iter())?;
    let version = object.need("version")?;
    let version =
        if version.is_null() { None } else { Some(version.parse().map_err(|problem| problem.in_key("version"))?) };
    Ok(RouteExpect {
        plugin: object.need("plugin")?.parse().map_err(|problem| problem.in_key("plugin"))?,
        unit: object.need("unit")?.prefixed_hex().map_err(|problem| problem.in_key("unit"))?,
        version,
    })
}

/// The items of both kinds, by id.
fn feed(value: Val<'_>) -> Result<Vec<FeedExpect>, Problem> {
    let object = value.object()?;
    let lists = [("environments", FeedKind::Environment), ("filters", FeedKind::Filter)];
    object.only("feed", lists.iter().map(|(key, _)| *key))?;
    let mut expected = Vec::new();
    for (key, kind) in lists {
        let Some(list) = object.get(key) else { continue };
        let items = entries(list, |entry| {
            let item = feed_item(entry.value).map_err(|problem| problem.in_key(&entry.key))?;
            Ok(FeedExpect { kind, id: entry.key.into(), item })
        });
        expected.extend(items.map_err(|problem| problem.in_key(key))?);
    }
    Ok(expected)
}

fn feed_item(value: Val<'_>) -> Result<Option<Box<ItemExpect>>, Problem> {
    if value.is_null() {
        return Ok(None);
    }
    let object = value.object()?;
    object.only("an item", ["version", "state", "body"].into_iter())?;
    let state = |name: &str| ItemState::NAMES.into_iter().find(|state| *state == name);
    let read_state = |value: Val<'_>| value.one_of("state", state, || ItemState::NAMES.into());
    Ok(Some(Box::new(ItemExpect {
        version: given(&object, "version", |value| value.integer(u64::MAX))?,
        state: given(&object, "state", read_state)?,
        body: given(&object, "body", Val::hex)?,
    })))
}

/// The value of a key, if there is one.
fn given<'a, T>(
    object: &Object<'a>,
    key: &str,
    read: impl FnOnce(Val<'a>) -> Result<T, Problem>,
) -> Result<Option<T>, Problem> {
    object.get(key).map(read).transpose().map_err(|problem| problem.in_key(key))
}
