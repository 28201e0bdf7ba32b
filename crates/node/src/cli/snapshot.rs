//! `snapshot`: backups of the state, and nodes made of them.

use std::fs::File;
use std::io::{BufReader, BufWriter, IntoInnerError};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use coalmine_core::Hash;
use coalmine_json::render::{Fields, Value};
use coalmine_store::dump::{Dump, DumpError, Header, read};
use coalmine_store::{Snapshots as _, View as _};

use crate::cli::error::Error;
use crate::cli::output::Format;
use crate::database::Database;
use crate::home::Home;
use crate::node::{Node, OpenError};

/// Commands about snapshots: binary dumps, the same bytes on every node at the same height.
#[derive(Debug, Subcommand)]
pub(super) enum SnapshotCommand {
    /// Write the state to a file; the node may run meanwhile
    Create(SnapshotArgs),
    /// Make the database of a home that has none of a file
    Restore(RestoreArgs),
}

/// Arguments of `create`.
#[derive(Debug, Args)]
pub(super) struct SnapshotArgs {
    /// The file to make
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Arguments of `restore`.
#[derive(Debug, Args)]
#[command(after_help = "\
The home has the genesis.json of the ledger already. Blocks, receipts and events of before are not in a snapshot. What \
a file claims to be only its root can show: compare it with one that you trust, by --root.")]
pub(super) struct RestoreArgs {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The root that it must have
    #[arg(long, value_name = "HASH")]
    root: Option<Hash>,
}

pub(super) fn snapshot(command: &SnapshotCommand, home: &Home, out: Format) -> Result<(), Error> {
    match command {
        SnapshotCommand::Create(args) => create(&args.file, home, out),
        SnapshotCommand::Restore(args) => restore(args, home, out),
    }
}

fn create(path: &Path, home: &Home, out: Format) -> Result<(), Error> {
    let (_, records) = Database::open_read_only(&home.data())?;
    let failed = |error| Error::Dump { path: path.into(), error: Box::new(error) };
    let dump = Dump::new(records.snapshot()).map_err(failed)?;
    let file = File::create_new(path).map_err(|error| Error::Output { to: path.display().to_string(), error })?;
    let mut file = BufWriter::new(file);
    let written = dump.write_to(&mut file).and_then(|()| {
        let file = file.into_inner().map_err(IntoInnerError::into_error);
        file.and_then(|file| file.sync_all()).map_err(DumpError::Output)
    });
    written.map_err(|error| {
        // Half a backup is worse than none; if it cannot be removed either, the first error says enough.
        let _removed = std::fs::remove_file(path);
        failed(error)
    })?;
    out.fields(&shown(dump.header()).text("file", path.display()))
}

fn restore(args: &RestoreArgs, home: &Home, out: Format) -> Result<(), Error> {
    let genesis = home.genesis()?;
    let path = &args.file;
    let failed = |error| Error::Dump { path: path.clone(), error: Box::new(error) };
    let file = File::open(path).map_err(|error| failed(DumpError::Input(error)))?;
    let restored = read(BufReader::new(file)).map_err(failed)?;
    let header = restored.header();
    if header.chain != *genesis.chain() {
        let (found, expected) = (header.chain.as_str(), genesis.chain().as_str());
        return Err(Error::Input(format!(
            "{}: it is of chain {found:?}, genesis.json of {expected:?}",
            path.display()
        )));
    }
    if let Some(root) = args.root.filter(|root| *root != header.tip.root) {
        return Err(Error::Input(format!("{}: its root is {}, not {root}", path.display(), header.tip.root)));
    }
    let fields = shown(header);
    let tip = header.tip;
    let (database, store) = Database::open(&home.data())?;
    if let Some(tip) = store.tip()? {
        return Err(Error::Input(format!(
            "{}: there is a ledger already ({tip}); restore into a new home",
            home.data().display()
        )));
    }
    // An interrupted restore can be begun again: what is marked is an empty database.
    Node::mark_restored(&database, &genesis, &tip)?;
    restored.into_ledger(store).map_err(|error| Error::from(OpenError::from(error)))?;
    out.fields(&fields)
}

fn shown(header: &Header) -> Fields {
    let fields = Fields::new().with("chain", header.chain.as_str()).with("height", header.tip.height);
    let fields = fields.text("root", header.tip.root).with("rules", u64::from(header.rules));
    fields.with("chunks", Value::Number(u64::try_from(header.chunks().len()).unwrap_or(u64::MAX)))
}
