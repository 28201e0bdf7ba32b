//! The records that differ between two states.

use std::cmp::Ordering;
use std::fmt;
use std::iter::Peekable;

use coalmine_answers::{Differing, differing};
use coalmine_core::query::{Entries, Entry};
use coalmine_core::{Fault, Read};

use crate::error::Error;
use crate::output::Output;
use crate::source::records;

/// A key with different values in two states.
pub(crate) struct Difference {
    pub(crate) key: Vec<u8>,
    first: Option<Vec<u8>>,
    second: Option<Vec<u8>>,
}

/// The records that differ, in key order.
pub(crate) fn differences<'v>(first: &'v dyn Read, second: &'v dyn Read) -> Differences<'v> {
    Differences { first: records(first).peekable(), second: records(second).peekable() }
}

/// Walks through two states side by side.
pub(crate) struct Differences<'v> {
    first: Peekable<Entries<'v, dyn Read + 'v>>,
    second: Peekable<Entries<'v, dyn Read + 'v>>,
}

/// The entries of two states under one key; at least one of them exists.
type Pair = (Option<Entry>, Option<Entry>);

impl Differences<'_> {
    fn pair(&mut self) -> Result<Option<Pair>, Fault> {
        let order = match (self.first.peek(), self.second.peek()) {
            (None, None) => return Ok(None),
            (Some(Ok((first, _))), Some(Ok((second, _)))) => first.cmp(second),
            (Some(Err(_)), _) | (Some(Ok(_)), None) => Ordering::Less,
            (_, Some(Err(_))) | (None, Some(Ok(_))) => Ordering::Greater,
        };
        let first = if order.is_le() { self.first.next().transpose()? } else { None };
        let second = if order.is_ge() { self.second.next().transpose()? } else { None };
        Ok(Some((first, second)))
    }
}

impl Iterator for Differences<'_> {
    type Item = Result<Difference, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (first, second) = match self.pair() {
                Ok(pair) => pair?,
                Err(fault) => return Some(Err(fault)),
            };
            if first != second {
                let key = first.as_ref().or(second.as_ref()).map(|(key, _)| key.clone()).unwrap_or_default();
                let value = |entry: Option<Entry>| entry.map(|(_, value)| value);
                return Some(Ok(Difference { key, first: value(first), second: value(second) }));
            }
        }
    }
}

impl Difference {
    fn decoded(&self) -> Differing {
        differing(&self.key, self.first.as_deref(), self.second.as_deref())
    }

    pub(crate) fn put(&self, out: &mut Output) -> Result<(), Error> {
        let differing = self.decoded();
        let text = shown(&differing);
        out.answer(differing.answer("difference"), || text)
    }
}

/// A line with the values of a record that is on one side, or what differs.
pub(crate) fn shown(differing: &Differing) -> String {
    let Differing { what, first, second } = differing;
    match (first, second) {
        (Some(only), None) => format!("- {} {}", what.values(), only.pairs()).trim_end().to_owned(),
        (None, Some(only)) => format!("+ {} {}", what.values(), only.pairs()).trim_end().to_owned(),
        (Some(_), Some(_)) | (None, None) => {
            let changes = differing.changes();
            let changes: Vec<String> =
                changes.into_iter().map(|(key, first, second)| format!("{key}: {first} -> {second}")).collect();
            format!("~ {} {}", what.values(), changes.join(", "))
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.decoded()))
    }
}
