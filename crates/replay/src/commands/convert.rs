//! `convert`: a block file in another form.

use std::path::PathBuf;

use clap::Args;
use coalmine_json::blockfile::{BlockReader, Form, Limits};

use crate::commands::write_blocks::write_blocks;
use crate::error::Error;
use crate::input::Input;
use crate::output::{Output, Target};
use crate::terminal::warn;

/// Arguments of `convert`.
#[derive(Debug, Args)]
#[command(after_help = "\
Genesis and blocks are kept in full; name, description and expectations exist in JSON only. If the \
input is damaged, the blocks before the damage are written, and the exit code is 2.

Example:
  replay convert canary.json canary.blocks")]
pub(crate) struct ConvertArgs {
    /// The block file to read; - is standard input
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// The block file to write; - is standard output
    #[arg(value_name = "OUT")]
    out: PathBuf,
    /// The form of OUT, if it does not follow from its name
    #[arg(long, value_name = "FORM", value_parser = form)]
    to: Option<Form>,
}

fn form(text: &str) -> Result<Form, String> {
    Form::of(format!("a.{text}").as_ref()).ok_or_else(|| "write json, jsonl or blocks".into())
}

/// Turns a block file into another form.
pub(crate) fn convert(args: &ConvertArgs, target: &Target) -> Result<(), Error> {
    if target.file.is_some() {
        return Err(Error::Input("convert writes OUT, not -o".into()));
    }
    let form = args.to.or_else(|| Form::of(&args.out)).ok_or_else(|| {
        Error::Input(format!(
            "{}: the name of a block file ends in .json, .jsonl or .blocks; else add --to json, jsonl or blocks",
            args.out.display()
        ))
    })?;
    let reader = BlockReader::open(&args.input, Limits::default())?;
    let header = reader.header().clone();
    warn(&header.warnings);
    let target = Target { file: Some(args.out.clone()), ..Target::default() };
    let out = Output::open(&target, [Input::File(&args.input)])?;
    write_blocks(out, form, &header, reader.map(|block| block.map_err(Error::from)))
}
