//! The mutation score of core: in each mutant one place is changed, and some test must fail.
//!
//! The mutants are those that cargo-mutants lists. It compiles each by itself, with all tests, which for
//! core takes days. So all of them are compiled at once into a copy of the workspace (see `switch`). What
//! does not compile is taken out again. A mutant outside of functions, or in one that a constant needs, is
//! compiled on its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::switch::{self, Arm, Mutant, Switch};
use crate::workspace::{self, Modules};
use crate::{core_tests, host};

/// How many must be caught, in percent.
const SCORE_MIN: u64 = 90;
/// A test that does not end has noticed something, too.
const TIME_MAX: Duration = Duration::from_secs(120);
/// The short form: the guard and the lifecycle, by the tests that tell most of them.
const SHORT: (&[&str], &[&str]) = (&["feature/guard", "feature/lifecycle"], &["lifecycle", "robust", "model"]);
/// A suite that looks elsewhere, and so must miss some.
const PLANTED: (&[&str], &[&str]) = (&["feature/guard"], &["tree"]);

/// Which mutants to try.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(multiple = false)]
pub(crate) struct Args {
    /// Only the guard and the lifecycle, by fewer tests
    #[arg(long)]
    short: bool,
    /// Only the guard, by tests of something else: some mutants must not be caught
    #[arg(long)]
    planted: bool,
    /// Only the mutants of these modules of core
    #[arg(long, value_name = "NAME", num_args = 1..)]
    modules: Vec<String>,
    /// Only the mutants of this name, as MUTANTS.md writes it
    #[arg(long, value_name = "NAME")]
    again: Option<String>,
}

impl Args {
    /// The short form.
    pub(crate) fn short() -> Self {
        Self { short: true, ..Self::default() }
    }

    /// The form that must miss some.
    pub(crate) fn planted() -> Self {
        Self { planted: true, ..Self::default() }
    }
}

/// Lists the mutants, runs the tests on each of them, and judges.
pub(crate) fn run(args: &Args) -> Result<()> {
    host::tool("cargo-mutants")?;
    let modules = Modules::of_core()?;
    let reasons = Reasons::read(&workspace::read(&workspace::top().join("crates/core/MUTANTS.md"))?, &modules)?;
    let owned = |names: &[&str]| names.iter().map(|name| (*name).into()).collect::<Vec<String>>();
    let (names, tests) = match (args.short, args.planted) {
        (true, _) => (owned(SHORT.0), owned(SHORT.1)),
        (_, true) => (owned(PLANTED.0), owned(PLANTED.1)),
        _ => (args.modules.clone(), core_tests::for_mutants()?),
    };
    let mut mutants = list(&modules, &names)?;
    if let Some(again) = &args.again {
        mutants.retain(|mutant| name(mutant) == *again);
    }
    let mut copy = Copy::new(mutants)?;
    copy.leave_out_what_does_not_compile()?;
    let score = copy.score(&tests, !args.short && !args.planted)?;
    if score.total == 0 {
        bail!("there is no such mutant that compiles");
    }
    if args.planted {
        if score.missed.is_empty() {
            bail!("the tests of the tree are said to catch every mutant of the guard");
        }
        println!("planted: {} mutants of the guard are not caught by tests of the tree", score.missed.len());
        return Ok(());
    }
    println!("{} mutants, {score}", copy.mutants.len());
    let mut faults: Vec<String> = Vec::new();
    for mutant in score.missed.iter().filter(|mutant| !reasons.has(mutant)) {
        let name = name(mutant);
        faults.push(format!(
            "no test notices, and crates/core/MUTANTS.md has no reason: {}; again: cargo evidence mutants --again '{name}'",
            mutant.name
        ));
    }
    let is_whole = names.is_empty() && args.again.is_none();
    if is_whole {
        faults
            .extend(reasons.without_mutant(&copy.mutants).map(|row| format!("MUTANTS.md: no mutant is called {row}")));
        if score.hundredths() < 100 * SCORE_MIN {
            faults.push(format!("fewer than {SCORE_MIN} % are caught"));
        }
    }
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    Ok(())
}

/// The mutants of some modules; of all of core if none is named.
fn list(modules: &Modules, names: &[String]) -> Result<Vec<Mutant>> {
    let mut cargo = host::cargo();
    cargo.args(["mutants", "-p", "coalmine-core", "--list", "--json"]);
    for name in names {
        for file in modules.find(name)? {
            cargo.args(["--file", &format!("{}/{file}", workspace::CORE)]);
        }
    }
    serde_json::from_str(&host::output(&mut cargo)?).context("this is no list of cargo-mutants")
}

/// The name of a mutant that survives edits elsewhere in the file: `tree: replace + with - in f`.
fn name(mutant: &Mutant) -> String {
    let file = path_of(mutant);
    format!("{}: {}", file.strip_suffix(".rs").unwrap_or(file), change(mutant))
}

/// The path of the source of a mutant within that of core.
fn path_of(mutant: &Mutant) -> &str {
    mutant.file.strip_prefix(workspace::CORE).map_or(&mutant.file, |path| path.trim_start_matches('/'))
}

/// What is changed: the name of a mutant without its place.
fn change(mutant: &Mutant) -> &str {
    mutant.name.split_once(": ").map_or(&mutant.name, |(_, change)| change)
}

/// The mutants that no test notices and need not, as MUTANTS.md lists them: a module, and what is changed.
struct Reasons {
    rows: Vec<(String, BTreeSet<String>, String)>,
}

impl Reasons {
    /// # Errors
    ///
    /// A row that is none, or whose module is not there.
    fn read(text: &str, modules: &Modules) -> Result<Self> {
        let mut rows = Vec::new();
        for line in text.lines().filter(|line| line.starts_with("- ")) {
            let row = line.strip_prefix("- `").and_then(|row| row.strip_suffix('`'));
            let row = row.with_context(|| format!("MUTANTS.md: no name of a mutant: {line}"))?;
            let (module, change) = row.split_once(": ").with_context(|| format!("MUTANTS.md: no module: {row}"))?;
            let files = modules.find(module).context("MUTANTS.md")?;
            rows.push((row.to_owned(), files.into_iter().map(Into::into).collect(), change.to_owned()));
        }
        Ok(Self { rows })
    }

    fn is_row_of((_, files, row_change): &(String, BTreeSet<String>, String), mutant: &Mutant) -> bool {
        files.contains(path_of(mutant)) && row_change == change(mutant)
    }

    fn has(&self, mutant: &Mutant) -> bool {
        self.rows.iter().any(|row| Self::is_row_of(row, mutant))
    }

    /// Rows that have outlived their mutant.
    fn without_mutant<'a>(&'a self, mutants: &'a [Mutant]) -> impl Iterator<Item = &'a str> {
        let is_gone =
            |row: &&(String, BTreeSet<String>, String)| !mutants.iter().any(|mutant| Self::is_row_of(row, mutant));
        self.rows.iter().filter(is_gone).map(|(row, ..)| row.as_str())
    }
}

/// How many mutants compile, and which of them no test notices.
#[derive(Debug, Default)]
struct Score<'a> {
    total: usize,
    missed: Vec<&'a Mutant>,
}

impl Score<'_> {
    fn caught(&self) -> usize {
        self.total.saturating_sub(self.missed.len())
    }

    fn hundredths(&self) -> u64 {
        let hundredths = (10_000 * self.caught()).checked_div(self.total).unwrap_or_default();
        u64::try_from(hundredths).unwrap_or_default()
    }
}

impl std::fmt::Display for Score<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tenths = self.hundredths() / 10;
        let (total, caught) = (self.total, self.caught());
        write!(f, "{total} of them compile, {caught} are caught: {}.{} %", tenths / 10, tenths % 10)
    }
}

/// Why a mutant is not in the switch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum LeftOut {
    InNoFunction,
    NeededByConstant,
    DoesNotCompile,
}

/// A copy of the workspace that has all mutants at once. Their numbers begin with 1.
struct Copy {
    mutants: Vec<Mutant>,
    left_out: BTreeMap<u32, LeftOut>,
    /// Paths of functions.
    needed_by_constants: BTreeSet<String>,
    folder: PathBuf,
}

impl Copy {
    fn new(mutants: Vec<Mutant>) -> Result<Self> {
        let folder = workspace::target().join("mutants");
        let top = folder.join("workspace");
        if top.exists() {
            fs::remove_dir_all(&top).with_context(|| format!("cannot remove {}", top.display()))?;
        }
        workspace::copy(workspace::top(), &top)?;
        // Vectors of the outside are looked for beside the workspace. A link of another checkout may be left here.
        let (outside, link) = (workspace::top().join("../shared"), folder.join("shared"));
        if link.is_symlink() {
            fs::remove_file(&link)?;
        }
        if outside.exists() {
            std::os::unix::fs::symlink(fs::canonicalize(outside)?, link)?;
        }
        Ok(Self { mutants, left_out: BTreeMap::new(), needed_by_constants: BTreeSet::new(), folder })
    }

    fn top(&self) -> PathBuf {
        self.folder.join("workspace")
    }

    /// The mutants with their numbers.
    fn numbered(&self) -> impl Iterator<Item = (u32, &Mutant)> {
        (1..).zip(&self.mutants)
    }

    /// Writes the sources of core; returns the lines of each mutant by the file.
    fn write(&mut self) -> Result<BTreeMap<String, Vec<Arm>>> {
        let needed = |mutant: &Mutant| {
            let function = mutant.function.as_ref();
            function
                .is_some_and(|function| self.needed_by_constants.iter().any(|path| switch::is_path_of(path, function)))
        };
        let needed: Vec<u32> = self.numbered().filter(|(_, mutant)| needed(mutant)).map(|(number, _)| number).collect();
        for number in needed {
            self.left_out.entry(number).or_insert(LeftOut::NeededByConstant);
        }
        let root = format!("{}/lib.rs", workspace::CORE);
        let files: BTreeSet<&str> =
            self.mutants.iter().map(|mutant| mutant.file.as_str()).chain([root.as_str()]).collect();
        let mut arms = BTreeMap::new();
        let mut outside = Vec::new();
        for file in files {
            let here =
                self.numbered().filter(|(number, mutant)| mutant.file == file && !self.left_out.contains_key(number));
            let text = workspace::read(&workspace::top().join(file))?;
            let mut switch = Switch::new(&text, &here.collect::<Vec<_>>()).with_context(|| file.to_owned())?;
            if file == root {
                switch.text = switch::root(&switch.text)?;
            }
            workspace::write(&self.top().join(file), &switch.text)?;
            outside.extend(switch.outside);
            arms.insert(file.to_owned(), switch.arms);
        }
        self.left_out.extend(outside.into_iter().map(|number| (number, LeftOut::InNoFunction)));
        Ok(arms)
    }

    fn leave_out_what_does_not_compile(&mut self) -> Result<()> {
        loop {
            let arms = self.write()?;
            let built = self.cargo(&["check", "--lib"])?;
            let errors: Vec<&Diagnostic> = built.errors().collect();
            let Some(first) = errors.first() else { return Ok(()) };
            let known = self.left_out.len() + self.needed_by_constants.len();
            for error in &errors {
                if let Some(path) = switch::needed_by_constant(&error.message) {
                    self.needed_by_constants.insert(path);
                    continue;
                }
                for span in error.spans.iter().filter(|span| span.is_primary) {
                    let arms = arms.get(&span.file_name).map_or(&[][..], Vec::as_slice);
                    for arm in arms.iter().filter(|arm| (arm.first..=arm.last).contains(&span.line_start)) {
                        self.left_out.insert(arm.number, LeftOut::DoesNotCompile);
                    }
                }
            }
            if self.left_out.len() + self.needed_by_constants.len() == known {
                bail!("the mutants do not compile together: {}", first.rendered.as_deref().unwrap_or(&first.message));
            }
        }
    }

    /// Runs cargo in the copy.
    fn cargo(&self, arguments: &[&str]) -> Result<Messages> {
        let mut cargo = host::cargo();
        cargo.current_dir(self.top()).args(arguments).args(["--locked", "--quiet", "--profile", "mutants"]);
        cargo.args(["-p", "coalmine-core", "--message-format=json", "--target-dir"]).arg(self.folder.join("target"));
        let output = cargo.output().context("cannot run cargo")?;
        let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"{"));
        let messages = lines.map(serde_json::from_slice).collect::<Result<Vec<Message>, _>>()?;
        let messages = Messages(messages);
        if !output.status.success() && messages.errors().next().is_none() {
            bail!("cargo fails: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(messages)
    }

    /// Core's unit tests and these modules of its tests; none if they do not compile.
    fn suites(&self, tests: &[String]) -> Result<Option<Vec<Suite>>> {
        let built = self.cargo(&["test", "--no-run", "--lib", "--test", "it"])?;
        if built.errors().next().is_some() {
            return Ok(None);
        }
        let find = |name: &str| built.program(name).with_context(|| format!("no program of the tests {name}"));
        let mut suites = vec![Suite { program: find("coalmine_core")?, filter: String::new() }];
        for test in tests {
            suites.push(Suite { program: find("it")?, filter: core_tests::filter(test)? });
        }
        Ok(Some(suites))
    }

    /// Runs the tests on every mutant that compiles; on those that are compiled alone if the form is a long one.
    fn score(&self, tests: &[String], is_long: bool) -> Result<Score<'_>> {
        let unchanged = "a test fails without any change; run scripts/test";
        let suites = self.suites(tests)?.context(unchanged)?;
        if self.is_caught(0, &suites)? {
            bail!(unchanged);
        }
        let switched: Vec<(u32, &Mutant)> =
            self.numbered().filter(|(number, _)| !self.left_out.contains_key(number)).collect();
        let missed = self.missed(&switched, &suites)?;
        let mut score = Score { total: switched.len(), missed };
        if is_long {
            workspace::copy(&workspace::top().join(workspace::CORE), &self.top().join(workspace::CORE))?;
            for (number, mutant) in self.numbered() {
                match self.left_out.get(&number) {
                    None | Some(LeftOut::DoesNotCompile) => {}
                    Some(LeftOut::InNoFunction | LeftOut::NeededByConstant) => match self.is_caught_alone(mutant)? {
                        None => {}
                        Some(is_caught) => {
                            score.total += 1;
                            if !is_caught {
                                eprintln!("alone: not caught: {}", mutant.name);
                                score.missed.push(mutant);
                            }
                        }
                    },
                }
            }
        }
        Ok(score)
    }

    /// The mutants of the switch that no test notices. As many run at once as there are processors.
    fn missed<'a>(&self, mutants: &[(u32, &'a Mutant)], suites: &[Suite]) -> Result<Vec<&'a Mutant>> {
        let queue = Mutex::new(mutants.iter().enumerate());
        let next = || queue.lock().ok()?.next();
        let worker = || -> Result<Vec<(u32, &'a Mutant)>> {
            let mut missed = Vec::new();
            while let Some((done, (number, mutant))) = next() {
                if !self.is_caught(*number, suites)? {
                    eprintln!("{} of {}: not caught: {}", done + 1, mutants.len(), mutant.name);
                    missed.push((*number, *mutant));
                }
            }
            Ok(missed)
        };
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let mut missed = thread::scope(|scope| -> Result<Vec<(u32, &'a Mutant)>> {
            let threads: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
            let mut all = Vec::new();
            for thread in threads {
                all.extend(thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??);
            }
            Ok(all)
        })?;
        missed.sort_by_key(|(number, _)| *number);
        Ok(missed.into_iter().map(|(_, mutant)| mutant).collect())
    }

    /// Whether some test notices a mutant; none is number 0.
    fn is_caught(&self, number: u32, suites: &[Suite]) -> Result<bool> {
        for suite in suites {
            let mut command = Command::new(&suite.program);
            command.arg(&suite.filter).current_dir(self.top().join("crates/core"));
            command.env("MUTANT", number.to_string()).env("COALMINE_MODEL_WORLDS", "20");
            if !passes(&mut command, TIME_MAX)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a mutant is caught that is the only one; none if it does not compile.
    fn is_caught_alone(&self, mutant: &Mutant) -> Result<Option<bool>> {
        let text = workspace::read(&workspace::top().join(&mutant.file))?;
        let source = self.top().join(&mutant.file);
        workspace::write(&source, &switch::alone(&text, mutant)?)?;
        let suites = self.suites(&core_tests::for_mutants()?)?;
        let is_caught = suites.map(|suites| self.is_caught(0, &suites)).transpose()?;
        workspace::write(&source, &text)?;
        Ok(is_caught)
    }
}

/// Some tests of a program: those whose names have the filter in them.
struct Suite {
    program: PathBuf,
    filter: String,
}

/// Whether a program of tests passes in time. The first test that fails is enough.
fn passes(command: &mut Command, time_max: Duration) -> Result<bool> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().context("cannot run the tests")?;
    let stdout = child.stdout.take().context("no output")?;
    let (failures, failed) = mpsc::channel();
    let reader = thread::spawn(move || {
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            if line.trim_ascii_end().ends_with(b"FAILED") {
                // The first is enough, and nobody listens if the time is over.
                if failures.send(()).is_err() {
                    break;
                }
            }
        }
    });
    let deadline = Instant::now() + time_max;
    let is_stopped = match failed.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(()) | Err(RecvTimeoutError::Timeout) => true,
        Err(RecvTimeoutError::Disconnected) => false,
    };
    if is_stopped {
        kill(&mut child);
    }
    let status = child.wait()?;
    drop(reader.join());
    Ok(!is_stopped && status.success())
}

fn kill(child: &mut Child) {
    // It may have ended.
    drop(child.kill());
}

/// What cargo prints, one line each.
struct Messages(Vec<Message>);

#[derive(Debug, Deserialize)]
struct Message {
    message: Option<Diagnostic>,
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Diagnostic {
    level: String,
    message: String,
    rendered: Option<String>,
    spans: Vec<DiagnosticSpan>,
}

#[derive(Debug, Deserialize)]
struct DiagnosticSpan {
    file_name: String,
    line_start: usize,
    is_primary: bool,
}

impl Messages {
    fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.0.iter().filter_map(|message| message.message.as_ref()).filter(|message| message.level == "error")
    }

    fn program(&self, name: &str) -> Option<PathBuf> {
        let is_it = |message: &&Message| message.target.as_ref().is_some_and(|target| target.name == name);
        self.0.iter().filter(is_it).find_map(|message| message.executable.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutant(name: &str) -> Mutant {
        let (file, _) = name.split_once(':').unwrap();
        serde_json::from_value(serde_json::json!({
            "name": name, "file": file, "function": null, "replacement": "", "genre": "BinaryOperator",
            "span": {"start": {"line": 1, "column": 1}, "end": {"line": 1, "column": 1}},
        }))
        .unwrap()
    }

    #[test]
    fn a_name_survives_edits() {
        let check = |name_: &str, expected: &str| assert_eq!(name(&mutant(name_)), expected);
        check(
            "crates/core/src/tree.rs:12:5: replace / with % in Arena<T>::apply",
            "tree: replace / with % in Arena<T>::apply",
        );
        check("crates/core/src/execute/mod.rs:1:2: replace f -> u8 with 0", "execute/mod: replace f -> u8 with 0");
    }

    #[test]
    fn a_reason_is_for_one_change_in_one_module() {
        let modules = Modules::of_core().unwrap();
        let text = "# Title\n\nText.\n\n- `guard: replace + with - in f`\n- `guard: replace | with ^`\n";
        let reasons = Reasons::read(text, &modules).unwrap();
        let guard = format!("{}/{}", workspace::CORE, modules.find("guard").unwrap().first().unwrap());
        let found = |change: &str| reasons.has(&mutant(&format!("{guard}:7:7: {change}")));
        assert!(found("replace + with - in f") && found("replace | with ^"));
        assert!(!found("replace + with - in g") && !found("replace | with ^ in f"));
        assert!(!reasons.has(&mutant("crates/core/src/lib.rs:7:7: replace | with ^")));

        let mutants = [mutant(&format!("{guard}:7:7: replace | with ^"))];
        let gone: Vec<&str> = reasons.without_mutant(&mutants).collect();
        assert_eq!(gone, ["guard: replace + with - in f"]);
    }

    #[test]
    fn a_reason_for_nothing_is_refused() {
        let modules = Modules::of_core().unwrap();
        let error = |text: &str| format!("{:#}", Reasons::read(text, &modules).err().unwrap());
        assert_eq!(error("- `no_module: replace`"), "MUTANTS.md: crates/core/src has no module no_module");
        assert_eq!(error("- `guard`"), "MUTANTS.md: no module: guard");
        assert_eq!(error("- guard: replace"), "MUTANTS.md: no name of a mutant: - guard: replace");
    }

    /// The words of a text that can be names.
    fn words(text: &str) -> impl Iterator<Item = &str> {
        text.split(|character: char| !character.is_alphanumeric() && character != '_').filter(|word| !word.is_empty())
    }

    /// The long form compares the rows with the mutants; this sees sooner that code was renamed or moved.
    #[test]
    fn every_reason_is_for_a_function_of_core() {
        let text = workspace::read(&workspace::top().join("crates/core/MUTANTS.md")).unwrap();
        let reasons = Reasons::read(&text, &Modules::of_core().unwrap()).unwrap();
        assert!(!reasons.rows.is_empty());
        for (row, files, change) in &reasons.rows {
            let path = |file| workspace::top().join(workspace::CORE).join(file);
            let text: String = files.iter().map(|file| workspace::read(&path(file)).unwrap()).collect();
            let start = change.strip_prefix("replace ").unwrap();
            let function = match (start.split_once(" in "), start.split_once(" -> ")) {
                (Some((_, function)), _) | (None, Some((function, _))) => function,
                (None, None) => continue, // It is in a constant.
            };
            let (owner, name) = function.rsplit_once("::").unwrap_or(("", function));
            assert!(text.contains(&format!("fn {name}")), "{row}: no function {name}");
            let is_impl = |line: &&str| line.trim_start().starts_with("impl");
            for word in words(owner).filter(|word| !["impl", "for", "_"].contains(word)) {
                let is_there = text.lines().filter(is_impl).any(|line| words(line).any(|found| found == word));
                assert!(is_there, "{row}: nothing is implemented for {word}");
            }
        }
    }

    #[test]
    fn the_modules_and_tests_of_the_forms_are_there() {
        let modules = Modules::of_core().unwrap();
        for (names, tests) in [SHORT, PLANTED] {
            assert!(names.iter().all(|name| modules.find(name).is_ok()));
            assert!(tests.iter().all(|test| core_tests::filter(test).is_ok()));
        }
    }

    #[test]
    fn a_score_is_rounded_down() {
        let missed = mutant("crates/core/src/lib.rs:1:1: replace");
        let check = |total, missed_count, expected: &str| {
            assert_eq!(Score { total, missed: vec![&missed; missed_count] }.to_string(), expected);
        };
        check(1436, 21, "1436 of them compile, 1415 are caught: 98.5 %");
        check(3000, 1, "3000 of them compile, 2999 are caught: 99.9 %");
        check(2, 0, "2 of them compile, 2 are caught: 100.0 %");
    }

    #[test]
    fn a_program_of_tests_passes_or_not() {
        let check = |script: &str, time_max: Duration, expected: bool| {
            let start = Instant::now();
            let passes = passes(Command::new("sh").args(["-c", script]), time_max).unwrap();
            assert_eq!(passes, expected, "{script}");
            assert!(start.elapsed() < Duration::from_secs(20), "{script}");
        };
        let long = Duration::from_secs(60);
        check("echo 'test a ... ok'", long, true);
        check("echo 'test a ... ok'; exit 1", long, false);
        check("echo 'test a ... FAILED'; exec sleep 60", long, false);
        check("exec sleep 60", Duration::from_millis(50), false);
    }

    #[test]
    fn what_cargo_prints_is_read() {
        let lines = [
            r#"{"reason": "compiler-message", "package_id": "a", "message": {"level": "warning", "message": "m", "rendered": null, "spans": []}}"#,
            r#"{"reason": "compiler-message", "message": {"level": "error", "message": "n", "rendered": "r", "code": null,
                "spans": [{"file_name": "a.rs", "line_start": 3, "line_end": 4, "is_primary": true}]}}"#,
            r#"{"reason": "compiler-artifact", "target": {"name": "it", "kind": ["test"]}, "executable": "/a/it-1"}"#,
            r#"{"reason": "compiler-artifact", "target": {"name": "coalmine_core"}, "executable": null}"#,
            r#"{"reason": "build-finished", "success": false}"#,
        ];
        let messages = Messages(lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect());
        assert_eq!(messages.errors().map(|error| error.message.as_str()).collect::<Vec<_>>(), ["n"]);
        assert_eq!(messages.program("it"), Some("/a/it-1".into()));
        assert_eq!(messages.program("coalmine_core"), None);
    }
}
