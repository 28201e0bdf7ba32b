//! Arguments that name a file or a store, and which of them are the same file under another name.

use std::fs::{self, File};
use std::io;
use std::path::Path;
#[cfg(not(unix))]
use std::path::PathBuf;

use coalmine_json::blockfile::WatchedFile;

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
    match WatchedFile::open(Path::new(argument)) {
        Ok(file) => Ok((argument.into(), Box::new(file))),
        Err(error) => Err(Error::Input(format!("{argument}: cannot be read: {error}"))),
    }
}

/// What a command reads, so that its output can be kept away from it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Input<'a> {
    /// A file; `-` is standard input.
    File(&'a Path),
    /// The folder of a store.
    Store(&'a Path),
}

impl<'a> Input<'a> {
    /// What a SOURCE reads.
    pub(crate) fn source(argument: &'a str) -> Self {
        store_path(argument).map_or(Self::File(Path::new(argument)), Self::Store)
    }

    /// Whether this reads `file`, under whatever name.
    pub(crate) fn reads(self, file: &FileId) -> bool {
        match self {
            Self::File(path) if path.as_os_str() == "-" => FileId::of_stdin().as_ref() == Some(file),
            Self::File(path) => FileId::of(path).as_ref() == Some(file),
            Self::Store(folder) => {
                let entries = fs::read_dir(folder).into_iter().flatten().flatten();
                entries.into_iter().any(|entry| FileId::of(&entry.path()).as_ref() == Some(file))
            }
        }
    }
}

/// Which regular file it is, whatever its names. Two descriptors of a terminal or a pipe are never the same: writing
/// there destroys nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileId {
    #[cfg(unix)]
    device_and_inode: (u64, u64),
    #[cfg(not(unix))]
    path: PathBuf,
}

impl FileId {
    /// The file that a path leads to; `None` if it is no regular file.
    #[cfg(unix)]
    pub(crate) fn of(path: &Path) -> Option<Self> {
        Self::of_metadata(&fs::metadata(path).ok()?)
    }

    #[cfg(unix)]
    fn of_metadata(metadata: &fs::Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;

        metadata.is_file().then(|| Self { device_and_inode: (metadata.dev(), metadata.ino()) })
    }

    /// The file that standard input is redirected from.
    #[cfg(unix)]
    fn of_stdin() -> Option<Self> {
        Self::of_descriptor(&io::stdin())
    }

    /// The file that standard output is redirected to.
    #[cfg(unix)]
    pub(crate) fn of_stdout() -> Option<Self> {
        Self::of_descriptor(&io::stdout())
    }

    #[cfg(unix)]
    fn of_descriptor(descriptor: &impl std::os::fd::AsFd) -> Option<Self> {
        let file = File::from(descriptor.as_fd().try_clone_to_owned().ok()?);
        Self::of_metadata(&file.metadata().ok()?)
    }

    /// The file that a path leads to; `None` if it is no regular file. Hard links are not seen here.
    #[cfg(not(unix))]
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let path = fs::canonicalize(path).ok().filter(|path| path.is_file())?;
        Some(Self { path })
    }

    /// Standard input has no path.
    #[cfg(not(unix))]
    fn of_stdin() -> Option<Self> {
        None
    }

    /// Standard output has no path.
    #[cfg(not(unix))]
    pub(crate) fn of_stdout() -> Option<Self> {
        None
    }
}

/// The error of a build without RocksDB.
#[cfg(not(feature = "rocksdb"))]
pub(crate) fn no_rocksdb() -> Error {
    Error::Input("this build has no RocksDB; build it with --features rocksdb to use rocksdb:PATH".into())
}
