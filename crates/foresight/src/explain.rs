//! What a feature or plugin is, since when and why; what it waits for, what happens next, and who could act.

use std::borrow::Cow;
use std::num::{NonZeroU32, NonZeroU64};

use coalmine_core::{
    Address, Advance, BlockError, CommandKind, Counts, Deployment, Event, Feature, Gate, Height, Hold, Metrics, Name,
    Plugin, Policy, Pool, PoolKind, Role, Scheduled, State, Status,
};

use crate::calendar::{Calendar, Upcoming};
use crate::errors_left::ErrorsLeft;
use crate::history::{FeatureHistory, PluginHistory, Subject};
use crate::why::{feature_of, plugin_of};
use crate::words::{
    self, event_sentence, feature_change_sentence, list, more, percent_of, plugin_change_sentence, rate,
};

/// The most addresses that a sentence names.
const NAMED_MAX: usize = 3;

/// What happens to a subject by itself, as far as it was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    /// The first height at which something happens to it, with all that happens there.
    pub upcoming: Option<Upcoming>,
    /// The last height that was looked at.
    pub until: Height,
}

/// Who could send a command about a subject now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Could {
    /// The commands that its status allows to the same people.
    pub commands: Vec<CommandKind>,
    /// The addresses that hold a role for them, admins included, in their order.
    pub who: Vec<Address>,
}

/// A scheduled entry about a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The height at which it runs.
    pub at: Height,
    /// Its id.
    pub id: u64,
    /// The kinds of its commands about the subject.
    pub commands: Vec<CommandKind>,
}

/// What a round has collected about a subject so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenRound {
    /// What is reported.
    pub kind: PoolKind,
    /// The height at which it closes.
    pub closes: Height,
    /// How many have reported.
    pub reporters: usize,
    /// How many it takes.
    pub quorum: u8,
}

/// Everything that explains a feature.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureExplanation {
    /// The height of the last block.
    pub height: Height,
    /// The feature as it is.
    pub feature: Feature,
    /// Its metrics.
    pub metrics: Metrics,
    /// Its policy.
    pub policy: Policy,
    /// What has become of it.
    pub history: FeatureHistory,
    /// Prerequisites that are off, each with its status.
    pub prerequisites_off: Vec<(Name, Status)>,
    /// Since when the circuit breaker is open, and until when; the latter is none if it must be reset.
    pub breaker: Option<(Height, Option<Height>)>,
    /// Scheduled commands about it.
    pub planned: Vec<Planned>,
    /// Rounds that collect reports about it.
    pub rounds: Vec<OpenRound>,
    /// What happens to it next without traffic.
    pub next: Next,
    /// How many errors it still bears.
    pub errors_left: ErrorsLeft,
    /// Who could do what.
    pub could: Vec<Could>,
}

/// Everything that explains a plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginExplanation {
    /// The height of the last block.
    pub height: Height,
    /// The plugin.
    pub name: Name,
    /// Its record.
    pub plugin: Plugin,
    /// Its deployment.
    pub deployment: Option<Deployment>,
    /// What has become of it.
    pub history: PluginHistory,
    /// Since when the circuit breaker is open, and until when.
    pub breaker: Option<(Height, Option<Height>)>,
    /// Scheduled commands about it.
    pub planned: Vec<Planned>,
    /// Rounds that collect reports about it.
    pub rounds: Vec<OpenRound>,
    /// What happens to it next without traffic.
    pub next: Next,
    /// How many errors its new version still bears.
    pub errors_left: ErrorsLeft,
    /// Who could do what.
    pub could: Vec<Could>,
}

/// Explains a feature, looking so many blocks ahead; `None` if there is none of that name. A state that is lent is cloned
/// if the look ahead has to apply anything to it, one that is given is not.
///
/// # Errors
/// The state in memory is damaged, or the next block has rules that this build does not know.
pub fn explain_feature(
    shared: Cow<'_, State>,
    history: FeatureHistory,
    blocks: u32,
) -> Result<Option<FeatureExplanation>, BlockError> {
    let (name, state) = (history.name, &*shared);
    let (Some(feature), Some(metrics), Some(policy)) =
        (state.feature(&name), state.metrics(&name), state.policy(&name))
    else {
        return Ok(None);
    };
    let off = |prerequisite: &Name| {
        let status = state.feature(prerequisite).map_or(Status::Disabled, |feature| feature.status);
        (!status.is_on()).then_some((*prerequisite, status))
    };
    let subject = Subject::Feature(name);
    let mut explained = FeatureExplanation {
        height: state.tip().unwrap_or_default(),
        feature: feature.clone(),
        metrics: *metrics,
        policy: policy.clone(),
        history,
        prerequisites_off: policy.prerequisites.iter().filter_map(off).collect(),
        breaker: breaker(state),
        planned: planned(state, &subject),
        rounds: rounds(state, &subject),
        next: NOTHING_NEXT,
        errors_left: ErrorsLeft::of_feature(state, &name)?,
        could: could(state, feature_commands(feature.status)),
    };
    explained.next = next(shared, &subject, blocks)?;
    Ok(Some(explained))
}

/// Explains a plugin, looking so many blocks ahead; `None` if there is none of that name.
///
/// # Errors
/// As for a feature.
pub fn explain_plugin(
    shared: Cow<'_, State>,
    history: PluginHistory,
    blocks: u32,
) -> Result<Option<PluginExplanation>, BlockError> {
    let (name, state) = (history.name, &*shared);
    let Some(plugin) = state.plugin(&name) else { return Ok(None) };
    let subject = Subject::Plugin(name);
    let deployment = state.deployment(&name);
    let mut explained = PluginExplanation {
        height: state.tip().unwrap_or_default(),
        name,
        plugin: plugin.clone(),
        deployment: deployment.cloned(),
        history,
        breaker: breaker(state),
        planned: planned(state, &subject),
        rounds: rounds(state, &subject),
        next: NOTHING_NEXT,
        errors_left: ErrorsLeft::of_plugin(state, &name)?,
        could: could(state, &plugin_commands(plugin, deployment)),
    };
    explained.next = next(shared, &subject, blocks)?;
    Ok(Some(explained))
}

fn breaker(state: &State) -> Option<(Height, Option<Height>)> {
    state.global().breaker.map(|breaker| (breaker.since, breaker.until.map(NonZeroU32::get)))
}

fn planned(state: &State, subject: &Subject) -> Vec<Planned> {
    let about = |entry: &Scheduled| -> Vec<CommandKind> {
        let commands = entry.commands();
        let commands = commands.iter().flat_map(|commands| commands.iter());
        let is_about = |command: &&coalmine_core::Command| match subject {
            Subject::Feature(name) => feature_of(command) == Some(name),
            Subject::Plugin(name) => plugin_of(command) == Some(name),
            Subject::Ledger => feature_of(command).is_none() && plugin_of(command).is_none(),
        };
        commands.filter(is_about).map(coalmine_core::Command::kind).collect()
    };
    let planned = state.schedule().map(|(at, id, entry)| Planned { at, id, commands: about(entry) });
    planned.filter(|planned| !planned.commands.is_empty()).collect()
}

fn rounds(state: &State, subject: &Subject) -> Vec<OpenRound> {
    let quorum = state.global().params.quorum;
    let is_about = |pool: &Pool| match (subject, pool.kind()) {
        (Subject::Feature(name), PoolKind::Report) => pool.subject() == name,
        (Subject::Plugin(name), PoolKind::VersionReport | PoolKind::Health | PoolKind::Load | PoolKind::Unload) => {
            pool.subject() == name
        }
        (Subject::Feature(_) | Subject::Plugin(_) | Subject::Ledger, _) => false,
    };
    let open = state.rounds().filter(|(_, pool, _)| is_about(pool));
    open.map(|(closes, pool, said)| OpenRound { kind: pool.kind(), closes, reporters: said.len(), quorum }).collect()
}

/// Before the look ahead, which takes the state.
const NOTHING_NEXT: Next = Next { upcoming: None, until: 0 };

fn next(state: Cow<'_, State>, subject: &Subject, blocks: u32) -> Result<Next, BlockError> {
    let calendar = Calendar::of(state, blocks);
    let until = calendar.until();
    for upcoming in calendar {
        let upcoming = upcoming?;
        let is_about = |event: &Event| match subject {
            Subject::Feature(name) => event.feature() == Some(name),
            Subject::Plugin(name) => event.plugin() == Some(name),
            Subject::Ledger => event.feature().is_none() && event.plugin().is_none(),
        };
        if upcoming.events.iter().any(is_about) || upcoming.unknown_rules.is_some() {
            return Ok(Next { upcoming: Some(upcoming), until });
        }
    }
    Ok(Next { upcoming: None, until })
}

/// The commands that the status of a feature allows.
const fn feature_commands(status: Status) -> &'static [CommandKind] {
    use CommandKind::{
        AdvanceRollout, ConfigureFeature, Disable, Enable, PauseRollout, Rollback, StartCanary, StartRollout,
    };
    match status {
        Status::Disabled => &[StartCanary, Enable, ConfigureFeature],
        Status::RolledBack => &[StartCanary, Enable, ConfigureFeature, Disable],
        Status::Canary => &[StartRollout, StartCanary, Enable, Disable, Rollback],
        Status::RollingOut => &[AdvanceRollout, PauseRollout, Enable, Disable, Rollback],
        Status::Enabled => &[Disable, Rollback],
    }
}

/// The commands that a plugin and its deployment allow.
fn plugin_commands(plugin: &Plugin, deployment: Option<&Deployment>) -> Vec<CommandKind> {
    use CommandKind::{Deploy, Pause, Promote, RegisterVersion, Resume, Revert, RollbackDeployment};
    let Some(deployment) = deployment else {
        let revert = plugin.previous.as_ref().map(|_| Revert);
        return [Deploy, RegisterVersion].into_iter().chain(revert).collect();
    };
    match deployment.hold {
        Hold::Running => vec![Promote, Pause, RollbackDeployment],
        Hold::Paused | Hold::PausedByRule => vec![Resume, Promote, RollbackDeployment],
        Hold::ManualGate | Hold::Dependents => vec![Resume, Promote, Pause, RollbackDeployment],
        Hold::Completed => vec![Promote, Pause, RollbackDeployment],
    }
}

/// Who holds the roles, commands with the same roles together.
fn could(state: &State, kinds: &[CommandKind]) -> Vec<Could> {
    let mut groups: Vec<(&[Role], Vec<CommandKind>)> = Vec::new();
    for kind in kinds {
        match groups.iter_mut().find(|(roles, _)| *roles == kind.roles()) {
            Some((_, commands)) => commands.push(*kind),
            None => groups.push((kind.roles(), vec![*kind])),
        }
    }
    let holders = |needed: &[Role]| -> Vec<Address> {
        let may = state.roles().filter(|(_, held)| needed.iter().any(|role| held.allows(*role)));
        may.map(|(address, _)| *address).collect()
    };
    groups.into_iter().map(|(roles, commands)| Could { commands, who: holders(roles) }).collect()
}

// The sentences.

impl FeatureExplanation {
    /// The explanation in sentences, in the order in which one would ask.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        let mut out = vec![self.standing()];
        out.extend(self.history.created.map(|entry| {
            let name = self.feature.name;
            format!("At height {}, {name} was {}.", entry.height, feature_change_sentence(&entry.change))
        }));
        for (entry, before) in &self.history.verdicts {
            let from = before.map_or_else(String::new, |before| format!(", at {} %", before.percent));
            out.push(format!("At height {}{from}, it was {}.", entry.height, feature_change_sentence(&entry.change)));
        }
        out.extend(self.counts());
        out.extend(self.waits());
        out.extend(self.rounds.iter().map(round_sentence));
        out.extend(self.planned.iter().map(planned_sentence));
        let is_mine = |event: &Event| event.feature() == Some(&self.feature.name);
        out.push(next_sentence(&self.next, is_mine));
        out.push(errors_sentence(
            &self.errors_left,
            self.feature.status.is_on(),
            "it is on for nobody",
            "rolls it back",
        ));
        out.extend(self.could.iter().map(could_sentence));
        out
    }

    fn standing(&self) -> String {
        let Feature { name, status, rollout_percent, target_percent, .. } = &self.feature;
        let since =
            self.history.status_since.map_or_else(String::new, |entry| format!(" since height {}", entry.height));
        let share = match self.history.last.zip(self.history.status_since) {
            Some((last, since)) if last.height > since.height => {
                format!("{rollout_percent} % of users since height {}", last.height)
            }
            Some(_) | None => format!("{rollout_percent} % of users"),
        };
        match status {
            Status::Disabled => format!("{name} is disabled{since}: on for nobody."),
            Status::RolledBack => format!("{name} is rolled back{since}: on for nobody."),
            Status::Canary => format!("{name} is a canary{since}: on for {share}."),
            Status::RollingOut => {
                format!("{name} is rolling out{since}: on for {share}, on its way to {target_percent} %.")
            }
            Status::Enabled => format!("{name} is enabled{since}: on for everybody without an override."),
        }
    }

    /// What the guard has counted.
    fn counts(&self) -> Option<String> {
        let (Feature { status, error_count, success_count, max_error_rate, .. }, metrics) =
            (&self.feature, &self.metrics);
        if !status.is_on() {
            return None;
        }
        let mut text = format!(
            "Its trial has {error_count} errors and {success_count} successes; max_error_rate is {}",
            rate((*max_error_rate).into())
        );
        if let Some(blocks) = self.policy.window_blocks {
            let errors = metrics.current_errors.saturating_add(metrics.previous_errors);
            let successes = metrics.current_successes.saturating_add(metrics.previous_successes);
            text.push_str(&format!(
                ", and in the window of {blocks} blocks from height {} and the one before there are {errors} errors and \
                 {successes} successes",
                metrics.window_start
            ));
        }
        if let Some(max_latency) = self.policy.max_latency.map(NonZeroU64::get) {
            let mean = metrics.trial_latency_sum.checked_div(metrics.trial_operations).unwrap_or_default();
            text.push_str(&format!("; the mean latency is {mean} and may be {max_latency}"));
        }
        if metrics.trial_invariant_failures > 0 || self.policy.max_invariant_failures > 0 {
            text.push_str(&format!(
                "; {} invariant checks failed and {} may",
                metrics.trial_invariant_failures, self.policy.max_invariant_failures
            ));
        }
        text.push('.');
        Some(text)
    }

    /// What it waits for.
    fn waits(&self) -> Vec<String> {
        let feature = &self.feature;
        let mut waits = Vec::new();
        match feature.status {
            Status::Disabled | Status::RolledBack => {
                waits.push("It waits for a command: start_canary or enable.".into());
            }
            Status::Canary => {
                let missing = feature.min_success_count.saturating_sub(feature.success_count);
                waits.push(if missing > 0 {
                    format!("It waits for start_rollout, and for that for {} of this trial.", more(missing, "success"))
                } else {
                    "It waits for start_rollout; its trial has successes enough.".into()
                });
            }
            Status::RollingOut => waits.push(self.step_sentence()),
            Status::Enabled => waits.push("It waits for nothing.".into()),
        }
        if let Some((since, until)) = self.breaker {
            let until = until.map_or_else(|| "it is reset".into(), |until| format!("height {until}"));
            waits.push(format!(
                "The circuit breaker is open since height {since}: nothing starts or steps until {until}."
            ));
        }
        for (name, status) in &self.prerequisites_off {
            waits.push(format!(
                "It rests on {name}, which is {}, and is off for everybody until that is on.",
                words::status(*status)
            ));
        }
        if let Some(at) = self.policy.expires_at.map(NonZeroU32::get) {
            let is = if at <= self.height { "passed" } else { "is still to come" };
            waits.push(format!("It was meant to be gone by height {at} ({}), which {is}.", self.policy.lifetime));
        }
        waits
    }

    fn step_sentence(&self) -> String {
        let feature = &self.feature;
        let due = u64::from(feature.last_increment_block).saturating_add(feature.increment_blocks.into());
        let next = feature.rollout_percent.step(feature.increment_percent, feature.target_percent);
        let by = match self.policy.advance {
            Advance::Automatic => format!("It waits for its step to {next} %, which is due at height {due}"),
            Advance::Manual => format!("It waits for advance_rollout, to {next} %, from height {due} on"),
        };
        let missing = self.policy.step_min_operations.saturating_sub(self.metrics.step_operations);
        if missing > 0 { format!("{by} and takes {}.", more(missing, "operation")) } else { format!("{by}.") }
    }
}

impl PluginExplanation {
    /// The explanation in sentences, in the order in which one would ask.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        let mut out = vec![self.standing()];
        out.extend(self.deployment.as_ref().map(|deployment| self.progress(deployment)));
        for entry in &self.history.verdicts {
            out.push(format!("At height {}: {}.", entry.height, plugin_change_sentence(&entry.change)));
        }
        out.extend(self.waits());
        out.extend(self.rounds.iter().map(round_sentence));
        out.extend(self.planned.iter().map(planned_sentence));
        out.push(next_sentence(&self.next, |event| event.plugin() == Some(&self.name)));
        let stops = match &self.deployment {
            Some(deployment) if !deployment.plan.guardrails().auto_rollback => "pauses it",
            Some(_) | None => "rolls it back",
        };
        out.push(errors_sentence(&self.errors_left, self.deployment.is_some(), "nothing is being deployed", stops));
        out.extend(self.could.iter().map(could_sentence));
        out
    }

    fn standing(&self) -> String {
        let Plugin { current, previous, load_state, .. } = &self.plugin;
        let since = self.history.current_since.as_ref();
        let since = since.map_or_else(String::new, |entry| format!(" since height {}", entry.height));
        let previous = previous.as_ref().map_or_else(String::new, |previous| format!(", before it {previous}"));
        format!("{} is at {current}{since}{previous}; it is {load_state}.", self.name)
    }

    fn progress(&self, deployment: &Deployment) -> String {
        let Counts { requests, errors, .. } = deployment.canary;
        let guardrails = deployment.plan.guardrails();
        let (stage, stages) = (u64::from(deployment.stage).saturating_add(1), deployment.plan.stages().len());
        format!(
            "{} is being deployed since height {} ({}): it serves {} in stage {stage} of {stages}, and has {errors} errors \
             in {requests} requests ({} in {} of this stage); error_threshold_bps is {}.",
            deployment.new,
            deployment.start,
            deployment.strategy,
            percent_of(deployment.share().get().into()),
            deployment.stage_errors,
            deployment.stage_requests,
            rate(guardrails.error_threshold_bps.get().into()),
        )
    }

    fn waits(&self) -> Vec<String> {
        let mut waits = Vec::new();
        if let Some(deployment) = &self.deployment {
            waits.push(self.hold_sentence(deployment));
            if let Some(max) = deployment.plan.guardrails().max_blocks {
                let deadline = u64::from(deployment.start).saturating_add(max.get().into());
                waits.push(format!("It is rolled back at height {deadline} if it is not done by then."));
            }
        } else {
            waits.push("It waits for nothing; a new version takes deploy.".into());
        }
        if let Some((since, until)) = self.breaker {
            let until = until.map_or_else(|| "it is reset".into(), |until| format!("height {until}"));
            waits.push(format!("The circuit breaker is open since height {since}: nothing moves on until {until}."));
        }
        waits
    }

    fn hold_sentence(&self, deployment: &Deployment) -> String {
        let Some(stage) = deployment.current_stage() else { return String::new() };
        let end = u64::from(deployment.stage_height).saturating_add(stage.blocks.into());
        match deployment.hold {
            Hold::Running if stage.gate == Gate::Health && !deployment.healthy => {
                format!("It waits for attest_health, and is rolled back at height {end} without it.")
            }
            Hold::Running if !deployment.held.is_empty() => {
                let missing = stage.min_requests.saturating_sub(deployment.stage_requests);
                let success = rate(deployment.plan.guardrails().success_threshold_bps.get().into());
                format!("Its stage is held: it takes {}, and a success rate of {success}.", more(missing, "request"))
            }
            Hold::Running => {
                format!("Its stage ends at height {end}, with {} requests at the least.", stage.min_requests)
            }
            Hold::Paused => "It is paused, and waits for resume.".into(),
            Hold::PausedByRule => "A rule has paused it, and it waits for resume.".into(),
            Hold::ManualGate => "It waits at a manual gate for resume.".into(),
            Hold::Completed => "Its plan is complete, and it waits for promote.".into(),
            Hold::Dependents => "Its plan is complete, but something forbids the promotion; resume tries again.".into(),
        }
    }
}

fn round_sentence(round: &OpenRound) -> String {
    let OpenRound { kind, closes, reporters, quorum } = round;
    format!("A round of {kind} is open until height {closes}: {reporters} reporters so far, and it takes {quorum}.")
}

fn planned_sentence(planned: &Planned) -> String {
    let commands: Vec<&str> = planned.commands.iter().map(|kind| kind.name()).collect();
    format!("Entry {} of the schedule has {} for height {}.", planned.id, list(&commands), planned.at)
}

fn next_sentence(next: &Next, is_mine: impl Fn(&Event) -> bool) -> String {
    let Some(upcoming) = &next.upcoming else {
        return format!("Nothing happens to it by itself up to height {}.", next.until);
    };
    if let Some(rules) = upcoming.unknown_rules {
        return format!("At height {} rule set {rules} is needed, which this build does not know.", upcoming.height);
    }
    let sentences: Vec<String> = upcoming.events.iter().filter(|event| is_mine(event)).map(event_sentence).collect();
    format!("Next, without traffic, at height {}: {}.", upcoming.height, sentences.join("; "))
}

fn errors_sentence(left: &ErrorsLeft, is_on: bool, off: &str, stops: &str) -> String {
    if !is_on {
        return format!("It takes no reports: {off}.");
    }
    match (left.errors, left.rounds) {
        (None, None) => format!("No number of errors {stops}."),
        (Some(errors), None) => {
            let errors = more(errors.into(), "error");
            format!("It can take {errors} in the next block; one more than that {stops}.")
        }
        (errors, Some(rounds)) => {
            let Some(closes) = rounds.closes else { return "No round ends any more, so it takes no reports.".into() };
            let quorum = rounds.quorum;
            if rounds.reporters < usize::from(quorum) {
                return format!(
                    "Only {} addresses may report, and it takes {quorum}: no report acts.",
                    rounds.reporters
                );
            }
            match errors {
                None => format!("No number of errors that {quorum} reporters report {stops}."),
                Some(errors) => format!(
                    "In the round that ends at height {closes}, each of {quorum} reporters can report {}; one more each \
                     {stops}.",
                    more(errors.into(), "error")
                ),
            }
        }
    }
}

fn could_sentence(could: &Could) -> String {
    let commands: Vec<&str> = could.commands.iter().map(|kind| kind.name()).collect();
    let mut who: Vec<String> = could.who.iter().take(NAMED_MAX).map(ToString::to_string).collect();
    let more = could.who.len().saturating_sub(who.len());
    if more > 0 {
        who.push(format!("{more} more"));
    }
    match who.as_slice() {
        [] => format!("Nobody could send {}.", list(&commands)),
        who => format!("{} could be sent by {}.", list(&commands), list(who)),
    }
}
