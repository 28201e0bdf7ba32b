//! Versions and constraints: strict SemVer 2.0, as the pinned `semver` crate reads it.
//!
//! The answers of that crate are part of the rules, so its version in Cargo.toml is exact.
//! Precedence ignores build metadata: two versions that differ in it alone are one version, and
//! commands may name either.

use alloc::string::ToString;
use alloc::sync::Arc;
use core::cmp::Ordering;
use core::fmt;
use core::str::FromStr;

use crate::codec::{DecodeError, DecodeErrorKind, Reader, Writer};
use crate::values::ValueError;

/// A version of a plugin. Equal is spelled alike; [`Version::is_same`] compares by precedence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(semver::Version);

impl Version {
    /// The longest version, in bytes.
    pub const LEN_MAX: usize = 64;

    /// Reads a version.
    ///
    /// # Errors
    /// [`ValueError::Version`] for anything that is not SemVer 2.0, or is too long.
    pub fn new(bytes: &[u8]) -> Result<Self, ValueError> {
        if bytes.len() > Self::LEN_MAX {
            return Err(ValueError::Version);
        }
        let text = core::str::from_utf8(bytes).map_err(|_| ValueError::Version)?;
        semver::Version::parse(text).map(Self).map_err(|_| ValueError::Version)
    }

    /// 0.0.0: the version of a host that has told none.
    #[must_use]
    pub const fn zero() -> Self {
        Self(semver::Version::new(0, 0, 0))
    }

    /// The version without its build metadata: what a key holds.
    #[must_use]
    pub fn without_build(&self) -> Self {
        Self(semver::Version { build: semver::BuildMetadata::EMPTY, ..self.0.clone() })
    }

    /// Whether it has no build metadata.
    #[must_use]
    pub fn has_no_build(&self) -> bool {
        self.0.build.is_empty()
    }

    /// The order of precedence.
    #[must_use]
    pub fn cmp_precedence(&self, other: &Self) -> Ordering {
        self.0.cmp_precedence(&other.0)
    }

    /// Whether two versions are the same one: they differ in build metadata at most.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.cmp_precedence(other).is_eq()
    }

    pub(crate) fn encode(&self, out: &mut Writer) {
        out.lp8(self.0.to_string().as_bytes());
    }

    pub(crate) fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::new(input.lp8()?).map_err(|_| input.error(DecodeErrorKind::OutOfRange))
    }

    /// A version, or none where its length is 0.
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

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Version {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Self::new(text.as_bytes())
    }
}

/// Which versions will do: comparators of the `semver` crate, kept as they were given.
#[derive(Debug, Clone)]
pub struct Constraint {
    text: Arc<str>,
    parsed: Arc<semver::VersionReq>,
}

impl Constraint {
    /// The longest constraint, in bytes.
    pub const LEN_MAX: usize = 128;

    /// Reads a constraint.
    ///
    /// # Errors
    /// [`ValueError::Constraint`] for anything that does not parse, or is too long.
    pub fn new(bytes: &[u8]) -> Result<Self, ValueError> {
        if bytes.len() > Self::LEN_MAX {
            return Err(ValueError::Constraint);
        }
        let text = core::str::from_utf8(bytes).map_err(|_| ValueError::Constraint)?;
        let parsed = semver::VersionReq::parse(text).map_err(|_| ValueError::Constraint)?;
        Ok(Self { text: text.into(), parsed: Arc::new(parsed) })
    }

    /// Whether a version will do.
    #[must_use]
    pub fn allows(&self, version: &Version) -> bool {
        self.parsed.matches(&version.0)
    }

    /// The constraint as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn encode_option(constraint: Option<&Self>, out: &mut Writer) {
        out.lp8(constraint.map_or(&[], |constraint| constraint.text.as_bytes()));
    }

    /// A constraint, or none where its length is 0.
    pub(crate) fn decode_option(input: &mut Reader<'_>) -> Result<Option<Self>, DecodeError> {
        let bytes = input.lp8()?;
        Self::new_option(bytes).map_err(|_| input.error(DecodeErrorKind::OutOfRange))
    }

    /// None for no bytes at all.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_shown_as_it_was_given() {
        for text in ["0.0.0", "1.2.3", "1.0.0-alpha.1", "1.0.0-0A.is.legal", "1.0.0+01", "2.0.0-rc.1+build.123"] {
            assert_eq!(text.parse::<Version>().unwrap().to_string(), text);
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
    fn constraints_follow_the_crate() {
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
