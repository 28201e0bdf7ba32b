//! What there is to say about an op, as a page for people and as named values.

use std::fmt;
use std::iter;

use coalmine_core::{CommandKind, Encode, Policy, Reader, Reject, Role, Strategy, StrategyKind, Writer};

use super::checks::{Check, Section, section};
use super::kind::{Absent, Field, Kind, Unset};
use super::table::{self, FEED_ITEM, GUARDRAILS, POLICY, Row, STAGE, Shorthand, strategy_fields};
use crate::render::{Fields, Value};

/// An op of block files: a command, or sugar for a report.
///
/// ```
/// use coalmine_json::Op;
///
/// let op = Op::from_name("start_canary").ok_or("no such op")?;
/// assert_eq!(op.example(), r#"{"op":"start_canary","name":"search_v3","percent":5}"#);
/// assert!(op.to_string().contains("percent of users for whom it is on"));
/// # Ok::<(), &'static str>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Op(Which);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Command(CommandKind),
    Shorthand(Shorthand),
}

/// Fields that stand together, and core's defaults of those that have one there.
pub(super) struct Group {
    /// What has the fields; empty for the op itself.
    pub(super) title: String,
    /// The fields, each with the JSON of its default, if it has one.
    pub(super) fields: Vec<(&'static Field, Option<String>)>,
}

impl Group {
    /// `standard` is the concatenation of core's defaults of the fields that have one there.
    fn new(title: impl Into<String>, fields: &'static [Field], standard: &[u8]) -> Self {
        let mut standard = Reader::new(standard);
        let json = |kind: Kind, input: &mut Reader<'_>| {
            let mut out = String::new();
            kind.json(input, 0, &mut out).map(|()| out)
        };
        let written = |kind: Kind, write: fn(&mut Writer)| {
            let mut bytes = Writer::default();
            write(&mut bytes);
            json(kind, &mut Reader::new(bytes.as_bytes()))
        };
        let fields = fields.iter().map(|field| {
            let default = match field.absent {
                Absent::Error | Absent::Flag(Unset::Unchanged | Unset::Current) => None,
                Absent::Flag(Unset::Core(write)) | Absent::Default(write) | Absent::Silent(write) => {
                    written(field.kind, write)
                }
                Absent::Standard => json(field.kind, &mut standard),
            };
            (field, default)
        });
        Self { title: title.into(), fields: fields.collect() }
    }

    pub(super) fn policy() -> Self {
        Self::new("policy", POLICY, Policy::default().to_bytes().get(1..).unwrap_or_default())
    }

    pub(super) fn stage() -> Self {
        Self::new("a stage", STAGE, &[])
    }

    pub(super) fn feed_item() -> Self {
        Self::new("an item", FEED_ITEM, &[])
    }

    /// The fields of what is in a field of this kind.
    fn inside(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Policy => Some(Self::policy()),
            Kind::Stages => Some(Self::stage()),
            Kind::FeedItems => Some(Self::feed_item()),
            Kind::Word(_)
            | Kind::Text
            | Kind::U8
            | Kind::U16
            | Kind::U32
            | Kind::U64
            | Kind::Bool
            | Kind::Hash
            | Kind::Bytes
            | Kind::Address
            | Kind::Tag(_)
            | Kind::Words(_)
            | Kind::Pairs(_)
            | Kind::Commands => None,
        }
    }

    /// The guardrails of all strategies; a default is an object with that of each.
    fn guardrails() -> Self {
        let of = |kind: &StrategyKind| {
            let [_own, guardrails] = Self::strategy(*kind);
            (kind.name(), guardrails.fields)
        };
        let all: Vec<_> = StrategyKind::ALL.iter().map(of).collect();
        let fields = GUARDRAILS.iter().map(|field| {
            let of_field = all.iter().filter_map(|(strategy, fields)| {
                let (_, default) = fields.iter().find(|(other, _)| other.key == field.key)?;
                Some(format!("\"{strategy}\":{}", default.as_deref()?))
            });
            (field, Some(format!("{{{}}}", of_field.collect::<Vec<_>>().join(","))))
        });
        Self { title: "the guardrails, whatever the strategy".into(), fields: fields.collect() }
    }

    /// The fields of a deploy by a strategy, after those of every deploy.
    pub(super) fn strategy(kind: StrategyKind) -> [Self; 2] {
        let standard = Strategy::with_defaults(kind);
        let own = standard.to_bytes();
        let title = format!("strategy {}", kind.name());
        let guardrails = standard.default_guardrails().to_bytes();
        [
            Self::new(title.clone(), strategy_fields(kind), own.get(1..).unwrap_or_default()),
            Self::new(format!("{title}, guardrails"), GUARDRAILS, &guardrails),
        ]
    }
}

impl Op {
    /// All of them: the commands in the order of their numbers, then the sugar.
    pub fn all() -> impl Iterator<Item = Self> {
        let commands = CommandKind::ALL.iter().map(|kind| Which::Command(*kind));
        commands.chain(Shorthand::ALL.into_iter().map(Which::Shorthand)).map(Self)
    }

    /// Looks one up.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|op| op.name() == name)
    }

    /// The name, as it stands in `op`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.0 {
            Which::Command(kind) => kind.name(),
            Which::Shorthand(shorthand) => shorthand.name(),
        }
    }

    /// The command that it is, or stands for.
    #[must_use]
    pub const fn kind(self) -> CommandKind {
        match self.0 {
            Which::Command(kind) => kind,
            Which::Shorthand(_) => CommandKind::Report,
        }
    }

    /// A valid command in JSON.
    #[must_use]
    pub const fn example(self) -> &'static str {
        self.row().example
    }

    /// What it does, in a sentence or a few.
    #[must_use]
    pub fn about(self) -> String {
        match self.0 {
            Which::Command(kind) => section(kind).about,
            Which::Shorthand(shorthand) => shorthand.about().into(),
        }
    }

    /// How to write it: the name, and its fields in brackets if they can be left out.
    #[must_use]
    pub fn usage(self) -> String {
        let key = |field: &Field| match field.absent {
            Absent::Error => field.key.to_owned(),
            Absent::Flag(_) | Absent::Default(_) | Absent::Silent(_) | Absent::Standard => format!("[{}]", field.key),
        };
        let fields = self.row().fields.iter().map(key);
        let more = (self.kind() == CommandKind::Deploy && matches!(self.0, Which::Command(_))).then(|| "…".to_owned());
        iter::once(self.name().to_owned()).chain(fields).chain(more).collect::<Vec<_>>().join(" ")
    }

    const fn row(self) -> Row {
        match self.0 {
            Which::Command(kind) => table::command(kind),
            Which::Shorthand(shorthand) => shorthand.row(),
        }
    }

    /// Whether it is the command that takes the fields of a strategy, too.
    pub(super) fn is_deploy(self) -> bool {
        self.0 == Which::Command(CommandKind::Deploy)
    }

    /// Its own fields.
    pub(super) fn own(self) -> Group {
        Group::new("", self.row().fields, &[])
    }

    /// Its own fields, then those of what can be in it.
    fn groups(self) -> Vec<Group> {
        let mut groups = vec![self.own()];
        if self.is_deploy() {
            let own = StrategyKind::ALL.iter().map(|kind| {
                let [own, _guardrails] = Group::strategy(*kind);
                own
            });
            groups.extend(own);
            groups.push(Group::guardrails());
        }
        let kinds = groups.iter().flat_map(|group| &group.fields).map(|(field, _)| field.kind);
        let mut parts: Vec<Group> = Vec::new();
        for part in kinds.filter_map(Group::inside) {
            if parts.iter().all(|known| known.title != part.title) {
                parts.push(part);
            }
        }
        groups.extend(parts);
        groups
    }

    /// All of it as named values.
    #[must_use]
    pub fn describe(self) -> Fields {
        let Section { checks, events, .. } = section(self.kind());
        let roles = self.kind().roles().iter().map(|role| Value::from(role.name()));
        let groups = self.groups().into_iter().map(|group| {
            let fields = group.fields.iter().map(|(field, default)| described(field, default.as_deref()).into());
            Value::from(Fields::new().with("of", group.title).with("fields", fields.collect::<Vec<Value>>()))
        });
        let checks = checks.into_iter().map(|Check { guard, passes_if, rejects }| {
            let rejects = rejects.into_iter().map(Value::from).collect::<Vec<_>>();
            Value::from(Fields::new().with("guard", guard).with("passes_if", passes_if).with("rejects", rejects))
        });
        Fields::new()
            .with("op", self.name())
            .with("command", self.kind().name())
            .with("about", self.about())
            .with("roles", roles.collect::<Vec<_>>())
            .with("schedulable", self.kind().is_schedulable())
            .with("fields", groups.collect::<Vec<_>>())
            .with("checks", checks.collect::<Vec<_>>())
            .with("events", events)
            .with("example", parsed(self.example()))
    }
}

/// JSON as a value, in the order of the text.
fn parsed(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or(Value::None)
}

fn described(field: &Field, default: Option<&str>) -> Fields {
    let fields = Fields::new()
        .with("field", field.key)
        .with("kind", field.kind.about())
        .with("range", field.range())
        .with("about", field.about);
    match field.absent {
        Absent::Error => fields.with("absent", "error"),
        Absent::Flag(Unset::Unchanged) => fields.with("absent", "unchanged"),
        Absent::Flag(Unset::Current) => fields.with("absent", "current"),
        Absent::Flag(Unset::Core(_)) | Absent::Default(_) | Absent::Silent(_) | Absent::Standard => {
            fields.with("absent", "default").with("default", default.map_or(Value::None, parsed))
        }
    }
}

/// What it means to leave a field out, in words.
fn absent(field: &Field, default: Option<&str>) -> String {
    match field.absent {
        Absent::Error => "required".into(),
        Absent::Flag(Unset::Unchanged) => "left as it is by default".into(),
        Absent::Flag(Unset::Current) => "by default whichever is current".into(),
        Absent::Flag(Unset::Core(_)) if matches!(field.kind, Kind::Policy) => "by default all defaults below".into(),
        Absent::Flag(Unset::Core(_)) | Absent::Default(_) | Absent::Silent(_) => {
            default.map_or_else(String::new, |default| format!("default {default}"))
        }
        // One value, or that of each strategy.
        Absent::Standard => match default.map(parsed) {
            Some(Value::Fields(fields)) => format!("default: {}", fields.pairs()),
            Some(_) | None => format!("default {}", default.unwrap_or_default()),
        },
    }
}

/// The page for people.
impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Section { checks, events, .. } = section(self.kind());
        writeln!(f, "{}\n  {}\n", self.usage(), self.about())?;
        let roles: Vec<&str> = self.kind().roles().iter().map(|role| role.name()).collect();
        let admin = if self.kind().roles() == [Role::Admin] { "" } else { "; admin may send everything" };
        writeln!(f, "Sent by: {}{admin}", roles.join(", "))?;
        writeln!(f, "May be scheduled: {}", if self.kind().is_schedulable() { "yes" } else { "no" })?;

        for Group { title, fields } in self.groups() {
            let title = if title.is_empty() { "Fields".to_owned() } else { format!("Fields of {title}") };
            if fields.is_empty() {
                writeln!(f, "\n{title}: none")?;
                continue;
            }
            writeln!(f, "\n{title}:")?;
            let width = fields.iter().map(|(field, _)| field.key.len()).max().unwrap_or_default();
            for (field, default) in fields {
                let range = field.range().map_or_else(String::new, |range| format!(", {range}"));
                let absent = absent(field, default.as_deref());
                writeln!(f, "  {:width$}  {}{range} ({absent})", field.key, field.kind.about())?;
                writeln!(f, "  {:width$}  {}", "", field.about)?;
            }
        }

        writeln!(f, "\nChecks, in this order; the first that fails rejects the command:")?;
        let width = checks.iter().map(|check| check.guard.len()).max().unwrap_or_default();
        for Check { guard, passes_if, rejects } in &checks {
            writeln!(f, "  {guard:width$}  {passes_if} -> {}", rejects.join(", "))?;
        }
        writeln!(f, "\nRejects:")?;
        let mut rejects: Vec<&String> = checks.iter().flat_map(|check| &check.rejects).collect();
        rejects.sort();
        rejects.dedup();
        let width = rejects.iter().map(|name| name.len()).max().unwrap_or_default();
        for name in rejects {
            let reason = Reject::from_name(name).map_or("", Reject::reason);
            writeln!(f, "  {name:width$}  {reason}")?;
        }
        write!(f, "\nEvents: {events}\n\nExample:\n  {}", self.example())
    }
}
