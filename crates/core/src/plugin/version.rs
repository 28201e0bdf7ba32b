//! Versions and constraints: strict SemVer 2.0, and Cargo's comparators.
//!
//! Both are consensus rules, so they are implemented here rather than taken from a crate whose next release could
//! answer differently. The answers are those of the crate `semver` 1.0.28, the oracle of the tests. Precedence ignores
//! build metadata: two versions that differ only in it are the same version, and commands may name either.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::str::FromStr;

use crate::codec::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};
use crate::invariant::promised;
use crate::values::ValueError;

/// A version of a plugin. `==` compares the text; [`Version::is_same`] compares precedence.
///
/// The order is that of precedence. Between versions that are the same, build metadata decides, so only equal
/// versions compare as equal.
#[derive(Clone)]
pub struct Version {
    text: Text,
    /// Major, minor and patch.
    numbers: [u64; 3],
    /// Where the numbers end in the text.
    numbers_len: u8,
    /// Where the build metadata starts in the text, or its length without any.
    precedence_len: u8,
}

impl Version {
    /// Maximum length in bytes.
    pub const LEN_MAX: usize = 64;

    /// Parses a version.
    ///
    /// # Errors
    /// [`ValueError::Version`] if the text is not SemVer 2.0, or is too long.
    pub fn new(bytes: &[u8]) -> Result<Self, ValueError> {
        Self::parse(bytes).ok_or(ValueError::Version)
    }

    /// Reads the bytes once: nearly all versions are short releases, and a report names one.
    fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > Self::LEN_MAX {
            return None;
        }
        let (major, rest) = leading_number(bytes)?;
        let (minor, rest) = leading_number(rest.strip_prefix(b".")?)?;
        let (patch, rest) = leading_number(rest.strip_prefix(b".")?)?;
        let suffix = Suffix::of(rest)?;
        let precedence_len = bytes.len().checked_sub(suffix.build_len)?;
        Some(Self {
            numbers: [major, minor, patch],
            numbers_len: u8::try_from(bytes.len().checked_sub(rest.len())?).ok()?,
            precedence_len: u8::try_from(precedence_len).ok()?,
            text: Text::new(bytes),
        })
    }

    /// 0.0.0: the version of a host that has not reported one.
    #[must_use]
    pub fn zero() -> Self {
        Self { text: Text::new(b"0.0.0"), numbers: [0; 3], numbers_len: 5, precedence_len: 5 }
    }

    /// The text as it was given, with build metadata.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.text.as_str()
    }

    /// The version without its build metadata, which is how a key contains it.
    #[must_use]
    pub fn without_build(&self) -> Self {
        if self.has_no_build() {
            self.clone()
        } else {
            Self { text: Text::new(self.precedence().as_bytes()), ..self.clone() }
        }
    }

    /// Whether the text has no build metadata.
    #[must_use]
    pub fn has_no_build(&self) -> bool {
        self.text.as_bytes().len() == usize::from(self.precedence_len)
    }

    /// Compares by precedence, which ignores build metadata.
    #[must_use]
    pub fn cmp_precedence(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| cmp_pre_releases(self.pre_release(), other.pre_release()))
    }

    /// Whether two versions are the same: they differ at most in build metadata.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.cmp_precedence(other).is_eq()
    }

    /// The text without its build metadata.
    pub(crate) fn precedence(&self) -> &str {
        split_at(self.as_str(), self.precedence_len).0
    }

    /// The identifiers after the hyphen; empty for a release.
    fn pre_release(&self) -> &str {
        if self.numbers_len == self.precedence_len {
            return "";
        }
        split_at(self.precedence(), self.numbers_len).1.strip_prefix('-').unwrap_or_default()
    }

    /// The identifiers after the plus sign; empty without build metadata.
    fn build(&self) -> &str {
        if self.has_no_build() {
            return "";
        }
        split_at(self.as_str(), self.precedence_len).1.strip_prefix('+').unwrap_or_default()
    }

    /// Reads an optional version; an empty one is `None`.
    pub(crate) fn decode_option(input: &mut Reader<'_>) -> Result<Option<Self>, DecodeError> {
        let bytes = input.lp8()?;
        if bytes.is_empty() {
            return Ok(None);
        }
        Self::new(bytes).map(Some).map_err(|_| input.error(DecodeErrorKind::OutOfRange))
    }

    pub(crate) fn encode_option(version: Option<&Self>, out: &mut Writer) {
        match version {
            Some(version) => version.encode(out),
            None => out.lp8(&[]),
        }
    }
}

impl Encode for Version {
    fn encode(&self, out: &mut Writer) {
        out.lp8(self.text.as_bytes());
    }
}

impl Decode for Version {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::new(input.lp8()?).map_err(|_| input.error(DecodeErrorKind::OutOfRange))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.text.as_bytes() == other.text.as_bytes()
    }
}

impl Eq for Version {}

impl Hash for Version {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.cmp_precedence(other).then_with(|| cmp_builds(self.build(), other.build()))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl FromStr for Version {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Self::new(text.as_bytes())
    }
}

/// The text of a version: in place if it is short, as nearly all are, since a command that is decoded pays for each
/// allocation.
#[derive(Clone)]
enum Text {
    Short { len: u8, bytes: [u8; Self::SHORT_MAX] },
    Long(Arc<[u8]>),
}

impl Text {
    /// What fits beside the tag of the other variant.
    const SHORT_MAX: usize = 22;

    fn new(text: &[u8]) -> Self {
        let mut bytes = [0; Self::SHORT_MAX];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(place), Ok(len)) => {
                place.copy_from_slice(text);
                Self::Short { len, bytes }
            }
            (None, _) | (_, Err(_)) => Self::Long(text.into()),
        }
    }

    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => {
                promised(bytes.get(..usize::from(*len)), "the length is that of a short text")
            }
            Self::Long(text) => text,
        }
    }

    fn as_str(&self) -> &str {
        promised(core::str::from_utf8(self.as_bytes()).ok(), "the bytes are those of a text")
    }
}

/// A set of acceptable versions: comparators, all of which must be satisfied. Keeps its text.
#[derive(Debug, Clone)]
pub struct Constraint {
    text: Arc<str>,
    /// Empty for a lone wildcard.
    comparators: Arc<[Comparator]>,
}

impl Constraint {
    /// Maximum length in bytes.
    pub const LEN_MAX: usize = 128;
    /// The most comparators in one constraint.
    pub const COMPARATORS_MAX: usize = 32;

    /// Parses a constraint.
    ///
    /// # Errors
    /// [`ValueError::Constraint`] if the text does not parse, or is too long.
    pub fn new(bytes: &[u8]) -> Result<Self, ValueError> {
        if bytes.len() > Self::LEN_MAX {
            return Err(ValueError::Constraint);
        }
        core::str::from_utf8(bytes).ok().and_then(Self::parse).ok_or(ValueError::Constraint)
    }

    fn parse(text: &str) -> Option<Self> {
        if matches!(text.trim_matches(' '), "*" | "x" | "X") {
            return Some(Self { text: text.into(), comparators: Arc::default() });
        }
        let list = text.split(',');
        if list.clone().count() > Self::COMPARATORS_MAX {
            return None;
        }
        let comparators = list.map(|comparator| Comparator::parse(comparator.trim_matches(' ')));
        Some(Self { text: text.into(), comparators: comparators.collect::<Option<_>>()? })
    }

    /// Whether a version satisfies the constraint.
    ///
    /// A pre-release must be asked for: in addition, one comparator must name a pre-release of the same major, minor
    /// and patch.
    #[must_use]
    pub fn allows(&self, version: &Version) -> bool {
        let all_satisfied = self.comparators.iter().all(|comparator| comparator.is_satisfied_by(version));
        let is_asked_for = || self.comparators.iter().any(|comparator| comparator.asks_for_pre_release_of(version));
        all_satisfied && (version.pre_release().is_empty() || is_asked_for())
    }

    /// The text as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn encode_option(constraint: Option<&Self>, out: &mut Writer) {
        out.lp8(constraint.map_or(&[], |constraint| constraint.text.as_bytes()));
    }

    /// Reads an optional constraint; an empty one is `None`.
    pub(crate) fn decode_option(input: &mut Reader<'_>) -> Result<Option<Self>, DecodeError> {
        let bytes = input.lp8()?;
        Self::new_option(bytes).map_err(|_| input.error(DecodeErrorKind::OutOfRange))
    }

    /// Parses an optional constraint; no bytes are `None`.
    pub(crate) fn new_option(bytes: &[u8]) -> Result<Option<Self>, ValueError> {
        if bytes.is_empty() { Ok(None) } else { Self::new(bytes).map(Some) }
    }
}

impl PartialEq for Constraint {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Constraint {}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Constraint {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Self::new(text.as_bytes())
    }
}

/// An operator and a version, or the leading numbers of one, to compare with.
#[derive(Debug)]
struct Comparator {
    operator: Operator,
    /// Major, minor and patch; 0 where not given.
    numbers: [u64; 3],
    /// How many of the numbers are given, 1 to 3.
    given: usize,
    /// Empty for a release, and if not all numbers are given.
    pre_release: Box<str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Exact,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    /// At least this version, with the same minor.
    Tilde,
    /// At least this version, with the same numbers up to the first nonzero one.
    Caret,
}

impl Operator {
    /// Every operator by its sign. A sign that starts with another one comes before it.
    const SIGNS: [(&str, Self); 7] = [
        (">=", Self::GreaterOrEqual),
        ("<=", Self::LessOrEqual),
        ("=", Self::Exact),
        (">", Self::Greater),
        ("<", Self::Less),
        ("~", Self::Tilde),
        ("^", Self::Caret),
    ];

    /// Splits a text into the operator at its front, if there is one, and the rest.
    fn split(text: &str) -> (Option<Self>, &str) {
        let mut found =
            Self::SIGNS.into_iter().filter_map(|(sign, operator)| Some((operator, text.strip_prefix(sign)?)));
        found.next().map_or((None, text), |(operator, rest)| (Some(operator), rest))
    }
}

impl Comparator {
    fn parse(text: &str) -> Option<Self> {
        let (operator, text) = Operator::split(text);
        let (major, mut rest) = leading_number(text.trim_start_matches(' ').as_bytes())?;
        let (mut numbers, mut given, mut has_wildcard) = ([major, 0, 0], 1_usize, false);
        for number in numbers.iter_mut().skip(1) {
            match rest {
                [b'.', b'*' | b'x' | b'X', after @ ..] => (has_wildcard, rest) = (true, after),
                // A wildcard ends the numbers.
                [b'.', after @ ..] if !has_wildcard => {
                    (*number, rest) = leading_number(after)?;
                    given = given.saturating_add(1);
                }
                _ => break,
            }
        }
        // Only whole versions have pre-releases and build metadata.
        if given < numbers.len() && !rest.is_empty() {
            return None;
        }
        let pre_release = Suffix::of(rest)?.pre_release.into();
        let default = if has_wildcard { Operator::Exact } else { Operator::Caret };
        Some(Self { operator: operator.unwrap_or(default), numbers, given, pre_release })
    }

    /// Whether the version satisfies it, whether or not pre-releases are asked for.
    fn is_satisfied_by(&self, version: &Version) -> bool {
        let order = self.order_of(version);
        // Leading numbers alone stand for the releases that start with them, not for their pre-releases.
        let is_equal = order.is_eq() && (self.is_whole() || version.pre_release().is_empty());
        match self.operator {
            Operator::Exact => is_equal,
            Operator::Greater => order.is_gt(),
            Operator::GreaterOrEqual => order.is_gt() || is_equal,
            Operator::Less => order.is_lt(),
            Operator::LessOrEqual => order.is_lt() || is_equal,
            Operator::Tilde => is_equal || order.is_gt() && self.shares_numbers(version, 2),
            // Compared by leading numbers alone, a pre-release is not less either.
            Operator::Caret => order.is_ge() && self.shares_numbers(version, self.first_not_zero()),
        }
    }

    /// Whether it names a pre-release of the version's own numbers.
    fn asks_for_pre_release_of(&self, version: &Version) -> bool {
        !self.pre_release.is_empty() && self.numbers == version.numbers
    }

    /// How the version compares to what is given.
    fn order_of(&self, version: &Version) -> Ordering {
        let numbers = version.numbers.iter().take(self.given).cmp(self.numbers.iter().take(self.given));
        if self.is_whole() {
            numbers.then_with(|| cmp_pre_releases(version.pre_release(), &self.pre_release))
        } else {
            numbers
        }
    }

    /// Whether all three numbers are given.
    fn is_whole(&self) -> bool {
        self.given == self.numbers.len()
    }

    /// Whether the first `count` numbers are those of the version.
    fn shares_numbers(&self, version: &Version, count: usize) -> bool {
        self.numbers.iter().take(count).eq(version.numbers.iter().take(count))
    }

    /// How many numbers there are up to the first nonzero one, or up to the last given.
    fn first_not_zero(&self) -> usize {
        let zeros = self.numbers.iter().take_while(|number| **number == 0).count();
        zeros.saturating_add(1).min(self.given)
    }
}

/// What follows the numbers of a version.
struct Suffix<'a> {
    /// Valid identifiers; empty without a hyphen.
    pre_release: &'a str,
    /// With the plus sign; the build metadata itself has been validated.
    build_len: usize,
}

impl<'a> Suffix<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self { pre_release: "", build_len: 0 });
        }
        let text = core::str::from_utf8(bytes).ok()?;
        let (front, build) = text.split_once('+').map_or((text, None), |(front, build)| (front, Some(build)));
        let pre_release = match front {
            "" => "",
            _ => front.strip_prefix('-').filter(|list| list.split('.').all(is_pre_release_identifier))?,
        };
        let is_valid = build.is_none_or(|build| build.split('.').all(is_identifier));
        is_valid.then_some(Self { pre_release, build_len: text.len().saturating_sub(front.len()) })
    }
}

/// Splits a text at a length that was measured in it.
fn split_at(text: &str, len: u8) -> (&str, &str) {
    promised(text.split_at_checked(len.into()), "the text is ASCII and has at least this length")
}

/// Splits bytes into the decimal number at their front, which has no leading zeros, and the rest.
fn leading_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    match bytes {
        [b'0', rest @ ..] => Some((0, rest)),
        [b'1'..=b'9', ..] => {
            let (mut number, mut rest) = (0_u64, bytes);
            while let [digit @ b'0'..=b'9', after @ ..] = rest {
                number = number.checked_mul(10)?.checked_add(digit.wrapping_sub(b'0').into())?;
                rest = after;
            }
            Some((number, rest))
        }
        _ => None,
    }
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_pre_release_identifier(text: &str) -> bool {
    is_identifier(text) && !(is_numeric(text) && has_leading_zero(text))
}

fn is_numeric(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn has_leading_zero(text: &str) -> bool {
    text.len() > 1 && text.starts_with('0')
}

/// Compares pre-releases: any of them is less than the release.
fn cmp_pre_releases(a: &str, b: &str) -> Ordering {
    // Most versions are releases, and of two of them nothing is left to compare.
    if a.is_empty() || b.is_empty() { a.is_empty().cmp(&b.is_empty()) } else { cmp_identifiers(a, b) }
}

/// Compares build metadata: none is less than any.
fn cmp_builds(a: &str, b: &str) -> Ordering {
    // Nearly all versions have none.
    if a.is_empty() || b.is_empty() { b.is_empty().cmp(&a.is_empty()) } else { cmp_identifiers(a, b) }
}

/// Compares lists identifier by identifier; if one list is a prefix of the other, the longer one is greater.
fn cmp_identifiers(a: &str, b: &str) -> Ordering {
    a.split('.').map(Identifier::of).cmp(b.split('.').map(Identifier::of))
}

/// The text between two dots. Numbers are less than texts.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Identifier<'a> {
    /// Without leading zeros the longer number is greater. Build metadata may have leading zeros: of equal numbers,
    /// the one with more of them is greater.
    Number {
        significant_len: usize,
        significant: &'a str,
        len: usize,
    },
    Text(&'a str),
}

impl<'a> Identifier<'a> {
    fn of(text: &'a str) -> Self {
        if !is_numeric(text) {
            return Self::Text(text);
        }
        let significant = text.trim_start_matches('0');
        Self::Number { significant_len: significant.len(), significant, len: text.len() }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_version_is_shown_as_it_was_given() {
        for text in ["0.0.0", "1.2.3", "1.0.0-alpha.1", "1.0.0-0A.is.legal", "1.0.0+01", "2.0.0-rc.1+build.123"] {
            assert_eq!(text.parse::<Version>().unwrap().to_string(), text);
        }
        for len in 1..=58 {
            let (text, build) =
                (alloc::format!("1.0.0-{}", "a".repeat(len)), alloc::format!("1.0.0+{}", "a".repeat(len)));
            assert_eq!(text.parse::<Version>().unwrap().as_str(), text);
            assert_eq!(build.parse::<Version>().unwrap().without_build().as_str(), "1.0.0");
        }
        let long = alloc::format!("1.0.0-{}", "a".repeat(58));
        assert_eq!(long.parse::<Version>().unwrap().to_string().len(), Version::LEN_MAX);
        let too_long = alloc::format!("{long}a");
        for bad in ["", "1", "1.2", "v1.2.3", " 1.2.3", "1.2.3 ", "01.2.3", "1.2.3-01", "1.2.3-", "1.2.3+", &too_long] {
            assert!(matches!(bad.parse::<Version>(), Err(ValueError::Version)), "{bad:?}");
        }
        assert!(matches!(Version::new(b"1.2.3-\xff"), Err(ValueError::Version)));
    }

    #[test]
    fn precedence_ignores_build_metadata() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        assert!(version("1.0.0+a").is_same(&version("1.0.0+b")));
        assert_ne!(version("1.0.0+a"), version("1.0.0+b"));
        assert_eq!(version("1.0.0-rc.1+a").without_build().to_string(), "1.0.0-rc.1");
        assert!(version("1.0.0-rc.1").cmp_precedence(&version("1.0.0")).is_lt());
    }

    #[test]
    fn constraints_allow_versions() {
        for (constraint, version, allows) in [
            ("1.0.0", "1.9.0", true),
            ("1.0.0", "2.0.0", false),
            ("^0.2", "0.2.9", true),
            ("^0.2", "0.3.0", false),
            ("~1.2", "1.2.9", true),
            ("=1.2.3", "1.2.4", false),
            ("=1.2.3", "1.2.3+any", true),
            (">=1.0.0, <2.0.0", "1.5.0", true),
            (">=1.0.0, <2.0.0", "2.0.0-rc.1", false),
            ("*", "1.0.0-rc.1", false),
            ("*", "7.0.0", true),
        ] {
            let parsed: Constraint = constraint.parse().unwrap();
            assert_eq!(parsed.allows(&version.parse().unwrap()), allows, "{constraint} {version}");
            assert_eq!(parsed.as_str(), constraint);
        }
        let too_long = alloc::format!(">={}1.0.0", " ".repeat(122));
        for bad in ["", "||", "1.0.0 - 2.0.0", ">=", "abc", &too_long] {
            assert!(matches!(bad.parse::<Constraint>(), Err(ValueError::Constraint)), "{bad:?}");
        }
    }
}
