//! The checkout: its folders, copies of it, and the modules of core by their names.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::{Context, Result, bail};

/// The sources of core, from the top of the checkout.
pub(crate) const CORE: &str = "crates/core/src";
/// Neither sources nor fixtures.
const NOT_COPIED: [&str; 4] = [".git", "target", "corpus", "artifacts"];

/// The top of the checkout, as cargo says when it runs this: checkouts that share a target folder share the program.
pub(crate) fn top() -> &'static Path {
    static TOP: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        PathBuf::from(folder).join("..")
    });
    &TOP
}

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| top().join("target"), |folder| top().join(folder))
}

/// The toolchain that the fuzz targets need.
pub(crate) fn nightly() -> Result<String> {
    let path = top().join("fuzz/rust-toolchain.toml");
    let channel =
        read(&path)?.lines().find_map(|line| Some(line.strip_prefix("channel = \"")?.strip_suffix('"')?.into()));
    channel.with_context(|| format!("{} names no channel", path.display()))
}

/// Reads a text file.
pub(crate) fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes a text file.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Copies a folder without what is built.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        if NOT_COPIED.iter().any(|left_out| name == *left_out) || entry.path() == target() {
            continue;
        }
        let (from, to) = (entry.path(), to.join(name));
        if kind.is_dir() {
            copy(&from, &to)?;
        } else {
            fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        }
    }
    Ok(())
}

/// The source files of core as paths within its `src`, for names that survive when a file moves.
///
/// A name stands for a file or a whole folder: `deployment` is `deployment.rs`, or all that is in
/// `deployment/`, in whatever folder it is. `execute/features` is more precise.
pub(crate) struct Modules {
    files: BTreeSet<String>,
}

impl Modules {
    /// The modules of the checkout.
    pub(crate) fn of_core() -> Result<Self> {
        let mut files = BTreeSet::new();
        add_sources(&top().join(CORE), "", &mut files)?;
        Ok(Self { files })
    }

    /// The files that a name stands for.
    ///
    /// # Errors
    ///
    /// There is none, or the name is that of several modules.
    pub(crate) fn find(&self, name: &str) -> Result<BTreeSet<&str>> {
        // The path of the module itself, for a file that belongs to one of that name.
        let module = |file: &str| -> Option<String> {
            let path = format!("/{}/", file.strip_suffix(".rs")?);
            let (folder, _) = path.split_once(&format!("/{name}/"))?;
            Some(format!("{folder}/{name}"))
        };
        let found: Vec<(String, &str)> =
            self.files.iter().filter_map(|file| Some((module(file)?, file.as_str()))).collect();
        let modules: BTreeSet<&str> = found.iter().map(|(module, _)| module.as_str()).collect();
        let at_the_root = format!("/{name}");
        let chosen = match modules.iter().copied().collect::<Vec<_>>().as_slice() {
            [] => bail!("{CORE} has no module {name}"),
            [module] => (*module).to_owned(),
            _ if modules.contains(at_the_root.as_str()) => at_the_root,
            several => bail!("{CORE} has several modules {name}: {}", several.join(", ")),
        };
        Ok(found.iter().filter(|(module, _)| *module == chosen).map(|(_, file)| *file).collect())
    }
}

/// Adds the paths of all sources in a folder.
fn add_sources(folder: &Path, prefix: &str, files: &mut BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            add_sources(&entry.path(), &format!("{path}/"), files)?;
        } else if path.ends_with(".rs") {
            files.insert(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules(files: &[&str]) -> Modules {
        Modules { files: files.iter().map(|file| (*file).into()).collect() }
    }

    #[test]
    fn a_name_stands_for_a_file_or_a_folder() {
        let files = ["feed.rs", "feature/guard.rs", "feature/mod.rs", "query/feed.rs", "execute/feed.rs", "execute.rs"];
        let check = |name: &str, expected: &[&str]| {
            let found = modules(&files).find(name).map(|found| found.into_iter().map(String::from).collect::<Vec<_>>());
            assert_eq!(found.ok(), Some(expected.iter().map(|file| (*file).into()).collect()), "{name}");
        };
        check("guard", &["feature/guard.rs"]);
        check("feature/guard", &["feature/guard.rs"]);
        check("feature", &["feature/guard.rs", "feature/mod.rs"]);
        check("feature/mod", &["feature/mod.rs"]);
        check("feed", &["feed.rs"]);
        check("query/feed", &["query/feed.rs"]);
        check("execute", &["execute.rs", "execute/feed.rs"]);
    }

    #[test]
    fn a_wrong_name_is_refused() {
        let modules = modules(&["lib.rs", "query/feed.rs", "execute/feed.rs"]);
        let error = |name| modules.find(name).unwrap_err().to_string();
        assert_eq!(error("guard"), "crates/core/src has no module guard");
        assert_eq!(error("ed"), "crates/core/src has no module ed");
        assert_eq!(error("feed"), "crates/core/src has several modules feed: /execute/feed, /query/feed");
    }

    #[test]
    fn core_has_modules() {
        let modules = Modules::of_core().unwrap();
        assert!(modules.files.contains("lib.rs") && modules.files.len() > 20);
    }

    #[test]
    fn a_copy_has_no_builds() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        for file in ["a.rs", "b/c.rs", "b/target/d.rs", ".git/e"] {
            fs::create_dir_all(from.join(file).parent().unwrap()).unwrap();
            fs::write(from.join(file), file).unwrap();
        }
        copy(&from, &to).unwrap();
        let mut files = BTreeSet::new();
        add_sources(&to, "", &mut files).unwrap();
        assert_eq!(files.into_iter().collect::<Vec<_>>(), ["a.rs", "b/c.rs"]);
        assert!(!to.join(".git").exists() && to.join("b").exists());
    }

    #[test]
    fn fuzz_names_a_nightly() {
        assert!(nightly().unwrap().starts_with("nightly"));
    }
}
