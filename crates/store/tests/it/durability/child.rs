//! The process that is killed, disturbed and cut off: it commits the blocks of a story and tells each
//! that it has acknowledged. It is this test program, started once more.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use coalmine_core::Block;
use coalmine_store::{CommitError, Durability, Ledger, OpenError, RocksStore};

use crate::durability::story::{BLOCKS, Story};

/// `CONDUCT SEED FOLDER`
const ORDERS: &str = "COALMINE_DURABILITY_CHILD";

/// How a child behaves. All but the first are faults, planted to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conduct {
    Honest,
    /// Acknowledges a block before it commits it.
    Hasty,
    /// Takes a failed commit for one that succeeded.
    Deaf,
    /// Acknowledges what is not synced.
    Unsynced,
}

const CONDUCTS: [(Conduct, &str); 4] =
    [(Conduct::Honest, "honest"), (Conduct::Hasty, "hasty"), (Conduct::Deaf, "deaf"), (Conduct::Unsynced, "unsynced")];

impl Conduct {
    fn name(self) -> &'static str {
        CONDUCTS.iter().find(|(conduct, _)| *conduct == self).unwrap().1
    }

    pub(crate) fn durability(self) -> Durability {
        if self == Self::Unsynced { Durability::Unsynced } else { Durability::Synced }
    }
}

/// Not a test by itself: what [`command`] runs in the other process.
#[test]
fn child() {
    let Ok(orders) = std::env::var(ORDERS) else { return };
    idle_calls();
    let words: Vec<_> = orders.splitn(3, ' ').collect();
    let conduct = CONDUCTS.iter().find(|(_, name)| *name == words[0]).unwrap().0;
    let story = Story::of_seed(words[1].parse().unwrap());
    let code = match commit_story(conduct, &story, Path::new(words[2]), &mut say) {
        Ok(()) => 0,
        Err(error) => {
            let _unheard = say(&format!("failed {error}"));
            STOPPED
        }
    };
    std::process::exit(code);
}

/// The exit code of a child that was told of an error, and stopped.
pub(crate) const STOPPED: i32 = 3;

/// How many calls of a kind the main thread may make, which loads the program and runs the test.
pub(crate) const IDLE_CALLS: usize = 16;

/// Whoever counts the system calls of each thread finds those of the story above those of the main
/// thread, and can disturb the former alone.
fn idle_calls() {
    for _ in 0..IDLE_CALLS {
        let _undisturbed = File::options().write(true).open("/dev/null").and_then(|mut file| file.write(b"idle"));
    }
}

pub(crate) type Stopped = Box<dyn std::error::Error>;

/// Commits what is left of a story, and says each tip that is acknowledged.
pub(crate) fn commit_story(
    conduct: Conduct,
    story: &Story,
    folder: &Path,
    say: &mut dyn FnMut(&str) -> io::Result<()>,
) -> Result<(), Stopped> {
    let mut acknowledge = |index: usize| say(&format!("acknowledged {index}"));
    let mut ledger = open(conduct, story, folder)?;
    let at = ledger.last_committed().height;
    let mut index = story.blocks.iter().take_while(|block| Some(block.height()) <= at).count();
    acknowledge(index)?;
    while let Some(block) = story.blocks.get(index) {
        // What was written is read back, and moves from the log into a table.
        if index == BLOCKS / 2 {
            drop(ledger);
            ledger = open(conduct, story, folder)?;
        }
        index += 1;
        if conduct == Conduct::Hasty {
            acknowledge(index)?;
        }
        match commit(&mut ledger, block) {
            Ok(()) => (),
            Err(_) if conduct == Conduct::Deaf => (),
            Err(error) => {
                let again = commit(&mut ledger, block).map_err(|error| error.downcast());
                let refused = matches!(again, Err(Ok(error)) if matches!(*error, CommitError::Failed));
                say(if refused { "refused" } else { "went on" })?;
                return Err(error);
            }
        }
        acknowledge(index)?;
    }
    drop(ledger);
    Ok(say("done")?)
}

pub(crate) fn commit(ledger: &mut Ledger<RocksStore>, block: &Block) -> Result<(), Stopped> {
    let execution = ledger.execute(block)?;
    Ok(ledger.commit(execution)?)
}

fn open(conduct: Conduct, story: &Story, folder: &Path) -> Result<Ledger<RocksStore>, OpenError> {
    let durability = conduct.durability();
    if !folder.exists() {
        return Ledger::create(RocksStore::create(folder, durability)?, &story.genesis);
    }
    match Ledger::open(RocksStore::open(folder, durability)?) {
        Err(OpenError::Empty) => Ledger::create(RocksStore::open(folder, durability)?, &story.genesis),
        opened => opened,
    }
}

/// Not by the macro, which panics when it cannot be heard.
fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(format!("\n{line}\n").as_bytes()).and_then(|()| out.flush())
}

/// The command that commits a story; `before` are the words of the program that watches it.
pub(crate) fn command(before: &[&str], conduct: Conduct, seed: u64, folder: &Path) -> Command {
    let program = std::env::current_exe().unwrap();
    let mut words = before.iter().map(std::ffi::OsStr::new).chain([program.as_os_str()]);
    let mut command = Command::new(words.next().unwrap());
    command
        .args(words)
        .args(["--exact", "durability::child::child", "--nocapture", "--test-threads=1"])
        // The folders in which it would look for libraries are calls of the main thread.
        .env_remove("LD_LIBRARY_PATH")
        .env(ORDERS, format!("{} {seed} {}", conduct.name(), folder.display()))
        .stdout(Stdio::piped());
    command
}

/// A child at work.
pub(crate) struct Running {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// Why it has stopped by itself.
    pub(crate) failed: Option<String>,
    /// It did not end by itself.
    pub(crate) killed: bool,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines, failed: None, killed: false }
    }

    /// The next tip that it acknowledges, as an index; nothing if it has ended.
    pub(crate) fn acknowledged(&mut self) -> Option<usize> {
        for line in self.lines.by_ref().map_while(Result::ok) {
            if let Some(index) = line.strip_prefix("acknowledged ") {
                return index.parse().ok();
            }
            self.failed = line.strip_prefix("failed ").map(ToOwned::to_owned).or(self.failed.take());
        }
        None
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
    }

    /// Waits for its end; gives the last tip that it has acknowledged and nobody has heard yet.
    pub(crate) fn end(&mut self) -> Option<usize> {
        let last = std::iter::from_fn(|| self.acknowledged()).last();
        self.killed = self.process.wait().unwrap().code().is_none();
        last
    }
}
