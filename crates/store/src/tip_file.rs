//! `COALMINE_TIP`: a file in the folder of a RocksDB store that carries its lock and the acknowledged tip.
//!
//! No recovery mode of RocksDB can tell a block whose write was cut short, which must be dropped,
//! from an acknowledged block that was lost with the end of the log, which must be an error. So each
//! synced commit is noted here once it is in the log, in place and without a sync of its own. The
//! note is never ahead of what is durable. It survives the death of the process at once, and a loss
//! of power as soon as the system has written it back. A store that holds less has lost blocks.
//!
//! The note is one line of text of fixed length: `coalmine tip HEIGHT ROOT`.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;

use crate::error::Problem;
use crate::tip::Tip;

/// The name of the file. RocksDB ignores files that it does not know.
pub(crate) const TIP_FILE: &str = "COALMINE_TIP";

/// Longer than any note, so a longer file is damaged.
const LEN_MAX: u64 = 256;

/// The open and locked file.
#[derive(Debug)]
pub(crate) struct TipFile(File);

impl TipFile {
    /// Opens the file of a store, or creates it, and locks it until it is dropped.
    pub(crate) fn open(folder: &Path) -> Result<Self, Problem> {
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(folder.join(TIP_FILE));
        let file = open.map_err(|error| io_problem(&error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(Problem::Locked),
            Err(TryLockError::Error(error)) => Err(io_problem(&error)),
        }
    }

    /// Reads the acknowledged tip; `None` if no commit has been noted yet.
    pub(crate) fn read(&self) -> Result<Option<Tip>, Problem> {
        let mut bytes = Vec::new();
        let mut file = &self.0;
        file.rewind().and_then(|()| file.take(LEN_MAX).read_to_end(&mut bytes)).map_err(|error| io_problem(&error))?;
        // After a loss of power a new file can be empty or all zeros.
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        parse(&bytes).map(Some).ok_or(Problem::TipFile(TIP_FILE))
    }

    /// Notes an acknowledged tip.
    pub(crate) fn write(&self, tip: &Tip) -> Result<(), Problem> {
        let mut file = &self.0;
        file.rewind().and_then(|()| file.write_all(render(tip).as_bytes())).map_err(|error| io_problem(&error))
    }

    /// Makes the note durable.
    pub(crate) fn sync(&self) -> Result<(), Problem> {
        self.0.sync_all().map_err(|error| io_problem(&error))
    }
}

impl Drop for TipFile {
    /// Closing is not enough: a forked process that has not yet called exec shares the lock.
    fn drop(&mut self) {
        let _closed_below = self.0.unlock();
    }
}

fn render(tip: &Tip) -> String {
    let height = tip.height.map_or_else(|| "genesis".into(), |height| height.to_string());
    format!("coalmine tip {height:>10} {}\n", tip.root)
}

fn parse(bytes: &[u8]) -> Option<Tip> {
    let text = str::from_utf8(bytes).ok()?;
    let mut words = text.split_ascii_whitespace().skip(2);
    let (height, root) = (words.next()?, words.next()?);
    let height = if height == "genesis" { None } else { Some(height.parse().ok()?) };
    let tip = Tip { height, root: root.parse().ok()? };
    (render(&tip) == text).then_some(tip)
}

/// Classifies a failed file operation.
pub(crate) fn io_problem(error: &io::Error) -> Problem {
    let text = error.to_string();
    if error.kind() == io::ErrorKind::StorageFull {
        Problem::Full(text)
    } else if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) {
        Problem::NotWritable(text)
    } else {
        Problem::Other(text)
    }
}

#[cfg(test)]
mod tests {
    use coalmine_core::Hash;

    use super::*;

    #[test]
    fn notes_are_of_one_length_and_read_back() {
        let root = Hash([0xa5; 32]);
        for height in [None, Some(0), Some(7), Some(u32::MAX)] {
            let tip = Tip { height, root };
            let text = render(&tip);
            assert_eq!(text.len(), render(&Tip { height: None, root }).len());
            assert_eq!(parse(text.as_bytes()), Some(tip));
            for at in 0..text.len() {
                let mut bad = text.clone().into_bytes();
                bad[at] ^= 0x80;
                assert_eq!(parse(&bad), None, "{at}");
                assert_eq!(parse(&text.as_bytes()[..at]), None, "{at}");
            }
        }
    }

    #[test]
    fn a_file_is_locked_once_and_keeps_its_note() {
        let folder = tempfile::tempdir().unwrap();
        let file = TipFile::open(folder.path()).unwrap();
        assert_eq!(file.read().unwrap(), None);
        assert!(matches!(TipFile::open(folder.path()), Err(Problem::Locked)));
        let tip = Tip { height: Some(9), root: Hash([1; 32]) };
        file.write(&tip).unwrap();
        assert_eq!(file.read().unwrap(), Some(tip));
        drop(file);
        assert_eq!(TipFile::open(folder.path()).unwrap().read().unwrap(), Some(tip));

        std::fs::write(folder.path().join(TIP_FILE), [0; 90]).unwrap();
        assert_eq!(TipFile::open(folder.path()).unwrap().read().unwrap(), None);
        std::fs::write(folder.path().join(TIP_FILE), "coalmine tip").unwrap();
        assert!(matches!(TipFile::open(folder.path()).unwrap().read(), Err(Problem::TipFile(_))));
    }
}
