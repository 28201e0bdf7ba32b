//! Dumps: every record of a state in key order. As text, after a line with height and root; or binary, as
//! [`coalmine_store::dump`] has it. A reader tells them by their first bytes.
//!
//! ```text
//! {"format":"coalmine-dump/1","height":100,"root":"64 hex digits"}
//! {"key":"hex","value":"hex"}
//! ```
//!
//! The height is null where no block has been executed. The text is read line by line, and every line
//! is checked for form and order; the ledger checks that the records give the root.

use std::io::{BufRead, Read};
use std::ops::ControlFlow;

use coalmine_core::query::Entry;
#[cfg(feature = "rocksdb")]
use coalmine_core::{Encode as _, State};
use coalmine_core::{Hash, Height, Key, STATE_KEYS};
#[cfg(feature = "rocksdb")]
use coalmine_store::check_rules;
use coalmine_store::dump::{self as binary, Dump, DumpError, MAGIC, Restored};
use coalmine_store::{Ledger, OpenError, Store, Tip, View};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::output::Output;

/// The format that the first line names.
pub(crate) const FORMAT: &str = "coalmine-dump/1";
/// The longest line, in bytes: the longest record, an entry of the schedule, has 128 KiB and is in hex.
const LINE_SIZE_MAX: usize = 1024 * 1024;
/// The most bytes of keys and values that a dump may load into memory.
const SIZE_MAX: usize = 16 * 1024 * 1024 * 1024;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    #[serde(deserialize_with = "Option::deserialize")]
    height: Option<Height>,
    root: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    key: String,
    value: String,
}

/// A dump that has been read, of which nothing has been written yet.
#[derive(Debug)]
pub(crate) enum Dumped {
    /// Height and root, and the records, which have not been compared with them.
    Text(Tip, Vec<Entry>),
    /// Records that are the state of its tip.
    Binary(Box<Restored>),
}

impl Dumped {
    /// Reads a dump in either form.
    pub(crate) fn read(file: &str, mut input: impl BufRead) -> Result<Self, Error> {
        let start = input.fill_buf().map_err(|error| Error::Input(format!("{file}: cannot be read: {error}")))?;
        if is_binary(start) {
            return binary::read(input)
                .map(|restored| Self::Binary(restored.into()))
                .map_err(|error| wrong(error, file));
        }
        read(file, input).map(|(tip, records)| Self::Text(tip, records))
    }

    /// Checks that the records of a text are the state of its tip, as those of a binary dump are.
    #[cfg(feature = "rocksdb")]
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let Self::Text(tip, records) = self else { return Ok(()) };
        let global = Key::Global.to_bytes();
        if let Some((_, global)) = records.iter().find(|(key, _)| *key == global) {
            check_rules(global, tip.height)?;
        }
        let computed = State::load(records.iter().map(|(key, value)| Ok((key, value))), tip.height)?.root();
        if computed == tip.root { Ok(()) } else { Err(OpenError::Root { tip: *tip, computed }) }
    }

    /// The number of records.
    #[cfg(feature = "rocksdb")]
    pub(crate) fn records(&self) -> u64 {
        match self {
            Self::Text(_, records) => u64::try_from(records.len()).unwrap_or(u64::MAX),
            Self::Binary(restored) => restored.records(),
        }
    }

    /// Fills an empty store.
    pub(crate) fn restore<S: Store>(self, store: S) -> Result<Ledger<S>, OpenError> {
        match self {
            Self::Text(tip, records) => Ledger::restore(store, tip, &records),
            Self::Binary(restored) => restored.into_ledger(store),
        }
    }
}

/// An error of a binary dump, as the tool has it.
fn wrong(error: DumpError, file: &str) -> Error {
    if let DumpError::Open(error) = error {
        return Error::from(error).in_source(file);
    }
    Error::Input(format!("{file}: {error}"))
}

/// Writes all records of a view in binary form.
pub(crate) fn write_binary(view: &impl View, name: &str, out: &mut Output) -> Result<(), Error> {
    let dump = Dump::new(view).map_err(|error| wrong(error, name))?;
    let mut ended = Ok(());
    out.write(|out| match dump.write_to(out) {
        Err(DumpError::Output(error)) => Err(error),
        other => {
            ended = other;
            Ok(())
        }
    })?;
    ended.map_err(|error| wrong(error, name))
}

/// Writes all records of a view as text.
pub(crate) fn write(view: &impl View, out: &mut Output) -> Result<(), Error> {
    let tip = view.tip()?.ok_or_else(|| Error::Input("the store is empty: there is nothing to dump".into()))?;
    out.json(&Header { format: FORMAT.into(), height: tip.height, root: tip.root.to_string() })?;
    let mut written = Ok(());
    view.scan(&[STATE_KEYS.start], &[STATE_KEYS.end], &mut |key, value| {
        written =
            out.write(|out| writeln!(out, r#"{{"key":"{}","value":"{}"}}"#, hex::encode(key), hex::encode(value)));
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    written
}

fn is_binary(start: &[u8]) -> bool {
    start.starts_with(&MAGIC)
}

/// Whether a file with this beginning is a dump, of any version.
pub(crate) fn is_dump(start: &[u8]) -> bool {
    if is_binary(start) {
        return true;
    }
    let start: Vec<u8> = start.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    start.starts_with(br#"{"format":"coalmine-dump/"#)
}

/// Reads the text of a dump: the tip, and the records in key order.
///
/// # Errors
/// The first problem, with its line.
pub fn read(file: &str, input: impl BufRead) -> Result<(Tip, Vec<Entry>), Error> {
    let mut lines = Lines { file, input, line: 0, bytes: Vec::new() };
    if !lines.next()? {
        return Err(lines.wrong("the file is empty"));
    }
    let Header { format, height, root } = lines.parse()?;
    if format != FORMAT {
        return Err(lines.wrong(&format!("unknown format {format:?}; this build reads {FORMAT:?}")));
    }
    let root: Hash = root.parse().map_err(|error| lines.wrong(&format!("root: {error}")))?;

    let mut records: Vec<Entry> = Vec::new();
    let mut size = 0_usize;
    while lines.next()? {
        let Line { key, value } = lines.parse()?;
        let decode = |what: &str, text: &str| {
            hex::decode(text).map_err(|error| lines.wrong(&format!("{what}: invalid hex: {error}")))
        };
        let (key, value) = (decode("key", &key)?, decode("value", &value)?);
        if key.len() > Key::LEN_MAX || !key.first().is_some_and(|first| STATE_KEYS.contains(first)) {
            return Err(lines.wrong("not a key of the state"));
        }
        if records.last().is_some_and(|(last, _)| *last >= key) {
            return Err(lines.wrong("the keys must ascend, but this one is not above the one before"));
        }
        size = size.saturating_add(key.len()).saturating_add(value.len());
        if size > SIZE_MAX {
            return Err(lines.wrong(&format!("a dump has at most {SIZE_MAX} bytes of keys and values")));
        }
        records.push((key, value));
    }
    Ok((Tip { height, root }, records))
}

struct Lines<'f, R> {
    file: &'f str,
    input: R,
    line: u64,
    bytes: Vec<u8>,
}

impl<R: BufRead> Lines<'_, R> {
    /// Reads the next line; false at the end.
    fn next(&mut self) -> Result<bool, Error> {
        self.line = self.line.saturating_add(1);
        self.bytes.clear();
        let max = u64::try_from(LINE_SIZE_MAX).unwrap_or(u64::MAX);
        let read = self.input.by_ref().take(max).read_until(b'\n', &mut self.bytes);
        read.map_err(|error| self.wrong(&format!("cannot be read: {error}")))?;
        if self.bytes.len() == LINE_SIZE_MAX {
            return Err(self.wrong(&format!("a line must be shorter than {LINE_SIZE_MAX} bytes")));
        }
        Ok(!self.bytes.is_empty())
    }

    fn parse<'l, T: Deserialize<'l>>(&'l self) -> Result<T, Error> {
        serde_json::from_slice(&self.bytes).map_err(|error| {
            let text = error.to_string();
            // serde_json sees one line at a time, so its line number means nothing.
            let text = text.split(" at line ").next().unwrap_or_default();
            self.wrong(&format!("column {}: {text}", error.column()))
        })
    }

    fn wrong(&self, message: &str) -> Error {
        Error::Input(format!("{}:{}: {message}", self.file, self.line))
    }
}
