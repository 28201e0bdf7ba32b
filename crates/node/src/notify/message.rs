//! What is sent: a CloudEvent for each event, or a text for all events of a block.
//!
//! A message is a function of the ledger's events and of when this node made their block, so it is the same at every
//! attempt, and after a restart.

use std::time::{Duration, UNIX_EPOCH};

use coalmine_answers::event_with_sentence;
use coalmine_core::{Event, Height};
use coalmine_foresight::event_sentence;
use coalmine_json::render::Fields;

use crate::notify::filter::{Kind, kind};
use crate::tables::BlockRecord;

/// No text has more lines.
const LINES_MAX: usize = 40;

/// Where something is among all events of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// The height of its block.
    pub height: Height,
    /// Its place among the events of the block, from 0.
    pub index: u32,
}

/// The ledger, as receivers know it.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// The chain id.
    pub(crate) chain: String,
    /// The beginning of the genesis hash, so that two ledgers of one name have no message of the same id.
    pub(crate) genesis: String,
}

/// A message for a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// The same at every attempt, and of no other message. Has no dot.
    pub(crate) id: String,
    /// The first event that it tells of.
    pub(crate) first: Position,
    /// The first event behind it.
    pub(crate) next: Position,
    /// When the block was made, in milliseconds since 1970.
    pub(crate) time: u64,
    /// The body or, of texts, the lines.
    pub(crate) body: String,
    /// One line that says what it is about, for a subject.
    pub(crate) title: String,
}

/// The CloudEvent of one event: structured JSON of version 1.0.
pub(crate) fn cloud_event(source: &Source, record: &BlockRecord, index: u32, event: &Event) -> Message {
    let first = Position { height: record.height, index };
    let next = Position { height: record.height, index: index.saturating_add(1) };
    let (subject, about) = subject(event);
    let id = format!("{}-{index}", record.height);
    let mut body = Fields::new().with("specversion", "1.0").with("id", id.as_str());
    body = body.with("source", format!("/coalmine/{}", source.chain));
    body = body.with("type", format!("io.coalmine.{about}.{}.v1", event.code().name()));
    if let Some(subject) = subject {
        body = body.with("subject", subject);
    }
    let body = body
        .with("time", humantime::format_rfc3339_millis(time(record.time)).to_string())
        .with("datacontenttype", "application/json")
        // Heights are unsigned, and the integers of CloudEvents are not.
        .with("height", record.height.to_string())
        .with("sequence", format!("{:010}-{index:07}", record.height))
        .with("data", event_with_sentence(event));
    let body = serde_json::to_string(&body).unwrap_or_default();
    Message {
        id: format!("{}-{id}", source.genesis),
        first,
        next,
        time: record.time,
        body,
        title: event_sentence(event),
    }
}

/// The text of some events of a block, a line each.
pub(crate) fn text(source: &Source, record: &BlockRecord, events: &[(u32, &Event)]) -> Option<Message> {
    let (first, _) = events.first()?;
    let (last, _) = events.last()?;
    let mut lines: Vec<String> = events.iter().take(LINES_MAX).map(|(_, event)| line(event)).collect();
    if let Some(more) = events.len().checked_sub(LINES_MAX).filter(|more| *more > 0) {
        lines.push(format!("… and {more} more"));
    }
    // What went wrong is what a subject is about.
    let is_failure = |(_, event): &&(u32, &Event)| kind(event) == Some(Kind::Failure);
    let (_, chief) = events.iter().find(is_failure).or_else(|| events.first())?;
    let more = events.len().saturating_sub(1);
    let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
    Some(Message {
        id: format!("{}-{}-{first}", source.genesis, record.height),
        first: Position { height: record.height, index: *first },
        next: Position { height: record.height, index: last.saturating_add(1) },
        time: record.time,
        body: lines.join("\n"),
        title: format!("{}: {}{more}", source.chain, event_sentence(chief)),
    })
}

fn line(event: &Event) -> String {
    let mark = match kind(event) {
        Some(Kind::Failure) => "✖",
        Some(Kind::Complete) => "✔",
        Some(Kind::Start) => "▶",
        Some(Kind::All) | None => "•",
    };
    format!("{mark} {}", event_sentence(event))
}

/// What an event is about: a name, and what it is the name of.
fn subject(event: &Event) -> (Option<&str>, &'static str) {
    match (event.feature(), event.plugin()) {
        (Some(feature), _) => (Some(feature.as_str()), "feature"),
        (None, Some(plugin)) => (Some(plugin.as_str()), "plugin"),
        (None, None) => (None, "ledger"),
    }
}

pub(crate) fn time(milliseconds: u64) -> std::time::SystemTime {
    // The year 9999 is far enough, and the last one that can be written.
    UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds.min(253_402_300_799_999))).unwrap_or(UNIX_EPOCH)
}
