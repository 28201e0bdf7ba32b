//! Rounds: what several reporters say about one subject is pooled, and acts together when the round ends.
//!
//! These are the records, and how the sums of a pool become one report. `execute` opens and closes pools.

pub(crate) mod closing;

use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::codec::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};
use crate::feature::report::ReportTotals;
use crate::plugin::record::Counts;
use crate::plugin::version::Version;
use crate::tags::tags;
use crate::values::{Address, Height, Name};

tags! {
    /// What a pool collects.
    PoolKind {
        /// Operations of a feature: report.
        Report = 0, "report";
        /// Requests of a version: report_version.
        VersionReport = 1, "report_version";
        /// Whether the new version of a deployment is healthy: attest_health.
        Health = 2, "attest_health";
        /// Whether a plugin was loaded: report_load.
        Load = 3, "report_load";
        /// Whether a plugin was unloaded: report_unload.
        Unload = 4, "report_unload";
    }
}

impl PoolKind {
    /// The kinds that are about a version of a plugin.
    const fn has_version(self) -> bool {
        match self {
            Self::Report => false,
            Self::VersionReport | Self::Health | Self::Load | Self::Unload => true,
        }
    }
}

/// The reports that are pooled together: those of one kind about one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    kind: PoolKind,
    subject: Name,
    /// Without build metadata. `None` for a feature.
    version: Option<Version>,
}

impl Pool {
    /// The most reporters of one pool.
    pub const REPORTERS_MAX: usize = 64;

    /// The pool of reports about a feature.
    #[must_use]
    pub const fn of_feature(name: Name) -> Self {
        Self { kind: PoolKind::Report, subject: name, version: None }
    }

    /// The pool of one kind about a version of a plugin.
    pub(crate) fn of_version(kind: PoolKind, plugin: Name, version: &Version) -> Self {
        Self { kind, subject: plugin, version: kind.has_version().then(|| version.without_build()) }
    }

    /// What it collects.
    #[must_use]
    pub const fn kind(&self) -> PoolKind {
        self.kind
    }

    /// The feature or plugin.
    #[must_use]
    pub const fn subject(&self) -> &Name {
        &self.subject
    }

    /// The version of the plugin; `None` for a feature.
    #[must_use]
    pub const fn version(&self) -> Option<&Version> {
        self.version.as_ref()
    }

    /// Writes the pool as an event has it: the version always, empty for a feature.
    pub(crate) fn encode_fields(&self, out: &mut Writer) {
        self.kind.encode(out);
        out.name(&self.subject);
        Version::encode_option(self.version.as_ref(), out);
    }

    /// Reads the pool of an event.
    pub(crate) fn decode_fields(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (kind, subject, version) = (PoolKind::decode(input)?, input.name()?, Version::decode_option(input)?);
        let has_build = version.as_ref().is_some_and(|version| !version.has_no_build());
        if version.is_some() != kind.has_version() || has_build {
            return Err(input.error(DecodeErrorKind::NotCanonical));
        }
        Ok(Self { kind, subject, version })
    }

    /// What the order of keys compares.
    fn order(&self) -> (u8, usize, &[u8], usize, &[u8]) {
        let (subject, version) =
            (self.subject.as_bytes(), self.version.as_ref().map_or("", Version::as_str).as_bytes());
        (self.kind.tag(), subject.len(), subject, version.len(), version)
    }
}

/// The order of the keys, in which pools of one height close. Parts behind a length compare by length first.
impl Ord for Pool {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl PartialOrd for Pool {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The pool as a key has it: no version for a feature.
impl Encode for Pool {
    fn encode(&self, out: &mut Writer) {
        self.kind.encode(out);
        out.name(&self.subject);
        if let Some(version) = &self.version {
            version.encode(out);
        }
    }
}

impl Decode for Pool {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (kind, subject) = (PoolKind::decode(input)?, input.name()?);
        let version = kind.has_version().then(|| Version::decode(input)).transpose()?;
        if version.as_ref().is_some_and(|version| !version.has_no_build()) {
            return Err(input.error(DecodeErrorKind::NotCanonical));
        }
        Ok(Self { kind, subject, version })
    }
}

/// What one reporter has said in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolEntry {
    /// The sums of its reports about a feature.
    Report(ReportTotals),
    /// The sums of its reports about a version.
    VersionReport(Counts),
    /// Its last attestation.
    Vote(bool),
}

impl PoolEntry {
    /// The entry after another report of the same reporter: numbers add up, a vote replaces the one before.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Report(totals), Self::Report(more)) => Self::Report(totals.with(&more)),
            (Self::VersionReport(counts), Self::VersionReport(more)) => Self::VersionReport(counts.with(&more)),
            (Self::Report(_) | Self::VersionReport(_) | Self::Vote(_), other) => other,
        }
    }

    pub(crate) const fn totals(&self) -> Option<ReportTotals> {
        match self {
            Self::Report(totals) => Some(*totals),
            Self::VersionReport(_) | Self::Vote(_) => None,
        }
    }

    pub(crate) const fn counts(&self) -> Option<Counts> {
        match self {
            Self::VersionReport(counts) => Some(*counts),
            Self::Report(_) | Self::Vote(_) => None,
        }
    }

    pub(crate) const fn vote(&self) -> Option<bool> {
        match self {
            Self::Vote(vote) => Some(*vote),
            Self::Report(_) | Self::VersionReport(_) => None,
        }
    }

    /// Decodes an entry of a pool of this kind that takes up all of `bytes`.
    ///
    /// # Errors
    /// Any [`DecodeErrorKind`].
    pub fn from_bytes(kind: PoolKind, bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        let entry = match kind {
            PoolKind::Report => Self::Report(ReportTotals {
                successes: input.u64()?,
                errors: input.u64()?,
                latency_total: input.u64()?,
                latency_peak: input.u64()?,
                invariant_checks: input.u64()?,
                invariant_failures: input.u64()?,
            }),
            PoolKind::VersionReport => {
                Self::VersionReport(Counts { requests: input.u64()?, errors: input.u64()?, latency_sum: input.u64()? })
            }
            PoolKind::Health | PoolKind::Load | PoolKind::Unload => Self::Vote(input.bool()?),
        };
        input.finish()?;
        Ok(entry)
    }
}

impl Encode for PoolEntry {
    fn encode(&self, out: &mut Writer) {
        match self {
            Self::Report(totals) => [
                totals.successes,
                totals.errors,
                totals.latency_total,
                totals.latency_peak,
                totals.invariant_checks,
                totals.invariant_failures,
            ]
            .into_iter()
            .for_each(|number| out.u64(number)),
            Self::VersionReport(counts) => {
                [counts.requests, counts.errors, counts.latency_sum].into_iter().for_each(|number| out.u64(number));
            }
            Self::Vote(vote) => out.bool(*vote),
        }
    }
}

/// A pool whose round has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenPool {
    /// The height at which it closes. Later changes of the length of rounds do not move it.
    pub(crate) due: Height,
    /// By reporter; never empty, and at most [`Pool::REPORTERS_MAX`].
    pub(crate) entries: Vec<(Address, PoolEntry)>,
}
