//! What blocks say about error rates, and the marks that no history has.

use coalmine_core::{Address, BreakerClosedBy, Event, Execution, Height, Name, PluginReason, RollbackRule};

use crate::input::{Curve, Kind, Mark, MarkKind, Marks, Span, Subject};
use crate::ledger::Range;
use crate::ledger::sample::{FeatureSample, PluginSample, Sample, Tracked};
use crate::ledger::words::{bps, hold, shortfall, spaced, why_of};
use crate::text::number;
use crate::thin::Series;

/// Records the error rates of one feature or plugin, and what happens to it that is in no history.
///
/// Give it each execution in order, or the samples and events that were kept of them.
pub struct Recorder {
    pub(super) subject: Subject,
    pub(super) name: Name,
    range: Range,
    tracked: Tracked,
    main: Series,
    unjudged: Series,
    recent: Series,
    production: Series,
    threshold: Series,
    window: Option<Span>,
    /// The window of the last rollback by its rate.
    judged_window: Option<Span>,
    /// Requests of the new version at the last sample.
    requests: u64,
    pub(super) marks: Marks,
}

impl Recorder {
    /// Records a feature or plugin in a range of heights.
    #[must_use]
    pub fn new(subject: Subject, name: Name, range: Range) -> Self {
        let series = || Series::starting_at(range.from.unwrap_or(0));
        Self {
            subject,
            name,
            range,
            tracked: Tracked::new(subject, name),
            main: series(),
            unjudged: series(),
            recent: series(),
            production: series(),
            threshold: series(),
            window: None,
            judged_window: None,
            requests: 0,
            marks: Marks::default(),
        }
    }

    /// Takes an execution. The first one must be the first of the ledger: later ones write only what they change.
    pub fn execution(&mut self, execution: &Execution) {
        let height = execution.height();
        if self.tracked.update(execution)
            && let Some(sample) = self.tracked.sample()
        {
            self.sample(height, &sample);
        }
        execution.outcome().events.iter().for_each(|event| self.event(height, event));
    }

    /// Takes the sample of a block.
    pub fn sample(&mut self, height: Height, sample: &Sample) {
        match sample {
            Sample::Feature(sample) => self.feature_sample(height, sample),
            Sample::Plugin(sample) => self.plugin_sample(height, sample.as_ref()),
        }
    }

    fn feature_sample(&mut self, height: Height, sample: &FeatureSample) {
        let operations = sample.errors.saturating_add(sample.successes);
        let enough = |operations: u64| operations >= u64::from(sample.min_samples) && operations > 0;
        // A feature that is off has the counts of the trial that ended: they belong to the block that ended it.
        let was_on = self.main.last().is_some() || self.unjudged.last().is_some();
        if sample.is_on || was_on {
            self.rate(height, bps(sample.errors, operations), enough(operations));
            let window = sample.window.map(|window| (window.errors, window.errors.saturating_add(window.successes)));
            let judged = window.filter(|(_, operations)| enough(*operations));
            self.recent.push(height, judged.and_then(|(errors, operations)| bps(errors, operations)));
            self.threshold.push(height, Some(sample.max_error_rate));
            if let Some(window) = sample.window.filter(|window| window.start > 0) {
                let blocks = number(window.blocks.into());
                self.window = Some(Span {
                    from: window.start.saturating_sub(window.blocks),
                    to: Some(window.start.saturating_add(window.blocks)),
                    name: format!("window (2 × {blocks} blocks)"),
                });
            }
        }
        if !sample.is_on {
            self.stop(height);
        }
    }

    fn plugin_sample(&mut self, height: Height, sample: Option<&PluginSample>) {
        let Some(sample) = sample else { return self.stop(height) };
        let enough = sample.min_requests.max(1);
        let PluginSample { canary, production, .. } = sample;
        self.requests = canary.requests;
        self.rate(height, bps(canary.errors, canary.requests), canary.requests >= enough);
        let is_judged = sample.stage_requests >= enough && sample.stage_requests != canary.requests;
        let stage = bps(sample.stage_errors, sample.stage_requests).filter(|_| is_judged);
        self.recent.push(height, stage);
        self.production.push(height, bps(production.errors, production.requests));
        self.threshold.push(height, Some(sample.error_threshold.into()));
    }

    fn rate(&mut self, height: Height, rate: Option<u32>, is_judged: bool) {
        self.main.push(height, rate.filter(|_| is_judged));
        self.unjudged.push(height, rate.filter(|_| !is_judged));
    }

    fn stop(&mut self, height: Height) {
        for series in [&mut self.main, &mut self.unjudged, &mut self.recent, &mut self.production, &mut self.threshold]
        {
            series.push(height, None);
        }
    }

    /// Takes an event of a block.
    pub fn event(&mut self, height: Height, event: &Event) {
        let about = match self.subject {
            Subject::Feature => event.feature(),
            Subject::Plugin => event.plugin(),
        };
        let is_breaker =
            matches!(event, Event::BreakerTripped { .. } | Event::BreakerClosed { .. } | Event::BreakerDrained);
        if about != Some(&self.name) && !is_breaker {
            return;
        }
        if let Event::DeploymentRolledBack { evidence, .. } | Event::Concluded { evidence, .. } = event {
            // The report that decided is in no record: the deployment has ended in its block.
            let series = if evidence.requests >= self.requests { &mut self.main } else { &mut self.recent };
            if evidence.requests > 0 && evidence.threshold.number() > 0 && series.last().is_none() {
                series.push(height, bps(evidence.errors, evidence.requests));
                series.push(height, None);
            }
        }
        if let Event::RolledBack { rule, value, .. } = event {
            self.judged(height, *rule, *value);
        }
        let is_shown = self.range.from.is_none_or(|from| height >= from) && self.range.to.is_none_or(|to| height <= to);
        if is_shown && let Some((kind, label, sentence)) = extra_mark(event) {
            self.marks.push(Mark::new(height, kind, label, sentence));
        }
    }

    /// Takes the rate that a rule has judged, which a feature that was started in the same block has nowhere else.
    fn judged(&mut self, height: Height, rule: RollbackRule, value: u64) {
        let series = match rule {
            RollbackRule::ErrorRate => &mut self.main,
            RollbackRule::WindowErrorRate => {
                self.judged_window = self.window.clone();
                &mut self.recent
            }
            RollbackRule::Command | RollbackRule::Invariants | RollbackRule::Latency | RollbackRule::Breaker => return,
        };
        series.push(height, u32::try_from(value).ok());
        series.push(height, None);
    }

    /// The curves, the threshold and the window.
    pub(super) fn finish(self) -> (Vec<Curve>, Series, Option<Span>) {
        let names = match self.subject {
            Subject::Feature => ["this trial", "too few operations to judge", "window", ""],
            Subject::Plugin => ["new version", "too few requests to judge", "new version in this stage", "production"],
        };
        let kinds = [Kind::Main, Kind::Unjudged, Kind::Recent, Kind::Production];
        let series = [self.main, self.unjudged, self.recent, self.production];
        let curves = kinds.into_iter().zip(names).zip(series);
        let curves = curves.map(|((kind, name), series)| Curve { kind, name: name.into(), series });
        // Production is drawn first, so that the new version lies above it.
        let mut curves: Vec<Curve> = curves.collect();
        curves.reverse();
        let window = self.judged_window.or(self.window).filter(|window| {
            let (from, to) = (self.range.from.unwrap_or(0), self.range.to.unwrap_or(Height::MAX));
            window.from <= to && window.to.is_none_or(|end| end >= from)
        });
        (curves, self.threshold, window)
    }
}

/// The mark of an event that no history has.
fn extra_mark(event: &Event) -> Option<(MarkKind, &'static str, String)> {
    let (kind, label, sentence) = match event {
        Event::FeatureConfigured { .. } => (MarkKind::Note, "configured", "The settings were changed".into()),
        Event::StepHeld { operations, needed, .. } => {
            let (operations, needed) = (number(*operations), number(*needed));
            let sentence = format!("The step was held: {operations} of {needed} operations since the last one");
            (MarkKind::Hold, "step held", sentence)
        }
        Event::StepBlocked { prerequisite, .. } => {
            (MarkKind::Hold, "step held", format!("The step was held: the prerequisite {prerequisite} is off"))
        }
        Event::OverrideSet { enabled, .. } => {
            let switch = if *enabled { "on" } else { "off" };
            (MarkKind::Note, "override", format!("An override was set: {switch} for one user"))
        }
        Event::OverrideCleared { .. } => (MarkKind::Note, "override", "An override was removed".into()),
        Event::BreakerTripped { reason, draining, .. } => {
            let drains = if *draining { ", rolling back all that is not fully on" } else { "" };
            let sentence = format!("The circuit breaker opened ({}){drains}", spaced(reason.name()));
            (MarkKind::Hold, "breaker open", sentence)
        }
        Event::BreakerClosed { by } => {
            let by = match by {
                BreakerClosedBy::Reset => "by a reset",
                BreakerClosedBy::Expiry => "by itself",
            };
            (MarkKind::Note, "breaker closed", format!("The circuit breaker closed {by}"))
        }
        Event::BreakerDrained => {
            (MarkKind::Note, "breaker drained", "The circuit breaker finished its rollbacks".into())
        }
        Event::RoundClosed { reporters, acted, .. } => {
            let acted = if *acted { "" } else { ", too late to act" };
            (MarkKind::Note, "round", format!("A round of reports closed with {reporters} reporters{acted}"))
        }
        Event::RoundShort { reporters, quorum, .. } => {
            let sentence = format!("A round of reports had {reporters} of {quorum} reporters, too few to act");
            (MarkKind::Note, "round short", sentence)
        }
        Event::StageHeld { reason, requests, errors, .. } => {
            let (requests, errors) = (number(*requests), number(*errors));
            let why = shortfall(*reason);
            (MarkKind::Hold, "stage held", format!("The stage was held: {why} ({requests} requests, {errors} errors)"))
        }
        // The history of a pause by hand has who it was.
        Event::Paused { reason: PluginReason::Manual, .. } => return None,
        Event::Paused { reason, evidence, .. } => {
            let why = why_of(*reason, Some(evidence), &Address::ZERO);
            (MarkKind::Hold, "paused", format!("The deployment was paused{why}"))
        }
        Event::Waiting { hold: at, .. } => (MarkKind::Hold, "waiting", format!("The deployment is {}", hold(*at))),
        Event::HealthAttested { version, healthy, .. } => {
            let health = if *healthy { "healthy" } else { "not healthy" };
            (
                MarkKind::Note,
                if *healthy { "healthy" } else { "unhealthy" },
                format!("{version} was attested as {health}"),
            )
        }
        Event::VersionEvicted { version, .. } => {
            (MarkKind::Note, "removed", format!("Version {version} was removed to make room"))
        }
        Event::LoadPlanned { version, .. } => (MarkKind::Note, "load", format!("{version} is to be loaded")),
        Event::LoadDisputed { version, .. } => {
            (MarkKind::Note, "load disputed", format!("A host contradicts the outcome of loading {version}"))
        }
        Event::FeatureCreated { .. }
        | Event::StatusChanged { .. }
        | Event::Stepped { .. }
        | Event::RolledBack { .. }
        | Event::VersionRegistered { .. }
        | Event::Deployed { .. }
        | Event::Staged { .. }
        | Event::Resumed { .. }
        | Event::Promoted { .. }
        | Event::DeploymentRolledBack { .. }
        | Event::Reverted { .. }
        | Event::Concluded { .. }
        | Event::VersionRetired { .. }
        | Event::Loaded { .. }
        | Event::LoadFailed { .. }
        | Event::Unloaded { .. }
        | Event::Scheduled { .. }
        | Event::ScheduleCancelled { .. }
        | Event::ScheduleExecuted { .. }
        | Event::RoleGranted { .. }
        | Event::RoleRevoked { .. }
        | Event::ParamsSet
        | Event::RulesSet { .. }
        | Event::FeedInsert { .. }
        | Event::FeedUpdated { .. }
        | Event::FeedDelete { .. }
        | Event::FeedReceivedAll => return None,
    };
    Some((kind, label, sentence))
}
