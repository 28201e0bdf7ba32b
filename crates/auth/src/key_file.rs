//! Files with a secret key: PKCS#8 PEM that nobody but their owner can read.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::key::{KeyError, SecretKey};

/// A file with a key is at most so long, in bytes.
pub const KEY_FILE_SIZE_MAX: u64 = 16 * 1_024;

/// Why a key file cannot be read or made. No message contains anything of the key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The system refuses.
    #[error("{}: {error}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// It is no regular file.
    #[error("{}: this is no regular file", .0.display())]
    NoFile(PathBuf),
    /// Others than its owner have access.
    #[error("{}: others may read or write this key (mode {mode:03o}); chmod 600 it, and think of who has", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file is too long to be a key.
    #[error("{}: a key file is at most {KEY_FILE_SIZE_MAX} bytes long", .0.display())]
    TooLong(PathBuf),
    /// The content is no key.
    #[error("{}: {error}", .path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: KeyError,
    },
}

/// Reads a key file.
///
/// # Errors
/// It cannot be read, others have access to it, or it has no key.
pub fn read_key(path: &Path) -> Result<SecretKey, KeyFileError> {
    let text = read_secret(path)?;
    SecretKey::from_pem(&text).map_err(|error| KeyFileError::Key { path: path.into(), error })
}

/// Reads a text that is its owner's alone, such as a `priv_validator_key.json`.
///
/// # Errors
/// As for [`read_key`].
pub fn read_secret(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let refused = |error| KeyFileError::Io { path: path.into(), error };
    // What is opened is what is checked: a name may lead elsewhere a moment later.
    let file = File::open(path).map_err(refused)?;
    let metadata = file.metadata().map_err(refused)?;
    if !metadata.is_file() {
        return Err(KeyFileError::NoFile(path.into()));
    }
    let mode = mode(&metadata);
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Open { path: path.into(), mode });
    }
    if metadata.len() > KEY_FILE_SIZE_MAX {
        return Err(KeyFileError::TooLong(path.into()));
    }
    // With all the room at once, no part of the key stays behind in memory that was given back.
    let room = usize::try_from(metadata.len()).unwrap_or(0).saturating_add(1);
    let mut text = Zeroizing::new(String::with_capacity(room));
    file.take(KEY_FILE_SIZE_MAX).read_to_string(&mut text).map_err(refused)?;
    Ok(text)
}

/// Makes a key file with mode 0600, and lets it reach the disk. A file that is there stays as it is.
///
/// # Errors
/// There is a file already, or it cannot be written.
pub fn create_key(path: &Path, key: &SecretKey) -> Result<(), KeyFileError> {
    let pem = key.to_pem().map_err(|error| KeyFileError::Key { path: path.into(), error })?;
    create_secret(path, &pem)
}

/// Makes a file with a secret text in the same way.
///
/// # Errors
/// As for [`create_key`].
pub fn create_secret(path: &Path, text: &str) -> Result<(), KeyFileError> {
    let refused = |error| KeyFileError::Io { path: path.into(), error };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;

        options.mode(0o600);
    }
    let mut file = options.open(path).map_err(refused)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|error| {
        // Half a key is worse than none; if it cannot be removed either, the first error says enough.
        let _removed = std::fs::remove_file(path);
        refused(error)
    })
}

#[cfg(unix)]
fn mode(metadata: &std::fs::Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;

    metadata.permissions().mode() & 0o777
}

/// Where there are no such permissions, those of the folder have to do.
#[cfg(not(unix))]
fn mode(_metadata: &std::fs::Metadata) -> u32 {
    0
}
