//! Reads a file that others may hold, replace or write to: no link is followed, no pipe is waited for, no more is read
//! than may be, and a file that changes meanwhile is none.

use std::fs::{File, Metadata, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use crate::code::error::{CodeError, CodeProblem};

/// Which file it was, and what state it was in: another one, or one that was written to, differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    file: (u64, u64),
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Reads a whole file of at most so many bytes.
pub(crate) fn read(path: &Path, max: u64) -> Result<(Vec<u8>, Stamp), CodeError> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC).bits();
    let flags = i32::try_from(flags).unwrap_or_default();
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(CodeError::io(path))?;
    let stamp = stamp(&file, path)?;
    let too_large = |len| CodeError::new(path, CodeProblem::TooLarge { len, max });
    if stamp.len > max {
        return Err(too_large(stamp.len));
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(stamp.len).unwrap_or_default()).map_err(|_| too_large(stamp.len))?;
    // A file that grows while it is read must not be read without end.
    let read = (&mut file).take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(CodeError::io(path))?;
    let is_whole = u64::try_from(read).is_ok_and(|read| read == stamp.len);
    if !is_whole || self::stamp(&file, path)? != stamp {
        return Err(CodeError::new(path, CodeProblem::Changed));
    }
    if bytes.is_empty() {
        return Err(CodeError::new(path, CodeProblem::Empty));
    }
    Ok((bytes, stamp))
}

fn stamp(file: &File, path: &Path) -> Result<Stamp, CodeError> {
    let metadata = file.metadata().map_err(CodeError::io(path))?;
    if metadata.is_file() { Ok(Stamp::of(&metadata)) } else { Err(CodeError::new(path, CodeProblem::NotAFile)) }
}
