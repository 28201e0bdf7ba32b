//! The records that differ between two states.

use std::cmp::Ordering;
use std::fmt;
use std::iter::Peekable;

use coalmine_core::query::{Entries, Entry};
use coalmine_core::{Fault, Read};
use coalmine_json::render::{self, Fields, Value};

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
    /// A record that was and one that is, of which at least one exists.
    pub(crate) const fn new(key: Vec<u8>, first: Option<Vec<u8>>, second: Option<Vec<u8>>) -> Self {
        Self { key, first, second }
    }

    /// The kind of the record, and its fields on both sides.
    fn decoded(&self) -> (Fields, Option<Fields>, Option<Fields>) {
        let (what, first) = render::entry(&self.key, self.first.as_deref());
        let (_, second) = render::entry(&self.key, self.second.as_deref());
        (what, first, second)
    }

    pub(crate) fn put(&self, out: &mut Output) -> Result<(), Error> {
        self.put_as("difference", out)
    }

    /// The same under another type of object.
    pub(crate) fn put_as(&self, kind: &'static str, out: &mut Output) -> Result<(), Error> {
        let (what, first, second) = self.decoded();
        let differ = changes(first.as_ref(), second.as_ref()).into_iter().map(|(key, ..)| Value::from(key));
        let differ: Vec<Value> = differ.collect();
        out.put(kind, || self.to_string(), what.with("first", first).with("second", second).with("differ", differ))
    }
}

/// The fields that differ, if the record exists on both sides.
fn changes(first: Option<&Fields>, second: Option<&Fields>) -> Vec<(String, String, String)> {
    let (Some(first), Some(second)) = (first, second) else { return Vec::new() };
    let (first, second) = (first.flat(), second.flat());
    let of = |side: &[(String, String)], key: &str| {
        side.iter().find(|(found, _)| found == key).map_or_else(|| "none".into(), |(_, value)| value.clone())
    };
    let added = second.iter().filter(|(key, _)| !first.iter().any(|(found, _)| found == key));
    let keys = first.iter().chain(added).map(|(key, _)| key.clone());
    keys.map(|key| (of(&first, &key), of(&second, &key), key))
        .filter(|(first, second, _)| first != second)
        .map(|(first, second, key)| (key, first, second))
        .collect()
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, first, second) = self.decoded();
        match (&first, &second) {
            (Some(only), None) => f.write_str(format!("- {} {}", what.values(), only.pairs()).trim_end()),
            (None, Some(only)) => f.write_str(format!("+ {} {}", what.values(), only.pairs()).trim_end()),
            (first, second) => {
                let changes = changes(first.as_ref(), second.as_ref());
                let changes: Vec<String> =
                    changes.into_iter().map(|(key, first, second)| format!("{key}: {first} -> {second}")).collect();
                write!(f, "~ {} {}", what.values(), changes.join(", "))
            }
        }
    }
}
