//! Reports of applications without a Prometheus server: summed up, and reported once a block.
//!
//! What is answered for is durable. An application that got no answer sends the same again with the same Idempotency-Key,
//! and it counts once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coalmine_core::{DecodeError, DecodeErrorKind, Fault, Name, Reader, Version, Writer};
use coalmine_store::{Problem, StoreError};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::reporter::book::Book;
use crate::reporter::figures::{MICRO, Owed};
use crate::reporter::outbox::Outbox;
use crate::reporter::subject::{NoTrial, Subject};
use crate::reporter::{Shared, StepError};

/// The version of the record.
const VERSION: u8 = 1;
/// The key of the record.
const KEY: &str = "reporter-local";
/// How many keys of requests are remembered.
const KEYS_MAX: usize = 4_096;
/// The longest key of a request, in bytes.
pub(crate) const KEY_LEN_MAX: usize = 255;

/// What an application reports: about a feature, or about a version of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LocalReport {
    feature: Option<String>,
    plugin: Option<String>,
    version: Option<String>,
    #[serde(default)]
    successes: u32,
    #[serde(default)]
    errors: u32,
    #[serde(default)]
    latency_total: u64,
    #[serde(default)]
    latency_peak: u64,
    #[serde(default)]
    invariant_checks: u32,
    #[serde(default)]
    invariant_failures: u32,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Taken {
    /// Whether it will be reported.
    pub(crate) counted: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
    /// Whether it has come before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) repeated: bool,
}

/// Why it is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LocalError {
    /// It is none.
    #[error("{0}")]
    Report(String),
    /// The database fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The records cannot be read.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl LocalReport {
    fn read(&self) -> Result<(Subject, Owed), LocalError> {
        let refused = |what: String| LocalError::Report(what);
        let name = |text: &String| text.parse::<Name>().map_err(|error| refused(format!("{text:?}: {error}")));
        let subject = match (&self.feature, &self.plugin, &self.version) {
            (Some(feature), None, None) => Subject::Feature(name(feature)?),
            (None, Some(plugin), Some(version)) => {
                let of = version.parse::<Version>().map_err(|error| refused(format!("{version:?}: {error}")))?;
                Subject::Version(name(plugin)?, of)
            }
            _ => return Err(refused("a report is about a feature, or about a plugin and a version".into())),
        };
        let has_checks = self.invariant_checks > 0 || self.invariant_failures > 0 || self.latency_peak > 0;
        if matches!(subject, Subject::Version(..)) && has_checks {
            return Err(refused("latency_peak and invariant checks are for features".into()));
        }
        if self.invariant_failures > self.invariant_checks {
            return Err(refused("invariant_failures is at most invariant_checks".into()));
        }
        if self.successes == 0 && self.errors == 0 && (self.latency_total > 0 || self.latency_peak > 0) {
            return Err(refused("only operations have latencies: successes or errors is above 0".into()));
        }
        let micro = |count: u64| u128::from(count).saturating_mul(MICRO);
        let owed = Owed {
            successes: micro(self.successes.into()),
            errors: micro(self.errors.into()),
            requests: 0,
            latency: micro(self.latency_total),
            peak: self.latency_peak,
            checks: self.invariant_checks.into(),
            failures: self.invariant_failures.into(),
        };
        Ok((subject, owed))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Record {
    book: Book,
    keys: VecDeque<[u8; 16]>,
}

impl Record {
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u8(VERSION);
        self.book.encode(&mut out);
        out.u32(u32::try_from(self.keys.len()).unwrap_or(u32::MAX));
        self.keys.iter().for_each(|key| out.raw(key));
        out.into_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        if input.u8()? != VERSION {
            return Err(input.error(DecodeErrorKind::UnknownTag));
        }
        let book = Book::decode(&mut input)?;
        let count = usize::try_from(input.u32()?).unwrap_or(usize::MAX);
        if count > KEYS_MAX {
            return Err(input.error(DecodeErrorKind::TooLarge));
        }
        let mut keys = VecDeque::new();
        for _ in 0..count {
            let mut key = [0; 16];
            key.copy_from_slice(input.raw(16)?);
            keys.push_back(key);
        }
        input.finish()?;
        Ok(Self { book, keys })
    }
}

/// The sums of what applications report.
pub(crate) struct Local {
    outbox: Outbox,
    record: Mutex<Record>,
    shared: Arc<Shared>,
}

impl Local {
    pub(crate) fn new(outbox: Outbox) -> Result<Self, StoreError> {
        let record = outbox.node().meta_get(KEY)?.map(|bytes| Record::from_bytes(&bytes)).transpose();
        let record = record.map_err(|error| StoreError::new(KEY, Problem::Damaged(error.to_string())))?;
        let shared = Arc::new(Shared::new("local"));
        Ok(Self { outbox, record: Mutex::new(record.unwrap_or_default()), shared })
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Takes a report. It is durable when this returns.
    pub(crate) fn take(&self, report: &LocalReport, key: Option<&str>) -> Result<Taken, LocalError> {
        let (subject, owed) = report.read()?;
        let no = |why: &str| Taken { counted: false, why: Some(why.into()), repeated: false };
        let key = key.map(shortened);
        let mut record = self.lock();
        if key.is_some_and(|key| record.keys.contains(&key)) {
            return Ok(Taken { counted: true, why: None, repeated: true });
        }
        let trial = match subject.trial(self.outbox.node())? {
            Ok(trial) => trial,
            Err(why @ (NoTrial::NoFeature | NoTrial::Off | NoTrial::NoPlugin | NoTrial::NoVersion)) => {
                return Ok(no(&why.to_string()));
            }
        };
        let mut changed = record.clone();
        if !changed.book.add(&subject, trial, &owed) {
            return Ok(no("too many features and versions are reported about at once"));
        }
        if let Some(key) = key {
            changed.keys.push_back(key);
            if changed.keys.len() > KEYS_MAX {
                changed.keys.pop_front();
            }
        }
        self.write(&mut record, changed)?;
        Ok(Taken { counted: true, why: None, repeated: false })
    }

    /// Reports what has come, and finds out what became of the last report.
    pub(crate) fn step(&self) -> Result<(), StepError> {
        let mut record = self.lock();
        let mut changed = record.clone();
        let is_settled = self.outbox.settle(&mut changed.book)?;
        let is_signed = self.outbox.sign(&mut changed.book);
        if is_settled || is_signed {
            self.write(&mut record, changed)?;
        }
        if is_signed {
            let mut status = self.shared.status();
            status.reports = status.reports.saturating_add(1);
        }
        match self.outbox.send(&record.book) {
            Some(reason) => Err(StepError::NotTaken(reason)),
            None => Ok(()),
        }
    }

    /// Shows a change only when it is durable.
    fn write(&self, record: &mut Record, changed: Record) -> Result<(), StoreError> {
        self.outbox.node().meta_put(KEY, Some(&changed.to_bytes()))?;
        *record = changed;
        Ok(())
    }

    /// A change is one assignment, so what is behind a poisoned lock is whole.
    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shortened(key: &str) -> [u8; 16] {
    let mut short = [0; 16];
    short.iter_mut().zip(Sha256::digest(key)).for_each(|(short, byte)| *short = byte);
    short
}
