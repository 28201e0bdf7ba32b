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

    /// The pool of one kind about a version of a plugin, whose build metadata does not count.
    #[must_use]
    pub fn of_version(kind: PoolKind, plugin: Name, version: &Version) -> Self {
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
        if entry.is_consistent() { Ok(entry) } else { Err(input.error(DecodeErrorKind::OutOfRange)) }
    }

    /// Whether reports could have added up to the entry: their rules survive sums that saturate.
    const fn is_consistent(&self) -> bool {
        match self {
            Self::Report(totals) => {
                let has_no_latency = totals.latency_total == 0 && totals.latency_peak == 0;
                totals.invariant_failures <= totals.invariant_checks && (has_no_latency || totals.operations() > 0)
            }
            Self::VersionReport(counts) => {
                counts.errors <= counts.requests && (counts.latency_sum == 0 || counts.requests > 0)
            }
            Self::Vote(_) => true,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A round closes on what is stored, so what could not have been reported must not be read.
    #[test]
    fn an_entry_is_what_reports_add_up_to() {
        let numbers = |numbers: &[u64]| -> Vec<u8> { numbers.iter().flat_map(|number| number.to_be_bytes()).collect() };
        for (kind, bytes, is_read) in [
            (PoolKind::Report, numbers(&[1, 1, 5, 5, 1, 1]), true),
            (PoolKind::Report, numbers(&[0, 0, 0, 0, 0, 0]), true),
            (PoolKind::Report, numbers(&[u64::MAX; 6]), true),
            (PoolKind::Report, numbers(&[0, 0, 1, 0, 0, 0]), false),
            (PoolKind::Report, numbers(&[0, 0, 0, 1, 0, 0]), false),
            (PoolKind::Report, numbers(&[1, 1, 5, 5, 0, 1]), false),
            (PoolKind::Report, numbers(&[1, 1, 5, 5, 1]), false),
            (PoolKind::VersionReport, numbers(&[2, 2, 9]), true),
            (PoolKind::VersionReport, numbers(&[2, 3, 9]), false),
            (PoolKind::VersionReport, numbers(&[0, 0, 9]), false),
            (PoolKind::VersionReport, numbers(&[2, 2, 9, 9]), false),
            (PoolKind::Health, [1].into(), true),
            (PoolKind::Load, [2].into(), false),
            (PoolKind::Unload, [].into(), false),
        ] {
            let entry = PoolEntry::from_bytes(kind, &bytes);
            assert_eq!(entry.is_ok(), is_read, "{kind} {bytes:02x?}");
            let Ok(entry) = entry else { continue };
            assert_eq!(entry.to_bytes(), bytes, "{kind} {bytes:02x?}");
            let has = [entry.totals().is_some(), entry.counts().is_some(), entry.vote().is_some()];
            let expected = [
                kind == PoolKind::Report,
                kind == PoolKind::VersionReport,
                matches!(kind, PoolKind::Health | PoolKind::Load | PoolKind::Unload),
            ];
            assert_eq!(has, expected, "{kind}");
        }
    }

    #[test]
    fn a_pool_names_a_version_without_build_metadata_or_none() {
        let fields = |kind: u8, version: &str| {
            let mut out = Writer::default();
            out.u8(kind);
            out.lp8(b"p");
            out.lp8(version.as_bytes());
            out.into_bytes()
        };
        for (kind, version, is_of_event, is_of_key) in [
            (1, "1.0.0", true, true),
            (1, "1.0.0+b", false, false),
            (1, "", false, false),
            (0, "", true, false),
            (0, "1.0.0", false, false),
        ] {
            let bytes = fields(kind, version);
            let of_event = Pool::decode_fields(&mut Reader::new(&bytes));
            assert_eq!(
                (of_event.is_ok(), Pool::from_bytes(&bytes).is_ok()),
                (is_of_event, is_of_key),
                "{kind} {version}"
            );
        }
    }

    /// Rounds of one height close in the order of their keys.
    #[test]
    fn pools_are_in_the_order_of_their_bytes() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        let pool = |kind, plugin: &str, text| Pool::of_version(kind, plugin.parse().unwrap(), &version(text));
        let mut pools: Vec<Pool> = ["b", "aa", "a", "Z"].map(|name| Pool::of_feature(name.parse().unwrap())).into();
        for kind in [PoolKind::Unload, PoolKind::VersionReport] {
            for plugin in ["b", "aa"] {
                pools.extend(["10.0.0", "2.0.0", "2.0.0-rc", "9.0.0+build"].map(|text| pool(kind, plugin, text)));
            }
        }
        pools.sort();
        assert!(pools.is_sorted_by_key(Encode::to_bytes));
        assert!(pools.is_sorted());
        for pool in pools {
            assert_eq!(Pool::from_bytes(&pool.to_bytes()), Ok(pool));
        }
    }
}
