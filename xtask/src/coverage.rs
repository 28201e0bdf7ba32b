//! Which lines, regions and branches of core its own tests reach, with a failure below what is promised
//! of them. Branches need a nightly compiler.
//!
//! Lines are counted as llvm-cov does, but without the unit tests at the end of each file and without what
//! an assertion says cannot happen.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::asserted::Asserted;
use crate::workspace::{self, Modules};
use crate::{core_tests, host};

/// Of the lines of core, in percent.
const LINES_MIN: u64 = 95;
/// Bytes in and out: every line and every region.
const CODEC: [&str; 13] = [
    "block",
    "codec",
    "command",
    "event",
    "feature/record",
    "genesis",
    "key",
    "ledger",
    "reject",
    "rounds",
    "rules",
    "schedule",
    "tags",
];
/// Rollback, breaker, pause, price, rounds and timelock: every branch.
const GUARDS: [&str; 13] = [
    "feature/guard",
    "feature/lifecycle",
    "plugin/engine",
    "execute/deployments",
    "execute/executor",
    "execute/features",
    "execute/finish",
    "execute/ledger",
    "execute/mod",
    "execute/price",
    "execute/rounds",
    "execute/trust",
    "execute/versions",
];

/// What to measure.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Measure again without this module of tests, which must fail
    #[arg(long, value_name = "MODULE")]
    without: Option<String>,
    /// Judge an export that was made before
    #[arg(long, value_name = "FILE", conflicts_with = "without")]
    judge: Option<PathBuf>,
}

/// Measures and judges.
pub(crate) fn run(args: &Args) -> Result<()> {
    let export = match &args.judge {
        Some(export) => export.clone(),
        None => measure(args.without.as_deref())?,
    };
    let text = workspace::read(&export)?;
    let Export { data: [data] } =
        serde_json::from_str(&text).with_context(|| format!("{}: no export of llvm-cov", export.display()))?;
    let modules = Modules::of_core()?;
    let sources = data.files.iter().filter_map(|file| {
        let path = path_of(&file.filename)?.to_owned();
        Some(workspace::read(Path::new(&file.filename)).map(|text| (path, text)))
    });
    let report = Report::new(&data, &sources.collect::<Result<_>>()?)?;
    let (codec, guards) = (promised(&modules, &CODEC)?, promised(&modules, &GUARDS)?);
    report.print(&codec);
    let faults = report.faults(&codec, &guards);
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    Ok(())
}

/// The files of which something is promised.
fn promised(modules: &Modules, names: &[&str]) -> Result<BTreeSet<String>> {
    let found = names.iter().map(|name| modules.find(name)).collect::<Result<Vec<_>>>()?;
    Ok(found.into_iter().flatten().map(Into::into).collect())
}

/// Runs the tests of core, without those of one module if there is a name, and returns the export of llvm-cov.
fn measure(without: Option<&str>) -> Result<PathBuf> {
    host::packages("command -v cc", &["gcc", "libc6-dev"])?;
    host::tool("cargo-llvm-cov")?;
    let export = workspace::target().join("coverage.json");
    fs::create_dir_all(workspace::target())?;
    let mut cargo = host::nightly_cargo(&["llvm-tools"])?;
    cargo.arg("llvm-cov");
    if without.is_some() {
        host::run(host::nightly_cargo(&[])?.args(["llvm-cov", "clean", "--workspace", "--profraw-only"]))?;
        cargo.arg("--no-clean");
    }
    cargo.args(["--release", "--locked", "--branch", "-p", "coalmine-core", "--lib", "--test", "it"]);
    cargo.args(["--json", "--output-path"]).arg(&export).arg("--");
    for module in core_tests::SLOW.into_iter().chain(without) {
        cargo.args(["--skip", &core_tests::filter(module)?]);
    }
    // Under valgrind there is nothing to cover, and a leak is looked for where the spam was already.
    cargo.args(["--skip", "idle_", "--skip", "size_tells_a_leak"]);
    host::run(cargo.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"))?;
    Ok(export)
}

/// The path of a source of core within its `src`.
fn path_of(file: &str) -> Option<&str> {
    let (_, path) = file.split_once(&format!("{}/", workspace::CORE))?;
    path.ends_with(".rs").then_some(path)
}

/// What llvm-cov exports. Its lists are read as the records that they are.
#[derive(Debug, Deserialize)]
struct Export {
    data: [Data; 1],
}

#[derive(Debug, Deserialize)]
struct Data {
    files: Vec<SourceFile>,
    functions: Vec<Function>,
}

#[derive(Debug, Deserialize)]
struct SourceFile {
    filename: String,
    segments: Vec<Segment>,
}

#[derive(Debug, Deserialize)]
struct Function {
    filenames: Vec<String>,
    regions: Vec<Region>,
    branches: Vec<Branch>,
}

/// From its place on, until the next one, a file is run `count` times.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Segment {
    line: u32,
    #[serde(rename = "column")]
    _column: u32,
    count: u64,
    has_count: bool,
    is_region_entry: bool,
    is_gap: bool,
}

/// Code that is run as a whole or not.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Region {
    line: u32,
    column: u32,
    line_end: u32,
    column_end: u32,
    count: u64,
    file: usize,
    #[serde(rename = "expanded_file")]
    _expanded_file: usize,
    kind: u32,
}

/// A condition, and how often it was true and false.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Branch {
    line: u32,
    column: u32,
    line_end: u32,
    column_end: u32,
    true_count: u64,
    false_count: u64,
    file: usize,
    #[serde(rename = "expanded_file")]
    _expanded_file: usize,
    #[serde(rename = "kind")]
    _kind: u32,
}

/// The kind of a region that is code, and no gap, expansion or skipped text.
const CODE: u32 = 0;

/// A file, and a line and column in it; the column is 0 for a line.
type Place = (String, u32, u32, u32, u32, Side);

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Side {
    Never,
    NeverTrue,
    NeverFalse,
}

impl Side {
    fn text(self) -> &'static str {
        match self {
            Self::Never => "",
            Self::NeverTrue => ", never true",
            Self::NeverFalse => ", never false",
        }
    }
}

/// How often each place was reached.
type Counts = BTreeMap<Place, u64>;

/// What the tests reach.
#[derive(Debug, Default)]
struct Report {
    files: BTreeSet<String>,
    lines: Counts,
    regions: Counts,
    branches: Counts,
}

impl Report {
    /// Counts each place once, whatever it was compiled into. `sources` are the texts of core by their paths.
    fn new(data: &Data, sources: &BTreeMap<String, String>) -> Result<Self> {
        let mut code: BTreeMap<&str, (u32, Asserted)> = BTreeMap::new();
        for (path, text) in sources {
            let asserted = Asserted::of(text).with_context(|| path.clone())?;
            code.insert(path, (first_line_of_tests(text), asserted));
        }
        let mut report = Self { files: sources.keys().cloned().collect(), ..Self::default() };
        for file in &data.files {
            let Some((path, (end, asserted))) = path_of(&file.filename).and_then(|path| Some((path, code.get(path)?)))
            else {
                continue;
            };
            for (line, count) in line_counts(&file.segments, *end) {
                if asserted.has_line(line) {
                    continue;
                }
                report.lines.insert((path.into(), line, 0, 0, 0, Side::Never), count);
            }
        }
        for function in &data.functions {
            let place = |file: usize, line: u32, column: u32| -> Option<(String, &Asserted)> {
                let path = path_of(function.filenames.get(file)?)?;
                let (end, asserted) = code.get(path)?;
                (line < *end && !asserted.has(line, column)).then(|| (path.into(), asserted))
            };
            for region in function.regions.iter().filter(|region| region.kind == CODE) {
                let Region { line, column, line_end, column_end, count, file, .. } = *region;
                if let Some((path, _)) = place(file, line, column) {
                    *report.regions.entry((path, line, column, line_end, column_end, Side::Never)).or_default() +=
                        count;
                }
            }
            for branch in &function.branches {
                let Branch { line, column, line_end, column_end, true_count, false_count, file, .. } = *branch;
                if let Some((path, asserted)) = place(file, line, column) {
                    for (side, count) in [(Side::NeverTrue, true_count), (Side::NeverFalse, false_count)] {
                        let cannot_be = match side {
                            Side::Never => false,
                            Side::NeverTrue => asserted.is_never_true(line, column),
                            Side::NeverFalse => asserted.is_always_true(line, column),
                        };
                        if cannot_be {
                            continue;
                        }
                        let place = (path.clone(), line, column, line_end, column_end, side);
                        *report.branches.entry(place).or_default() += count;
                    }
                }
            }
        }
        Ok(report)
    }

    /// Prints a table, and what is not reached: of the codec all, of the other files the branches.
    fn print(&self, codec: &BTreeSet<String>) {
        println!("{:22} {:>17} {:>17} {:>17}", "file", "lines", "regions", "branches");
        let row = |name: &str, file: Option<&str>| {
            let [lines, regions, branches] =
                [&self.lines, &self.regions, &self.branches].map(|counts| Share::of(counts, file).text());
            println!("{name:22} {lines:>17} {regions:>17} {branches:>17}");
        };
        self.files.iter().for_each(|file| row(file, Some(file)));
        row("core", None);
        for (what, counts, files) in
            [("branch", &self.branches, &self.files), ("line", &self.lines, codec), ("region", &self.regions, codec)]
        {
            let missed = counts.iter().filter(|((path, ..), count)| **count == 0 && files.contains(path));
            for ((path, line, column, _, _, side), _) in missed {
                let column = if *column == 0 { String::new() } else { format!(":{column}") };
                println!("{}/{path}:{line}{column}: {what} not reached{}", workspace::CORE, side.text());
            }
        }
    }

    /// What is below its promise.
    fn faults(&self, codec: &BTreeSet<String>, guards: &BTreeSet<String>) -> Vec<String> {
        let mut faults = Vec::new();
        if Share::of(&self.lines, None).percent() < LINES_MIN {
            faults.push(format!("lines of core: below {LINES_MIN} %"));
        }
        for (files, what, counts) in
            [(codec, "lines", &self.lines), (codec, "regions", &self.regions), (guards, "branches", &self.branches)]
        {
            for file in files {
                let share = Share::of(counts, Some(file));
                if !self.files.contains(file) || share.reached < share.all {
                    faults.push(format!("{what} of {file}: below 100 %"));
                }
            }
        }
        faults
    }
}

/// How many places there are, and how many of them are reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Share {
    reached: u64,
    all: u64,
}

impl Share {
    /// Of a file, or of all of them.
    fn of(counts: &Counts, file: Option<&str>) -> Self {
        let mut share = Self { reached: 0, all: 0 };
        for (place, count) in counts {
            if file.is_none_or(|file| place.0 == file) {
                share.all += 1;
                share.reached += u64::from(*count > 0);
            }
        }
        share
    }

    /// In hundredths of a percent, rounded down: only what is whole is 100 %.
    fn hundredths(self) -> u64 {
        (10_000 * self.reached).checked_div(self.all).unwrap_or(10_000)
    }

    fn percent(self) -> u64 {
        self.hundredths() / 100
    }

    fn text(self) -> String {
        format!("{}.{:02} % of {:5}", self.percent(), self.hundredths() % 100, self.all)
    }
}

/// The line at which the unit tests of a file begin: they stand at its end.
fn first_line_of_tests(text: &str) -> u32 {
    let lines = text.lines().take_while(|line| *line != "#[cfg(test)]");
    u32::try_from(lines.count()).map_or(u32::MAX, |count| count.saturating_add(1))
}

/// How often each line before `end` is run that has code: as often as the region that wraps it or any
/// that starts on it.
fn line_counts(segments: &[Segment], end: u32) -> BTreeMap<u32, u64> {
    let mut by_line: BTreeMap<u32, Vec<Segment>> = BTreeMap::new();
    for segment in segments {
        by_line.entry(segment.line).or_default().push(*segment);
    }
    let mut counts = BTreeMap::new();
    // The last segment before the line.
    let mut wrapping: Option<Segment> = None;
    for line in 1..end {
        let on_it = by_line.get(&line).map_or(&[][..], Vec::as_slice);
        let starts = on_it.iter().filter(|s| s.has_count && s.is_region_entry && !s.is_gap).map(|s| s.count);
        let wrapped = wrapping.filter(|segment| segment.has_count).map(|segment| segment.count);
        let is_skipped = on_it.first().is_some_and(|first| !first.has_count && first.is_region_entry);
        if !is_skipped && let Some(count) = starts.chain(wrapped).max() {
            counts.insert(line, count);
        }
        wrapping = on_it.last().copied().or(wrapping);
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "/somewhere/crates/core/src/block.rs";

    fn segment(line: u32, count: u64, flags: &str) -> Segment {
        Segment {
            line,
            _column: 1,
            count,
            has_count: flags.contains('c'),
            is_region_entry: flags.contains('r'),
            is_gap: flags.contains('g'),
        }
    }

    /// Segments are `(line, count, flags)`: `c` has a count, `r` begins a region, `g` is a gap.
    fn check(segments: &[(u32, u64, &str)], end: u32, expected: &[(u32, u64)]) {
        let segments: Vec<Segment> =
            segments.iter().map(|(line, count, flags)| segment(*line, *count, flags)).collect();
        assert_eq!(line_counts(&segments, end).into_iter().collect::<Vec<_>>(), expected, "{segments:?}");
    }

    #[test]
    fn a_line_is_run_as_often_as_its_regions() {
        // What wraps it.
        check(&[(1, 3, "cr"), (4, 0, "")], 6, &[(1, 3), (2, 3), (3, 3), (4, 3)]);
        // What starts on it, if that is run more often.
        check(&[(1, 3, "cr"), (2, 7, "cr"), (2, 3, "c"), (3, 0, "")], 5, &[(1, 3), (2, 7), (3, 3)]);
        check(&[(1, 3, "cr"), (2, 0, "cr"), (2, 3, "c"), (3, 0, "")], 5, &[(1, 3), (2, 3), (3, 3)]);
        // The last segment of a line wraps the next one.
        check(&[(1, 3, "cr"), (1, 0, "cr"), (3, 0, "")], 5, &[(1, 3), (2, 0), (3, 0)]);
        // Neither the end of a region nor a gap starts one.
        check(&[(2, 5, "c"), (4, 0, "")], 6, &[(3, 5), (4, 5)]);
        check(&[(2, 5, "crg"), (4, 0, "")], 6, &[(3, 5), (4, 5)]);
        // A text that is skipped begins without a count.
        check(&[(1, 3, "cr"), (2, 0, "r"), (3, 3, "c"), (4, 0, "")], 6, &[(1, 3), (4, 3)]);
        // Nothing is counted before the first region, or in the unit tests.
        check(&[(3, 1, "cr"), (9, 0, "")], 5, &[(3, 1), (4, 1)]);
        check(&[], 5, &[]);
    }

    #[test]
    fn unit_tests_are_at_the_end() {
        assert_eq!(first_line_of_tests("a\nb\n#[cfg(test)]\nmod tests {}\n"), 3);
        assert_eq!(first_line_of_tests("a\n    #[cfg(test)]\n"), 3);
        assert_eq!(first_line_of_tests(""), 1);
    }

    /// The report of a file of four lines of code.
    fn report(functions: &str) -> Report {
        let export = format!(
            r#"{{"data": [{{"files": [
                {{"filename": "{FILE}", "segments": [[1, 1, 1, true, true, false], [4, 1, 0, false, false, false]], "more": 1}},
                {{"filename": "/elsewhere/lib.rs", "segments": []}}
            ], "functions": {functions}, "totals": {{}}}}], "type": "llvm.coverage.json.export"}}"#
        );
        let Export { data: [data] } = serde_json::from_str(&export).unwrap();
        let text = "fn a() {\n    b();\n    c();\n}\n#[cfg(test)]\nmod tests {}\n";
        Report::new(&data, &BTreeMap::from([("block.rs".into(), text.into())])).unwrap()
    }

    #[test]
    fn a_place_is_counted_once_whatever_it_is_compiled_into() {
        let functions = format!(
            r#"[
                {{"name": "a::<u8>", "filenames": ["{FILE}"], "branches": [[1, 2, 1, 3, 4, 0, 0, 0, 4]],
                  "regions": [[1, 1, 2, 1, 0, 0, 0, 0], [3, 1, 3, 9, 0, 0, 0, 0], [2, 2, 2, 2, 0, 0, 0, 3]]}},
                {{"name": "a::<u16>", "filenames": ["/elsewhere/lib.rs", "{FILE}"], "branches": [[1, 2, 1, 3, 0, 0, 1, 0, 4]],
                  "regions": [[1, 1, 2, 1, 5, 1, 0, 0], [1, 1, 2, 1, 0, 0, 0, 0], [6, 1, 6, 9, 0, 1, 0, 0]]}}
            ]"#
        );
        let report = report(&functions);
        assert_eq!(Share::of(&report.lines, None), Share { reached: 4, all: 4 });
        assert_eq!(Share::of(&report.regions, Some("block.rs")), Share { reached: 1, all: 2 });
        assert_eq!(Share::of(&report.branches, None), Share { reached: 1, all: 2 });
        let missed: Vec<&Place> =
            report.branches.iter().filter(|(_, count)| **count == 0).map(|(place, _)| place).collect();
        assert_eq!(missed, [&("block.rs".into(), 1, 2, 1, 3, Side::NeverFalse)]);
    }

    #[test]
    fn what_is_below_its_promise_is_a_fault() {
        let function = |count: u32, counts: [u32; 2]| {
            let [yes, no] = counts;
            format!(
                r#"[{{"filenames": ["{FILE}"], "regions": [[1, 1, 4, 1, {count}, 0, 0, 0]], "branches": [[1, 2, 1, 3, {yes}, {no}, 0, 0, 4]]}}]"#
            )
        };
        let check = |functions: &str, codec: &[&str], guards: &[&str], expected: &[&str]| {
            let [codec, guards] = [codec, guards].map(|files| files.iter().map(|file| (*file).into()).collect());
            assert_eq!(report(functions).faults(&codec, &guards), expected);
        };
        check(&function(1, [1, 1]), &["block.rs"], &["block.rs"], &[]);
        check(&function(0, [1, 1]), &["block.rs"], &["block.rs"], &["regions of block.rs: below 100 %"]);
        check(&function(1, [1, 0]), &["block.rs"], &["block.rs"], &["branches of block.rs: below 100 %"]);
        check(&function(1, [1, 0]), &["block.rs"], &[], &[]);
        // A file that is not measured is not covered.
        let gone = ["lines of key.rs: below 100 %", "regions of key.rs: below 100 %"];
        check(&function(1, [1, 1]), &["key.rs"], &[], &gone);
        let mut lines = report("[]");
        lines.lines.values_mut().for_each(|count| *count = 0);
        assert_eq!(lines.faults(&BTreeSet::new(), &BTreeSet::new()), ["lines of core: below 95 %"]);
    }

    #[test]
    fn only_what_is_whole_is_100_percent() {
        let check = |reached, all, expected: &str| assert_eq!(Share { reached, all }.text(), expected);
        check(0, 0, "100.00 % of     0");
        check(10_000, 10_000, "100.00 % of 10000");
        check(99_999, 100_000, "99.99 % of 100000");
        check(1, 8, "12.50 % of     8");
    }

    #[test]
    fn what_is_promised_is_there() {
        let modules = Modules::of_core().unwrap();
        for names in [&CODEC[..], &GUARDS] {
            assert!(promised(&modules, names).unwrap().len() >= names.len());
        }
        let missing = promised(&modules, &["guard", "no_such_module"]).unwrap_err();
        assert_eq!(missing.to_string(), "crates/core/src has no module no_such_module");
    }
}
