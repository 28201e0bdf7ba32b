//! A snapshot on its way: a file that nobody else sees, and that goes away by itself.
//!
//! It begins with the mark of the machine (`u32` length, then [`Applied`](crate::Applied)), after which comes what the
//! machine writes.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

/// A snapshot in a file without a name. Clones share it; each reader has a place of its own.
#[derive(Debug, Clone)]
pub struct SnapshotFile(Arc<File>);

impl SnapshotFile {
    /// A new empty one, in a folder or in that of the system.
    ///
    /// # Errors
    /// No file can be made there.
    pub fn create(folder: Option<&Path>) -> io::Result<Self> {
        let file = folder.map_or_else(tempfile::tempfile, tempfile::tempfile_in)?;
        Ok(Self(Arc::new(file)))
    }

    /// The file, to be written from its beginning.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.0
    }

    /// How long it is, in bytes.
    ///
    /// # Errors
    /// The file system fails.
    pub fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    /// Reads it from its beginning.
    #[must_use]
    pub fn reader(&self) -> impl Read + Send + 'static {
        SnapshotReader { file: Arc::clone(&self.0), at: 0 }
    }
}

struct SnapshotReader {
    file: Arc<File>,
    at: u64,
}

impl Read for SnapshotReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at = self.at.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        Ok(read)
    }
}
