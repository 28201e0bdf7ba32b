//! Power cuts: a file system that goes away in the middle of a story, with whatever had not been made
//! durable, has every acknowledged block when it comes back.
//!
//! The file system is ext4 in a file, and the cut its shutdown call, which drops what is only in
//! memory, the journal included. Without syncs the same cuts must lose blocks, or they would prove
//! nothing. `COALMINE_POWER_CUTS` sets how many there are, `COALMINE_POWER_CUTS_SEED` begins with
//! another seed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use coalmine_model::support::Random;
use tempfile::TempDir;

use crate::durability::child::{Conduct, Running, command};
use crate::durability::story::{BLOCKS, Story, copy, judge};
use crate::durability::{skipped, variable};

const CUTS: usize = 8;

/// Waits for a line, and shuts a file system down without writing its log (`FS_IOC_SHUTDOWN`).
const SHUTDOWN: &str = "
import fcntl, os, struct, sys
folder = os.open(sys.argv[1], os.O_RDONLY)
print('ready', flush=True)
sys.stdin.readline()
fcntl.ioctl(folder, 0x8004587d, struct.pack('I', 2))
";

/// Most of it is never written.
const IMAGE_SIZE: u64 = 512 << 20;

/// An ext4 in a file.
struct Disk(TempDir);

impl Disk {
    /// Makes one, if that may be done here.
    fn new() -> Result<Self, String> {
        run(Command::new("python3").arg("--version"))?;
        let disk = Self(tempfile::tempdir().unwrap());
        std::fs::File::create(disk.image()).and_then(|file| file.set_len(IMAGE_SIZE)).unwrap();
        std::fs::create_dir(disk.mounted()).unwrap();
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(disk.image()))?;
        disk.mount()?;
        Ok(disk)
    }

    fn image(&self) -> PathBuf {
        self.0.path().join("image")
    }

    fn mounted(&self) -> PathBuf {
        self.0.path().join("mounted")
    }

    fn mount(&self) -> Result<(), String> {
        run(Command::new("mount").args(["-o", "loop"]).args([self.image(), self.mounted()]))
    }

    fn unmount(&self) -> Result<(), String> {
        run(Command::new("umount").arg(self.mounted()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _not_mounted = self.unmount();
    }
}

/// Runs a program of the system; tells what it says if it fails.
fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{program}: {}", said.trim().replace('\n', "; "))) }
}

#[derive(Debug, Default)]
struct Figures {
    cuts: usize,
    /// Cuts between the log and the acknowledgement.
    beyond: usize,
    blocks: usize,
}

/// Cuts the power so often, each story in a folder of its own.
fn cut(conduct: Conduct, disk: &Disk, seed: u64, cuts: usize) -> Result<Figures, String> {
    let mut figures = Figures::default();
    for seed in seed.. {
        if figures.cuts == cuts {
            break;
        }
        cut_story(conduct, disk, seed, cuts, &mut figures).map_err(|why| {
            let again = super::command("power_cuts");
            format!("seed {seed}: {why}\nrepeat: COALMINE_POWER_CUTS_SEED={seed} COALMINE_POWER_CUTS={cuts} {again}")
        })?;
    }
    Ok(figures)
}

fn cut_story(conduct: Conduct, disk: &Disk, seed: u64, cuts: usize, figures: &mut Figures) -> Result<(), String> {
    let (folder, copied) = (disk.mounted().join(seed.to_string()), disk.0.path().join("copy"));
    let tips = Story::of_seed(seed).tips();
    let mut random = Random(seed);
    let mut acknowledged = None;
    while figures.cuts < cuts && acknowledged < Some(tips.len() - 1) {
        let moment = random.below(u64::try_from(BLOCKS / 2).unwrap());
        acknowledged = acknowledged.max(cut_child(command(&[], conduct, seed, &folder), disk, moment)?);
        figures.cuts += 1;
        disk.unmount()?;
        disk.mount()?;
        // The next child is the one that recovers.
        copy(&folder, &copied);
        let found = judge(&copied, &tips, acknowledged, conduct.durability())?;
        figures.beyond += usize::from(found > acknowledged);
        match found {
            Some(_) => acknowledged = found,
            None => drop(std::fs::remove_dir_all(&folder)),
        }
    }
    figures.blocks += acknowledged.unwrap_or(0);
    let _absent = std::fs::remove_dir_all(&folder);
    Ok(())
}

/// Cuts the power after a child has acknowledged so many tips; gives the last one.
fn cut_child(command: Command, disk: &Disk, moment: u64) -> Result<Option<usize>, String> {
    let mut switch = Command::new("python3")
        .args(["-c", SHUTDOWN])
        .arg(disk.mounted())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    BufReader::new(switch.stdout.take().unwrap()).lines().next();
    let mut child = Running::start(command);
    let heard = (0..moment).map_while(|_| child.acknowledged()).last();
    if let Some(why) = child.failed {
        return Err(format!("stopped by itself: {why}"));
    }
    switch.stdin.take().unwrap().write_all(b"\n").unwrap();
    if !switch.wait().unwrap().success() {
        return Err("the file system did not shut down".into());
    }
    Ok(child.end().or(heard))
}

fn disk() -> Option<Disk> {
    Disk::new().map_err(|why| skipped(&format!("power cuts need root, a loop device, ext4 and python3 ({why})"))).ok()
}

#[test]
fn power_cuts_lose_no_acknowledged_block() {
    let Some(disk) = disk() else { return };
    let started = Instant::now();
    let (seed, cuts) = (variable("COALMINE_POWER_CUTS_SEED"), variable("COALMINE_POWER_CUTS"));
    let figures = cut(Conduct::Honest, &disk, seed.unwrap_or(0), cuts.unwrap_or(CUTS));
    println!("{:?} in {:.1?}", figures.unwrap_or_else(|why| panic!("{why}")), started.elapsed());
}

#[test]
fn power_cuts_find_what_was_not_synced() {
    let Some(disk) = disk() else { return };
    let why = cut(Conduct::Unsynced, &disk, 0, CUTS).unwrap_err();
    assert!(why.contains("is lost"), "{why}");
}
