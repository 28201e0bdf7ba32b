//! Named values, as text and as JSON.

use std::borrow::Cow;
use std::fmt;

use coalmine_core::{Address, EventValue};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// What stands where something happened without a signer.
pub(crate) const AUTOMATIC: &str = "automatic";

/// Who changed something: an address, or `automatic`.
pub(crate) fn actor(address: &Address) -> Value {
    if *address == Address::ZERO { AUTOMATIC.into() } else { address.to_string().into() }
}

/// A value to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `none` in text, null in JSON.
    None,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(u64),
    /// Text; in quotes unless it is made of plain characters.
    Text(String),
    /// Several values.
    List(Vec<Value>),
    /// Several fields.
    Fields(Fields),
}

/// Named values in the order in which they are printed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<(Cow<'static, str>, Value)>);

impl Fields {
    /// No fields yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more field.
    pub fn with(mut self, key: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Self {
        self.0.push((key.into(), value.into()));
        self
    }

    /// With one more field, shown as `value` is displayed.
    pub fn text(self, key: &'static str, value: impl fmt::Display) -> Self {
        self.with(key, value.to_string())
    }

    /// With the fields of `more` appended.
    pub fn and(mut self, more: Self) -> Self {
        self.0.extend(more.0);
        self
    }

    /// The value of a field, if there is one of this name.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The values alone, on one line.
    pub fn values(&self) -> String {
        let values: Vec<String> = self.flat().into_iter().map(|(_, value)| value).collect();
        values.join(" ")
    }

    /// `key=value` pairs on one line.
    pub fn pairs(&self) -> String {
        let pairs: Vec<String> = self.flat().into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        pairs.join(" ")
    }

    /// A line per value, each after its path. The values of an entry of a list share a line.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (key, value) in &self.0 {
            value.add_lines(key.to_string(), &mut lines);
        }
        lines
    }

    /// Every value with its path, in order. The parts of a path are joined by dots.
    pub fn flat(&self) -> Vec<(String, String)> {
        let mut flat = Vec::new();
        for (key, value) in &self.0 {
            value.flatten(key.to_string(), &mut flat);
        }
        flat
    }
}

impl Value {
    fn add_lines(&self, path: String, lines: &mut Vec<String>) {
        match self {
            Self::Fields(fields) => {
                fields.0.iter().for_each(|(key, value)| value.add_lines(format!("{path}.{key}"), lines));
            }
            Self::List(list) if list.iter().any(|value| matches!(value, Self::Fields(_))) => {
                lines.extend(list.iter().enumerate().map(|(index, value)| format!("{path}.{index} {value}")));
            }
            Self::List(_) | Self::None | Self::Bool(_) | Self::Number(_) | Self::Text(_) => {
                lines.push(format!("{path} {self}"));
            }
        }
    }

    fn flatten(&self, path: String, flat: &mut Vec<(String, String)>) {
        match self {
            Self::Fields(fields) => {
                fields.0.iter().for_each(|(key, value)| value.flatten(format!("{path}.{key}"), flat));
            }
            Self::List(list) if list.iter().any(|value| matches!(value, Self::Fields(_))) => {
                let numbered = list.iter().enumerate();
                numbered.for_each(|(index, value)| value.flatten(format!("{path}.{index}"), flat));
            }
            Self::List(_) | Self::None | Self::Bool(_) | Self::Number(_) | Self::Text(_) => {
                flat.push((path, self.to_string()));
            }
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Bool(value) => value.fmt(f),
            Self::Number(value) => value.fmt(f),
            Self::Text(text) if is_plain(text) => f.write_str(text),
            Self::Text(text) => f.write_str(&serde_json::Value::from(text.as_str()).to_string()),
            Self::List(list) if list.is_empty() => f.write_str("none"),
            Self::List(list) => {
                let texts: Vec<String> = list.iter().map(ToString::to_string).collect();
                f.write_str(&texts.join(","))
            }
            Self::Fields(fields) => f.write_str(&fields.pairs()),
        }
    }
}

/// Whether a text needs no quotes, because nothing in it looks like a separator.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:/+-".contains(&b))
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_none(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(value) => serializer.serialize_u64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(list) => list.serialize(serializer),
            Self::Fields(fields) => fields.serialize(serializer),
        }
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// From JSON without fractions and negative numbers, in the order of the text.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value without fractions")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
                Ok(Value::Bool(value))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
                Ok(Value::Number(number))
            }

            fn visit_str<E>(self, text: &str) -> Result<Value, E> {
                Ok(Value::Text(text.into()))
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::None)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = list.next_element()? {
                    values.push(value);
                }
                Ok(Value::List(values))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                let mut fields = Fields::new();
                while let Some((key, value)) = map.next_entry::<String, Value>()? {
                    fields = fields.with(key, value);
                }
                Ok(Value::Fields(fields))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

macro_rules! values {
    ($($type:ty => $variant:expr;)*) => {
        $(impl From<$type> for Value {
            fn from(value: $type) -> Self {
                $variant(value.into())
            }
        })*
    };
}

values! {
    bool => Self::Bool;
    u8 => Self::Number;
    u16 => Self::Number;
    u32 => Self::Number;
    u64 => Self::Number;
    &str => Self::Text;
    String => Self::Text;
    Vec<Value> => Self::List;
    Fields => Self::Fields;
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::None, Into::into)
    }
}

impl From<EventValue<'_>> for Value {
    fn from(value: EventValue<'_>) -> Self {
        match value {
            EventValue::Bool(value) => Self::Bool(value),
            EventValue::Number(number) => Self::Number(number),
            EventValue::Text(text) => Self::Text(text.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_json_show_the_same() {
        let inner = Fields::new().with("op", "enable").with("n", 2_u8);
        let fields = Fields::new()
            .with("name", "a.b:c")
            .with("free", "two words, \"x\"\n")
            .with("empty", "")
            .with("breaker", None::<Fields>)
            .with("list", vec![Value::from("a"), Value::from("b")])
            .with("nothing", Vec::new())
            .with("commands", vec![Value::from(inner)]);
        assert_eq!(
            fields.pairs(),
            r#"name=a.b:c free="two words, \"x\"\n" empty="" breaker=none list=a,b nothing=none commands.0.op=enable commands.0.n=2"#
        );
        assert_eq!(
            Fields::new().with("inside", fields.clone()).lines(),
            [
                "inside.name a.b:c",
                r#"inside.free "two words, \"x\"\n""#,
                r#"inside.empty """#,
                "inside.breaker none",
                "inside.list a,b",
                "inside.nothing none",
                "inside.commands.0 op=enable n=2",
            ]
        );
        assert_eq!(
            serde_json::to_string(&fields).unwrap(),
            r#"{"name":"a.b:c","free":"two words, \"x\"\n","empty":"","breaker":null,"list":["a","b"],"nothing":[],"commands":[{"op":"enable","n":2}]}"#
        );
    }
}
