//! The key table: one byte of prefix, then fixed-width parts, the variable part last or length-prefixed.
//!
//! A prefix is never reused. Ranges of one feature never hold a key of another, whatever their
//! names: where something follows the name, the name is length-prefixed.

use alloc::vec::Vec;

use crate::codec::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};
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
}

/// The kinds of due work, in the order in which a block looks at them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DueKind {
    /// Scheduled commands.
    Schedule,
    /// The next step of a rollout.
    Step,
}

impl DueKind {
    /// The byte behind the prefix.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Schedule => 0,
            Self::Step => 1,
        }
    }
}

/// A key of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
            Self::Schedule { .. } | Self::Step { .. } => KeyPrefix::Due,
            Self::Active(_) => KeyPrefix::Active,
        }
    }

    /// The longest key, in bytes.
    pub const LEN_MAX: usize = 1 + 1 + Name::LEN_MAX + Address::LEN;
}

impl Encode for Key {
    fn encode(&self, out: &mut Writer) {
        out.u8(self.prefix().byte());
        match self {
            Self::Feature(name) | Self::Metrics(name) | Self::Policy(name) | Self::Active(name) => {
                out.raw(name.as_bytes())
            }
            Self::Change { name, height, seq } => {
                out.name(name);
                out.u32(*height);
                out.u32(*seq);
            }
            Self::Override { name, user } => {
                out.name(name);
                out.address(user);
            }
            Self::Global => {}
            Self::Roles(address) => out.address(address),
            Self::Schedule { at, id } => {
                out.u8(DueKind::Schedule.byte());
                out.u32(*at);
                out.u64(*id);
            }
            Self::Step { at, name } => {
                out.u8(DueKind::Step.byte());
                out.u32(*at);
                out.raw(name.as_bytes());
            }
        }
    }
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
                if kind == DueKind::Schedule.byte() {
                    Self::Schedule { at: input.u32()?, id: input.u64()? }
                } else if kind == DueKind::Step.byte() {
                    Self::Step { at: input.u32()?, name: bare_name(input)? }
                } else {
                    return Err(input.error(DecodeErrorKind::UnknownTag));
                }
            }
            KeyPrefix::Active => Self::Active(bare_name(input)?),
        })
    }
}

/// A name that reaches to the end of the key.
fn bare_name(input: &mut Reader<'_>) -> Result<Name, DecodeError> {
    let error = input.error(DecodeErrorKind::OutOfRange);
    Name::new(input.rest()).map_err(|_| error)
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

    /// All overrides of a feature.
    pub(crate) fn overrides(name: &Name) -> Self {
        Self::of_prefix(lp8_prefix(KeyPrefix::Override, name))
    }

    /// All due entries of a kind.
    pub(crate) fn due(kind: DueKind) -> Self {
        Self::of_prefix([KeyPrefix::Due.byte(), kind.byte()].into())
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
}
