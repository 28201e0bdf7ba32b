//! The modules of core's integration tests, for the harnesses that run the tests of core over and over.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, bail};

use crate::workspace;

/// These search for minutes what others reach in seconds.
pub(crate) const SLOW: [&str; 3] = ["buckets", "edges", "search"];
/// Those that catch most mutants per second come first; the modules that are not here measure, or are slow.
pub(crate) const FOR_MUTANTS: &[&str] = &[
    "plugins",
    "format",
    "plugin_vectors",
    "vectors",
    "tree",
    "plugin_loading",
    "roles",
    "feed",
    "lifecycle",
    "rules",
    "guardian",
    "plugin_properties",
    "model",
    "robust",
];

/// The names of all modules.
fn all() -> Result<BTreeSet<String>> {
    let folder = workspace::top().join("crates/core/tests/it");
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(".rs").filter(|name| *name != "main").map(String::from));
    }
    Ok(names)
}

/// How the tests of a module are called, at the beginning.
///
/// # Errors
///
/// There is no such module.
pub(crate) fn filter(module: &str) -> Result<String> {
    if !all()?.contains(module) {
        bail!("core has no tests {module}");
    }
    Ok(format!("{module}::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_of_tests_has_a_filter() {
        assert_eq!(filter("lifecycle").unwrap(), "lifecycle::");
        assert_eq!(filter("life").unwrap_err().to_string(), "core has no tests life");
        assert!(filter("main").is_err());
    }

    #[test]
    fn no_module_is_forgotten_for_mutants() {
        let known: BTreeSet<String> =
            FOR_MUTANTS.iter().chain(&SLOW).chain(&["bounds"]).map(|name| (*name).into()).collect();
        assert_eq!(known, all().unwrap());
    }
}
