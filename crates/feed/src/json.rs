//! JSON as the reader of the source parses it: names of members in any case, the last of equal ones counts, unknown ones
//! are ignored, null is the same as absent. Types are strict.
//!
//! An error names the path and never the value, which may be a secret.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_json::value::RawValue;

/// The most members of one object, repeated ones included.
pub(crate) const MEMBERS_MAX: usize = 8_192;

/// Malformed text: the path, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}{what}")]
pub struct Malformed {
    path: String,
    what: String,
}

impl Malformed {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { path: String::new(), what: what.into() }
    }

    /// The same error as seen from the object around it.
    pub(crate) fn within(mut self, key: &str) -> Self {
        let dot = if self.path.is_empty() { ": " } else { "." };
        self.path.insert_str(0, dot);
        self.path.insert_str(0, &shown(key));
        self
    }
}

impl From<serde_json::Error> for Malformed {
    fn from(error: serde_json::Error) -> Self {
        match error.classify() {
            Category::Data => Self::new("a value of the wrong type"),
            Category::Syntax | Category::Eof | Category::Io => {
                Self::new(format!("not JSON from line {}, column {} on", error.line(), error.column()))
            }
        }
    }
}

/// A text from outside, truncated and escaped for a log.
pub(crate) fn shown(text: &str) -> String {
    const SHOWN_MAX: usize = 64;
    let cut: String = text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_MAX).is_some() { format!("{cut}…") } else { cut }
}

/// The members of an object, in the order of the text. Only slices of the text are kept.
#[derive(Default)]
pub(crate) struct Members<'a> {
    entries: Vec<(Key<'a>, &'a RawValue)>,
    is_cut: bool,
}

/// The name of a member, borrowed from the text unless it has escapes.
#[derive(PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Members<'a> {
    /// Parses an object; null is one without members.
    pub(crate) fn read(text: &'a str) -> Result<Self, Malformed> {
        let members: Option<Self> = serde_json::from_str(text)?;
        let members = members.unwrap_or_default();
        if members.is_cut {
            return Err(Malformed::new(format!("an object of more than {MEMBERS_MAX} members")));
        }
        Ok(members)
    }

    /// All members.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.entries.iter().map(|(key, value)| (&*key.0, value.get()))
    }

    /// Sorts the members by name, keeping the last of equal ones.
    pub(crate) fn in_order(mut self) -> Self {
        self.entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.entries.dedup_by(|later, kept| {
            let is_same = later.0 == kept.0;
            if is_same {
                std::mem::swap(later, kept);
            }
            is_same
        });
        self
    }

    /// The text of a member, if it exists.
    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        let mut from_last = self.entries.iter().rev();
        from_last.find(|(key, _)| key.0.eq_ignore_ascii_case(name)).map(|(_, value)| value.get())
    }

    /// The value of a member; the default if it is absent or null.
    pub(crate) fn get<T: DeserializeOwned + Default>(&self, name: &str) -> Result<T, Malformed> {
        let Some(text) = self.text(name) else { return Ok(T::default()) };
        // The text is valid JSON, because the object around it was parsed.
        let wrong = |_| Malformed::new("a value of the wrong type").within(name);
        let value: Option<T> = serde_json::from_str(text).map_err(wrong)?;
        Ok(value.unwrap_or_default())
    }

    /// The members of a member that must be there and not null.
    pub(crate) fn needed(&self, name: &str) -> Result<Self, Malformed> {
        let text = self.text(name).filter(|text| *text != "null");
        let text = text.ok_or_else(|| Malformed::new(format!("{name} is missing")))?;
        Self::read(text).map_err(|error| error.within(name))
    }

    /// The members of a member; none if it is absent or null.
    pub(crate) fn members(&self, name: &str) -> Result<Self, Malformed> {
        self.text(name).map_or(Ok(Self::default()), Self::read).map_err(|error| error.within(name))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Members::default();
                while members.entries.len() < MEMBERS_MAX {
                    let Some(entry) = map.next_entry()? else { return Ok(members) };
                    // The capacity grows by a quarter, so that an object never takes twice the memory that it needs.
                    if members.entries.len() == members.entries.capacity() {
                        members.entries.reserve_exact((members.entries.len() / 4).max(4));
                    }
                    members.entries.push(entry);
                }
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    members.is_cut = true;
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Entries)
    }
}
