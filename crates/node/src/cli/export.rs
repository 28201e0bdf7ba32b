//! `export`: all blocks as a block file.

use std::fs::File;
use std::io::{BufWriter, IntoInnerError};
use std::path::{Path, PathBuf};

use clap::Args;
use coalmine_json::blockfile::Form;
use coalmine_json::render::{Fields, Value};
use coalmine_store::{Snapshots as _, View as _};

use crate::cli::error::Error;
use crate::cli::output::Format;
use crate::database::Database;
use crate::export;
use crate::home::Home;

/// Arguments of `export`.
#[derive(Debug, Args)]
#[command(after_help = "\
The replay tool executes the file and comes to the same root: replay verify FILE. The node may run meanwhile: the file \
ends with the last block before.")]
pub(super) struct ExportArgs {
    /// The file to make: .blocks, .jsonl or .json
    #[arg(long, value_name = "FILE")]
    blocks: PathBuf,
}

pub(super) fn export(args: &ExportArgs, home: &Home, out: Format) -> Result<(), Error> {
    let genesis = home.genesis()?;
    let form = Form::of(&args.blocks).ok_or_else(|| {
        Error::Input(format!("{}: the name of a block file ends in .blocks, .jsonl or .json", args.blocks.display()))
    })?;
    let (database, records) = Database::open_read_only(&home.data())?;
    let tip = records.snapshot().tip()?;
    let height = tip.and_then(|tip| tip.height);
    let failed = |error| Error::Output { to: args.blocks.display().to_string(), error };
    let file = File::create_new(&args.blocks).map_err(failed)?;
    let written = export::blocks(&database, &genesis, height, BufWriter::new(file), form);
    let (blocks, file) = written.inspect_err(|_| remove(&args.blocks))?;
    let synced = file.into_inner().map_err(IntoInnerError::into_error).and_then(|file| file.sync_all());
    synced.map_err(failed)?;
    let root = tip.map(|tip| tip.root.to_string());
    let fields = Fields::new().with("blocks", blocks).with("height", height).with("root", root.map(Value::from));
    out.fields(&fields.text("file", args.blocks.display()))
}

/// Half a file is worse than none; if it cannot be removed either, the first error says enough.
fn remove(path: &Path) {
    let _removed = std::fs::remove_file(path);
}
