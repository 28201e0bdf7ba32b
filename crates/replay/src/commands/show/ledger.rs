//! `show` for the ledger as a whole: roles, the schedule, the global record, rules and rounds.

use coalmine_core::{Height, Pool, RuleSet, ScheduledRules, query};
use coalmine_json::render::{self, Fields, Value};

use super::pages::{PAGE, pages};
use crate::error::Error;
use crate::output::Output;
use crate::source::Source;
use crate::terminal::note;

pub(super) fn roles(source: &Source, out: &mut Output) -> Result<(), Error> {
    source.present("roles")?;
    pages(
        |after: Option<_>| query::roles(source, after.as_ref(), PAGE),
        |(address, _)| *address,
        |(address, roles)| {
            let sequence = query::sequence_of(source, address)?;
            let sequence = sequence.map_or_else(Fields::new, |sequence| Fields::new().with("sequence", sequence.get()));
            out.row("roles", Fields::new().text("address", address), render::roles(*roles).and(sequence))
        },
    )
}

pub(super) fn schedule(source: &Source, out: &mut Output) -> Result<(), Error> {
    source.present("the schedule")?;
    pages(
        |after| query::schedule(source, after, PAGE),
        |(at, id, _)| (*at, *id),
        |(at, id, entry)| out.row("scheduled", Fields::new().with("at", *at).with("id", *id), render::scheduled(entry)),
    )
}

pub(super) fn global(source: &Source, out: &mut Output) -> Result<(), Error> {
    source.present("the global record")?;
    let global = query::global(source)?.ok_or_else(|| source.cannot("the store is empty"))?;
    out.card("global", render::global(&global))
}

/// The rules in force and the changes that are scheduled. Of those that this build does not know it warns.
pub(super) fn rules(source: &Source, out: &mut Output) -> Result<(), Error> {
    source.present("the rules")?;
    let global = query::global(source)?.ok_or_else(|| source.cannot("the store is empty"))?;
    let known = RuleSet::ALL.iter().filter(|rules| **rules <= RuleSet::LATEST);
    let known = known.map(|rules| Value::from(rules.number()));
    let mut scheduled: Vec<Value> = Vec::new();
    for ScheduledRules { at, id, actor, number, rules } in query::scheduled_rules(source)? {
        let is_known = rules.is_some_and(|rules| rules <= RuleSet::LATEST);
        if !is_known {
            note(format!(
                "from block {at} on rule set {number} is needed, which this build does not know: get a newer build in \
                 time, or cancel entry {id} of the schedule"
            ));
        }
        let change = Fields::new().with("at", at).with("id", id).with("rules", number);
        scheduled.push(change.with("is_known", is_known).text("actor", actor).into());
    }
    let fields = Fields::new().with("rules", global.rules.number()).with("known", known.collect::<Vec<_>>());
    out.card("rules", fields.with("scheduled", scheduled))
}

/// The rounds that have not ended, in the order in which they close, each with what its reporters have said.
pub(super) fn pools(source: &Source, out: &mut Output) -> Result<(), Error> {
    source.present("the rounds")?;
    pages(
        |after: Option<(Height, Pool)>| query::pools(source, after.as_ref().map(|(due, pool)| (*due, pool)), PAGE),
        |round| (round.due, round.pool.clone()),
        |round| {
            round.entries.iter().try_for_each(|(reporter, said)| {
                let head = Fields::new().with("due", round.due).and(render::pool(&round.pool));
                out.row("pool", head, Fields::new().text("reporter", reporter).and(render::pool_entry(said)))
            })
        },
    )
}
