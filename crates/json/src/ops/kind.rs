//! The types of fields, and what it means to leave one out.

use coalmine_core::{
    Advance, Bucketing, FeedKind, FeedPart, Gate, Lifetime, OnComplete, Reason, Role, StrategyKind, Writer,
};

use crate::json::{Problem, Val};

/// The names of an enum and their bytes.
#[derive(Debug)]
pub(crate) struct Tags {
    what: &'static str,
    tag: fn(&str) -> Option<u8>,
    pub(super) name: fn(u8) -> Option<&'static str>,
    pub(super) names: fn() -> Vec<&'static str>,
}

macro_rules! tags {
    ($type:ty, $what:literal) => {
        &Tags {
            what: $what,
            tag: |name| <$type>::from_name(name).map(<$type>::tag),
            name: |tag| <$type>::from_tag(tag).map(<$type>::name),
            names: || <$type>::ALL.iter().map(|value| value.name()).collect(),
        }
    };
}

pub(super) const REASON: &Tags = tags!(Reason, "reason");
pub(super) const BUCKETING: &Tags = tags!(Bucketing, "bucketing");
pub(super) const ADVANCE: &Tags = tags!(Advance, "advance");
pub(super) const LIFETIME: &Tags = tags!(Lifetime, "lifetime");
pub(super) const STRATEGY: &Tags = tags!(StrategyKind, "strategy");
pub(super) const GATE: &Tags = tags!(Gate, "gate");
pub(super) const ON_COMPLETE: &Tags = tags!(OnComplete, "on_complete");
pub(super) const FEED_KIND: &Tags = tags!(FeedKind, "kind");
pub(super) const FEED_PART: &Tags = tags!(FeedPart, "part");
pub(super) const ROLE: &Tags = &Tags {
    what: "role",
    tag: |name| Role::from_name(name).map(Role::mask),
    name: |mask| Role::from_mask(mask).map(Role::name),
    names: role_names,
};

pub(crate) fn role_names() -> Vec<&'static str> {
    Role::ALL.into_iter().map(Role::name).collect()
}

impl Tags {
    pub(super) fn read(&self, value: Val<'_>) -> Result<u8, Problem> {
        value.one_of(self.what, self.tag, self.names)
    }
}

/// What a short text is. Only documentation tells these apart: whether it is a valid one is for core to say.
#[derive(Debug, Clone, Copy)]
pub(super) enum Word {
    Name,
    Version,
    Constraint,
    FeedId,
}

impl Word {
    pub(super) const fn about(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Version => "version",
            Self::Constraint => "constraint",
            Self::FeedId => "feed id",
        }
    }
}

/// The type of a field.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// Text after a u8 length.
    Word(Word),
    /// Text after a u16 length.
    Text,
    U8,
    U16,
    U32,
    U64,
    Bool,
    /// 32 bytes, hex in JSON.
    Hash,
    /// Bytes after a u16 length, hex in JSON.
    Bytes,
    /// 20 bytes, `0x` and hex in JSON.
    Address,
    /// One byte, a name in JSON.
    Tag(&'static Tags),
    /// A u8 count, then ascending words; in any order in JSON.
    Words(Word),
    /// A u8 count, then ascending pairs of a name and another text, each after a u8 length; an object in JSON.
    Pairs(&'static str),
    /// The version byte and the fields of a policy.
    Policy,
    /// A u8 count, then the fields of stages.
    Stages,
    /// A u8 count, then commands, each after a u16 length.
    Commands,
    /// A u16 count, then items of the feed, ascending by id; an object in JSON.
    FeedItems,
}

impl Kind {
    /// The largest number that fits; `None` if it is no number.
    pub(super) fn max(self) -> Option<u64> {
        match self {
            Self::U8 => Some(u8::MAX.into()),
            Self::U16 => Some(u16::MAX.into()),
            Self::U32 => Some(u32::MAX.into()),
            Self::U64 => Some(u64::MAX),
            Self::Word(_)
            | Self::Text
            | Self::Bool
            | Self::Hash
            | Self::Bytes
            | Self::Address
            | Self::Tag(_)
            | Self::Words(_)
            | Self::Pairs(_)
            | Self::Policy
            | Self::Stages
            | Self::Commands
            | Self::FeedItems => None,
        }
    }

    /// The type in words.
    pub(super) fn about(self) -> String {
        match self {
            Self::Word(word) => word.about().into(),
            Self::Text => "text".into(),
            Self::U8 | Self::U16 | Self::U32 | Self::U64 => "integer".into(),
            Self::Bool => "true or false".into(),
            Self::Hash => "hash: 64 hex digits".into(),
            Self::Bytes => "bytes in hex".into(),
            Self::Address => "address: 0x and 40 hex digits".into(),
            Self::Tag(tags) => (tags.names)().join(" | "),
            Self::Words(word) => format!("list of {}s", word.about()),
            Self::Pairs(of) => format!("object: {of}"),
            Self::Policy => "policy".into(),
            Self::Stages => "list of stages".into(),
            Self::Commands => "list of commands".into(),
            Self::FeedItems => "object: feed id to item".into(),
        }
    }
}

/// What it means to leave a field out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Absent {
    /// An error.
    Error,
    /// The flag byte 0 instead of 1 and the value. The text says what that means, unless it means a default of core.
    Flag(Unset),
    /// This value. The writer still writes it.
    Default(fn(&mut Writer)),
    /// This value. The writer leaves it out, too.
    Silent(fn(&mut Writer)),
    /// The value of this field in core's default of the record. The writer still writes it.
    Standard,
}

/// What the flag byte 0 means.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unset {
    /// The setting stays as it is.
    Unchanged,
    /// Whatever is current when the command runs.
    Current,
    /// This value.
    Core(fn(&mut Writer)),
}

/// What a value must obey besides fitting its width. To break it is no error of the file: the command is rejected.
#[derive(Debug, Clone, Copy)]
pub(super) enum Limit {
    None,
    /// A number from the one to the other.
    Within(fn() -> (u64, u64)),
    /// So many of these at least and at most.
    Sizes(usize, usize, &'static str),
}

/// A field of a command, or of an object in one.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) key: &'static str,
    pub(super) kind: Kind,
    pub(super) absent: Absent,
    /// What it is, with its unit.
    pub(super) about: &'static str,
    pub(super) limit: Limit,
}

impl Field {
    pub(super) const fn new(key: &'static str, kind: Kind, absent: Absent, about: &'static str) -> Self {
        Self { key, kind, absent, about, limit: Limit::None }
    }

    pub(super) const fn within(self, range: fn() -> (u64, u64)) -> Self {
        Self { limit: Limit::Within(range), ..self }
    }

    pub(super) const fn sizes(self, min: usize, max: usize, of: &'static str) -> Self {
        Self { limit: Limit::Sizes(min, max, of), ..self }
    }

    /// The range of a number, and the limits of what has a size.
    pub(super) fn range(&self) -> Option<String> {
        match (self.limit, self.kind.max()) {
            (Limit::Within(range), _) => {
                let (min, max) = range();
                Some(format!("{min} to {max}"))
            }
            (Limit::Sizes(0, max, of), _) => Some(format!("at most {max} {of}")),
            (Limit::Sizes(min, max, of), _) => Some(format!("{min} to {max} {of}")),
            (Limit::None, max) => max.map(|max| format!("0 to {max}")),
        }
    }
}
