//! The code store: a folder of files, each named after the SHA-256 of its bytes.
//!
//! A file is written beside, synced and renamed, so a name never stands for half a file; and it is hashed again whenever
//! it is read, so a name never stands for anything else either.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use coalmine_core::Hash;

use crate::code::code_hash;
use crate::code::error::{CodeError, CodeProblem};
use crate::code::file;

/// The most bytes that the code of a version has, unless a store is opened with another limit: 32 MiB.
pub const CODE_SIZE_MAX: u64 = 32 << 20;

/// What is behind the hash in the name of a file that was put aside.
const DAMAGED: &str = ".damaged";

/// What a file ends in until it is whole.
const PARTIAL: &str = ".partial";

/// How old a partial file is before it is taken for one that a crash has left: others may be writing theirs.
const ABANDONED: Duration = Duration::from_secs(3_600);

/// Tells the partial files of one process apart.
static NEXT_PARTIAL: AtomicU64 = AtomicU64::new(0);

/// A folder of code by hash. Several processes may use it at once.
#[derive(Debug, Clone)]
pub struct CodeStore {
    folder: PathBuf,
    size_max: u64,
}

impl CodeStore {
    /// Opens a store of code of at most [`CODE_SIZE_MAX`] bytes, and makes the folder if there is none.
    ///
    /// # Errors
    /// If the folder cannot be made or read.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, CodeError> {
        Self::open_with(folder, CODE_SIZE_MAX)
    }

    /// Opens a store with another limit.
    ///
    /// # Errors
    /// As for [`CodeStore::open`].
    pub fn open_with(folder: impl Into<PathBuf>, size_max: u64) -> Result<Self, CodeError> {
        let store = Self { folder: folder.into(), size_max };
        make_folder(&store.folder)?;
        store.remove_abandoned()?;
        Ok(store)
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The most bytes that code has.
    #[must_use]
    pub const fn size_max(&self) -> u64 {
        self.size_max
    }

    /// Whether there is a file for a hash. Its bytes are checked when they are read.
    #[must_use]
    pub fn contains(&self, hash: &Hash) -> bool {
        fs::symlink_metadata(self.path(hash)).is_ok_and(|metadata| metadata.is_file())
    }

    /// Reads code and checks its hash. A file whose bytes have another hash is put aside, and counts as missing.
    ///
    /// # Errors
    /// If the code is not there, is not what its name says, or cannot be read.
    pub fn get(&self, hash: &Hash) -> Result<Vec<u8>, CodeError> {
        let path = self.path(hash);
        let (code, _) = file::read(&path, self.size_max)?;
        let found = code_hash(&code);
        if found == *hash {
            return Ok(code);
        }
        // Where it cannot be put aside, a later put replaces it.
        let _ = fs::rename(&path, self.folder.join(format!("{hash}{DAMAGED}")));
        Err(CodeError::new(&path, CodeProblem::Damaged { found }))
    }

    /// Takes code in and returns its hash. When it returns, the code is on the disk.
    ///
    /// # Errors
    /// If there is no code, too much of it, or no room for it. Nothing is left behind then.
    pub fn put(&self, code: &[u8]) -> Result<Hash, CodeError> {
        let len = u64::try_from(code.len()).unwrap_or(u64::MAX);
        if code.is_empty() {
            return Err(CodeError::new(&self.folder, CodeProblem::Empty));
        }
        if len > self.size_max {
            return Err(CodeError::new(&self.folder, CodeProblem::TooLarge { len, max: self.size_max }));
        }
        let hash = code_hash(code);
        if self.get(&hash).is_ok() {
            return Ok(hash);
        }
        let number = NEXT_PARTIAL.fetch_add(1, Ordering::Relaxed);
        let partial = self.folder.join(format!("{hash}.{}.{number}{PARTIAL}", process::id()));
        let placed = self.place(code, &partial, &self.path(&hash));
        if placed.is_err() {
            let _ = fs::remove_file(&partial);
        }
        placed.map(|()| hash)
    }

    fn place(&self, code: &[u8], partial: &Path, path: &Path) -> Result<(), CodeError> {
        let mut file = OpenOptions::new().write(true).create_new(true).open(partial).map_err(CodeError::io(partial))?;
        file.write_all(code).and_then(|()| file.sync_all()).map_err(CodeError::io(partial))?;
        fs::rename(partial, path).map_err(CodeError::io(path))?;
        // The name is as durable as the bytes only when the folder is, too.
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(CodeError::io(&self.folder))
    }

    /// The hashes that there are files for.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn hashes(&self) -> Result<BTreeSet<Hash>, CodeError> {
        let names = self.names()?.into_iter().filter(|name| name.len() == 2 * Hash::LEN);
        Ok(names.filter_map(|name| name.parse().ok()).collect())
    }

    /// Removes code. It is no error if there is none.
    ///
    /// # Errors
    /// If the file cannot be removed.
    pub fn remove(&self, hash: &Hash) -> Result<(), CodeError> {
        let path = self.path(hash);
        match fs::remove_file(&path).map_err(CodeError::io(&path)) {
            Err(error) if !matches!(error.problem(), CodeProblem::Missing) => Err(error),
            _ => Ok(()),
        }
    }

    fn path(&self, hash: &Hash) -> PathBuf {
        self.folder.join(hash.to_string())
    }

    fn names(&self) -> Result<Vec<String>, CodeError> {
        let entries = fs::read_dir(&self.folder).map_err(CodeError::io(&self.folder))?;
        let names = entries.map(|entry| entry.map(|entry| entry.file_name().into_string().ok()));
        let names: Result<Vec<Option<String>>, _> = names.collect();
        Ok(names.map_err(CodeError::io(&self.folder))?.into_iter().flatten().collect())
    }

    /// Removes the partial files that a crash has left.
    fn remove_abandoned(&self) -> Result<(), CodeError> {
        for name in self.names()?.into_iter().filter(|name| name.ends_with(PARTIAL)) {
            let path = self.folder.join(name);
            let modified = fs::symlink_metadata(&path).and_then(|metadata| metadata.modified());
            let age = modified.ok().and_then(|modified| modified.elapsed().ok());
            if age.is_some_and(|age| age > ABANDONED) {
                let _ = fs::remove_file(&path);
            }
        }
        Ok(())
    }
}

/// Makes a folder, with those above it.
pub(crate) fn make_folder(path: &Path) -> Result<(), CodeError> {
    fs::create_dir_all(path).map_err(|error| {
        // What is there already is something else.
        let is_other = error.kind() == std::io::ErrorKind::AlreadyExists;
        CodeError::new(path, if is_other { CodeProblem::NotAFolder } else { error.into() })
    })
}
