//! Finds log records on which RocksDB's reader loops forever, before it sees them.
//!
//! A log and a MANIFEST consist of 32 KiB blocks, and a block of records, each with a header of
//! checksum, length, and type. Some types occur only in log files that RocksDB recycles. We never
//! recycle, but if the reader meets such a type after another record, it retries that record forever,
//! before it compares the checksum. So a single flipped bit can keep the database from ever opening.
//! This module looks for nothing else; RocksDB checks the checksums.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use crate::error::Problem;
use crate::tip_file::io_problem;

const BLOCK_LEN: u64 = 32 << 10;
const HEADER_LEN: usize = 7;

/// The record types of recycled log files.
const REUSED: [u8; 6] = [5, 6, 7, 8, 11, 131];

/// Refuses a store with such a record in a log or MANIFEST.
pub(crate) fn check_logs(folder: &Path) -> Result<(), Problem> {
    each_file(folder, |name, file| match find(file)? {
        Some(at) => Err(Problem::Damaged(format!("{name} has a record of a type that is not written, at byte {at}"))),
        None => Ok(()),
    })
}

/// Changes such records in logs into ones that RocksDB reports as damaged.
pub(crate) fn mend_logs(folder: &Path) -> Result<(), Problem> {
    each_file(folder, |name, file| {
        while is_log(name)
            && let Some(at) = find(file)?
        {
            let mend = file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(&[0]));
            mend.map_err(|error| io_problem(&error))?;
        }
        Ok(())
    })?;
    check_logs(folder)
}

fn is_log(name: &str) -> bool {
    name.ends_with(".log")
}

fn each_file(folder: &Path, mut visit: impl FnMut(&str, &mut File) -> Result<(), Problem>) -> Result<(), Problem> {
    for entry in fs::read_dir(folder).map_err(|error| io_problem(&error))? {
        let entry = entry.map_err(|error| io_problem(&error))?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| is_log(name) || name.starts_with("MANIFEST-")) else { continue };
        let opened = File::options().read(true).write(true).open(entry.path());
        visit(name, &mut opened.map_err(|error| io_problem(&error))?)?;
    }
    Ok(())
}

/// Finds the offset of the type byte of the first such record.
fn find(file: &mut File) -> Result<Option<u64>, Problem> {
    file.rewind().map_err(|error| io_problem(&error))?;
    let mut block = Vec::new();
    let mut start = 0_u64;
    loop {
        block.clear();
        let read = file.take(BLOCK_LEN).read_to_end(&mut block).map_err(|error| io_problem(&error))?;
        if read == 0 {
            return Ok(None);
        }
        if let Some(at) = find_in_block(&block) {
            return Ok(Some(start.saturating_add(at)));
        }
        start = start.saturating_add(BLOCK_LEN);
    }
}

fn find_in_block(block: &[u8]) -> Option<u64> {
    let mut rest = block;
    while let Some((&[_, _, _, _, len_low, len_high, kind], after)) = rest.split_first_chunk::<HEADER_LEN>() {
        if REUSED.contains(&kind) {
            let at = block.len().saturating_sub(after.len()).saturating_sub(1);
            return u64::try_from(at).ok();
        }
        let len = usize::from(len_high).saturating_mul(256).saturating_add(usize::from(len_low));
        // A hole: where the next record starts is unknown, and RocksDB skips the rest of the block too.
        if kind == 0 && len == 0 {
            return None;
        }
        rest = after.get(len..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_looked_for_where_the_reader_sees_one() {
        let record = |kind: u8, len: u8| [&[9, 9, 9, 9, len, 0, kind], vec![5; usize::from(len)].as_slice()].concat();
        let rows: [(&[Vec<u8>], Option<u64>); 7] = [
            (&[], None),
            (&[record(1, 3), record(2, 0), record(10, 20), record(130, 1)], None),
            (&[record(5, 3)], Some(6)),
            (&[record(1, 3), record(131, 0)], Some(16)),
            // Cut short: there is no type, or the record does not end.
            (&[record(1, 3), vec![9, 9, 9, 9, 0, 0]], None),
            (&[vec![9, 9, 9, 9, 50, 0, 1], record(5, 0)], None),
            // Behind a hole.
            (&[record(1, 3), vec![0; 11], record(5, 0)], None),
        ];
        let mut file = tempfile::tempfile().unwrap();
        for (records, at) in rows {
            let block = records.concat();
            assert_eq!(find_in_block(&block), at, "{records:?}");
            // The next block begins anew.
            let len = usize::try_from(BLOCK_LEN).unwrap();
            file.rewind().unwrap();
            file.write_all(&[vec![0; len], block].concat()).unwrap();
            assert_eq!(find(&mut file).unwrap(), at.map(|at| at + BLOCK_LEN), "{records:?}");
            file.set_len(0).unwrap();
        }
    }
}
