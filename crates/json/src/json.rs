//! JSON whose values know their place: each is a slice of the source with its byte offset.
//!
//! A value is parsed one level at a time; nested values stay text until they are used. serde_json
//! checks the syntax and scans nested values without recursion, so the callers bound the depth: they
//! descend only where the format has something.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use coalmine_core::{Height, ValueError};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::{FileError, JsonError, Place};

/// The most keys of one object.
const OBJECT_KEYS_MAX: usize = 1 << 20;
/// How many characters of a value a message shows.
const SHOWN_MAX: usize = 60;

/// A problem at a byte offset of the source.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) at: usize,
    pub(crate) block: Option<Height>,
    pub(crate) tx: Option<usize>,
    pub(crate) message: String,
    pub(crate) unknown_rules: Option<u16>,
}

impl Problem {
    pub(crate) fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at, block: None, tx: None, message: message.into(), unknown_rules: None }
    }

    /// Says that the problem is a rule set that this build does not know.
    pub(crate) const fn of_rules(mut self, number: u16) -> Self {
        self.unknown_rules = Some(number);
        self
    }

    /// Adds that the problem is in the value of `key`.
    pub(crate) fn in_key(mut self, key: &str) -> Self {
        self.message = format!("{key}: {}", self.message);
        self
    }

    pub(crate) fn in_tx(mut self, index: usize) -> Self {
        self.tx = Some(index);
        self
    }

    pub(crate) fn in_block(mut self, height: Height) -> Self {
        self.block = Some(height);
        self
    }

    /// Turns the problem into an error in `text`.
    pub(crate) fn into_json_error(self, text: &str) -> JsonError {
        match Locator::new(1).place(text, self.at) {
            Place::Text { line, column } => JsonError { line, column, message: self.message },
            Place::File | Place::Frame { .. } => JsonError { line: 1, column: 1, message: self.message },
        }
    }

    /// Turns the problem into an error of `file`, whose `text` begins at line `line`.
    pub(crate) fn into_error(self, file: &str, text: &str, line: u64) -> FileError {
        let mut locator = Locator::new(line);
        let place = locator.place(text, self.at);
        let Self { block, tx, message, unknown_rules, .. } = self;
        FileError { file: file.into(), place, block, tx, message, unknown_rules }
    }
}

/// Turns non-decreasing byte offsets into lines and columns, in one pass over the text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Locator {
    at: usize,
    line: u64,
    column: u64,
}

impl Locator {
    pub(crate) const fn new(line: u64) -> Self {
        Self { at: 0, line, column: 1 }
    }

    pub(crate) fn place(&mut self, text: &str, at: usize) -> Place {
        let passed = text.get(self.at..at).unwrap_or_default();
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let tail = match passed.rsplit_once('\n') {
            Some((_, tail)) => {
                let lines = passed.bytes().filter(|byte| *byte == b'\n').count();
                self.line = self.line.saturating_add(count(lines));
                self.column = 1;
                tail
            }
            None => passed,
        };
        self.column = self.column.saturating_add(count(tail.chars().count()));
        self.at = self.at.saturating_add(passed.len());
        Place::Text { line: self.line, column: self.column }
    }
}

/// A value of the file for a message: quoted, escaped and truncated.
pub(crate) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((cut, _)) => format!("{:?}…", text.get(..cut).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

/// One value: its text without surrounding white space, and its offset.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Val<'a> {
    raw: &'a str,
    at: usize,
}

const fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

impl<'a> Val<'a> {
    /// A whole document. Its syntax is not checked before [`Val::object`].
    pub(crate) fn document(text: &'a str) -> Self {
        let raw = text.trim_start_matches(is_space);
        Self { raw: raw.trim_end_matches(is_space), at: text.len().saturating_sub(raw.len()) }
    }

    /// The values of a text that has several, one behind the other. An array stands for its elements.
    pub(crate) fn all_of(text: &'a str) -> Result<Vec<Self>, Problem> {
        let mut found = Vec::new();
        let mut rest = Self::document(text);
        while !rest.raw.is_empty() {
            let mut stream = serde_json::Deserializer::from_str(rest.raw).into_iter::<&RawValue>();
            let value = match stream.next() {
                Some(Ok(raw)) => rest.child(raw.get()),
                Some(Err(error)) => return Err(rest.syntax(&error)),
                None => break,
            };
            let end = value.range().end;
            match value.elements() {
                Ok(mut elements) => {
                    elements.try_for_each(|element| element.map(|element| push(&mut found, element)))?
                }
                Err(_) => push(&mut found, value),
            }
            rest = Self::document(text.get(end..).unwrap_or_default());
            rest.at = rest.at.saturating_add(end);
        }
        Ok(found)
    }

    /// The value that [`Val::range`] described.
    pub(crate) fn in_range(text: &'a str, range: &std::ops::Range<usize>) -> Self {
        Self { raw: text.get(range.clone()).unwrap_or_default(), at: range.start }
    }

    pub(crate) const fn range(self) -> std::ops::Range<usize> {
        self.at..self.at.saturating_add(self.raw.len())
    }

    pub(crate) const fn at(self) -> usize {
        self.at
    }

    pub(crate) const fn raw(self) -> &'a str {
        self.raw
    }

    /// A slice of this value as a value of its own.
    fn child(self, raw: &'a str) -> Self {
        let inside = raw.as_ptr().addr().saturating_sub(self.raw.as_ptr().addr());
        Self { raw, at: self.at.saturating_add(inside) }
    }

    pub(crate) fn problem(self, message: impl Into<String>) -> Problem {
        Problem::new(self.at, message)
    }

    fn wrong_type(self, expected: &str) -> Problem {
        let found = match self.raw.bytes().next() {
            Some(b'{') => "an object",
            Some(b'[') => "an array",
            Some(b'"') => "a string",
            Some(b't' | b'f') => "a bool",
            Some(b'n') => "null",
            Some(b'-' | b'0'..=b'9') => "a number",
            Some(_) => "invalid JSON",
            None => "nothing",
        };
        self.problem(format!("expected {expected}, found {found}"))
    }

    /// serde_json's line and column, which count from this value, as an offset of the source.
    fn syntax(self, error: &serde_json::Error) -> Problem {
        let message = error.to_string();
        let suffix = format!(" at line {} column {}", error.line(), error.column());
        let message = message.strip_suffix(&suffix).unwrap_or(&message);
        let inside = if error.is_eof() {
            self.raw.len()
        } else {
            let lines_before = error.line().saturating_sub(1);
            let before: usize = self.raw.split_inclusive('\n').take(lines_before).map(str::len).sum();
            before.saturating_add(error.column().saturating_sub(1)).min(self.raw.len())
        };
        let inside = (0..=inside).rev().find(|at| self.raw.is_char_boundary(*at)).unwrap_or_default();
        Problem::new(self.at.saturating_add(inside), format!("not valid JSON: {message}"))
    }

    pub(crate) fn object(self) -> Result<Object<'a>, Problem> {
        if !self.raw.starts_with('{') {
            return Err(self.wrong_type("an object"));
        }
        let RawEntries(raw) = serde_json::from_str(self.raw).map_err(|error| self.syntax(&error))?;
        for (key, _) in &raw {
            self.child(key.get()).string()?;
        }
        let object = Object { whole: self, raw };
        match object.repeated() {
            Some(entry) => Err(entry.key_problem(format!("repeated key {}", shown(&entry.key)))),
            None => Ok(object),
        }
    }

    /// The elements of an array, from the front.
    pub(crate) fn elements(self) -> Result<Elements<'a>, Problem> {
        if self.raw.starts_with('[') { Ok(Elements { array: self, next: 0 }) } else { Err(self.wrong_type("an array")) }
    }

    /// The elements from an earlier [`Elements::next`] on.
    pub(crate) const fn elements_from(self, next: usize) -> Elements<'a> {
        Elements { array: self, next }
    }

    pub(crate) fn string(self) -> Result<Cow<'a, str>, Problem> {
        let Some(inner) = self.raw.strip_prefix('"') else { return Err(self.wrong_type("a string")) };
        if inner.contains('\\') {
            return serde_json::from_str(self.raw).map(Cow::Owned).map_err(|error| self.syntax(&error));
        }
        Ok(Cow::Borrowed(inner.strip_suffix('"').unwrap_or(inner)))
    }

    pub(crate) fn bool(self) -> Result<bool, Problem> {
        match self.raw {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(self.wrong_type("true or false")),
        }
    }

    /// An integer of 0 to `max`.
    pub(crate) fn integer(self, max: u64) -> Result<u64, Problem> {
        let shown = || self.raw.get(..SHOWN_MAX).unwrap_or(self.raw);
        if !self.raw.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
            return Err(self.wrong_type("an integer"));
        }
        if self.raw.contains(['.', 'e', 'E']) {
            return Err(self.problem(format!("{} is not an integer; write it without fraction and exponent", shown())));
        }
        if self.raw.starts_with('-') {
            return Err(self.problem(format!("{} is negative; it must be 0 to {max}", shown())));
        }
        let number = self.raw.parse().ok().filter(|number| *number <= max);
        number.ok_or_else(|| self.problem(format!("{} is out of range; it must be 0 to {max}", shown())))
    }

    pub(crate) fn u8(self) -> Result<u8, Problem> {
        self.integer(u8::MAX.into()).map(|number| u8::try_from(number).unwrap_or(u8::MAX))
    }

    pub(crate) fn u16(self) -> Result<u16, Problem> {
        self.integer(u16::MAX.into()).map(|number| u16::try_from(number).unwrap_or(u16::MAX))
    }

    pub(crate) fn u32(self) -> Result<u32, Problem> {
        self.integer(u32::MAX.into()).map(|number| u32::try_from(number).unwrap_or(u32::MAX))
    }

    /// Bytes in hex.
    pub(crate) fn hex(self) -> Result<Vec<u8>, Problem> {
        hex::decode(&*self.string()?).map_err(|error| self.problem(format!("invalid hex: {error}")))
    }

    /// Bytes in hex after `0x`.
    pub(crate) fn prefixed_hex(self) -> Result<Vec<u8>, Problem> {
        let text = self.string()?;
        let digits = text.strip_prefix("0x").ok_or_else(|| self.problem("invalid hex: it begins with 0x"))?;
        hex::decode(digits).map_err(|error| self.problem(format!("invalid hex: {error}")))
    }

    pub(crate) fn is_null(self) -> bool {
        self.raw == "null"
    }

    /// A value with a text form.
    pub(crate) fn parse<T: FromStr<Err = ValueError>>(self) -> Result<T, Problem> {
        let text = self.string()?;
        text.parse().map_err(|error| self.problem(format!("{} is invalid: {error}", shown(&text))))
    }

    /// One of a few names.
    pub(crate) fn one_of<T>(
        self,
        what: &str,
        from_name: impl FnOnce(&str) -> Option<T>,
        names: impl FnOnce() -> Vec<&'static str>,
    ) -> Result<T, Problem> {
        let text = self.string()?;
        from_name(&text)
            .ok_or_else(|| self.problem(format!("unknown {what} {}; there are {}", shown(&text), names().join(", "))))
    }
}

/// The elements of an array, scanned one at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Elements<'a> {
    array: Val<'a>,
    /// Where the next bracket or comma stands, counted from the array.
    pub(crate) next: usize,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Val<'a>, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.array.raw.get(self.next..)?.trim_start_matches(is_space);
        // The text was scanned as a whole, so this is `[`, `,` or the final `]`.
        let rest = rest.strip_prefix(['[', ','])?.trim_start_matches(is_space);
        if rest.starts_with(']') {
            return None;
        }
        let value = self.array.child(rest);
        let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
        match stream.next()? {
            Ok(raw) => {
                let value = self.array.child(raw.get());
                self.next = value.range().end.saturating_sub(self.array.at);
                Some(Ok(value))
            }
            Err(error) => {
                self.next = self.array.raw.len();
                Some(Err(value.syntax(&error)))
            }
        }
    }
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry<'a> {
    at: usize,
    pub(crate) key: Cow<'a, str>,
    pub(crate) value: Val<'a>,
}

impl Entry<'_> {
    pub(crate) fn key_problem(&self, message: impl Into<String>) -> Problem {
        Problem::new(self.at, message)
    }
}

/// An object: its entries in the order of the file, no key twice. It keeps slices of the text only,
/// so it takes little more memory than the text.
#[derive(Debug, Clone)]
pub(crate) struct Object<'a> {
    whole: Val<'a>,
    raw: Vec<RawEntry<'a>>,
}

impl<'a> Object<'a> {
    pub(crate) const fn len(&self) -> usize {
        self.raw.len()
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry<'a>> {
        self.raw.iter().map(|raw| self.entry(raw))
    }

    fn entry(&self, (key, value): &RawEntry<'a>) -> Entry<'a> {
        let key = self.whole.child(key.get());
        // Every key was parsed when the object was read.
        Entry { at: key.at, key: key.string().unwrap_or_default(), value: self.whole.child(value.get()) }
    }

    pub(crate) fn get(&self, key: &str) -> Option<Val<'a>> {
        self.entries().find(|entry| entry.key == key).map(|entry| entry.value)
    }

    pub(crate) fn need(&self, key: &str) -> Result<Val<'a>, Problem> {
        self.get(key).ok_or_else(|| self.problem(format!("{key:?} is missing")))
    }

    /// Refuses every key but `keys`, which are those of `what`.
    pub(crate) fn only<'k>(&self, what: &str, keys: impl Iterator<Item = &'k str> + Clone) -> Result<(), Problem> {
        match self.entries().find(|entry| !keys.clone().any(|key| entry.key == key)) {
            Some(entry) => {
                let keys: Vec<&str> = keys.collect();
                let key = shown(&entry.key);
                Err(entry.key_problem(format!("unknown key {key}; {what} takes {}", keys.join(", "))))
            }
            None => Ok(()),
        }
    }

    pub(crate) fn problem(&self, message: impl Into<String>) -> Problem {
        self.whole.problem(message)
    }

    /// The first entry that repeats a key.
    fn repeated(&self) -> Option<Entry<'a>> {
        let mut by_key: Vec<(usize, &RawEntry<'a>)> = self.raw.iter().enumerate().collect();
        let key = |(_, raw): &(usize, &RawEntry<'a>)| self.entry(raw).key;
        by_key.sort_unstable_by(|a, b| key(a).cmp(&key(b)).then(a.0.cmp(&b.0)));
        let repeated = by_key.windows(2).filter_map(|pair| match pair {
            [a, b] if key(a) == key(b) => Some(b),
            _ => None,
        });
        repeated.min_by_key(|(index, _)| *index).map(|(_, raw)| self.entry(raw))
    }
}

/// A key with its quotes, and its value, as in the text.
type RawEntry<'a> = (&'a RawValue, &'a RawValue);

struct RawEntries<'a>(Vec<RawEntry<'a>>);

/// Appends to a list of unknown length. Its capacity grows by a quarter instead of doubling, so that a
/// list of the file never takes twice the memory that it needs.
pub(crate) fn push<T>(list: &mut Vec<T>, item: T) {
    if list.len() == list.capacity() {
        list.reserve_exact((list.len() / 4).max(4));
    }
    list.push(item);
}

impl<'de: 'a, 'a> Deserialize<'de> for RawEntries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Vec<RawEntry<'de>>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    if entries.len() == OBJECT_KEYS_MAX {
                        return Err(A::Error::custom(format!("an object has at most {OBJECT_KEYS_MAX} keys here")));
                    }
                    push(&mut entries, entry);
                }
                Ok(entries)
            }
        }

        deserializer.deserialize_map(Entries).map(Self)
    }
}

/// `text` as a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// JSON on one line: `{"a":1}`, or with spaces `{ "a": 1 }`.
pub(crate) fn one_line(text: &str, spaced: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut in_string, mut escaped) = (false, false);
    // Whether the last character opened a bracket.
    let mut opened = false;
    for c in text.chars() {
        if in_string {
            out.push(c);
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        if is_space(c) {
            continue;
        }
        let closes = matches!(c, '}' | ']');
        if spaced && opened != closes {
            out.push(' ');
        }
        opened = matches!(c, '{' | '[');
        in_string = c == '"';
        out.push(c);
        if spaced && matches!(c, ',' | ':') {
            out.push(' ');
        }
    }
    out
}
