//! `verify-store`: one store, checked from end to end.

use std::path::Path;

use clap::Args;
#[cfg(feature = "rocksdb")]
use coalmine_answers::Answer;
#[cfg(feature = "rocksdb")]
use coalmine_json::render::Fields;
use coalmine_store::Tip;

use crate::error::Error;
use crate::input::{Input, store_path};
use crate::output::{Output, Target};

/// Arguments of `verify-store`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  replay verify-store rocksdb:./state --expect 5000:$ROOT")]
pub(crate) struct VerifyStoreArgs {
    /// rocksdb:PATH
    #[arg(value_name = "STORE")]
    store: String,
    /// The tip that the store must have; HEIGHT is `genesis` before the first block
    #[arg(long, value_name = "HEIGHT:ROOT", value_parser = tip)]
    expect: Option<Tip>,
}

fn tip(text: &str) -> Result<Tip, String> {
    let (height, root) = text.split_once(':').ok_or("write HEIGHT:ROOT")?;
    let height = match height {
        "genesis" => None,
        height => Some(height.parse().map_err(|error| format!("HEIGHT: {error}"))?),
    };
    Ok(Tip { height, root: root.parse().map_err(|error| format!("ROOT: {error}"))? })
}

/// Reads a store from end to end.
pub(crate) fn verify_store(args: &VerifyStoreArgs, target: &Target) -> Result<(), Error> {
    let path = store_path(&args.store)
        .ok_or_else(|| Error::Input(format!("{}: verify-store reads rocksdb:PATH", args.store)))?;
    let mut out = Output::open(target, [Input::Store(path)])?;
    let read = read_store(path, args, &mut out);
    out.end(read)
}

#[cfg(feature = "rocksdb")]
fn read_store(path: &Path, args: &VerifyStoreArgs, out: &mut Output) -> Result<(), Error> {
    use coalmine_store::{Durability, RocksStore, Snapshots, Store, verify};

    let store = RocksStore::open(path, Durability::Synced)?;
    let verified = verify(&store.reader().snapshot()).map_err(|error| Error::from(error).in_source(&args.store))?;
    let tip = verified.tip;
    let fields = Fields::new().with("height", tip.height).text("root", tip.root);
    out.card(Answer::single("verified_store", fields.with("records", verified.records).with("bytes", verified.bytes)))?;
    match args.expect {
        Some(expected) if expected != tip => {
            Err(Error::Differs(format!("{}: expected {expected}, got {tip}", args.store)))
        }
        Some(_) | None => Ok(()),
    }
}

#[cfg(not(feature = "rocksdb"))]
fn read_store(_path: &Path, _args: &VerifyStoreArgs, _out: &mut Output) -> Result<(), Error> {
    Err(crate::input::no_rocksdb())
}
