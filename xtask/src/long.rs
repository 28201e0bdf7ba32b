//! The harnesses that are cargo tests, in their long form: variables make them larger.
//!
//! `scripts/test` runs the same tests in their short form.

use std::process::Command;

use anyhow::{Result, bail};

use crate::host;

/// A run of some tests of a package.
pub(crate) struct Tests {
    package: &'static str,
    /// How the names of the tests begin.
    filter: &'static str,
    variables: &'static [(&'static str, &'static str)],
    /// With all features of the workspace: RocksDB, and the engine of plugins.
    has_features: bool,
}

const fn core(filter: &'static str, variables: &'static [(&'static str, &'static str)]) -> Tests {
    Tests { package: "coalmine-core", filter, variables, has_features: false }
}

pub(crate) const SEARCH: &[Tests] = &[core("search::", &[("COALMINE_SEARCH_HEIGHTS", "5")])];
pub(crate) const WORLDS: &[Tests] = &[core("model::worlds_of_", &[("COALMINE_MODEL_WORLDS", "3200")])];
pub(crate) const EDGES: &[Tests] = &[core("edges::", &[])];
pub(crate) const ROLES: &[Tests] =
    &[core("roles::", &[]), core("guardian::", &[("COALMINE_GUARDIAN_BLOCKS", "1000000")])];
pub(crate) const BOUNDS: &[Tests] =
    &[core("bounds::", &[("COALMINE_BOUNDS_BLOCKS", "100000"), ("COALMINE_BOUNDS_IDLE", "1000000")])];
pub(crate) const BUCKETS: &[Tests] = &[core("buckets::", &[("COALMINE_BUCKETS", "long")])];
pub(crate) const GOLDEN: &[Tests] =
    &[Tests { package: "coalmine-replay", filter: "golden::", variables: &[], has_features: true }];
pub(crate) const DURABILITY: &[Tests] = &[Tests {
    package: "coalmine-store",
    filter: "durability::",
    variables: &[
        ("COALMINE_KILLS", "1000"),
        ("COALMINE_IO_FAULTS", "all"),
        ("COALMINE_POWER_CUTS", "60"),
        ("COALMINE_BIT_ROT", "all"),
    ],
    has_features: true,
}];

pub(crate) const PLUGINS: &[Tests] = &[Tests {
    package: "coalmine-host",
    filter: "soak::",
    variables: &[("COALMINE_SOAK", "150000")],
    has_features: true,
}];

pub(crate) const NODE_KILLS: &[Tests] = &[Tests {
    package: "coalmine-node",
    filter: "survival::",
    variables: &[("COALMINE_NODE_KILLS", "1000"), ("COALMINE_NODE_FAULTS", "40")],
    has_features: true,
}];

/// Runs tests one after another. What they count and measure is printed.
pub(crate) fn run(tests: &[Tests]) -> Result<()> {
    tests.iter().try_for_each(|tests| {
        if !host::output(&mut tests.command("--list"))?.lines().any(|line| line.ends_with(": test")) {
            bail!("no test is called {}", tests.filter);
        }
        host::run(&mut tests.command("--nocapture"))
    })
}

/// The same, with a command that some of the tests need. They say themselves what they skip without it.
pub(crate) fn run_with(command: &str, tests: &[Tests]) -> Result<()> {
    if let Err(error) = host::packages(&format!("command -v {command}"), &[command]) {
        eprintln!("SKIPPED: what needs {command}: {error:#}");
    }
    run(tests)
}

impl Tests {
    fn command(&self, option: &str) -> Command {
        let mut cargo = host::cargo();
        cargo.args(["test", "--release", "--locked"]);
        if self.has_features {
            // Of the whole workspace, so that what takes long is compiled once.
            cargo.args(["--workspace", "--all-features"]);
        } else {
            cargo.args(["-p", self.package]);
        }
        cargo.args(["--test", "it", "--", option, self.filter]).envs(self.variables.iter().copied());
        cargo
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    const ALL: [&[Tests]; 10] =
        [SEARCH, WORLDS, EDGES, ROLES, BOUNDS, BUCKETS, GOLDEN, DURABILITY, NODE_KILLS, PLUGINS];

    #[test]
    fn the_tests_are_there() {
        for tests in ALL.into_iter().flatten() {
            let package = tests.package.strip_prefix("coalmine-").unwrap();
            let (module, test) = tests.filter.split_once("::").unwrap();
            let path = workspace::top().join(format!("crates/{package}/tests/it/{module}"));
            let mut files = vec![path.with_extension("rs")];
            if path.is_dir() {
                files = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
            }
            let text: String = files.iter().map(|file| workspace::read(file).unwrap()).collect();
            assert!(text.contains(&format!("fn {test}")), "{}", tests.filter);
            for (name, _) in tests.variables {
                assert!(text.contains(&format!("\"{name}\"")), "{}: {name}", tests.filter);
            }
        }
    }

    #[test]
    fn a_run_is_one_command() {
        let check =
            |tests: &[Tests], expected: &str| assert_eq!(host::line(&tests[0].command("--nocapture")), expected);
        check(
            WORLDS,
            "COALMINE_MODEL_WORLDS=3200 cargo test --release --locked -p coalmine-core --test it -- --nocapture model::worlds_of_",
        );
        check(GOLDEN, "cargo test --release --locked --workspace --all-features --test it -- --nocapture golden::");
    }
}
