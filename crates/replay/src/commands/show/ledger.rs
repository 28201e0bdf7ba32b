//! `show` for the ledger as a whole: roles, the schedule, the global record, rules and rounds.

use coalmine_answers as answers;
use coalmine_core::{Height, Pool, RuleSet, query};

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
        |(address, roles)| out.row(answers::role_holder(source, address, *roles)?),
    )
}

pub(super) fn schedule(source: &Source, out: &mut Output) -> Result<(), Error> {
    source.present("the schedule")?;
    pages(
        |after| query::schedule(source, after, PAGE),
        |(at, id, _)| (*at, *id),
        |(at, id, entry)| out.row(answers::scheduled(*at, *id, entry)),
    )
}

pub(super) fn global(source: &Source, out: &mut Output) -> Result<(), Error> {
    source.present("the global record")?;
    let global = query::global(source)?.ok_or_else(|| source.cannot("the store is empty"))?;
    out.card(answers::global(&global))
}

/// The rules in force and the changes that are scheduled. Of those that this build does not know it warns.
pub(super) fn rules(source: &Source, out: &mut Output) -> Result<(), Error> {
    source.present("the rules")?;
    let global = query::global(source)?.ok_or_else(|| source.cannot("the store is empty"))?;
    let changes = query::scheduled_rules(source)?;
    for change in changes.iter().filter(|change| change.rules.is_none_or(|rules| rules > RuleSet::LATEST)) {
        note(format!(
            "from block {} on rule set {} is needed, which this build does not know: get a newer build in time, or \
             cancel entry {} of the schedule",
            change.at, change.number, change.id
        ));
    }
    out.card(answers::rules(&global, &changes))
}

/// The rounds that have not ended, in the order in which they close, each with what its reporters have said.
pub(super) fn pools(source: &Source, out: &mut Output) -> Result<(), Error> {
    source.present("the rounds")?;
    pages(
        |after: Option<(Height, Pool)>| query::pools(source, after.as_ref().map(|(due, pool)| (*due, pool)), PAGE),
        |round| (round.due, round.pool.clone()),
        |round| {
            let rows = round.entries.iter().map(|(reporter, said)| answers::pool_entry(round, reporter, said));
            rows.into_iter().try_for_each(|row| out.row(row))
        },
    )
}
