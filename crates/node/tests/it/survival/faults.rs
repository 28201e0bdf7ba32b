//! System calls that fail: a node whose disk refuses makes no more blocks, says why, and has lost nothing.
//!
//! `COALMINE_NODE_FAULTS` sets how many syncs are tried, from the first one on.

use std::fs;
use std::process::{Command as Process, Stdio};

use super::child::{Conduct, Running, STOPPED, command};
use super::judge::{Known, copy, judge, learn};
use super::{skipped, variable};

/// In the short form these syncs fail, counted in each thread.
const SYNCS: [usize; 4] = [2, 3, 7, 20];

/// Whether child processes can be traced here; says so if not.
fn can_trace() -> bool {
    let run = Process::new("strace").args(["-f", "--seccomp-bpf", "-o", "/dev/null", "true"]).output();
    let refused = match run {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; "),
        Err(error) => error.to_string(),
    };
    skipped(&format!("system calls that fail need strace, and the right to trace a process ({refused})"));
    false
}

fn disturb(error: &str, number: usize) -> Result<(), String> {
    let temp = tempfile::tempdir().unwrap();
    let (folder, trace, copied) = (temp.path().join("data"), temp.path().join("trace"), temp.path().join("copy"));
    let inject = format!("inject=fdatasync:error={error}:when={number}");
    let before =
        ["strace", "-f", "--seccomp-bpf", "-qq", "-o", trace.to_str().unwrap(), "-e", "trace=fdatasync", "-e", &inject];
    let mut disturbed = command(&before, Conduct::Honest, &folder);
    disturbed.stderr(Stdio::piped());
    let mut child = Running::start(disturbed);
    let code = child.end();
    let mut said = String::new();
    if let Some(err) = &mut child.process.stderr {
        let _read = std::io::Read::read_to_string(err, &mut said);
    }
    if !fs::read_to_string(&trace).unwrap().contains("(INJECTED)") {
        return Err("no call failed".into());
    }
    if code != Some(STOPPED) || child.failed.is_none() || said.contains("panicked") {
        return Err(format!("it ended with {code:?}, {:?}: {said}", child.failed));
    }
    let mut known = Known::new();
    learn(&mut known, &child.acknowledged)?;
    if folder.join("CURRENT").exists() && !known.is_empty() {
        copy(&folder, &copied);
        judge(&copied, &known)?;
    } else {
        let _unfinished = fs::remove_dir_all(&folder);
    }
    let mut child = Running::start(command(&[], Conduct::Honest, &folder));
    let goes_on = child.hear(10);
    child.process.kill().unwrap();
    child.end();
    learn(&mut known, &child.acknowledged)?;
    copy(&folder, &copied);
    judge(&copied, &known)?;
    if goes_on { Ok(()) } else { Err(format!("it does not go on: {:?}", child.failed)) }
}

#[test]
fn a_disk_that_refuses_loses_nothing() {
    if !can_trace() {
        return;
    }
    let syncs = variable::<usize>("COALMINE_NODE_FAULTS").map_or_else(|| SYNCS.to_vec(), |count| (1..=count).collect());
    for error in ["EIO", "ENOSPC"] {
        for number in &syncs {
            disturb(error, *number).unwrap_or_else(|why| panic!("fdatasync:{error}:{number}: {why}"));
        }
    }
}
