//! `show` for the ledger as a whole: roles, the schedule, the global record, rules and rounds.

use std::collections::BTreeMap;

use coalmine_core::query::{self, Entries};
use coalmine_core::{Command, Decode, DueKind, Fault, Key, KeyPrefix, Pool, PoolEntry, RuleSet, Valid};

use super::pages::{PAGE, pages};
use crate::error::Error;
use crate::output::Output;
use crate::render::{self, Fields, Value};
use crate::source::Source;
use crate::terminal::note;

pub(super) fn roles(source: &Source, out: &mut Output) -> Result<(), Error> {
    source.present("roles")?;
    pages(
        |after: Option<_>| query::roles(source, after.as_ref(), PAGE),
        |(address, _)| *address,
        |(address, roles)| out.row(Fields::new().text("address", address), render::roles(*roles)),
    )
}

pub(super) fn schedule(source: &Source, out: &mut Output) -> Result<(), Error> {
    source.present("the schedule")?;
    pages(
        |after| query::schedule(source, after, PAGE),
        |(at, id, _)| (*at, *id),
        |(at, id, entry)| out.row(Fields::new().with("at", *at).with("id", *id), render::scheduled(entry)),
    )
}

pub(super) fn global(source: &Source, out: &mut Output) -> Result<(), Error> {
    source.present("the global record")?;
    let global = query::global(source)?.ok_or_else(|| source.cannot("the store is empty"))?;
    out.card(&render::global(&global))
}

/// The rules in force and the changes that are scheduled. Of those that this build does not know it warns.
pub(super) fn rules(source: &Source, out: &mut Output) -> Result<(), Error> {
    source.present("the rules")?;
    let global = query::global(source)?.ok_or_else(|| source.cannot("the store is empty"))?;
    let known = RuleSet::ALL.iter().filter(|rules| **rules <= RuleSet::LATEST);
    let known = known.map(|rules| Value::from(rules.number()));
    let mut scheduled: Vec<Value> = Vec::new();
    pages(
        |after| query::schedule(source, after, PAGE),
        |(at, id, _)| (*at, *id),
        |(at, id, entry)| {
            for command in entry.commands().map(Valid::into_inner).unwrap_or_default() {
                let Command::SetRules { rules } = command else { continue };
                let is_known = RuleSet::from_number(rules).is_some_and(|rules| rules <= RuleSet::LATEST);
                if !is_known {
                    note(format!(
                        "from block {at} on rule set {rules} is needed, which this build does not know: get a newer \
                         build in time, or cancel entry {id} of the schedule"
                    ));
                }
                let change = Fields::new().with("at", *at).with("id", *id).with("rules", rules);
                scheduled.push(change.with("is_known", is_known).text("actor", entry.actor).into());
            }
            Ok(())
        },
    )?;
    let fields = Fields::new().with("rules", global.rules.number()).with("known", known.collect::<Vec<_>>());
    out.card(&fields.with("scheduled", scheduled))
}

/// The rounds that have not ended, in the order in which they close, each with what its reporters have said.
pub(super) fn pools(source: &Source, out: &mut Output) -> Result<(), Error> {
    source.present("the rounds")?;
    let mut reported: BTreeMap<Pool, Vec<Fields>> = BTreeMap::new();
    let trust = KeyPrefix::Trust.byte();
    for entry in Entries::new(source, &[trust], &[trust.saturating_add(1)]) {
        let (bytes, value) = entry?;
        let corrupt = |cause| Fault::Corrupt { key: bytes.clone(), cause };
        let Key::PoolEntry { pool, reporter } = Key::from_bytes(&bytes).map_err(corrupt)? else { continue };
        let said = PoolEntry::from_bytes(pool.kind(), &value).map_err(corrupt)?;
        let said = Fields::new().text("reporter", reporter).and(render::pool_entry(&said));
        reported.entry(pool).or_default().push(said);
    }
    let (due, kind) = (KeyPrefix::Due.byte(), DueKind::Round.byte());
    for entry in Entries::new(source, &[due, kind], &[due, kind.saturating_add(1)]) {
        let (bytes, _) = entry?;
        let key = Key::from_bytes(&bytes).map_err(|cause| Fault::Corrupt { key: bytes, cause })?;
        let Key::Round { at, pool } = key else { continue };
        for said in reported.remove(&pool).unwrap_or_default() {
            out.row(Fields::new().with("due", at).and(render::pool(&pool)), said)?;
        }
    }
    Ok(())
}
