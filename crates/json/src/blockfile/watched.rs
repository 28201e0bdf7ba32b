//! A file that tells whether it was changed while it was read.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;
use std::time::SystemTime;

/// A file that is read from its beginning to its end, and must not change meanwhile: what a writer appends or replaces
/// in the middle would be read as if it were one file. Pipes and devices may.
#[derive(Debug)]
pub struct WatchedFile {
    file: File,
    /// Length and time of the last change when it was opened; `None` if it is no regular file.
    opened: Option<(u64, Option<SystemTime>)>,
}

impl WatchedFile {
    /// Opens a file.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let opened = state(&file.metadata()?);
        Ok(Self { file, opened })
    }
}

fn state(metadata: &Metadata) -> Option<(u64, Option<SystemTime>)> {
    metadata.is_file().then(|| (metadata.len(), metadata.modified().ok()))
}

impl Read for WatchedFile {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read(bytes)?;
        if len == 0 && !bytes.is_empty() && self.opened.is_some() && state(&self.file.metadata()?) != self.opened {
            return Err(io::Error::other("it was changed while it was read; try again when nobody writes it"));
        }
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;

    /// Reads a part, lets `change` have the path, and reads the rest.
    fn read(change: impl FnOnce(&Path)) -> io::Result<Vec<u8>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("file");
        fs::write(&path, [7; 100])?;
        File::options().write(true).open(&path)?.set_modified(SystemTime::UNIX_EPOCH)?;
        let mut file = WatchedFile::open(&path)?;
        let mut bytes = vec![0; 10];
        file.read_exact(&mut bytes)?;
        change(&path);
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn a_change_is_told_at_the_end() {
        assert_eq!(read(|_| ()).unwrap(), [7; 100]);
        let append = |path: &Path| File::options().append(true).open(path).unwrap().write_all(b"more").unwrap();
        let cut = |path: &Path| File::options().write(true).open(path).unwrap().set_len(50).unwrap();
        let overwrite = |path: &Path| File::options().write(true).open(path).unwrap().write_all(&[8; 100]).unwrap();
        let changes: [fn(&Path); 3] = [append, cut, overwrite];
        for change in changes {
            assert!(read(change).unwrap_err().to_string().contains("it was changed while it was read"));
        }
        // Another file that takes its name is another file.
        assert_eq!(read(|path| fs::remove_file(path).unwrap()).unwrap(), [7; 100]);
        let mut bytes = Vec::new();
        WatchedFile::open(Path::new("/dev/null")).unwrap().read_to_end(&mut bytes).unwrap();
        assert!(bytes.is_empty());
    }
}
