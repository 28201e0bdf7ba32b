//! `show` for the ledger as a whole: roles, the schedule, the global record.

use coalmine_core::query;

use super::pages::{PAGE, pages};
use crate::error::Error;
use crate::output::Output;
use crate::render::{self, Fields};
use crate::source::Source;

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
