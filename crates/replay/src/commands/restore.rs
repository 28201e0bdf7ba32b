//! `restore`: a new store from a dump.

use std::path::Path;

use clap::Args;

use crate::error::Error;
use crate::input::store_path;
use crate::output::Target;

/// Arguments of `restore`.
#[derive(Debug, Args)]
#[command(after_help = "\
The records must give the root of the dump, or nothing is written. The folder must be new or empty.

Example:
  replay restore state.dump rocksdb:./copy")]
pub(crate) struct RestoreArgs {
    /// The dump, as text or binary; - is standard input
    #[arg(value_name = "DUMP")]
    dump: String,
    /// rocksdb:PATH
    #[arg(value_name = "STORE")]
    store: String,
}

/// Makes a store from a dump.
pub(crate) fn restore(args: &RestoreArgs, target: &Target) -> Result<(), Error> {
    let path = store_path(&args.store)
        .ok_or_else(|| Error::Input(format!("{}: restore writes to rocksdb:PATH", args.store)))?;
    write_store(path, args, target)
}

#[cfg(feature = "rocksdb")]
fn write_store(path: &Path, args: &RestoreArgs, target: &Target) -> Result<(), Error> {
    use std::io::BufReader;

    use coalmine_answers::Answer;
    use coalmine_store::{Durability, Problem, RocksStore, StoreError};

    use crate::dump::Dumped;
    use crate::input::{Input, open_file};
    use crate::output::Output;
    use coalmine_json::render::Fields;

    if RocksStore::exists(path) {
        let problem = StoreError::new(args.store.clone(), Problem::NotEmpty);
        return Err(problem.into());
    }
    let (name, input) = open_file(&args.dump)?;
    // Before a folder is made, so that a bad dump leaves nothing behind.
    let dumped = Dumped::read(&name, BufReader::new(input))?;
    dumped.check().map_err(|error| Error::from(error).in_source(&args.dump))?;
    let records = dumped.records();
    let mut out = Output::open(target, [Input::File(args.dump.as_ref()), Input::Store(path)])?;
    let tip = dumped.restore(RocksStore::create(path, Durability::Synced)?)?.last_committed();
    out.card(Answer::single(
        "restored",
        Fields::new().with("height", tip.height).text("root", tip.root).with("records", records),
    ))?;
    out.finish()
}

#[cfg(not(feature = "rocksdb"))]
fn write_store(_path: &Path, _args: &RestoreArgs, _target: &Target) -> Result<(), Error> {
    Err(crate::input::no_rocksdb())
}
