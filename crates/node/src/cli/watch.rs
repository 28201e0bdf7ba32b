//! `watch`: what happens, block by block.

use std::thread;
use std::time::Duration;

use clap::Args;
use coalmine_core::Height;
use serde_json::Value;

use crate::cli::client::{At, Client};
use crate::cli::error::Error;
use crate::cli::output::Format;

/// How long to wait before a stream that has ended is opened again.
const PAUSE: Duration = Duration::from_secs(2);
/// How often that is tried without a message in between.
const ATTEMPTS_MAX: u32 = 30;

/// Arguments of `watch`.
#[derive(Debug, Args)]
#[command(after_help = "\
In text one line an event: its height, its kind, and what happened. With --format json one object a block, as the API \
sends it. When the connection is lost it is opened again, and nothing is missed.

Example:
  coalmine watch --feature search_v3 --kind rolled_back")]
pub(super) struct WatchArgs {
    #[command(flatten)]
    at: At,
    /// Begin with the events of this height [default: with the next ones]
    #[arg(long, value_name = "HEIGHT")]
    from: Option<Height>,
    /// Only events of this feature
    #[arg(long, value_name = "NAME")]
    feature: Option<String>,
    /// Only events of this plugin
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// Only events of this kind, such as rolled_back
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// End after so many blocks with events
    #[arg(long, value_name = "N")]
    blocks: Option<u32>,
}

/// Where a stream is.
struct Position {
    from: Option<Height>,
    left: Option<u32>,
}

pub(super) fn watch(args: &WatchArgs, out: Format) -> Result<(), Error> {
    let client = args.at.client();
    let mut position = Position { from: args.from, left: args.blocks };
    let mut failed: u32 = 0;
    loop {
        let before = position.from;
        let ended = follow(&client, args, &mut position, out);
        match ended {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error @ (Error::Input(_) | Error::Output { .. })) => return Err(error),
            Err(error) if failed >= ATTEMPTS_MAX => return Err(error),
            Err(error) => eprintln!("coalmine: {error}; trying again"),
        }
        failed = if position.from == before { failed.saturating_add(1) } else { 0 };
        thread::sleep(PAUSE);
    }
}

/// Reads one stream to its end. Returns whether all that was asked for has come.
fn follow(client: &Client, args: &WatchArgs, position: &mut Position, out: Format) -> Result<bool, Error> {
    let mut path = String::from("/v1/events?");
    let from = position.from.map(|from| from.to_string());
    let pairs = [("from", &from), ("feature", &args.feature), ("plugin", &args.plugin), ("kind", &args.kind)];
    for (key, value) in pairs {
        if let Some(value) = value {
            path.push_str(&format!("{key}={}&", encoded(value)));
        }
    }
    let mut lines = client.stream(path.trim_end_matches(['&', '?']))?;
    let (mut event, mut data) = (String::new(), String::new());
    loop {
        let line = lines.next().map_err(|error| Error::Remote(format!("the stream has ended: {error}")))?;
        let Some(line) = line else { return Ok(false) };
        if let Some(value) = line.strip_prefix("event:") {
            event = value.trim().into();
        } else if let Some(value) = line.strip_prefix("data:") {
            data.push_str(value.trim_start());
        } else if line.is_empty() {
            let message: Value = serde_json::from_str(&data).unwrap_or_default();
            if take(&event, &message, &data, position, out)? {
                return Ok(true);
            }
            event.clear();
            data.clear();
        }
    }
}

/// Takes a message of a stream.
fn take(event: &str, message: &Value, data: &str, position: &mut Position, out: Format) -> Result<bool, Error> {
    let number = |key: &str| message.get(key).and_then(Value::as_u64).and_then(|height| Height::try_from(height).ok());
    match event {
        "block" => {
            position.from = number("height").and_then(|height| height.checked_add(1)).or(position.from);
            let events = message.get("events").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            if events.is_empty() {
                return Ok(false);
            }
            match out {
                Format::Json => out.line(data)?,
                Format::Text => {
                    let height = number("height").unwrap_or_default();
                    for event in events {
                        out.line(&format!("{height:>8}  {}", in_words(event)))?;
                    }
                }
            }
            position.left = position.left.map(|left| left.saturating_sub(1));
            Ok(position.left == Some(0))
        }
        // What is older is no longer kept; the stream goes on with what is new.
        "reset" => {
            eprintln!("coalmine: the node no longer has the events from there on; this goes on with the next ones");
            position.from = number("tip").and_then(|tip| tip.checked_add(1));
            Ok(false)
        }
        "tip" | "hello" => {
            let next = number("tip").and_then(|tip| tip.checked_add(1));
            if event == "tip" || position.from.is_none() {
                position.from = next.or(position.from);
            }
            Ok(false)
        }
        _ => Ok(false),
    }
}

fn in_words(event: &Value) -> String {
    let text = |key: &str| event.get(key).and_then(Value::as_str);
    let kind = text("event").or_else(|| text("kind")).unwrap_or("event");
    match text("sentence") {
        Some(sentence) => format!("{kind:<20} {sentence}"),
        None => format!("{kind:<20} {event}"),
    }
}

/// A value of a query, with all but plain characters escaped.
pub(super) fn encoded(value: &str) -> String {
    let escape = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    value.bytes().map(escape).collect()
}
