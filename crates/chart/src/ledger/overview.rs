//! The overview of a ledger: lanes of those that matter most.

use coalmine_core::{DeploymentStatus, DeploymentSummary, Fault, Height, Name, PluginAction, Read, Status, query};

use crate::input::{Overview, Subject};
use crate::ledger::words::spaced;
use crate::ledger::{PAGE, Range, feature, plugin};
use crate::text::number;

/// How many lanes a picture has at most.
pub const LANES_MAX: usize = 40;

/// How much one matters: what is rolled back or on its way before the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Open,
    Settled,
}

/// Sorts by importance: class, then how long ago the last change was.
type Rank = (Class, Height, Subject, Name);

/// The overview of a ledger at its tip; the range says where the picture begins.
///
/// # Errors
/// A fault of the source.
pub fn overview(
    source: &impl Read,
    (range, tip): (Range, Option<Height>),
    lanes_max: usize,
) -> Result<Overview, Fault> {
    let tip = tip.unwrap_or(0);
    let from = range.from.unwrap_or(0).min(tip);
    let mut ranks = Ranks { best: Vec::new(), total: 0, lanes_max };
    let mut after = None;
    loop {
        let page = query::features(source, after.as_ref(), PAGE)?;
        for feature in &page {
            let class = match feature.status {
                Status::RolledBack | Status::Canary | Status::RollingOut => Class::Open,
                Status::Disabled | Status::Enabled => Class::Settled,
            };
            let changed = query::last_change(source, &feature.name, tip)?.map_or(0, |entry| entry.height);
            ranks.push((class, tip.saturating_sub(changed), Subject::Feature, feature.name));
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.name),
            Some(_) | None => break,
        }
    }
    let mut after = None;
    loop {
        let page = query::plugins(source, after.as_ref(), PAGE)?;
        for (name, _) in &page {
            let deployment = query::deployment(source, name)?;
            let changed = query::last_plugin_change(source, name, tip)?;
            let is_rolled_back = changed
                .as_ref()
                .is_some_and(|entry| matches!(entry.change.action, PluginAction::RolledBack | PluginAction::Reverted));
            let class = match DeploymentSummary::of(deployment.as_ref()).status {
                DeploymentStatus::None if is_rolled_back => Class::Open,
                DeploymentStatus::None => Class::Settled,
                DeploymentStatus::Pending | DeploymentStatus::Active | DeploymentStatus::Promoting => Class::Open,
            };
            let height = changed.map_or(0, |entry| entry.height);
            ranks.push((class, tip.saturating_sub(height), Subject::Plugin, *name));
        }
        match page.last() {
            Some((last, _)) if page.len() == PAGE => after = Some(*last),
            Some(_) | None => break,
        }
    }
    let mut picture = Overview { from: tip, to: tip, total: ranks.total, ..Overview::default() };
    for (_, _, subject, name) in ranks.finish() {
        let (first, lane) = match subject {
            Subject::Feature => feature::lane(source, &name, (from, tip))?,
            Subject::Plugin => plugin::lane(source, &name, (from, tip))?,
        };
        picture.from = picture.from.min(first.max(from));
        picture.lanes.push(lane);
    }
    if let Some(global) = query::global(source)? {
        picture.chain = global.chain.as_str().into();
        if let Some(breaker) = global.breaker {
            let until = breaker
                .until
                .map_or_else(String::new, |until| format!(", until block {}", number(u64::from(until.get()))));
            let (since, reason) = (number(breaker.since.into()), spaced(breaker.reason.name()));
            picture.note =
                format!("The circuit breaker is open since block {since} ({reason}){until}: nothing starts or steps");
        }
    }
    Ok(picture)
}

/// The best so far, in bounded memory.
struct Ranks {
    best: Vec<Rank>,
    total: u64,
    lanes_max: usize,
}

impl Ranks {
    fn push(&mut self, rank: Rank) {
        self.total = self.total.saturating_add(1);
        self.best.push(rank);
        if self.best.len() >= self.lanes_max.saturating_mul(2).max(PAGE) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        self.best.sort_unstable();
        self.best.truncate(self.lanes_max);
    }

    fn finish(mut self) -> Vec<Rank> {
        self.cut();
        self.best
    }
}
