//! A full disk: the node makes no more blocks and says why, and has lost nothing once there is room again.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command as Process, Stdio};

use tempfile::TempDir;

use super::child::{Conduct, Running, STOPPED, command};
use super::judge::{Known, copy, judge, learn, verify_export};
use super::skipped;

/// A file system in memory, too small for RocksDB to reserve the space of a log beforehand.
struct Disk(TempDir);

impl Disk {
    fn new() -> Option<Self> {
        let disk = Self(tempfile::tempdir().unwrap());
        let mut mount = Process::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"]).arg(disk.0.path()).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then_some(disk)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Process::new("umount").arg(self.path()).stderr(Stdio::null()).status();
    }
}

/// Fills the disk to its last byte.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    while file.write_all(&[0; 4_096]).is_ok() {}
    while file.write_all(&[0]).is_ok() {}
}

#[test]
fn a_full_disk_loses_nothing() {
    let Some(disk) = Disk::new() else { return skipped("full disk (needs the right to mount a file system)") };
    let (folder, ballast) = (disk.path().join("data"), disk.path().join("ballast"));
    let mut known = Known::new();
    let mut child = Running::start(command(&[], Conduct::Honest, &folder));
    assert!(child.hear(40), "{:?}", child.failed);
    fill(&ballast);
    assert_eq!(child.end(), Some(STOPPED), "it stops making blocks by itself");
    let why = child.failed.unwrap();
    assert!(why.contains("disk is full"), "{why}");
    learn(&mut known, &child.acknowledged).unwrap();

    fs::remove_file(&ballast).unwrap();
    let temp = tempfile::tempdir().unwrap();
    let copied = temp.path().join("copy");
    copy(&folder, &copied);
    judge(&copied, &known).unwrap();
    let mut child = Running::start(command(&[], Conduct::Honest, &folder));
    assert!(child.hear(40), "{:?}", child.failed);
    child.process.kill().unwrap();
    child.end();
    learn(&mut known, &child.acknowledged).unwrap();
    copy(&folder, &copied);
    let tip = judge(&copied, &known).unwrap();
    verify_export(&copied, &temp.path().join("all.blocks"), tip).unwrap();
}
