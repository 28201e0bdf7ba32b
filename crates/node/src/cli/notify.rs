//! `notify`: how notifications and reporters are, and sending again what was given up.

use clap::{Args, Subcommand};
use coalmine_json::render::{Fields, Value};
use serde_json::json;

use crate::cli::client::Client;
use crate::cli::error::Error;
use crate::cli::output::Format;

/// Commands about notifications.
#[derive(Debug, Subcommand)]
pub(super) enum NotifyCommand {
    /// Show how each sink and reporter is
    Status(LocalArgs),
    /// Send again what was given up, enable sinks that were disabled, and try at once what waits
    Replay(ReplayArgs),
}

/// Which node is asked.
#[derive(Debug, Args)]
#[command(after_help = "\
A node answers this to its own machine alone, at the address that is set as listen in the section [local] of its \
config.toml.")]
pub(super) struct LocalArgs {
    /// The address of the node for its own machine
    #[arg(long, env = "COALMINE_LOCAL", default_value = "http://127.0.0.1:8701", value_name = "URL")]
    local: String,
}

/// Arguments of `notify replay`.
#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// The sink [default: all]
    #[arg(value_name = "SINK")]
    sink: Option<String>,
    #[command(flatten)]
    local: LocalArgs,
}

pub(super) fn notify(command: &NotifyCommand, out: Format) -> Result<(), Error> {
    match command {
        NotifyCommand::Status(args) => {
            let answer = Client::new(&args.local).get("/v1/notify")?.0;
            for list in ["sinks", "reporters"] {
                for one in listed(&answer, list) {
                    out.fields(one)?;
                    if out == Format::Text {
                        out.line("")?;
                    }
                }
            }
            Ok(())
        }
        NotifyCommand::Replay(args) => {
            let path = match &args.sink {
                None => "/v1/notify/replay".into(),
                // What is no name of a sink is none of a path either.
                Some(sink) => format!("/v1/notify/{}/replay", sink.replace(['/', '?', '#', '%', ' '], "_")),
            };
            out.fields(&Client::new(&args.local.local).post_json(&path, &json!({}))?.0)
        }
    }
}

fn listed<'a>(answer: &'a Fields, key: &str) -> Vec<&'a Fields> {
    match answer.get(key) {
        Some(Value::List(list)) => list.iter().filter_map(fields).collect(),
        Some(Value::None | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Fields(_)) | None => Vec::new(),
    }
}

const fn fields(value: &Value) -> Option<&Fields> {
    match value {
        Value::Fields(fields) => Some(fields),
        Value::None | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => None,
    }
}
