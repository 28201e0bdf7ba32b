//! The modules of core's integration tests, for the harnesses that run the tests of core over and over.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, bail};

use crate::workspace;

/// These search for minutes what others reach in seconds.
pub(crate) const SLOW: [&str; 4] = ["buckets", "edges", "planted", "search"];
/// These catch most mutants per second, and so are the first to run, in this order.
const FIRST_FOR_MUTANTS: [&str; 6] = ["plugins", "format", "plugin_vectors", "vectors", "tree", "plugin_loading"];
/// These measure, or read documents.
const NOT_FOR_MUTANTS: [&str; 2] = ["architecture", "bounds"];

/// The names of all modules.
fn all() -> Result<BTreeSet<String>> {
    let folder = workspace::top().join("crates/core/tests/it");
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        // A large module is a folder.
        let name = entry?.file_name().to_string_lossy().into_owned();
        let name = name.strip_suffix(".rs").unwrap_or(&name);
        if !["main", "common"].contains(&name) {
            names.insert(name.into());
        }
    }
    Ok(names)
}

/// The modules that tell whether core does the right thing, in the order in which a mutant meets them.
pub(crate) fn for_mutants() -> Result<Vec<String>> {
    let mut modules = all()?;
    for left_out in SLOW.into_iter().chain(NOT_FOR_MUTANTS).chain(FIRST_FOR_MUTANTS) {
        if !modules.remove(left_out) {
            bail!("core has no tests {left_out}");
        }
    }
    Ok(FIRST_FOR_MUTANTS.into_iter().map(String::from).chain(modules).collect())
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
    fn mutants_meet_all_modules_but_the_slow_ones() {
        let modules = for_mutants().unwrap();
        assert!(modules.starts_with(&FIRST_FOR_MUTANTS.map(String::from)));
        assert!(modules.iter().any(|module| module == "lifecycle"));
        assert!(!modules.iter().any(|module| SLOW.contains(&module.as_str())));
        assert_eq!(modules.len() + SLOW.len() + NOT_FOR_MUTANTS.len(), all().unwrap().len());
    }
}
