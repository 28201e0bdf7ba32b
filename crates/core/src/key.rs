//! The keys of the state: one prefix byte, then fixed-width parts, the variable part last or length-prefixed.
//!
//! A prefix is never reused. A range over one feature or plugin never contains a key of another, even if
//! one name begins with the other: where anything follows the name, the name is length-prefixed.

use alloc::vec::Vec;

use crate::codec::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};
use crate::feed::record::{FeedId, FeedKey, FeedKind};
use crate::plugin::version::Version;
use crate::rounds::Pool;
use crate::values::{Address, Height, Name};

macro_rules! prefixes {
    ($($(#[$doc:meta])* $variant:ident = $byte:literal;)*) => {
        /// The first byte of a key: the kind of record.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum KeyPrefix {
            $($(#[$doc])* $variant = $byte,)*
        }

        impl KeyPrefix {
            /// Every prefix, ascending: the order of the kinds in a store.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The prefix as it is in the key.
            #[must_use]
            pub const fn byte(self) -> u8 {
                match self {
                    $(Self::$variant => $byte,)*
                }
            }

            /// Looks up a prefix by its byte.
            #[must_use]
            pub const fn from_byte(byte: u8) -> Option<Self> {
                match byte {
                    $($byte => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

prefixes! {
    /// A [`Feature`](crate::Feature), by name.
    Feature = 0xD0;
    /// The [`Metrics`](crate::Metrics) of a feature, by name.
    Metrics = 0xD1;
    /// One history entry of a feature: a [`Change`](crate::Change).
    Change = 0xD2;
    /// One user's [`Override`](crate::Override) of a feature.
    Override = 0xD3;
    /// The single [`Global`](crate::Global) record.
    Global = 0xD4;
    /// The [`Policy`](crate::Policy) of a feature; stored only when not the default.
    Policy = 0xD5;
    /// The [`Roles`](crate::Roles) of an address; absent without any.
    Roles = 0xD6;
    /// Work due at a height. What follows is the [`DueKind`], then the height, so a scan yields the next work first.
    Due = 0xD7;
    /// Index of the features in Canary or RollingOut; the value is empty.
    Active = 0xD8;
    /// A [`Plugin`](crate::Plugin), by name; without a name, the [`Registry`](crate::Registry).
    Plugin = 0xD9;
    /// A [`PluginVersion`](crate::PluginVersion) of a plugin.
    PluginVersion = 0xDA;
    /// The [`Deployment`](crate::Deployment) of a plugin; deleted when it ends.
    Deployment = 0xDB;
    /// One history entry of a plugin: a [`PluginChange`](crate::PluginChange).
    PluginChange = 0xDC;
    /// Index of the plugins by what they require; the value is empty.
    Dependent = 0xDD;
    /// The config feed: totals, items, the index of known ids, and the ids that an open put has listed.
    Feed = 0xDE;
    /// What keeps a signer from being copied or followed alone: sequences, and the pools of open rounds.
    Trust = 0xDF;
}

/// The kinds of due work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DueKind {
    /// Commands that were scheduled.
    Schedule,
    /// The next automatic step of a rollout.
    Step,
    /// The next check of a deployment.
    Deployment,
    /// A plugin's turn in the load queue.
    Load,
    /// The end of a round of reports.
    Round,
    /// The deadline of a deployment.
    Deadline,
}

impl DueKind {
    /// Every kind, by ascending byte.
    pub const ALL: [Self; 6] = [Self::Schedule, Self::Step, Self::Deployment, Self::Load, Self::Round, Self::Deadline];

    /// The byte after the prefix. It comes before the height, so kinds never interleave.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Schedule => 0,
            Self::Step => 1,
            Self::Deployment => 2,
            Self::Load => 3,
            Self::Round => 4,
            Self::Deadline => 5,
        }
    }
}

/// A key of the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// `D0 ‖ name`.
    Feature(Name),
    /// `D1 ‖ name`.
    Metrics(Name),
    /// `D2 ‖ lp8 name ‖ height ‖ seq`.
    Change {
        /// The feature that changed.
        name: Name,
        /// The height of the block that changed it.
        height: Height,
        /// Number of the entry within this feature and height, from 0.
        seq: u32,
    },
    /// `D3 ‖ lp8 name ‖ address`.
    Override {
        /// The feature that the override is for.
        name: Name,
        /// The address that the feature is switched for.
        user: Address,
    },
    /// `D4`.
    Global,
    /// `D5 ‖ name`.
    Policy(Name),
    /// `D6 ‖ address`.
    Roles(Address),
    /// `D7 ‖ 0 ‖ due height ‖ id`.
    Schedule {
        /// The height from which the commands are due.
        at: Height,
        /// Unique within the ledger, assigned in ascending order: the order of entries with one height.
        id: u64,
    },
    /// `D7 ‖ 1 ‖ due height ‖ name`.
    Step {
        /// The height from which the step is due.
        at: Height,
        /// The feature in RollingOut.
        name: Name,
    },
    /// `D8 ‖ name`.
    Active(Name),
    /// `D9` alone.
    Registry,
    /// `D9 ‖ plugin`.
    Plugin(Name),
    /// `DA ‖ lp8 plugin ‖ version without build metadata`.
    PluginVersion {
        /// The plugin that the version belongs to.
        plugin: Name,
        /// The version. Encoding leaves its build metadata out, because versions that differ only in it are the same.
        version: Version,
    },
    /// `DB ‖ plugin`.
    Deployment(Name),
    /// `DC ‖ lp8 plugin ‖ height ‖ seq`.
    PluginChange {
        /// The plugin that changed.
        plugin: Name,
        /// The height of the block that changed it.
        height: Height,
        /// Number of the entry within this plugin and height, from 0.
        seq: u32,
    },
    /// `DD ‖ lp8 dependency ‖ dependent`.
    Dependent {
        /// The required plugin; `None` is the host, which everything that is not Unloaded runs on.
        dependency: Option<Name>,
        /// The plugin that requires it, or waits for it to be registered.
        dependent: Name,
    },
    /// `D7 ‖ 2 ‖ due height ‖ plugin`.
    DeploymentDue {
        /// The height from which the check is due.
        at: Height,
        /// The plugin that is being deployed.
        plugin: Name,
    },
    /// `D7 ‖ 3 ‖ due height ‖ plugin`.
    LoadDue {
        /// The height from which the plugin's turn is due.
        at: Height,
        /// The plugin in the queue.
        plugin: Name,
    },
    /// `D7 ‖ 4 ‖ due height ‖ kind ‖ lp8 subject ‖ [lp8 version]`.
    Round {
        /// The height at which the round ends.
        at: Height,
        /// The pool that closes then.
        pool: Pool,
    },
    /// `D7 ‖ 5 ‖ due height ‖ plugin`.
    Deadline {
        /// The height at which the deployment is rolled back.
        at: Height,
        /// The plugin that is being deployed.
        plugin: Name,
    },
    /// `DE` alone.
    Feed,
    /// `DE ‖ kind ‖ id`.
    FeedItem(FeedKey),
    /// `DE ‖ 2 + kind ‖ id`.
    FeedIndex(FeedKey),
    /// `DE ‖ 4 + kind ‖ id`.
    FeedListed(FeedKey),
    /// `DF ‖ 1 ‖ address`.
    Sequence(Address),
    /// `DF ‖ 2 ‖ kind ‖ lp8 subject ‖ [lp8 version] ‖ reporter`.
    PoolEntry {
        /// The pool.
        pool: Pool,
        /// Who reported it.
        reporter: Address,
    },
}

impl Key {
    /// The kind of record that the key is for.
    #[must_use]
    pub const fn prefix(&self) -> KeyPrefix {
        match self {
            Self::Feature(_) => KeyPrefix::Feature,
            Self::Metrics(_) => KeyPrefix::Metrics,
            Self::Change { .. } => KeyPrefix::Change,
            Self::Override { .. } => KeyPrefix::Override,
            Self::Global => KeyPrefix::Global,
            Self::Policy(_) => KeyPrefix::Policy,
            Self::Roles(_) => KeyPrefix::Roles,
            Self::Schedule { .. }
            | Self::Step { .. }
            | Self::DeploymentDue { .. }
            | Self::LoadDue { .. }
            | Self::Round { .. }
            | Self::Deadline { .. } => KeyPrefix::Due,
            Self::Active(_) => KeyPrefix::Active,
            Self::Registry | Self::Plugin(_) => KeyPrefix::Plugin,
            Self::PluginVersion { .. } => KeyPrefix::PluginVersion,
            Self::Deployment(_) => KeyPrefix::Deployment,
            Self::PluginChange { .. } => KeyPrefix::PluginChange,
            Self::Dependent { .. } => KeyPrefix::Dependent,
            Self::Feed | Self::FeedItem(_) | Self::FeedIndex(_) | Self::FeedListed(_) => KeyPrefix::Feed,
            Self::Sequence(_) | Self::PoolEntry { .. } => KeyPrefix::Trust,
        }
    }

    /// Maximum length in bytes: that of the key of a report about a version.
    pub const LEN_MAX: usize = 1 + 1 + 1 + (1 + Name::LEN_MAX) + (1 + Version::LEN_MAX) + Address::LEN;
}

impl Encode for Key {
    fn encode(&self, out: &mut Writer) {
        out.u8(self.prefix().byte());
        match self {
            Self::Feature(name)
            | Self::Metrics(name)
            | Self::Policy(name)
            | Self::Active(name)
            | Self::Plugin(name)
            | Self::Deployment(name) => out.raw(name.as_bytes()),
            Self::Change { name, height, seq } | Self::PluginChange { plugin: name, height, seq } => {
                out.name(name);
                out.u32(*height);
                out.u32(*seq);
            }
            Self::Override { name, user } => {
                out.name(name);
                out.address(user);
            }
            Self::Global | Self::Registry | Self::Feed => {}
            Self::Roles(address) => out.address(address),
            Self::Schedule { at, id } => {
                out.u8(DueKind::Schedule.byte());
                out.u32(*at);
                out.u64(*id);
            }
            Self::Step { at, name } => due(out, DueKind::Step, *at, name),
            Self::DeploymentDue { at, plugin } => due(out, DueKind::Deployment, *at, plugin),
            Self::LoadDue { at, plugin } => due(out, DueKind::Load, *at, plugin),
            Self::Round { at, pool } => {
                out.u8(DueKind::Round.byte());
                out.u32(*at);
                pool.encode(out);
            }
            Self::Deadline { at, plugin } => due(out, DueKind::Deadline, *at, plugin),
            Self::PluginVersion { plugin, version } => {
                out.name(plugin);
                out.raw(version.precedence().as_bytes());
            }
            Self::Dependent { dependency, dependent } => {
                out.lp8(dependency.as_ref().map_or(&[], Name::as_bytes));
                out.raw(dependent.as_bytes());
            }
            Self::FeedItem(key) => feed_key(FEED_ITEMS, key, out),
            Self::FeedIndex(key) => feed_key(FEED_INDEX, key, out),
            Self::FeedListed(key) => feed_key(FEED_LISTED, key, out),
            Self::Sequence(address) => {
                out.u8(TRUST_SEQUENCES);
                out.address(address);
            }
            Self::PoolEntry { pool, reporter } => {
                out.u8(TRUST_POOLS);
                pool.encode(out);
                out.address(reporter);
            }
        }
    }
}

fn due(out: &mut Writer, kind: DueKind, at: Height, name: &Name) {
    out.u8(kind.byte());
    out.u32(at);
    out.raw(name.as_bytes());
}

impl Decode for Key {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let unknown = input.error(DecodeErrorKind::UnknownTag);
        let prefix = KeyPrefix::from_byte(input.u8()?).ok_or(unknown)?;
        Ok(match prefix {
            KeyPrefix::Feature => Self::Feature(bare_name(input)?),
            KeyPrefix::Metrics => Self::Metrics(bare_name(input)?),
            KeyPrefix::Change => Self::Change { name: input.name()?, height: input.u32()?, seq: input.u32()? },
            KeyPrefix::Override => Self::Override { name: input.name()?, user: input.address()? },
            KeyPrefix::Global => Self::Global,
            KeyPrefix::Policy => Self::Policy(bare_name(input)?),
            KeyPrefix::Roles => Self::Roles(input.address()?),
            KeyPrefix::Due => {
                let kind = input.u8()?;
                match DueKind::ALL.into_iter().find(|known| known.byte() == kind) {
                    Some(DueKind::Schedule) => Self::Schedule { at: input.u32()?, id: input.u64()? },
                    Some(DueKind::Step) => Self::Step { at: input.u32()?, name: bare_name(input)? },
                    Some(DueKind::Deployment) => Self::DeploymentDue { at: input.u32()?, plugin: bare_name(input)? },
                    Some(DueKind::Load) => Self::LoadDue { at: input.u32()?, plugin: bare_name(input)? },
                    Some(DueKind::Round) => Self::Round { at: input.u32()?, pool: Pool::decode(input)? },
                    Some(DueKind::Deadline) => Self::Deadline { at: input.u32()?, plugin: bare_name(input)? },
                    None => return Err(input.error(DecodeErrorKind::UnknownTag)),
                }
            }
            KeyPrefix::Active => Self::Active(bare_name(input)?),
            KeyPrefix::Plugin if input.remaining() == 0 => Self::Registry,
            KeyPrefix::Plugin => Self::Plugin(bare_name(input)?),
            KeyPrefix::PluginVersion => Self::PluginVersion { plugin: input.name()?, version: bare_version(input)? },
            KeyPrefix::Deployment => Self::Deployment(bare_name(input)?),
            KeyPrefix::PluginChange => {
                Self::PluginChange { plugin: input.name()?, height: input.u32()?, seq: input.u32()? }
            }
            KeyPrefix::Dependent => Self::Dependent { dependency: name_or_host(input)?, dependent: bare_name(input)? },
            KeyPrefix::Feed => {
                let Ok(section) = input.u8() else { return Ok(Self::Feed) };
                let kind = if section & 1 == 0 { FeedKind::Environment } else { FeedKind::Filter };
                let id = FeedId::new(input.rest()).map_err(|_| input.error(DecodeErrorKind::OutOfRange))?;
                let key = FeedKey { kind, id };
                match section & !1 {
                    FEED_ITEMS => Self::FeedItem(key),
                    FEED_INDEX => Self::FeedIndex(key),
                    FEED_LISTED => Self::FeedListed(key),
                    _ => return Err(unknown),
                }
            }
            KeyPrefix::Trust => match input.u8()? {
                TRUST_SEQUENCES => Self::Sequence(input.address()?),
                TRUST_POOLS => Self::PoolEntry { pool: Pool::decode(input)?, reporter: input.address()? },
                _ => return Err(input.error(DecodeErrorKind::UnknownTag)),
            },
        })
    }
}

/// Sections of the feed. The byte after the prefix is a section plus the kind.
const FEED_ITEMS: u8 = 0;
const FEED_INDEX: u8 = 2;
const FEED_LISTED: u8 = 4;

/// The byte after the prefix of trust.
const TRUST_SEQUENCES: u8 = 1;
const TRUST_POOLS: u8 = 2;

const fn feed_section(section: u8, kind: FeedKind) -> u8 {
    section | kind.tag()
}

fn feed_key(section: u8, FeedKey { kind, id }: &FeedKey, out: &mut Writer) {
    out.u8(feed_section(section, *kind));
    out.raw(id.as_bytes());
}

/// Reads a name that extends to the end of the key.
fn bare_name(input: &mut Reader<'_>) -> Result<Name, DecodeError> {
    let error = input.error(DecodeErrorKind::OutOfRange);
    Name::new(input.rest()).map_err(|_| error)
}

/// Reads a version without build metadata that extends to the end of the key.
fn bare_version(input: &mut Reader<'_>) -> Result<Version, DecodeError> {
    let error = input.error(DecodeErrorKind::OutOfRange);
    Version::new(input.rest()).ok().filter(Version::has_no_build).ok_or(error)
}

/// Reads a length-prefixed name; an empty one is the host.
fn name_or_host(input: &mut Reader<'_>) -> Result<Option<Name>, DecodeError> {
    let bytes = input.lp8()?;
    if bytes.is_empty() {
        return Ok(None);
    }
    Name::new(bytes).map(Some).map_err(|_| input.error(DecodeErrorKind::OutOfRange))
}

/// The key range `start..end`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyRange {
    pub(crate) start: Vec<u8>,
    pub(crate) end: Vec<u8>,
}

impl KeyRange {
    /// All keys that begin with `prefix`; the end is the next prefix of that length.
    pub(crate) fn of_prefix(prefix: Vec<u8>) -> Self {
        let mut end = prefix.clone();
        while let Some(last) = end.pop() {
            if let Some(next) = last.checked_add(1) {
                end.push(next);
                break;
            }
        }
        Self { start: prefix, end }
    }

    /// All records of one kind, the whole prefix.
    pub(crate) fn all(prefix: KeyPrefix) -> Self {
        Self::of_prefix([prefix.byte()].into())
    }

    /// All history entries of a feature, oldest first.
    pub(crate) fn history(name: &Name) -> Self {
        Self::of_prefix(lp8_prefix(KeyPrefix::Change, name))
    }

    /// All versions of a plugin, in the order of their bytes, which is not that of precedence.
    pub(crate) fn versions(plugin: &Name) -> Self {
        Self::of_prefix(lp8_prefix(KeyPrefix::PluginVersion, plugin))
    }

    /// All history entries of a plugin, oldest first.
    pub(crate) fn plugin_history(plugin: &Name) -> Self {
        Self::of_prefix(lp8_prefix(KeyPrefix::PluginChange, plugin))
    }

    /// All plugins that require this one, or wait for it, in name order.
    pub(crate) fn dependents(plugin: &Name) -> Self {
        Self::of_prefix(lp8_prefix(KeyPrefix::Dependent, plugin))
    }

    /// What all reporters have said in a pool, by address.
    pub(crate) fn pool(pool: &Pool) -> Self {
        let mut out = Writer::default();
        out.u8(KeyPrefix::Trust.byte());
        out.u8(TRUST_POOLS);
        pool.encode(&mut out);
        Self::of_prefix(out.into_bytes())
    }

    /// All overrides of a feature, by address.
    pub(crate) fn overrides(name: &Name) -> Self {
        Self::of_prefix(lp8_prefix(KeyPrefix::Override, name))
    }

    /// All due work of one kind, earliest first.
    pub(crate) fn due(kind: DueKind) -> Self {
        Self::of_prefix([KeyPrefix::Due.byte(), kind.byte()].into())
    }

    /// All feed items of one kind, by id.
    pub(crate) fn feed_items(kind: FeedKind) -> Self {
        Self::of_prefix([KeyPrefix::Feed.byte(), feed_section(FEED_ITEMS, kind)].into())
    }
}

fn lp8_prefix(prefix: KeyPrefix, name: &Name) -> Vec<u8> {
    let mut out = Writer::default();
    out.u8(prefix.byte());
    out.name(name);
    out.into_bytes()
}

/// First bytes of all keys of the state. A store keeps its own records outside of this range.
pub const STATE_KEYS: core::ops::Range<u8> = 0xD0..0xE0;

const _: () = {
    let mut rest = KeyPrefix::ALL;
    while let [first, tail @ ..] = rest {
        assert!(first.byte() >= STATE_KEYS.start && first.byte() < STATE_KEYS.end);
        if let [second, ..] = tail {
            assert!(first.byte() < second.byte(), "prefixes ascend, so none is used twice");
        }
        rest = tail;
    }
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_features_with_a_common_prefix_are_apart() {
        let (a, ab): (Name, Name) = ("a".parse().unwrap(), "ab".parse().unwrap());
        let change = |name| Key::Change { name, height: u32::MAX, seq: u32::MAX }.to_bytes();
        let over = |name| Key::Override { name, user: Address([0xff; 20]) }.to_bytes();
        for (range, own, other) in [
            (KeyRange::history(&a), change(a), change(ab)),
            (KeyRange::history(&ab), change(ab), change(a)),
            (KeyRange::overrides(&a), over(a), over(ab)),
            (KeyRange::overrides(&ab), over(ab), over(a)),
        ] {
            assert!(range.start <= own && own < range.end);
            assert!(other < range.start || range.end <= other);
        }
    }

    #[test]
    fn a_range_ends_where_its_prefix_does() {
        for (prefix, end) in [(&[0xd0][..], &[0xd1][..]), (&[0xd0, 0xff], &[0xd1]), (&[0xff], &[]), (&[], &[])] {
            assert_eq!(KeyRange::of_prefix(prefix.into()), KeyRange { start: prefix.into(), end: end.into() });
        }
    }
}
