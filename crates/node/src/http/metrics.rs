//! Metrics: in the OpenMetrics form for who asks for it, else in the older text form of Prometheus.
//!
//! Gauges of the state are read when somebody scrapes, so that what has been removed is gone at once. Counters begin at
//! zero with the process. Labels are names of the state and constants, never an address or a targeting key.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State as Extract;
use axum::http::{HeaderMap, header};
use coalmine_core::{DeploymentSummary, Event, RuleSet, State};
use coalmine_foresight::stale_features;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::beside::Beside;
use crate::http::api::{Api, Reply};
use crate::http::flags::Reason;
use crate::http::problem::Problem;
use crate::http::status::{VERSION, not_ready};
use crate::tables::BlockRecord;

/// The media type of the answer to who asks for it, as Prometheus does.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// That of the older text form, which other tools read.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// How many features, and how many plugins, have series of their own: the first ones by name.
const SERIES_MAX: usize = 10_000;

/// A gauge of what is never negative.
type Level = Gauge<u64, AtomicU64>;

/// What is counted as it happens.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    txs: Family<Code, Counter>,
    rollbacks: Family<Why, Counter>,
    evaluations: Family<Why, Counter>,
    block_txs: Histogram,
    interval: Histogram,
    /// The time of the last block, in milliseconds.
    last: Arc<Mutex<Option<u64>>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Code {
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfFeature {
    feature: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FeatureStatus {
    feature: String,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPlugin {
    plugin: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PluginStatus {
    plugin: String,
    version: String,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSink {
    sink: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReporter {
    reporter: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
    rules: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Upgrade {
    rules: u16,
    known: String,
}

impl Metrics {
    pub(super) fn new() -> Self {
        Self {
            txs: Family::default(),
            rollbacks: Family::default(),
            evaluations: Family::default(),
            block_txs: Histogram::new(exponential_buckets(1.0, 4.0, 9)),
            interval: Histogram::new(exponential_buckets(0.125, 2.0, 14)),
            last: Arc::default(),
        }
    }

    /// Counts a block.
    pub(super) fn block(&self, record: &BlockRecord) {
        for tx in &record.txs {
            self.txs.get_or_create(&Code { code: tx.receipt.name() }).inc();
        }
        for event in &record.events {
            let reason = if let Event::RolledBack { rule, .. } = event {
                rule.name()
            } else if let Event::DeploymentRolledBack { reason, .. } = event {
                reason.name()
            } else {
                continue;
            };
            self.rollbacks.get_or_create(&Why { reason }).inc();
        }
        self.block_txs.observe(float(u64::try_from(record.txs.len()).unwrap_or(u64::MAX)));
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).replace(record.time);
        if let Some(last) = last {
            self.interval.observe(float(record.time.saturating_sub(last)) / 1_000.0);
        }
    }

    /// Counts an evaluation.
    pub(super) fn evaluated(&self, reason: Reason) {
        self.evaluations.get_or_create(&Why { reason: reason.name() }).inc();
    }
}

/// A count as a float: exact up to 2^53, and no count here comes so far.
#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "there is no other way from u64 to f64")]
const fn float(count: u64) -> f64 {
    count as f64
}

/// Answers `GET /metrics`.
pub(super) async fn metrics(Extract(api): Extract<Api>, headers: HeaderMap) -> Result<Reply, Problem> {
    let mut accepted = headers.get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    let takes_openmetrics = accepted.any(|accept| accept.contains("application/openmetrics-text"));
    let scraped = tokio::task::spawn_blocking(move || scrape(&api)).await;
    let text = scraped.map_err(|error| Problem::fault(&error))?.map_err(|error| Problem::fault(&error))?;
    Ok(if takes_openmetrics {
        Reply::of_type(OPENMETRICS, text.into_bytes())
    } else {
        Reply::of_type(TEXT, older(&text).into_bytes())
    })
}

/// The older text form of metrics: a counter is called as its samples are, and there are neither units nor an end.
fn older(text: &str) -> String {
    let counters: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let line = |line: &str| match line.strip_prefix("# ").and_then(|rest| rest.split_once(' ')) {
        None if line == "# EOF" => String::new(),
        Some(("UNIT", _)) => String::new(),
        Some((word @ ("HELP" | "TYPE"), rest)) => match rest.split_once(' ') {
            Some((name, rest)) if counters.contains(name) => format!("# {word} {name}_total {rest}\n"),
            Some(_) | None => format!("{line}\n"),
        },
        Some(_) | None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

fn scrape(api: &Api) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("coalmine");
    counted(&mut registry, api);
    of_node(&mut registry, api);
    if let Some(beside) = &api.options().beside {
        of_beside(&mut registry, beside);
    }
    api.state(|state, _| of_state(&mut registry, state));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

fn counted(registry: &mut Registry, api: &Api) {
    let Metrics { txs, rollbacks, evaluations, block_txs, interval, last: _ } = api.metrics().clone();
    registry.register("txs", "Transactions in blocks, by what became of them", txs);
    registry.register("rollbacks", "Features and deployments that were rolled back, by rule", rollbacks);
    registry.register("evaluations", "Flags that were evaluated by OFREP, by reason", evaluations);
    registry.register("block_txs", "Transactions of a block that has something to tell", block_txs);
    let help = "Time from one block that has something to tell to the next";
    registry.register_with_unit("block_interval", help, Unit::Seconds, interval);
    let timings = api.node().timings();
    let help = "Time to execute a block";
    registry.register_with_unit("block_execute", help, Unit::Seconds, timings.execute.clone());
    let help = "Time to write a block durably and to apply it";
    registry.register_with_unit("block_commit", help, Unit::Seconds, timings.commit.clone());
}

fn level(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let gauge = Level::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn of_node(registry: &mut Registry, api: &Api) {
    let node = api.node();
    let height = node.tip().height.unwrap_or_default();
    level(registry, "height", "The height of this node", height.into());
    level(registry, "head_height", "The highest height that this node knows of", height.into());
    level(registry, "pending_txs", "Transactions that wait for a block", count(node.pending()));
    level(registry, "sse_clients", "Streams that are open", count(api.slots().open()));
    let is_ready = not_ready(api).is_empty();
    level(registry, "ready", "Whether the node is ready, as /readyz says it", is_ready.into());
}

/// What a sink has before it comes from the database; if that fails, it is not there.
fn of_beside(registry: &mut Registry, beside: &Beside) {
    let [pending, dead, failing, disabled] = std::array::from_fn(|_| Family::<OfSink, Level>::default());
    let [delivered, failures] = std::array::from_fn(|_| Family::<OfSink, Counter>::default());
    for sink in beside.sinks().status() {
        let label = OfSink { sink: sink.name };
        dead.get_or_create(&label).set(sink.dead);
        failing.get_or_create(&label).set(u64::from(!sink.error.is_empty()));
        disabled.get_or_create(&label).set(sink.is_disabled.into());
        delivered.get_or_create(&label).inc_by(sink.delivered);
        failures.get_or_create(&label).inc_by(sink.failures);
    }
    for (sink, count) in beside.sinks().pending().unwrap_or_default() {
        pending.get_or_create(&OfSink { sink }).set(count);
    }
    registry.register("webhook_pending", "Events that a sink has before it, of the next few hundred blocks", pending);
    registry.register("webhook_dead", "Notifications that were given up and can be replayed", dead);
    registry.register("webhook_failing", "Whether the last attempt of a sink has failed", failing);
    registry.register("webhook_disabled", "Whether a receiver has said that it wants nothing any more", disabled);
    registry.register("webhook_delivered", "Notifications that were delivered", delivered);
    registry.register("webhook_failures", "Attempts to notify that have failed", failures);
    let [reports, report_failures] = std::array::from_fn(|_| Family::<OfReporter, Counter>::default());
    let failing = Family::<OfReporter, Level>::default();
    for reporter in beside.reporters().status() {
        let label = OfReporter { reporter: reporter.name };
        reports.get_or_create(&label).inc_by(reporter.reports);
        report_failures.get_or_create(&label).inc_by(reporter.failures);
        failing.get_or_create(&label).set(u64::from(!reporter.error.is_empty()));
    }
    registry.register("reporter_reports", "Reports that were signed", reports);
    registry.register("reporter_failures", "Times that a reporter could not go on", report_failures);
    registry.register("reporter_failing", "Whether a reporter cannot go on", failing);
}

fn of_state(registry: &mut Registry, state: &State) {
    let global = state.global();
    let build = Family::<Build, Level>::default();
    build.get_or_create(&Build { version: VERSION, rules: RuleSet::LATEST.number() }).set(1);
    registry.register("build_info", "This build, and the last rule set that it knows", build);
    let expired = count(stale_features(state).count());
    level(registry, "features_past_expiry", "Features that are past their expires_at", expired);
    level(registry, "breaker_open", "Whether the circuit breaker is open", global.breaker.is_some().into());
    let upgrade = Family::<Upgrade, Level>::default();
    for change in state.scheduled_rules() {
        let is_known = change.rules.is_some_and(|rules| rules <= RuleSet::LATEST);
        let label = Upgrade { rules: change.number, known: is_known.to_string() };
        upgrade.get_or_create(&label).set(change.at.into());
    }
    registry.register("upgrade_height", "The height of a scheduled change of rules", upgrade);
    level(registry, "features", "How many features there are", count(state.feature_count()));
    level(registry, "plugins", "How many plugins there are", count(state.plugin_count()));
    features(registry, state);
    plugins(registry, state);
}

fn features(registry: &mut Registry, state: &State) {
    let status = Family::<FeatureStatus, Level>::default();
    let percent = Family::<OfFeature, Level>::default();
    let rate = Family::<OfFeature, Level>::default();
    let step = Family::<OfFeature, Level>::default();
    for feature in state.features().take(SERIES_MAX) {
        let label = OfFeature { feature: feature.name.to_string() };
        let of_status = FeatureStatus { feature: label.feature.clone(), status: feature.status.name() };
        status.get_or_create(&of_status).set(1);
        percent.get_or_create(&label).set(feature.rollout_percent.bps().get().into());
        if let Some(bps) = bps(feature.error_count, feature.success_count) {
            rate.get_or_create(&label).set(bps);
        }
        if let Some(due) = state.step_due(&feature.name) {
            step.get_or_create(&label).set(due.into());
        }
    }
    registry.register("feature_info", "A feature and its status", status);
    registry.register("feature_percent_bps", "For how many users it is on, in 1/10 000", percent);
    registry.register("feature_error_rate_bps", "The error rate of its trial, in 1/10 000", rate);
    registry.register("feature_next_step_height", "The height of its next step", step);
}

fn plugins(registry: &mut Registry, state: &State) {
    let status = Family::<PluginStatus, Level>::default();
    let share = Family::<OfPlugin, Level>::default();
    let rate = Family::<OfPlugin, Level>::default();
    for (name, plugin) in state.plugins().take(SERIES_MAX) {
        let deployment = state.deployment(name);
        let summary = DeploymentSummary::of(deployment);
        let label = OfPlugin { plugin: name.to_string() };
        let of_status = PluginStatus {
            plugin: label.plugin.clone(),
            version: plugin.current.to_string(),
            status: summary.status.name(),
        };
        status.get_or_create(&of_status).set(1);
        share.get_or_create(&label).set(summary.share.get().into());
        let canary = deployment.map(|deployment| deployment.canary);
        if let Some(bps) = canary.and_then(|arm| bps(arm.errors, arm.requests.saturating_sub(arm.errors))) {
            rate.get_or_create(&label).set(bps);
        }
    }
    registry.register("plugin_info", "A plugin, its current version and the status of its deployment", status);
    registry.register("plugin_share_bps", "Which share of units gets its new version, in 1/10 000", share);
    registry.register("plugin_error_rate_bps", "The error rate of its new version, in 1/10 000", rate);
}

/// An error rate in 1/10 000; none without operations.
fn bps(errors: u64, successes: u64) -> Option<u64> {
    let errors = u128::from(errors);
    let all = errors.checked_add(successes.into())?;
    u64::try_from(errors.checked_mul(10_000)?.checked_div(all)?).ok()
}
