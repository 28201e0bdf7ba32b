//! One reporter at work: asks the server, keeps the book, and sends reports, a step for each height.

use std::collections::BTreeMap;
use std::time::Duration;

use coalmine_core::{DecodeError, DecodeErrorKind, Height, Name, Reader, Version, Writer};
use coalmine_store::{Problem, StoreError};

use crate::reporter::book::Book;
use crate::reporter::config::PrometheusConfig;
use crate::reporter::counters::{Counters, SERIES_MAX, series_id};
use crate::reporter::figures::Owed;
use crate::reporter::outbox::Outbox;
use crate::reporter::prometheus::{Prometheus, QueryError, Series};
use crate::reporter::subject::{NoTrial, Subject, Trial, of_feature, of_plugin};
use crate::reporter::{Shared, StepError};

/// The version of the record.
const VERSION: u8 = 1;
/// How far before the last query the next one begins: samples come a little after their time.
const OVERLAP: Duration = Duration::from_secs(120);
/// The longest time that one query is about, also the first one of a trial, which finds what there is before it; and the shortest one that is tried when answers are too long.
const WINDOW_MAX: Duration = Duration::from_secs(60 * 60);
const WINDOW_MIN: Duration = Duration::from_secs(60);
/// Series without samples for so long are forgotten.
const FORGET_AFTER: u64 = 7 * 24 * 60 * 60 * 1_000;
/// How many queries one step makes: what is far behind is caught up with over several heights.
const WINDOWS_MAX: usize = 24;

/// Something that has samples of counters: a Prometheus server.
pub(crate) trait Samples {
    /// Its time, in milliseconds since 1970.
    fn now(&self) -> Result<u64, QueryError>;

    /// The samples of a selector in the time up to `end`.
    fn samples(&self, selector: &str, end: u64, length: Duration) -> Result<Vec<Series>, QueryError>;
}

impl Samples for Prometheus {
    fn now(&self) -> Result<u64, QueryError> {
        self.now()
    }

    fn samples(&self, selector: &str, end: u64, length: Duration) -> Result<Vec<Series>, QueryError> {
        self.samples(selector, end, length)
    }
}

/// What a reporter is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum About {
    Feature(Name),
    /// The versions of a plugin, which are in a label.
    Plugin(Name, String),
}

/// What is durable of a reporter, in one value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Record {
    /// The trial in which the counters were read last.
    trial: Option<Trial>,
    /// The time of the server up to which they were.
    read_until: u64,
    counters: Counters,
    book: Book,
}

impl Record {
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u8(VERSION);
        out.option(self.trial, |out, trial| trial.encode(out));
        out.u64(self.read_until);
        self.counters.encode(&mut out);
        self.book.encode(&mut out);
        out.into_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        if input.u8()? != VERSION {
            return Err(input.error(DecodeErrorKind::UnknownTag));
        }
        let (trial, read_until) = (input.option(Trial::decode)?, input.u64()?);
        let (counters, book) = (Counters::decode(&mut input)?, Book::decode(&mut input)?);
        input.finish()?;
        Ok(Self { trial, read_until, counters, book })
    }
}

/// One reporter.
pub(crate) struct Worker<S> {
    key: String,
    about: About,
    every: Height,
    config: PrometheusConfig,
    server: S,
    outbox: Outbox,
    record: Record,
    window: Duration,
    next_query: Option<Height>,
    /// Whether the record has changed since it was written.
    is_dirty: bool,
    shared: std::sync::Arc<Shared>,
}

impl<S: Samples> Worker<S> {
    /// Takes up a reporter where it was.
    pub(crate) fn new(
        name: &str,
        about: About,
        every: Height,
        config: PrometheusConfig,
        server: S,
        outbox: Outbox,
    ) -> Result<Self, StoreError> {
        let key = format!("reporter/{name}");
        let record = outbox.node().meta_get(&key)?.map(|bytes| Record::from_bytes(&bytes)).transpose();
        let record = record.map_err(|error| StoreError::new(key.clone(), Problem::Damaged(error.to_string())))?;
        let shared = std::sync::Arc::new(Shared::new(name));
        let record = record.unwrap_or_default();
        Ok(Self {
            key,
            about,
            every,
            config,
            server,
            outbox,
            record,
            window: WINDOW_MAX,
            next_query: None,
            is_dirty: false,
            shared,
        })
    }

    pub(crate) fn shared(&self) -> std::sync::Arc<Shared> {
        std::sync::Arc::clone(&self.shared)
    }

    /// Does what is to be done at the height of the tip.
    ///
    /// # Errors
    /// The database fails, or the server does not answer. What was counted stays counted.
    pub(crate) fn step(&mut self) -> Result<(), StepError> {
        let prepared = self.prepare();
        // What is signed and written down is sent also when nothing new can be learned.
        let is_sent = if self.is_dirty { Ok(()) } else { self.send() };
        prepared.and(is_sent)
    }

    /// Everything but sending: afterwards what is to be sent is durable.
    pub(crate) fn prepare(&mut self) -> Result<(), StepError> {
        let Some(tip) = self.outbox.node().tip().height else { return Ok(()) };
        // What the database would not take before must be in it before anything is built on it.
        if self.is_dirty {
            self.save()?;
        }
        if self.outbox.settle(&mut self.record.book)? {
            self.save()?;
        }
        let trial = self.trial()?;
        let is_due = self.next_query.is_none_or(|next| next <= tip);
        let is_new = trial.is_ok() && trial.ok() != self.record.trial;
        let read = if is_due || is_new { self.read(tip, trial) } else { Ok(()) };
        if self.outbox.sign(&mut self.record.book) {
            self.save()?;
            let mut status = self.shared.status();
            status.reports = status.reports.saturating_add(1);
        }
        read
    }

    /// Sends the report under way.
    pub(crate) fn send(&self) -> Result<(), StepError> {
        self.outbox.send(&self.record.book).map_or(Ok(()), |reason| Err(StepError::NotTaken(reason)))
    }

    fn trial(&self) -> Result<Result<Trial, NoTrial>, StepError> {
        let node = self.outbox.node();
        match &self.about {
            About::Feature(name) => Ok(of_feature(node, name)?),
            About::Plugin(name, _) => Ok(of_plugin(node, name)),
        }
    }

    /// Asks the server what has happened since it was asked last.
    fn read(&mut self, tip: Height, trial: Result<Trial, NoTrial>) -> Result<(), StepError> {
        self.next_query = Some(tip.saturating_add(self.every));
        let Ok(trial) = trial else {
            // Nothing is on that could be judged: what happens now belongs to no trial.
            if self.record.trial.take().is_some() {
                self.save()?;
            }
            return Ok(());
        };
        let now = self.server.now()?;
        if self.record.trial != Some(trial) {
            // What was counted up to now belongs to no trial, or to another one.
            let mut counters = self.record.counters.clone();
            self.grown(&mut counters, now, self.window)?;
            counters.forget(now.saturating_sub(FORGET_AFTER));
            self.record = Record { trial: Some(trial), read_until: now, counters, book: self.record.book.clone() };
            return Ok(self.save()?);
        }
        for _ in 0..WINDOWS_MAX {
            let start = self.record.read_until.min(now);
            let end = start.saturating_add(milliseconds(self.window)).min(now);
            let length = Duration::from_millis(end.saturating_sub(start)).saturating_add(OVERLAP);
            let mut counters = self.record.counters.clone();
            let growth = self.grown(&mut counters, end, length)?;
            // What the ledger has gone on to meanwhile is known only now.
            let is_same = self.trial()? == Ok(trial);
            counters.forget(end.saturating_sub(FORGET_AFTER));
            (self.record.counters, self.record.read_until) = (counters, end);
            if is_same {
                self.owe(trial, &growth);
            } else {
                self.record.trial = None;
            }
            self.save()?;
            self.shared.status().read_until = end;
            if end >= now || !is_same {
                return Ok(());
            }
        }
        // There is more: the next height goes on.
        self.next_query = None;
        Ok(())
    }

    /// The growth, or an error after which less is asked for.
    fn grown(
        &mut self,
        counters: &mut Counters,
        end: u64,
        length: Duration,
    ) -> Result<BTreeMap<String, Owed>, StepError> {
        let growth = self.growth(counters, end, length);
        if matches!(growth, Err(StepError::Query(QueryError::TooLong))) && self.window > WINDOW_MIN {
            self.window = self.window.checked_div(2).unwrap_or(WINDOW_MIN).max(WINDOW_MIN);
            self.next_query = None;
        }
        growth
    }

    /// By how much the counters grew, for each version; for a feature there is one, which has no name.
    fn growth(&self, counters: &mut Counters, end: u64, length: Duration) -> Result<BTreeMap<String, Owed>, StepError> {
        let mut growth: BTreeMap<String, Owed> = BTreeMap::new();
        let PrometheusConfig { successes, requests, errors, latency, latency_scale, .. } = &self.config;
        let selectors = [
            ("successes", successes.as_ref()),
            ("requests", requests.as_ref()),
            ("errors", errors.as_ref()),
            ("latency", latency.as_ref()),
        ];
        for (counts, selector) in selectors {
            let Some(selector) = selector else { continue };
            for Series { labels, samples } in self.server.samples(selector, end, length)? {
                let version = match &self.about {
                    About::Feature(_) => String::new(),
                    About::Plugin(_, label) => labels.get(label).cloned().unwrap_or_default(),
                };
                let grown = counters.take(series_id(counts, &labels), samples);
                let owed = growth.entry(version).or_default();
                let sum = match counts {
                    "successes" => &mut owed.successes,
                    "requests" => &mut owed.requests,
                    "errors" => &mut owed.errors,
                    _ => &mut owed.latency,
                };
                let scale = if counts == "latency" { u128::from(*latency_scale) } else { 1 };
                *sum = sum.saturating_add(grown.saturating_mul(scale));
            }
            if counters.len() > SERIES_MAX {
                return Err(StepError::Series);
            }
        }
        Ok(growth)
    }

    fn owe(&mut self, trial: Trial, growth: &BTreeMap<String, Owed>) {
        for (version, owed) in growth {
            if *owed == Owed::default() {
                continue;
            }
            let subject = match &self.about {
                About::Feature(name) => Some(Subject::Feature(*name)),
                About::Plugin(name, _) => {
                    let version: Option<Version> = version.parse().ok();
                    let is_there = |version: &Version| {
                        self.outbox.node().read(|state| state.plugin_version(name, version).is_some())
                    };
                    version.filter(is_there).map(|version| Subject::Version(*name, version))
                }
            };
            match subject {
                // There is room for all versions that a plugin has.
                Some(subject) => drop(self.record.book.add(&subject, trial, owed)),
                None => tracing::debug!(key = self.key, version, "counts of a version that is not registered"),
            }
        }
    }

    fn save(&mut self) -> Result<(), StoreError> {
        self.is_dirty = true;
        self.outbox.node().meta_put(&self.key, Some(&self.record.to_bytes()))?;
        self.is_dirty = false;
        Ok(())
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
