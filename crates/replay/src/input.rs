//! Arguments that name a file or a store.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::error::Error;

/// The folder of `rocksdb:PATH`.
pub(crate) fn store_path(argument: &str) -> Option<&Path> {
    argument.strip_prefix("rocksdb:").map(Path::new)
}

/// Opens a file; `-` is standard input. Returns the name for messages, too.
pub(crate) fn open_file(argument: &str) -> Result<(String, Box<dyn io::Read + Send>), Error> {
    if argument == "-" {
        return Ok(("<stdin>".into(), Box::new(io::stdin())));
    }
    match File::open(argument) {
        Ok(file) => Ok((argument.into(), Box::new(file))),
        Err(error) => Err(Error::Input(format!("{argument}: cannot be read: {error}"))),
    }
}

/// The error of a build without RocksDB.
#[cfg(not(feature = "rocksdb"))]
pub(crate) fn no_rocksdb() -> Error {
    Error::Input("this build has no RocksDB; build it with --features rocksdb to use rocksdb:PATH".into())
}
