//! The folder `incoming`: people drop files here, by hand or by a tool that knows nothing of hashes.
//!
//! A file leaves it for the code store when it is certain to be whole: the ledger names its hash, or nobody has written to
//! it for a while. Whatever is no code stays where it is, and is complained about once.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use coalmine_core::Hash;

use crate::code::code_hash;
use crate::code::error::{CodeError, CodeProblem};
use crate::code::file::{self, Stamp};
use crate::code::store::{CodeStore, make_folder};

/// How long a file that the ledger does not name must have stayed as it is. Also more than the time that two changes of
/// one folder may have in common on any file system.
const SETTLED: Duration = Duration::from_secs(2);

/// The pause after the store could not take a file, as when the disk is full.
const PAUSE: Duration = Duration::from_secs(10);

/// The most entries of the folder that are looked at.
const ENTRIES_MAX: usize = 1_024;

/// What a look into the folder has found.
#[derive(Debug)]
pub enum Found {
    /// A file is in the code store now, and no longer here.
    Placed {
        /// Where it was.
        file: PathBuf,
        /// What it is.
        hash: Hash,
    },
    /// A file stays here, and is not mentioned again until it changes.
    Refused(CodeError),
}

/// The folder, and what was seen in it.
#[derive(Debug)]
pub struct Incoming {
    path: PathBuf,
    folder: File,
    /// The state of the folder when all that was in it had been dealt with.
    done: Option<Stamp>,
    /// The files that were refused, as they were then.
    refused: BTreeMap<OsString, Stamp>,
    /// Not before then is it tried again, whatever changes.
    pause: Option<Instant>,
}

impl Incoming {
    /// Opens the folder, and makes it if there is none.
    ///
    /// # Errors
    /// If it cannot be made or read.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, CodeError> {
        let path = path.into();
        make_folder(&path)?;
        let folder = File::open(&path).map_err(CodeError::io(&path))?;
        Ok(Self { path, folder, done: None, refused: BTreeMap::new(), pause: None })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a look is worth it. Costs one call of the system, whatever is in the folder.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        if self.pause.is_some_and(|until| Instant::now() < until) {
            return false;
        }
        let now = self.folder.metadata().ok().map(|metadata| Stamp::of(&metadata));
        self.done.is_none() || self.done != now
    }

    /// Looks at all files, and puts those that are whole into the store. `is_named` says whether the ledger names a hash.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn scan(&mut self, store: &CodeStore, is_named: impl Fn(&Hash) -> bool) -> Result<Vec<Found>, CodeError> {
        let metadata = self.folder.metadata().map_err(CodeError::io(&self.path))?;
        let entries = fs::read_dir(&self.path).map_err(CodeError::io(&self.path))?;
        let mut names: Vec<OsString> = entries.flatten().map(|entry| entry.file_name()).collect();
        names.sort_unstable();
        self.refused.retain(|name, _| names.binary_search(name).is_ok());
        let (mut found, mut is_done) = (Vec::new(), names.len() <= ENTRIES_MAX);
        // Hidden files are those of tools that rename when they are through.
        let is_hidden = |name: &OsString| name.as_encoded_bytes().starts_with(b".");
        for name in names.into_iter().filter(|name| !is_hidden(name)).take(ENTRIES_MAX) {
            let path = self.path.join(&name);
            match self.take(&path, &name, store, &is_named) {
                Taken::Placed(hash) => found.push(Found::Placed { file: path, hash }),
                // What stays may be written to, which does not show at the folder.
                Taken::Refused(error) => {
                    is_done = false;
                    found.push(Found::Refused(error));
                }
                Taken::RefusedBefore | Taken::NotYet => is_done = false,
                Taken::NoRoom(error) => {
                    self.pause = Instant::now().checked_add(PAUSE);
                    is_done = false;
                    found.push(Found::Refused(error));
                }
            }
        }
        // A change within the grain of the clock would not show.
        is_done &= age(&metadata).is_some_and(|age| age > SETTLED);
        self.done = is_done.then(|| Stamp::of(&metadata));
        Ok(found)
    }

    fn take(&mut self, path: &Path, name: &OsString, store: &CodeStore, is_named: impl Fn(&Hash) -> bool) -> Taken {
        let Ok(before) = fs::symlink_metadata(path) else { return Taken::NotYet };
        if self.refused.get(name) == Some(&Stamp::of(&before)) {
            return Taken::RefusedBefore;
        }
        let (code, stamp) = match file::read(path, store.size_max()) {
            Ok(read) => read,
            Err(error) => {
                // A file that is being written begins without bytes.
                let is_beginning = matches!(error.problem(), CodeProblem::Empty) && !is_settled(&before);
                if is_beginning || matches!(error.problem(), CodeProblem::Missing | CodeProblem::Changed) {
                    return Taken::NotYet;
                }
                self.refused.insert(name.clone(), Stamp::of(&before));
                return Taken::Refused(error);
            }
        };
        let hash = code_hash(&code);
        if !is_named(&hash) && !is_settled(&before) {
            return Taken::NotYet;
        }
        if let Err(error) = store.put(&code) {
            return Taken::NoRoom(error);
        }
        // Whoever replaced the file meanwhile keeps the new one.
        let is_same = fs::symlink_metadata(path).is_ok_and(|now| Stamp::of(&now) == stamp);
        if !is_same {
            return Taken::NotYet;
        }
        match fs::remove_file(path).map_err(CodeError::io(path)) {
            Ok(()) => Taken::Placed(hash),
            Err(error) => {
                self.refused.insert(name.clone(), stamp);
                Taken::Refused(error)
            }
        }
    }
}

/// What became of one file.
enum Taken {
    Placed(Hash),
    Refused(CodeError),
    RefusedBefore,
    NotYet,
    NoRoom(CodeError),
}

fn age(metadata: &fs::Metadata) -> Option<Duration> {
    SystemTime::now().duration_since(metadata.modified().ok()?).ok()
}

/// Whether nobody has written to the file for a while. A time in the future says nothing.
fn is_settled(metadata: &fs::Metadata) -> bool {
    age(metadata).is_some_and(|age| age >= SETTLED)
}
