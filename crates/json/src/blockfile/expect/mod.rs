//! The expectations of a file, for blocks and for its end: read and checked for form only.
//!
//! An unknown name of a field, status, reject or event is an error of the file, so that a misspelled
//! expectation cannot pass. A key of `expect` is a row in `block` or `state` below.

mod fields;

use coalmine_core::{
    Address, EventCode, Feature, FeedKind, Hash, Height, ItemState, MetricsRecord, Name, OpenBreaker, Override, Params,
    Percent, Registry, Reject, Role, Roles, Status, Version, VersionStatus,
};

pub(crate) use fields::Shape;
pub use fields::{
    BREAKER_FIELDS, ENTRY_FIELDS, EntryFacts, ExpectedField, FEATURE_FIELDS, METRICS_FIELDS, OVERRIDE_FIELDS,
    PARAMS_FIELDS, PLUGIN_FIELDS, PluginFacts, REGISTRY_FIELDS, RecordField,
};

use crate::error::Place;
use crate::json::{Entry, Object, Problem, Val, push, shown};
use crate::ops;

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
    pub metrics: ByName<Vec<ExpectedField<MetricsRecord>>>,
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
    /// The breaker: `Some(None)` for a closed one.
    pub breaker: Option<Option<Vec<ExpectedField<OpenBreaker>>>>,
    /// The roles of addresses, all that each has.
    pub roles: Vec<(Address, Roles)>,
    /// The overrides of features.
    pub overrides: ByName<Vec<OverrideExpect>>,
    /// The whole schedule, in its order.
    pub schedule: Option<ScheduleExpect>,
    /// Parameters.
    pub params: Vec<ExpectedField<Params>>,
    /// Settings shared by all plugins.
    pub registry: Vec<ExpectedField<Registry>>,
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

/// The expectations for an override.
#[derive(Debug, Clone)]
pub struct OverrideExpect {
    /// Whose it is.
    pub user: Address,
    /// Its fields; `None` if there must be none.
    pub fields: Option<Vec<ExpectedField<Override>>>,
}

/// The expectations for the whole schedule. They are kept as text, since an entry in full takes many times that.
#[derive(Debug, Clone)]
pub struct ScheduleExpect {
    text: Box<str>,
    /// How many entries there are.
    pub count: usize,
}

impl ScheduleExpect {
    fn read(value: Val<'_>) -> Result<Self, Problem> {
        let mut count: usize = 0;
        for element in value.elements()? {
            entry(element?)?;
            count = count.saturating_add(1);
        }
        Ok(Self { text: value.raw().into(), count })
    }

    /// The entries, in their order.
    pub fn entries(&self) -> impl Iterator<Item = EntryExpect> {
        // Every entry was read when the file was.
        let elements = Val::document(&self.text).elements().into_iter().flatten();
        elements.filter_map(|element| entry(element.ok()?).ok())
    }
}

/// The expectations for an entry of the schedule.
#[derive(Debug, Clone)]
pub struct EntryExpect {
    /// Where it stands, and who made it.
    pub fields: Vec<ExpectedField<EntryFacts>>,
    /// Its commands, encoded.
    pub commands: Option<Vec<Vec<u8>>>,
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

const STATE_KEYS: &str = "root, features, metrics, history, enabled, plugins, routes, feed, breaker, roles, overrides, \
                          schedule, params, registry";

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
                "breaker" => self.breaker = Some(unless_null(value, |value| fields(value, "breaker", BREAKER_FIELDS))?),
                "roles" => self.roles = entries(value, roles)?,
                "overrides" => self.overrides = by_name(value, |value| entries(value, user_switch))?,
                "schedule" => self.schedule = Some(ScheduleExpect::read(value)?),
                "params" => self.params = fields(value, "params", PARAMS_FIELDS)?,
                "registry" => self.registry = fields(value, "registry", REGISTRY_FIELDS)?,
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
        let value = field.read(entry.value).map_err(|problem| problem.in_key(field.key));
        Some(value.map(|value| ExpectedField { field, value }))
    });
    // Most objects have few of the fields.
    let mut list = Vec::with_capacity(object.len().min(table.len()));
    for field in expected {
        list.push(field?);
    }
    Ok(list)
}

/// `None` for null.
fn unless_null<'a, T>(value: Val<'a>, read: impl FnOnce(Val<'a>) -> Result<T, Problem>) -> Result<Option<T>, Problem> {
    if value.is_null() { Ok(None) } else { read(value).map(Some) }
}

fn address(entry: &Entry<'_>) -> Result<Address, Problem> {
    entry.key.parse().map_err(|error| entry.key_problem(format!("{} is invalid: {error}", shown(&entry.key))))
}

fn roles(entry: Entry<'_>) -> Result<(Address, Roles), Problem> {
    let mut held = Roles::NONE;
    for role in entry.value.elements().map_err(|problem| problem.in_key(&entry.key))? {
        held = held.with(role?.one_of("role", Role::from_name, ops::role_names)?);
    }
    Ok((address(&entry)?, held))
}

fn user_switch(entry: Entry<'_>) -> Result<OverrideExpect, Problem> {
    let read = unless_null(entry.value, |value| fields(value, "an override", OVERRIDE_FIELDS));
    let fields = read.map_err(|problem| problem.in_key(&entry.key))?;
    Ok(OverrideExpect { user: address(&entry)?, fields })
}

fn entry(value: Val<'_>) -> Result<EntryExpect, Problem> {
    const COMMANDS: &str = "commands";
    let object = value.object()?;
    object.only("an entry of schedule", ENTRY_FIELDS.iter().map(|field| field.key).chain([COMMANDS]))?;
    let read = |value| list(value, |value| ops::command_bytes(&value.object()?, &[], 0));
    let commands = object.get(COMMANDS).map(read).transpose().map_err(|problem| problem.in_key(COMMANDS))?;
    Ok(EntryExpect { fields: fields_of(&object, ENTRY_FIELDS)?, commands })
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
