//! The key table: one byte of prefix, then fixed-width parts, the variable part last or length-prefixed.
//!
//! A prefix is never reused. Ranges of one feature never hold a key of another, whatever their
//! names: where something follows the name, the name is length-prefixed.

use alloc::vec::Vec;

use crate::codec::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};
use crate::feed::record::{FeedId, FeedKey, FeedKind};
use crate::plugin::version::Version;
use crate::values::{Address, Height, Name};

macro_rules! prefixes {
    ($($(#[$doc:meta])* $variant:ident = $byte:literal;)*) => {
        /// The first byte of a key.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum KeyPrefix {
            $($(#[$doc])* $variant = $byte,)*
        }

        impl KeyPrefix {
            /// Every prefix, ascending.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The byte.
            #[must_use]
            pub const fn byte(self) -> u8 {
                match self {
                    $(Self::$variant => $byte,)*
                }
            }

            /// The prefix with this byte.
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
    /// A feature.
    Feature = 0xD0;
    /// The metrics of a feature.
    Metrics = 0xD1;
    /// One entry of the history of a feature.
    Change = 0xD2;
    /// One user's override of a feature.
    Override = 0xD3;
    /// The one global record.
    Global = 0xD4;
    /// The policy of a feature, when it is not the default.
    Policy = 0xD5;
    /// The roles of an address.
    Roles = 0xD6;
    /// Work that falls due at a height.
    Due = 0xD7;
    /// The index of features in Canary or RollingOut.
    Active = 0xD8;
    /// A plugin; alone, what holds for all plugins.
    Plugin = 0xD9;
    /// A version of a plugin.
    PluginVersion = 0xDA;
    /// A deployment under way.
    Deployment = 0xDB;
    /// One entry of the history of a plugin.
    PluginChange = 0xDC;
    /// The index of plugins by what they require.
    Dependent = 0xDD;
    /// The config feed: its totals, items, index, and what an open put retains.
    Feed = 0xDE;
}

/// The kinds of due work, in the order in which a block looks at them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DueKind {
    /// Scheduled commands.
    Schedule,
    /// The next step of a rollout.
    Step,
    /// The next look at a deployment.
    Deployment,
    /// A plugin in the load queue.
    Load,
}

impl DueKind {
    /// Every kind, by byte.
    pub const ALL: [Self; 4] = [Self::Schedule, Self::Step, Self::Deployment, Self::Load];

    /// The byte behind the prefix.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Schedule => 0,
            Self::Step => 1,
            Self::Deployment => 2,
            Self::Load => 3,
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
        /// The feature.
        name: Name,
        /// The height of the change.
        height: Height,
        /// Counts from 0 within one feature and height.
        seq: u32,
    },
    /// `D3 ‖ lp8 name ‖ address`.
    Override {
        /// The feature.
        name: Name,
        /// The user.
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
        /// The height at which the commands run.
        at: Height,
        /// The id of the entry.
        id: u64,
    },
    /// `D7 ‖ 1 ‖ due height ‖ name`.
    Step {
        /// The height at which the step is due.
        at: Height,
        /// The feature.
        name: Name,
    },
    /// `D8 ‖ name`.
    Active(Name),
    /// `D9`.
    Registry,
    /// `D9 ‖ plugin`.
    Plugin(Name),
    /// `DA ‖ lp8 plugin ‖ version without build metadata`.
    PluginVersion {
        /// The plugin.
        plugin: Name,
        /// The version; what it has of build metadata is left out.
        version: Version,
    },
    /// `DB ‖ plugin`.
    Deployment(Name),
    /// `DC ‖ lp8 plugin ‖ height ‖ seq`.
    PluginChange {
        /// The plugin.
        plugin: Name,
        /// The height of the change.
        height: Height,
        /// Counts from 0 within one plugin and height.
        seq: u32,
    },
    /// `DD ‖ lp8 dependency ‖ dependent`.
    Dependent {
        /// What is required; none = the host, which everything that is not Unloaded runs on.
        dependency: Option<Name>,
        /// The plugin that requires it.
        dependent: Name,
    },
    /// `D7 ‖ 2 ‖ due height ‖ plugin`.
    DeploymentDue {
        /// The height at which the deployment is looked at.
        at: Height,
        /// The plugin.
        plugin: Name,
    },
    /// `D7 ‖ 3 ‖ due height ‖ plugin`.
    LoadDue {
        /// The height at which the plugin's turn comes.
        at: Height,
        /// The plugin.
        plugin: Name,
    },
    /// `DE`.
    Feed,
    /// `DE ‖ kind ‖ id`.
    FeedItem(FeedKey),
    /// `DE ‖ 2 + kind ‖ id`.
    FeedIndex(FeedKey),
    /// `DE ‖ 4 + kind ‖ id`.
    FeedListed(FeedKey),
}

impl Key {
    /// The prefix of the key.
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
            Self::Schedule { .. } | Self::Step { .. } | Self::DeploymentDue { .. } | Self::LoadDue { .. } => {
                KeyPrefix::Due
            }
            Self::Active(_) => KeyPrefix::Active,
            Self::Registry | Self::Plugin(_) => KeyPrefix::Plugin,
            Self::PluginVersion { .. } => KeyPrefix::PluginVersion,
            Self::Deployment(_) => KeyPrefix::Deployment,
            Self::PluginChange { .. } => KeyPrefix::PluginChange,
            Self::Dependent { .. } => KeyPrefix::Dependent,
            Self::Feed | Self::FeedItem(_) | Self::FeedIndex(_) | Self::FeedListed(_) => KeyPrefix::Feed,
        }
    }

    /// The longest key, in bytes: that of an item of the feed, and just as well that of a version.
    pub const LEN_MAX: usize = 1 + 1 + FeedId::LEN_MAX;
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
        })
    }
}

/// The sections of the feed: these numbers and the kind give the byte behind the prefix.
const FEED_ITEMS: u8 = 0;
const FEED_INDEX: u8 = 2;
const FEED_LISTED: u8 = 4;

const fn feed_section(section: u8, kind: FeedKind) -> u8 {
    section | kind.tag()
}

fn feed_key(section: u8, FeedKey { kind, id }: &FeedKey, out: &mut Writer) {
    out.u8(feed_section(section, *kind));
    out.raw(id.as_bytes());
}

/// A name that reaches to the end of the key.
fn bare_name(input: &mut Reader<'_>) -> Result<Name, DecodeError> {
    let error = input.error(DecodeErrorKind::OutOfRange);
    Name::new(input.rest()).map_err(|_| error)
}

/// A version without build metadata that reaches to the end of the key.
fn bare_version(input: &mut Reader<'_>) -> Result<Version, DecodeError> {
    let error = input.error(DecodeErrorKind::OutOfRange);
    Version::new(input.rest()).ok().filter(Version::has_no_build).ok_or(error)
}

/// A name, or the host where its length is 0.
fn name_or_host(input: &mut Reader<'_>) -> Result<Option<Name>, DecodeError> {
    let bytes = input.lp8()?;
    if bytes.is_empty() {
        return Ok(None);
    }
    Name::new(bytes).map(Some).map_err(|_| input.error(DecodeErrorKind::OutOfRange))
}

/// A half-open range of keys: from `start` up to and without `end`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyRange {
    pub(crate) start: Vec<u8>,
    pub(crate) end: Vec<u8>,
}

impl KeyRange {
    /// All keys that begin with `prefix`.
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

    /// All keys of one kind of record.
    pub(crate) fn all(prefix: KeyPrefix) -> Self {
        Self::of_prefix([prefix.byte()].into())
    }

    /// All history entries of a feature.
    pub(crate) fn history(name: &Name) -> Self {
        Self::of_prefix(lp8_prefix(KeyPrefix::Change, name))
    }

    /// All versions of a plugin.
    pub(crate) fn versions(plugin: &Name) -> Self {
        Self::of_prefix(lp8_prefix(KeyPrefix::PluginVersion, plugin))
    }

    /// All history entries of a plugin.
    pub(crate) fn plugin_history(plugin: &Name) -> Self {
        Self::of_prefix(lp8_prefix(KeyPrefix::PluginChange, plugin))
    }

    /// All plugins that require a plugin.
    pub(crate) fn dependents(plugin: &Name) -> Self {
        Self::of_prefix(lp8_prefix(KeyPrefix::Dependent, plugin))
    }

    /// All overrides of a feature.
    pub(crate) fn overrides(name: &Name) -> Self {
        Self::of_prefix(lp8_prefix(KeyPrefix::Override, name))
    }

    /// All due entries of a kind.
    pub(crate) fn due(kind: DueKind) -> Self {
        Self::of_prefix([KeyPrefix::Due.byte(), kind.byte()].into())
    }

    /// All items of a kind in the feed.
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

/// The state keys are exactly those from the first prefix on, below `E0`; what a store keeps for
/// itself lies outside.
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
