//! The home of a node: `config.toml`, `genesis.json`, `keys/`, `data/`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use coalmine_core::Genesis;

/// A genesis has at most 65 535 addresses, each on a line.
const GENESIS_SIZE_MAX: u64 = 16 << 20;

/// The folder of a node.
#[derive(Debug, Clone)]
pub struct Home(PathBuf);

/// Why a home cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The system refuses.
    #[error("{}: {error}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// There is something already.
    #[error("{}: this folder is not empty; choose a new one with --home", .0.display())]
    Used(PathBuf),
    /// There is no home.
    #[error("{}: there is no {name} here; make a home with coalmine init, or name another one with --home", .path.display())]
    Missing {
        /// The folder.
        path: PathBuf,
        /// What is missing.
        name: &'static str,
    },
    /// The genesis does not read.
    #[error("{}: {message}", .path.display())]
    Genesis {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        message: String,
    },
}

impl Home {
    /// The home in a folder, which may not exist yet.
    #[must_use]
    pub const fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.0.join("config.toml")
    }

    /// The genesis.
    #[must_use]
    pub fn genesis_file(&self) -> PathBuf {
        self.0.join("genesis.json")
    }

    /// The folder of the keys.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    /// The folder of the database.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    /// Makes the folders of a new home.
    ///
    /// # Errors
    /// The folder is not empty, or cannot be written.
    pub fn create(&self) -> Result<(), HomeError> {
        if self.0.exists() && fs::read_dir(&self.0).map_err(|error| io_at(&self.0, error))?.next().is_some() {
            return Err(HomeError::Used(self.0.clone()));
        }
        fs::create_dir_all(&self.0).map_err(|error| io_at(&self.0, error))?;
        let keys = self.keys();
        fs::create_dir(&keys).map_err(|error| io_at(&keys, error))?;
        // The keys are files of their owner alone; that there are any is nobody's business either.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;

            fs::set_permissions(&keys, fs::Permissions::from_mode(0o700)).map_err(|error| io_at(&keys, error))?;
        }
        Ok(())
    }

    /// Writes a file of the home.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, path: &Path, text: &str) -> Result<(), HomeError> {
        fs::write(path, text).map_err(|error| io_at(path, error))
    }

    /// Reads the genesis.
    ///
    /// # Errors
    /// There is none, or it does not read.
    pub fn genesis(&self) -> Result<Genesis, HomeError> {
        let path = self.genesis_file();
        if !path.exists() {
            return Err(HomeError::Missing { path: self.0.clone(), name: "genesis.json" });
        }
        let size = fs::metadata(&path).map_err(|error| io_at(&path, error))?.len();
        if size > GENESIS_SIZE_MAX {
            let message = format!("a genesis has at most {GENESIS_SIZE_MAX} bytes, not {size}");
            return Err(HomeError::Genesis { path, message });
        }
        let text = fs::read_to_string(&path).map_err(|error| io_at(&path, error))?;
        coalmine_json::read_genesis(&text).map_err(|error| HomeError::Genesis { path, message: error.to_string() })
    }
}

fn io_at(path: &Path, error: io::Error) -> HomeError {
    HomeError::Io { path: path.into(), error }
}
