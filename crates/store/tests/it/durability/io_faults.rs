//! Faults of the system: every call that creates, writes, syncs, renames or removes a file fails once
//! while a story is committed, and nothing that was acknowledged is lost. Nothing panics, the handle
//! refuses further blocks after a failed commit, and after reopening the story can be finished.
//!
//! `COALMINE_IO_FAULTS` is `all` or how many calls lie between two that fail; `COALMINE_IO_FAULT` is
//! one fault, as in `fdatasync:EIO:20`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use coalmine_store::{Durability, Tip};

use crate::durability::child::{Conduct, IDLE_CALLS, STOPPED, command, commit_story};
use crate::durability::story::{Story, judge};
use crate::durability::{skipped, step, variable};

const SEED: u64 = 0;
/// In the short form, one call in so many fails.
const STEP: usize = 29;

/// Those with a mark do not exist on every machine.
const CALLS: &str = "openat,?open,?mkdir,mkdirat,write,writev,pwrite64,pwritev,fsync,fdatasync,sync_file_range,\
                     fallocate,ftruncate,?rename,?renameat,renameat2,?unlink,unlinkat";
const ERRORS: [&str; 2] = ["EIO", "ENOSPC"];

/// A call of the story, counted from its start, and the error that it returns.
#[derive(Debug, Clone)]
struct Fault {
    call: String,
    error: String,
    number: usize,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.call, self.error, self.number)
    }
}

impl std::str::FromStr for Fault {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let words: Vec<_> = text.split(':').collect();
        let [call, error, number] = words[..] else { return Err(()) };
        Ok(Self { call: call.into(), error: error.into(), number: number.parse().map_err(drop)? })
    }
}

#[derive(Debug, Default)]
struct Figures {
    faults: usize,
    /// The fault changed nothing.
    unharmed: usize,
    /// The child was told, and stopped.
    stopped: usize,
    /// It had refused to go on after a failed commit.
    refused: usize,
    /// So early that the store had to be created again.
    created_again: usize,
}

/// The command of a child whose calls are written to a file.
fn traced(conduct: Conduct, fault: Option<&Fault>, folder: &Path, trace: &Path) -> Command {
    let (calls, inject) = (
        format!("trace={CALLS}"),
        fault.map(|fault| {
            let Fault { call, error, number } = fault;
            format!("inject={call}:error={error}:when={}", number + idle_calls(call))
        }),
    );
    let mut before = vec!["strace", "-f", "--seccomp-bpf", "-qq", "-o", trace.to_str().unwrap(), "-e", &calls];
    if let Some(inject) = &inject {
        before.extend(["-e", inject]);
    }
    let mut command = command(&before, conduct, SEED, folder);
    command.stderr(Stdio::piped());
    command
}

/// Whether child processes can be traced here; says so if not.
fn can_trace() -> bool {
    let run = Command::new("strace").args(["-f", "--seccomp-bpf", "-o", "/dev/null", "true"]).output();
    let refused = match run {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; "),
        Err(error) => error.to_string(),
    };
    skipped(&format!("faults of the system need strace, and the right to trace a process ({refused})"));
    false
}

/// The calls of a story that nothing disturbs: each kind with its number.
fn calls() -> BTreeMap<String, usize> {
    let temp = tempfile::tempdir().unwrap();
    let trace = temp.path().join("trace");
    let run = traced(Conduct::Honest, None, &temp.path().join("store"), &trace).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let mut threads: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for line in fs::read_to_string(&trace).unwrap().lines() {
        let (thread, call) = line.split_once(' ').unwrap();
        let Some((call, _)) = call.trim_start().split_once('(') else { continue };
        *threads.entry(thread.into()).or_default().entry(call.into()).or_default() += 1;
    }
    let (story, rest): (Vec<_>, Vec<_>) =
        threads.into_values().partition(|calls| calls.values().any(|count| *count > IDLE_CALLS));
    let [story] = &story[..] else { panic!("more than one thread works on the store: {story:?}") };
    // The other threads ask the system about itself at most, or a fault would have to be aimed at each of them.
    let busy: Vec<_> = rest.iter().filter(|calls| calls.keys().any(|call| call != "openat")).collect();
    assert!(busy.len() <= 1, "threads besides the main one and that of the story work: {rest:?}");
    story.iter().map(|(call, count)| (call.clone(), count - idle_calls(call))).collect()
}

/// How many calls of this kind come before those of the story.
fn idle_calls(call: &str) -> usize {
    if ["openat", "write"].contains(&call) { IDLE_CALLS } else { 0 }
}

/// Commits a story in which one call fails, and finishes it.
fn disturb(conduct: Conduct, fault: &Fault, tips: &[Tip], figures: &mut Figures) -> Result<(), String> {
    let temp = tempfile::tempdir().unwrap();
    let (folder, trace) = (temp.path().join("store"), temp.path().join("trace"));
    let run = traced(conduct, Some(fault), &folder, &trace).output().unwrap();
    if !fs::read_to_string(&trace).unwrap().contains("(INJECTED)") {
        return Err("the call did not fail".into());
    }
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    let said = |what: &str| out.lines().filter_map(|line| line.strip_prefix(what)).next_back();
    if !matches!(run.status.code(), Some(0 | STOPPED)) || err.contains("panicked") {
        return Err(format!("ended with {}: {err}", run.status));
    }
    if said("went on").is_some() {
        return Err("took a block after a failed commit".into());
    }
    let acknowledged = said("acknowledged ").map(|index| index.parse().unwrap());
    if judge(&folder, tips, acknowledged, Durability::Synced)?.is_none() {
        let _absent = fs::remove_dir_all(&folder);
        figures.created_again += 1;
    }
    let finished = commit_story(Conduct::Honest, &Story::of_seed(SEED), &folder, &mut |_| Ok(()));
    finished.map_err(|error| format!("cannot be finished: {error}"))?;
    judge(&folder, tips, Some(tips.len() - 1), Durability::Synced)?;
    figures.faults += 1;
    figures.unharmed += usize::from(run.status.success());
    figures.stopped += usize::from(!run.status.success());
    figures.refused += usize::from(said("refused").is_some());
    Ok(())
}

fn disturb_each(conduct: Conduct, faults: impl IntoIterator<Item = Fault>) -> Result<Figures, String> {
    let tips = Story::of_seed(SEED).tips();
    let mut figures = Figures::default();
    for fault in faults {
        disturb(conduct, &fault, &tips, &mut figures).map_err(|why| {
            format!("{fault}: {why}\nrepeat: COALMINE_IO_FAULT={fault} {}", super::command("io_faults"))
        })?;
    }
    Ok(figures)
}

/// Every fault of these calls.
fn faults(calls: &BTreeMap<String, usize>) -> impl Iterator<Item = Fault> {
    let of_call = |(call, count): (&String, &usize)| -> Vec<Fault> {
        let of_error = |error: &&str| {
            let (call, error) = (call.clone(), (*error).to_owned());
            (1..=*count).map(move |number| Fault { call: call.clone(), error: error.clone(), number })
        };
        ERRORS.iter().flat_map(of_error).collect()
    };
    calls.iter().flat_map(of_call)
}

#[test]
fn io_faults_lose_no_acknowledged_block() {
    if !can_trace() {
        return;
    }
    let (started, calls) = (Instant::now(), calls());
    let chosen: Vec<_> = match variable("COALMINE_IO_FAULT") {
        Some(fault) => vec![fault],
        None => faults(&calls).step_by(step("COALMINE_IO_FAULTS", STEP)).collect(),
    };
    let figures = disturb_each(Conduct::Honest, chosen).unwrap_or_else(|why| panic!("{why}"));
    println!("{calls:?}\n{figures:?} in {:.1?}", started.elapsed());
}

#[test]
fn io_faults_find_a_failed_commit_that_was_acknowledged() {
    if !can_trace() {
        return;
    }
    let why = disturb_each(Conduct::Deaf, faults(&calls()).filter(|fault| fault.call == "fdatasync")).unwrap_err();
    assert!(why.contains("is lost"), "{why}");
}
