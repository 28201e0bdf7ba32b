//! Dumps: every record of a state as text, in key order, after a line with height and root.
//!
//! ```text
//! {"format":"coalmine-dump/1","height":100,"root":"64 hex digits"}
//! {"key":"hex","value":"hex"}
//! ```
//!
//! The height is null where no block has been executed. A dump is read line by line, and every line
//! is checked for form and order; the ledger checks that the records give the root.

use std::io::{BufRead, Read};
use std::ops::ControlFlow;

use coalmine_core::query::Entry;
use coalmine_core::{Hash, Height, Key, STATE_KEYS};
use coalmine_store::{Tip, View};
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

/// Writes all records of a view.
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

/// Whether a file with this beginning is a dump, of any version.
pub(crate) fn is_dump(start: &[u8]) -> bool {
    let start: Vec<u8> = start.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    start.starts_with(br#"{"format":"coalmine-dump/"#)
}

/// Reads a dump: the tip, and the records in key order.
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
