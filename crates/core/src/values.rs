//! Basic values: heights, addresses, hashes, names, percentages, roles.
//!
//! A value of one of these types is valid by construction: bytes and text are checked once, where they enter.

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::ops::BitOr;
use core::str::FromStr;

use crate::invariant::promised;
use crate::reject::Reject;

/// The format number of the state that this build reads and writes.
pub const FORMAT: u16 = 1;

/// A block height.
pub type Height = u32;

/// Why a value is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not `0x` followed by 40 hex digits.
    #[error("an address is 0x followed by 40 hexadecimal digits")]
    Address,
    /// Not 64 hex digits.
    #[error("a hash is 64 hexadecimal digits")]
    Hash,
    /// Not a [`Name`].
    #[error("a name is 1 to 64 of the characters A-Z a-z 0-9 _ . : - and begins with a letter or digit")]
    Name,
    /// Not a [`ChainId`].
    #[error("a chain id is 0 to 64 of the characters A-Z a-z 0-9 _ . : -")]
    ChainId,
    /// A percentage above 100.
    #[error("a percent is 0 to 100")]
    Percent,
    /// A share above 10 000 basis points.
    #[error("a share is 0 to 10000 basis points")]
    Bps,
    /// A description longer than 1 024 bytes.
    #[error("a description has at most 1024 bytes")]
    Description,
    /// Not SemVer 2.0, or longer than 64 bytes.
    #[error("a version is SemVer 2.0 of at most 64 bytes, such as 1.4.0 or 2.0.0-rc.1")]
    Version,
    /// Not a list of comparators, or longer than 128 bytes.
    #[error("a constraint is at most 128 bytes of comparators, such as ^1.2 or >=1.0.0, <2.0.0")]
    Constraint,
    /// A config longer than 4 096 bytes.
    #[error("a config has at most 4096 bytes")]
    Config,
    /// A strategy that does not compile to a valid plan.
    #[error(
        "a plan has 1 to 32 stages of at least 1 block each, shares that never fall and end above 0, \
         thresholds of at most 10000, and more blocks to its deadline than its stages take together"
    )]
    Plan,
    /// Not a [`FeedId`](crate::FeedId).
    #[error("a feed id is 1 to 128 printable ASCII characters without spaces")]
    FeedId,
    /// A feed item's body longer than 4 096 bytes.
    #[error("the body of a feed item has at most 4096 bytes")]
    FeedBody,
    /// No commands, more than 16, or one of a kind that cannot be scheduled.
    #[error("a scheduled entry has 1 to 16 commands of kinds that may be scheduled")]
    Schedule,
    /// A list that is not strictly ascending, or is too long.
    #[error("a list is strictly ascending and not longer than its limit")]
    List,
    /// A number outside the range of its field, or fields that contradict each other.
    #[error("a parameter is out of range")]
    Parameter,
}

impl From<ValueError> for Reject {
    fn from(error: ValueError) -> Self {
        match error {
            ValueError::Name => Reject::InvalidName,
            ValueError::Percent => Reject::InvalidPercent,
            ValueError::Description | ValueError::Config => Reject::LimitExceeded,
            ValueError::Version => Reject::InvalidVersion,
            ValueError::Constraint => Reject::InvalidConstraint,
            ValueError::Plan => Reject::InvalidPlan,
            ValueError::FeedId => Reject::InvalidFeedId,
            ValueError::FeedBody => Reject::FeedItemTooLarge,
            ValueError::Address
            | ValueError::Hash
            | ValueError::ChainId
            | ValueError::Bps
            | ValueError::Schedule
            | ValueError::List
            | ValueError::Parameter => Reject::InvalidParameter,
        }
    }
}

/// An account: a signer, an actor or a user. The text form is `0x` and 40 lower-case hex digits.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub [u8; Address::LEN]);

impl Address {
    /// Length in bytes.
    pub const LEN: usize = 20;
    /// The actor of automatic changes, and the absence of one.
    pub const ZERO: Self = Self([0; Self::LEN]);
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Address {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let digits = text.strip_prefix("0x").ok_or(ValueError::Address)?;
        let mut bytes = [0; Self::LEN];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| ValueError::Address)?;
        Ok(Self(bytes))
    }
}

/// A SHA-256 hash. The text form is 64 lower-case hex digits; `0x` before them is accepted.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; Hash::LEN]);

impl Hash {
    /// Length in bytes.
    pub const LEN: usize = 32;
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let mut bytes = [0; Self::LEN];
        let digits = text.strip_prefix("0x").unwrap_or(text);
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| ValueError::Hash)?;
        Ok(Self(bytes))
    }
}

/// Up to 64 bytes of the name alphabet, zero-padded, so that copies and comparisons are cheap.
///
/// No character of the alphabet is the zero byte, so the order of the padded arrays is the order
/// of the texts.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Padded {
    bytes: [u8; Padded::MAX],
    len: u8,
}

impl Padded {
    const MAX: usize = 64;

    fn new(bytes: &[u8]) -> Option<Self> {
        let mut padded = [0; Self::MAX];
        padded.get_mut(..bytes.len())?.copy_from_slice(bytes);
        let in_alphabet = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-');
        if !bytes.iter().all(in_alphabet) {
            return None;
        }
        Some(Self { bytes: padded, len: u8::try_from(bytes.len()).ok()? })
    }

    fn as_bytes(&self) -> &[u8] {
        promised(self.bytes.get(..usize::from(self.len)), "the length is that of the bytes it was made from")
    }

    /// All 64 bytes, and how many of them come before the padding.
    const fn padded(&self) -> (&[u8; Self::MAX], u8) {
        (&self.bytes, self.len)
    }

    fn words(&self) -> impl Iterator<Item = u64> {
        self.bytes.as_chunks().0.iter().map(|word| u64::from_be_bytes(*word))
    }

    fn as_str(&self) -> &str {
        promised(core::str::from_utf8(self.as_bytes()).ok(), "the alphabet is ASCII")
    }
}

impl PartialOrd for Padded {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Padded {
    /// Compares word by word: lookups by name are the hottest path of a block, and this takes half the time of memcmp.
    // Big-endian words of the zero-padded bytes compare as the bytes do.
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.words().cmp(other.words())
    }
}

/// The name of a feature or plugin: `[A-Za-z0-9][A-Za-z0-9_.:-]*`, 1 to 64 bytes, case-sensitive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Padded);

impl Name {
    /// Maximum length in bytes.
    pub const LEN_MAX: usize = Padded::MAX;
    /// The empty name, which sorts before every valid one: the start of a range over all names.
    pub(crate) const BEFORE_ALL: Self = Self(Padded { bytes: [0; Padded::MAX], len: 0 });

    /// Checks length and alphabet.
    ///
    /// # Errors
    /// [`ValueError::Name`] if the bytes are not a valid name.
    pub fn new(bytes: &[u8]) -> Result<Self, ValueError> {
        if !bytes.first().is_some_and(u8::is_ascii_alphanumeric) {
            return Err(ValueError::Name);
        }
        Padded::new(bytes).map(Self).ok_or(ValueError::Name)
    }

    /// The bytes that records and keys contain, without a length.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The same bytes as text: a name is ASCII.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The bytes with zeros behind them, and the length.
    pub(crate) const fn padded(&self) -> (&[u8; Self::LEN_MAX], u8) {
        self.0.padded()
    }

    /// The bytes with their padding as big-endian words, which sort as the name does.
    pub(crate) fn words(&self) -> impl Iterator<Item = u64> {
        self.0.words()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl FromStr for Name {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Self::new(text.as_bytes())
    }
}

/// The id of the ledger, fixed by the genesis: 0 to 64 bytes of the name alphabet.
///
/// It is part of every bucket hash, so two ledgers with the same features draw different users.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChainId(Padded);

impl ChainId {
    /// Checks length and alphabet.
    ///
    /// # Errors
    /// [`ValueError::ChainId`] if the bytes are not a valid chain id.
    pub fn new(bytes: &[u8]) -> Result<Self, ValueError> {
        Padded::new(bytes).map(Self).ok_or(ValueError::ChainId)
    }

    /// The bytes with zeros behind them, and the length.
    pub(crate) const fn padded(&self) -> (&[u8; Padded::MAX], u8) {
        self.0.padded()
    }

    /// The bytes that the global record and the bucket hashes contain, without a length.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The same bytes as text: a chain id is ASCII.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Debug for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// A percentage, 0 to 100.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u8);

impl Percent {
    /// Off for everybody.
    pub const ZERO: Self = Self(0);
    /// The default increment of a rollout.
    pub(crate) const TEN: Self = Self(10);
    /// On for everybody.
    pub const FULL: Self = Self(100);

    /// Checks the range.
    ///
    /// # Errors
    /// [`ValueError::Percent`] if it is above 100.
    pub const fn new(percent: u8) -> Result<Self, ValueError> {
        if percent > 100 { Err(ValueError::Percent) } else { Ok(Self(percent)) }
    }

    /// The percentage as a number, 0 to 100.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// The same share in basis points.
    #[must_use]
    pub fn bps(self) -> Bps {
        // At most 100 × 100, so nothing saturates.
        Bps(u16::from(self.0).saturating_mul(100))
    }

    /// The percentage after a step of `increment`, capped at `target`.
    #[must_use]
    pub fn step(self, increment: Percent, target: Percent) -> Percent {
        // At most 100 + 100, so nothing saturates.
        Percent(self.0.saturating_add(increment.0)).min(target)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A share in basis points, 0 to 10 000.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bps(u16);

impl Bps {
    /// No units.
    pub const ZERO: Self = Self(0);
    /// All units: 100 %.
    pub const FULL: Self = Self(10_000);

    /// 100 % as a factor: rates and shares are compared by multiplying out, so that nothing is rounded.
    pub(crate) fn unit() -> u128 {
        u128::from(Self::FULL.0)
    }

    /// Checks the range.
    ///
    /// # Errors
    /// [`ValueError::Bps`] if it is above 10 000.
    pub const fn new(bps: u16) -> Result<Self, ValueError> {
        if bps > Self::FULL.0 { Err(ValueError::Bps) } else { Ok(Self(bps)) }
    }

    /// The share as a number, 0 to 10 000.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Bps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A free-form UTF-8 text of at most 1 024 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description(Arc<str>);

impl Description {
    /// Maximum length in bytes.
    pub const LEN_MAX: usize = 1_024;

    /// Checks the length.
    ///
    /// # Errors
    /// [`ValueError::Description`] if it is longer than 1 024 bytes.
    pub fn new(text: &str) -> Result<Self, ValueError> {
        if text.len() > Self::LEN_MAX { Err(ValueError::Description) } else { Ok(Self(text.into())) }
    }

    /// The text exactly as it was given: nothing is trimmed or normalised.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Description {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Self::new(text)
    }
}

impl From<Description> for String {
    fn from(description: Description) -> Self {
        description.as_str().into()
    }
}

/// A permission of an address. Admin implies all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// May create and configure features, grant roles, set parameters and reset the breaker.
    Admin,
    /// May start, advance, enable, disable, roll back, override and schedule.
    Operator,
    /// May report results.
    Reporter,
    /// May roll back and trip the breaker: can only ever lower exposure.
    Guardian,
    /// May update the config feed.
    Feeder,
}

impl Role {
    /// Every role, by ascending mask.
    pub const ALL: [Self; 5] = [Self::Admin, Self::Operator, Self::Reporter, Self::Guardian, Self::Feeder];

    /// The bit that the role occupies in [`Roles`].
    #[must_use]
    pub const fn mask(self) -> u8 {
        match self {
            Self::Admin => 1,
            Self::Operator => 2,
            Self::Reporter => 4,
            Self::Guardian => 8,
            Self::Feeder => 16,
        }
    }

    /// Looks up a role by its mask; `None` unless exactly one known bit is set.
    #[must_use]
    pub fn from_mask(mask: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.mask() == mask)
    }

    /// Name in block files and output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Reporter => "reporter",
            Self::Guardian => "guardian",
            Self::Feeder => "feeder",
        }
    }

    /// Looks up a role by its [`name`](Self::name).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// A set of roles, one bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    /// The empty set. A record of roles is never empty: it is deleted instead.
    pub const NONE: Self = Self(0);

    /// The set with this mask; `None` if a bit is not that of a known role.
    #[must_use]
    pub fn from_mask(mask: u8) -> Option<Self> {
        let all = Role::ALL.iter().fold(0, |all, role| all | role.mask());
        (mask & !all == 0).then_some(Self(mask))
    }

    /// The bits of all roles in the set: the byte in the record.
    #[must_use]
    pub const fn mask(self) -> u8 {
        self.0
    }

    /// Whether the set contains no role.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the set contains `role` itself; Admin does not count, unlike in [`Roles::allows`].
    #[must_use]
    pub const fn contains(self, role: Role) -> bool {
        self.0 & role.mask() != 0
    }

    /// Whether an address with these roles may act as `role`: the set contains it or Admin.
    #[must_use]
    pub const fn allows(self, role: Role) -> bool {
        self.0 & (role.mask() | Role::Admin.mask()) != 0
    }

    /// Adds `role` to the set.
    #[must_use]
    pub const fn with(self, role: Role) -> Self {
        Self(self.0 | role.mask())
    }

    /// Removes `role` from the set.
    #[must_use]
    pub const fn without(self, role: Role) -> Self {
        Self(self.0 & !role.mask())
    }

    /// The roles that are in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The roles in the set, by ascending mask.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.contains(*role))
    }
}

impl From<Role> for Roles {
    fn from(role: Role) -> Self {
        Self(role.mask())
    }
}

impl BitOr<Role> for Roles {
    type Output = Self;

    fn bitor(self, role: Role) -> Self {
        self.with(role)
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn names_follow_their_rule() {
        let long = "a".repeat(64);
        for good in ["a", "Z9", "0", "a_b.c:d-e", long.as_str()] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        let too_long = "a".repeat(65);
        for bad in ["", "_a", ".a", ":a", "-a", "a b", "a\0", "é", "a/b", too_long.as_str()] {
            assert_eq!(bad.parse::<Name>(), Err(ValueError::Name), "{bad:?}");
        }
    }

    #[test]
    fn names_sort_as_their_bytes() {
        let mut texts = ["b", "a", "ab", "a.b", "A", "a-", "a0", "aa", "Z:z"];
        let mut names: alloc::vec::Vec<Name> = texts.iter().map(|t| t.parse().unwrap()).collect();
        texts.sort_unstable();
        names.sort_unstable();
        assert!(names.iter().map(Name::as_str).eq(texts));
    }

    #[test]
    fn every_u8_is_a_percent_or_refused() {
        for n in 0..=u8::MAX {
            assert_eq!(Percent::new(n).is_ok(), n <= 100);
        }
        for n in 0..=u16::MAX {
            assert_eq!(Bps::new(n).is_ok(), n <= 10_000);
        }
    }

    #[test]
    fn values_have_a_text_form() {
        assert_eq!(Bps(250).to_string(), "250");
        assert_eq!(format!("{:>6}", Bps::FULL), " 10000");
        let longest = "é".repeat(512);
        for text in ["", " as it is ", &longest] {
            assert_eq!(text.parse().map(|text: Description| text.as_str().to_string()), Ok(text.to_string()));
        }
        assert_eq!(format!("{longest}.").parse::<Description>(), Err(ValueError::Description));
    }

    #[test]
    fn addresses_and_hashes_are_written_in_one_form() {
        let address = Address([0xab; 20]);
        assert_eq!(address.to_string(), format!("0x{}", "ab".repeat(20)));
        assert_eq!(address.to_string().parse(), Ok(address));
        for bad in
            ["", "0x", "ab", &"ab".repeat(20), &format!("0x{}", "ab".repeat(21)), &format!("0x{}", "zz".repeat(20))]
        {
            assert_eq!(bad.parse::<Address>(), Err(ValueError::Address));
        }
        let hash = Hash([7; 32]);
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert_eq!(format!("0x{hash}").parse(), Ok(hash));
        for bad in ["07", "0x", "0x07", &format!("0x0x{hash}"), &format!("0X{hash}")] {
            assert_eq!(bad.parse::<Hash>(), Err(ValueError::Hash));
        }
    }

    #[test]
    fn admin_implies_all_roles() {
        for role in Role::ALL {
            assert!(Roles::from(Role::Admin).allows(role));
            assert_eq!(Roles::from(Role::Operator).allows(role), role == Role::Operator);
            assert_eq!(Role::from_name(role.name()), Some(role));
            assert_eq!(Role::from_mask(role.mask()), Some(role));
        }
        assert_eq!(Roles::from_mask(31).map(Roles::mask), Some(31));
        assert_eq!(Roles::from_mask(32), None);
    }
}
