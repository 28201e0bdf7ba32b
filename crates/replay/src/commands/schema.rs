//! `schema`: the JSON Schema of block files.

use clap::Args;

use crate::error::Error;
use crate::output::{Format, Output, Target};

/// Arguments of `schema`.
#[derive(Debug, Args)]
#[command(after_help = "\
The schema is of draft 7 and has the fields of every op with their types, limits and defaults, and all expectations. \
An editor that has it completes and checks block files while they are written; in VS Code, add to settings.json: \
\"json.schemas\": [{ \"fileMatch\": [\"*.blocks.json\"], \"url\": \"./blocks.schema.json\" }].

The lines of a .jsonl file are its definitions header and block.

Example:
  replay schema -o blocks.schema.json")]
pub(crate) struct SchemaArgs {}

/// Writes the schema.
pub(crate) fn schema(_args: &SchemaArgs, target: &Target) -> Result<(), Error> {
    let mut out = Output::open(target, [])?;
    let schema = coalmine_json::schema();
    match target.format {
        Format::Text | Format::Ics => out.write(|out| {
            serde_json::to_writer_pretty(&mut *out, &schema)?;
            writeln!(out)
        })?,
        Format::Json => out.json(&schema)?,
    }
    out.finish()
}
