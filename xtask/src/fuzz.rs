//! The fuzz targets of `fuzz/`. The corpus grows in `fuzz/corpus` and what is found is in
//! `fuzz/artifacts`, neither of them committed.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::{host, workspace};

/// Every target, and how long its input may be. Longer input makes a run slow and finds nothing more; a
/// world is chosen by few bytes.
const TARGETS: [(&str, u32); 10] = [
    ("block", 3072),
    ("blockfile", 2048),
    ("decode", 512),
    ("dump", 2048),
    ("execute", 1024),
    ("feed", 1024),
    ("load", 64),
    ("proof", 3072),
    ("restore", 2048),
    ("version", 256),
];

/// Which targets to run, and how long.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The targets to run; without any, all of them
    #[arg(value_parser = TARGETS.map(|(target, _)| target))]
    targets: Vec<String>,
    /// One pass of this many executions of each target, in place of a million with AddressSanitizer and 10⁸ without
    #[arg(long, value_name = "NUMBER")]
    executions: Option<u64>,
    /// With AddressSanitizer, and no allocation above 64 MB
    #[arg(long, requires = "executions")]
    asan: bool,
}

/// A way to run targets. There is no unsafe code here, so they go without a sanitizer ten times as fast.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sanitizer {
    None,
    Address,
}

impl Sanitizer {
    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Address => "address",
        }
    }

    fn limits(self) -> &'static [&'static str] {
        match self {
            Self::None => &["-rss_limit_mb=2048"],
            Self::Address => &["-rss_limit_mb=2048", "-malloc_limit_mb=64"],
        }
    }
}

impl Args {
    fn passes(&self) -> Vec<(Sanitizer, u64)> {
        match self.executions {
            None => vec![(Sanitizer::Address, 1_000_000), (Sanitizer::None, 100_000_000)],
            Some(executions) if self.asan => vec![(Sanitizer::Address, executions)],
            Some(executions) => vec![(Sanitizer::None, executions)],
        }
    }
}

/// Runs the targets, each in a process of its own, and prints a line for each.
pub(crate) fn run(args: &Args) -> Result<()> {
    host::tool("cargo-fuzz")?;
    let mut faults = Vec::new();
    for (sanitizer, executions) in args.passes() {
        let is_wanted = |target: &str| args.targets.is_empty() || args.targets.iter().any(|wanted| wanted == target);
        for (target, len_max) in TARGETS.into_iter().filter(|(target, _)| is_wanted(target)) {
            if !run_target(target, len_max, sanitizer, executions)? {
                faults.push(format!("{target}: something was found; see fuzz/artifacts/{target}.log"));
            }
        }
    }
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    Ok(())
}

/// Runs one target; whether nothing was found.
fn run_target(target: &str, len_max: u32, sanitizer: Sanitizer, executions: u64) -> Result<bool> {
    let fuzz = workspace::top().join("fuzz");
    let [corpus, seeds, artifacts] = ["corpus", "seeds", "artifacts"].map(|kind| format!("{kind}/{target}"));
    let folder = fuzz.join(&artifacts);
    fs::create_dir_all(fuzz.join(&corpus))?;
    fs::create_dir_all(&folder)?;
    let built = match env::var_os("CARGO_TARGET_DIR") {
        Some(_) => workspace::target().join("fuzz"),
        None => fuzz.join("target"),
    };
    let command = |verb: &str| -> Result<std::process::Command> {
        let mut cargo = host::nightly_cargo(&[])?;
        cargo.current_dir(&fuzz).args(["fuzz", verb, "-s", sanitizer.name(), "--target-dir"]);
        cargo.arg(built.join(sanitizer.name())).arg(target);
        Ok(cargo)
    };
    host::run(&mut command("build")?)?;
    let path = folder.with_extension("log");
    let log = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut cargo = command("run")?;
    cargo.args([&corpus, &seeds]).args(["--", &format!("-runs={executions}"), &format!("-max_len={len_max}")]);
    cargo.arg("-print_final_stats=1").args(sanitizer.limits());
    let status = cargo.stdout(log.try_clone()?).stderr(log).status().context("cannot run cargo fuzz")?;
    let crashes = crashes(&folder)?;
    let is_ok = status.success() && crashes == 0;
    let figures = Figures::of_log(&String::from_utf8_lossy(&fs::read(&path)?));
    let Figures { executions, speed, coverage } = figures;
    let word = if status.success() { "ok" } else { "found" };
    println!("{target:10} {executions} executions, {speed} per second, coverage {coverage}, crashes {crashes}, {word}");
    Ok(is_ok)
}

/// How many inputs were kept that crash. A slow one tells of a busy machine as well as of slow code.
fn crashes(folder: &Path) -> Result<usize> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
    let is_crash = |path: &&PathBuf| {
        path.is_file() && !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("slow-unit-"))
    };
    Ok(entries.iter().filter(is_crash).count())
}

/// What the fuzzer prints at its end, as it stands there.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Figures {
    executions: String,
    speed: String,
    coverage: String,
}

impl Figures {
    fn of_log(log: &str) -> Self {
        let mut figures = Self::default();
        for line in log.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let after = |word: &str| words.iter().skip_while(|found| **found != word).nth(1).map(|word| (*word).into());
            figures.executions = after("stat::number_of_executed_units:").unwrap_or(figures.executions);
            figures.speed = after("stat::average_exec_per_sec:").unwrap_or(figures.speed);
            figures.coverage = after("cov:").unwrap_or(figures.coverage);
        }
        figures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_run() {
        let entries = fs::read_dir(workspace::top().join("fuzz/fuzz_targets")).unwrap();
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let names: Vec<_> = files.iter().map(|file| file.file_stem().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, TARGETS.map(|(target, _)| target));
        assert!(names.iter().all(|name| workspace::top().join("fuzz/seeds").join(name).is_dir()));
    }

    #[test]
    fn the_long_form_has_two_passes() {
        let check = |executions, asan, expected: &[(Sanitizer, u64)]| {
            assert_eq!(Args { targets: Vec::new(), executions, asan }.passes(), expected);
        };
        check(None, false, &[(Sanitizer::Address, 1_000_000), (Sanitizer::None, 100_000_000)]);
        check(Some(5), false, &[(Sanitizer::None, 5)]);
        check(Some(5), true, &[(Sanitizer::Address, 5)]);
    }

    #[test]
    fn figures_are_read() {
        let log = "INFO: Running\n#2\tINITED cov: 12 ft: 13 corp: 1/1b\n#9\tDONE   cov: 345 ft: 346\n\
                   stat::number_of_executed_units: 1000\nstat::average_exec_per_sec:     250\n";
        let figures = Figures { executions: "1000".into(), speed: "250".into(), coverage: "345".into() };
        assert_eq!(Figures::of_log(log), figures);
        assert_eq!(Figures::of_log("error"), Figures::default());
    }

    #[test]
    fn a_slow_input_is_no_crash() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(crashes(folder.path()).unwrap(), 0);
        for name in ["slow-unit-1", "crash-1", "oom-1"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(crashes(folder.path()).unwrap(), 2);
    }
}
