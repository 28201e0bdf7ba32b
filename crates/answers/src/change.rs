//! Records before and after.

use coalmine_json::render::{self, Fields, Value};

use crate::answer::Answer;

/// A record of which at least one side exists, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differing {
    /// The kind of the record, and what tells it from others of that kind.
    pub what: Fields,
    /// Its fields on the first side.
    pub first: Option<Fields>,
    /// Its fields on the second side.
    pub second: Option<Fields>,
}

/// Decodes both sides of a record.
#[must_use]
pub fn differing(key: &[u8], first: Option<&[u8]>, second: Option<&[u8]>) -> Differing {
    let (what, first) = render::entry(key, first);
    let (_, second) = render::entry(key, second);
    Differing { what, first, second }
}

impl Differing {
    /// The fields that differ, each with both texts, if the record exists on both sides.
    #[must_use]
    pub fn changes(&self) -> Vec<(String, String, String)> {
        let (Some(first), Some(second)) = (&self.first, &self.second) else { return Vec::new() };
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

    /// The answer: both sides, and the names of what differs.
    #[must_use]
    pub fn answer(self, kind: &'static str) -> Answer {
        let differ: Vec<Value> = self.changes().into_iter().map(|(key, ..)| Value::from(key)).collect();
        let rest = Fields::new().with("first", self.first).with("second", self.second).with("differ", differ);
        Answer::new(kind, self.what, rest)
    }
}

/// A record that a block puts, changes or deletes.
#[must_use]
pub fn record_change(key: &[u8], before: Option<&[u8]>, after: Option<&[u8]>) -> Answer {
    differing(key, before, after).answer("record")
}
