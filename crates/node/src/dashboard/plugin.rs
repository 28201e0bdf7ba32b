//! The page of a plugin.

use std::borrow::Cow;

use coalmine_chart::{Subject, number, rate};
use coalmine_core::{
    Address, Counts, Deployment, Height, Name, Plugin, PluginAction, PluginChange, PluginVersion, query,
};
use coalmine_foresight::{Next, PluginHistory, explain_plugin, plugin_change_sentence};

use crate::dashboard::overview::is_rolled_back;
use crate::dashboard::page::{Frame, write};
use crate::dashboard::subject::{
    ArmRow, Arms, Entry, Fact, Last, Past, StageRow, SubjectPage, VERDICTS, VersionRow, draw,
};
use crate::dashboard::view::{Failure, Query, View};
use crate::dashboard::words::{away, error_rate, mean_latency, plugin_href, plugin_row, sentence, tidy};

/// How many entries of a history are read at once.
const PAGE: usize = 1_024;

/// The page.
pub(super) fn page(view: &View<'_>, asked: &str, query: &Query) -> Result<String, Failure> {
    let state = view.state();
    let missing = || Failure::missing("plugin", asked, state.plugins().map(|(name, _)| name));
    let name: Name = asked.parse().map_err(|_| missing())?;
    let plugin = state.plugin(&name).ok_or_else(missing)?;
    let deployment = state.deployment(&name);
    let href = plugin_href(&name);
    let (mut history, past) = read(view, &name, query)?;
    let verdicts: Vec<_> = std::mem::take(&mut history.verdicts);
    let verdicts: Vec<_> = verdicts.iter().filter(|entry| is_automatic(&entry.change)).collect();
    let began = history.created.as_ref().map_or(0, |entry| entry.height);
    let mut explanation = explain_plugin(Cow::Borrowed(state), history, 0)?.ok_or_else(missing)?;
    let (upcoming, until) = view.moment.next(|event| event.plugin() == Some(&name))?;
    explanation.next = Next { upcoming: upcoming.cloned(), until };
    let mut sentences = explanation.sentences().into_iter().map(|words| tidy(&words));
    let is_rolled_back = deployment.is_none() && is_rolled_back(view, &name)?;
    let row = plugin_row(&name, plugin, deployment, is_rolled_back, view.height);
    let verdict = |entry: &&&query::PluginHistoryEntry| Entry {
        height: number(entry.height.into()),
        words: sentence(&plugin_change_sentence(&entry.change), None),
    };
    write(&SubjectPage {
        frame: Frame::new(view, ""),
        kind: "plugin",
        name: row.name,
        badge: row.badge,
        description: String::new(),
        lead: sentences.next().unwrap_or_default(),
        share: row.share,
        errors: row.errors,
        next: row.next,
        facts: facts(plugin, deployment, view.height),
        drawn: draw(view, (Subject::Plugin, &name), began, &href, query)?,
        arms: deployment.map(arms),
        stages: deployment.map(stages).unwrap_or_default(),
        versions: state.plugin_versions(&name).map(version).collect(),
        overrides: Vec::new(),
        has_more_overrides: false,
        verdicts: verdicts.iter().rev().take(VERDICTS).map(|entry| verdict(&entry)).collect(),
        verdicts_left: verdicts.len().saturating_sub(VERDICTS),
        why: sentences.collect(),
        past,
    })
}

/// Whether nobody sent a command for it.
fn is_automatic(change: &PluginChange) -> bool {
    change.actor == Address::ZERO && change.action != PluginAction::Reverted
}

/// Reads the history once: what explains the plugin, and the page of it that is asked for.
fn read(view: &View<'_>, name: &Name, query: &Query) -> Result<(PluginHistory, Past), Failure> {
    let mut history = PluginHistory::new(*name);
    let mut last = Last::new(query)?;
    loop {
        let after = history.last.as_ref().map(|entry| (entry.height, entry.seq));
        let entries = query::plugin_history(view.records, name, after, PAGE)?;
        let is_last = entries.len() < PAGE;
        for entry in entries {
            last.push((entry.height, entry.seq), entry.change.clone());
            history.push(entry);
        }
        if is_last {
            break;
        }
    }
    let past = last.finish(&plugin_href(name), |change| sentence(&plugin_change_sentence(change), None));
    Ok((history, past))
}

fn arms(deployment: &Deployment) -> Arms {
    let (canary, production) = (&deployment.canary, &deployment.production);
    let share = u64::from(deployment.share().get());
    let threshold = deployment.plan.guardrails().error_threshold_bps.get().into();
    let row = |label, of: &dyn Fn(&Counts) -> String| ArmRow { label, new: of(canary), old: of(production) };
    Arms {
        new: deployment.new.to_string(),
        old: deployment.old.to_string(),
        rows: vec![
            ArmRow { label: "Share of units", new: rate(share), old: rate(10_000_u64.saturating_sub(share)) },
            row("Requests", &|counts| number(counts.requests)),
            row("Errors", &|counts| number(counts.errors)),
            row("Error rate", &|counts| error_rate(counts.errors, counts.requests, threshold).words),
            row("Mean latency", &mean_latency),
        ],
    }
}

fn stages(deployment: &Deployment) -> Vec<StageRow> {
    let stages = deployment.plan.stages().iter().enumerate().map(|(place, stage)| StageRow {
        number: place.saturating_add(1),
        share: rate(stage.share_bps.get().into()),
        blocks: number(stage.blocks.into()),
        min_requests: number(stage.min_requests),
        gate: stage.gate.name().replace('_', " "),
        is_current: place == usize::from(deployment.stage),
    });
    stages.collect()
}

fn version(version: &PluginVersion) -> VersionRow {
    VersionRow {
        version: version.version.to_string(),
        status: version.status.name().replace('_', " "),
        registered: number(version.registered.into()),
        rate: {
            let rate = error_rate(version.counts.errors, version.counts.requests, 0);
            let of = format!(" ({} of {})", number(version.counts.errors), number(version.counts.requests));
            if rate.bar.is_some() { format!("{}{of}", rate.words) } else { rate.words }
        },
    }
}

fn facts(plugin: &Plugin, deployment: Option<&Deployment>, now: Height) -> Vec<Fact> {
    let fact = |label, words: String| Fact { label, words, href: None };
    let mut facts = vec![fact("Serves", plugin.current.to_string()), fact("Loading", plugin.load_state.name().into())];
    facts.extend(plugin.previous.as_ref().map(|previous| fact("Before it", previous.to_string())));
    facts.extend(plugin.constraint.as_ref().map(|constraint| fact("Allowed versions", constraint.to_string())));
    let Some(deployment) = deployment else { return facts };
    let guardrails = deployment.plan.guardrails();
    let yes = |yes| if yes { "yes" } else { "no" }.to_owned();
    facts.extend([
        fact("Strategy", deployment.strategy.name().replace('_', " ")),
        fact("Started at block", number(deployment.start.into())),
        fact("Judged from", format!("{} requests", number(guardrails.min_requests))),
        fact("Rolls back by itself", yes(guardrails.auto_rollback)),
        fact("Promotes by itself", yes(guardrails.auto_promote)),
    ]);
    if let Some(max) = guardrails.max_blocks {
        facts.push(fact("Deadline", away(deployment.start.saturating_add(max.get()), now)));
    }
    if let Some(z) = guardrails.regression_z_centi {
        let z = z.get();
        facts.push(fact("Regression test", format!("z ≥ {}.{:02}", z / 100, z % 100)));
    }
    facts
}
