//! Parameters of a request, and pages.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use coalmine_core::{Height, Name};
use coalmine_json::render::{Fields, Value};

use crate::http::problem::{Kind, Problem};

/// No page and no list has more entries.
pub(super) const PAGE_MAX: usize = 1_000;
/// How many entries a page has unless somebody asks.
pub(super) const PAGE: usize = 100;
/// No query has more bytes.
const QUERY_MAX: usize = 8_192;

/// The parameters of a query, of which each is known and there once.
#[derive(Debug, Default)]
pub(super) struct Params(BTreeMap<&'static str, String>);

impl Params {
    pub(super) fn parse(query: Option<&str>, known: impl Fn(&str) -> Option<&'static str>) -> Result<Self, Problem> {
        let query = query.unwrap_or_default();
        if query.len() > QUERY_MAX {
            return Err(Problem::new(Kind::Parameter, format!("a query has at most {QUERY_MAX} bytes")));
        }
        let mut params = BTreeMap::new();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let Some(name) = known(&key) else {
                return Err(Problem::parameter(&format!("{key:?}"), "there is no such parameter here"));
            };
            if params.insert(name, value.into_owned()).is_some() {
                return Err(Problem::parameter(name, "it is repeated"));
            }
        }
        Ok(Self(params))
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A value, if it is there.
    pub(super) fn get<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, Problem> {
        let parse = |text: &str| text.parse().map_err(|error| Problem::parameter(name, format!("{text:?}: {error}")));
        self.text(name).map(parse).transpose()
    }

    /// A value that has to be there.
    pub(super) fn need<T: FromStr<Err: Display>>(&self, name: &str) -> Result<T, Problem> {
        self.get(name)?.ok_or_else(|| Problem::parameter(name, "it is missing"))
    }

    /// How many entries a page may have.
    pub(super) fn limit(&self) -> Result<usize, Problem> {
        let limit = self.get("limit")?.unwrap_or(PAGE);
        if limit == 0 || limit > PAGE_MAX {
            return Err(Problem::parameter("limit", format!("it is 1 to {PAGE_MAX}, not {limit}")));
        }
        Ok(limit)
    }
}

/// Reads a name, which may be no name at all.
pub(super) fn name(text: &str) -> Result<Name, Problem> {
    text.parse().map_err(|error| Problem::new(Kind::Name, format!("{text:?}: {error}")))
}

/// Two numbers that a dash joins, as pages of histories and of the schedule go on behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair<T>(pub(super) Height, pub(super) T);

impl<T: FromStr> FromStr for Pair<T> {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "take it from next of the page before, such as 150-0";
        let (first, second) = text.split_once('-').ok_or(wrong)?;
        Ok(Self(first.parse().map_err(|_| wrong)?, second.parse().map_err(|_| wrong)?))
    }
}

/// A page of a list that was read with one entry more than the page has, if there is one.
pub(super) fn page<T>(
    height: Option<Height>,
    mut entries: Vec<T>,
    limit: usize,
    key: impl Fn(&T) -> String,
    mut shown: impl FnMut(&T) -> Result<Fields, Problem>,
) -> Result<Fields, Problem> {
    let has_more = entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().filter(|_| has_more).map(key);
    let items = entries.iter().map(|entry| shown(entry).map(Value::from)).collect::<Result<Vec<Value>, Problem>>()?;
    Ok(Fields::new().with("height", height).with("items", items).with("next", next))
}
