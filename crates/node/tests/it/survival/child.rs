//! The process that is killed and disturbed: a node on disk, with clients that send transactions and tell each that was
//! acknowledged. It is this test program, started once more.

use std::io::{self, BufRead as _, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command as Process, Stdio};
use std::sync::Arc;
use std::time::Duration;

use coalmine_core::{Address, Command, Genesis, Hash, Name, Report, Role};
use coalmine_node::database::Database;
use coalmine_node::engine::{Solo, SystemClock};
use coalmine_node::testing::{address, key, signed};
use coalmine_node::{Chain, Node, Options, Submitted, TxRecord};

/// `CONDUCT FOLDER`
const ORDERS: &str = "COALMINE_NODE_CHILD";
/// The keys that report; key 1 is the admin.
pub(super) const REPORTERS: std::ops::RangeInclusive<u8> = 2..=5;
/// How many transactions each client has under way.
const UNDER_WAY: u64 = 8;
/// How many transactions of before a child sends again.
const AGAIN: u64 = 3;
/// The exit code of a child whose node makes no more blocks.
pub(super) const STOPPED: i32 = 3;

/// How a child behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conduct {
    Honest,
    /// A fault, planted to be found: it acknowledges what only waits for a block.
    Hasty,
}

pub(super) fn genesis() -> Genesis {
    let reporter = |number| (address(&key(number)), Role::Reporter.into());
    let admin: (Address, _) = (address(&key(1)), Role::Admin.into());
    Genesis::new("durable-1", REPORTERS.map(reporter).chain([admin])).unwrap()
}

pub(super) fn feature() -> Name {
    "load".parse().unwrap()
}

/// The transaction of a key with a sequence; the same bytes every time.
pub(super) fn envelope(node: &Node, number: u8, sequence: u64) -> Vec<u8> {
    let name = feature();
    let commands = if number == 1 {
        vec![Command::create_feature(name, "").unwrap(), Command::Enable { name }]
    } else {
        let report = Report { successes: 1, ..Report::default() };
        vec![Command::report(name, report).unwrap()]
    };
    signed(node, &key(number), sequence, commands)
}

/// Not a test by itself: what [`command`] runs in the other process.
#[test]
fn child() {
    let Ok(orders) = std::env::var(ORDERS) else { return };
    let (conduct, folder) = orders.split_once(' ').unwrap();
    let conduct = if conduct == "hasty" { Conduct::Hasty } else { Conduct::Honest };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let code = match runtime.block_on(run(conduct, Path::new(folder))) {
        Ok(()) => 0,
        Err(error) => {
            say(&format!("failed {error}"));
            STOPPED
        }
    };
    std::process::exit(code);
}

async fn run(conduct: Conduct, folder: &Path) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let chain = Chain::open(Database::open(folder)?, &genesis(), Options::default())?;
    let node = chain.node().clone();
    let solo = Solo::start(chain, SystemClock::default(), Duration::from_millis(10), false)?;
    let blocks = solo.spawn()?;
    acknowledged(&node, conduct, 1, 1).await?;
    say("opened");
    let clients = REPORTERS.map(|number| tokio::spawn(client(node.clone(), conduct, number)));
    for client in clients.collect::<Vec<_>>() {
        if let Err(error) = client.await? {
            let health = node.health();
            return Err(format!("{error}; {:?}", health.reasons).into());
        }
    }
    node.begin_stop();
    blocks.join().map_err(|_| "the thread of the blocks")??;
    Ok(())
}

/// Sends transactions for ever, beginning with some that were committed before.
async fn client(node: Node, conduct: Conduct, number: u8) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let first = node.sequence(&address(&key(number))).last.saturating_sub(AGAIN) + 1;
    let node = Arc::new(node);
    let mut waves = (first..).step_by(usize::try_from(UNDER_WAY)?);
    loop {
        let wave = waves.next().ok_or("no more sequences")?;
        let mut under_way = tokio::task::JoinSet::new();
        for sequence in wave..wave + UNDER_WAY {
            let node = Arc::clone(&node);
            under_way.spawn(async move { acknowledged(&node, conduct, number, sequence).await });
            // Clients send in order: of two sequences at once the higher one could be first.
            tokio::task::yield_now().await;
        }
        while let Some(done) = under_way.join_next().await {
            done??;
        }
    }
}

/// Sends a transaction, and tells when it is acknowledged.
async fn acknowledged(
    node: &Node,
    conduct: Conduct,
    number: u8,
    sequence: u64,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let submitted = node.submit(&envelope(node, number, sequence))?;
    let TxRecord { id, height, index, receipt, .. } = match submitted {
        Submitted::Committed(record) => record,
        Submitted::Pending(id) if conduct == Conduct::Hasty => {
            say(&format!("acknowledged {number} {sequence} {id} 0 0 0"));
            node.settled(id, Duration::from_secs(60)).await?
        }
        Submitted::Pending(id) => node.settled(id, Duration::from_secs(60)).await?,
    };
    say(&format!("acknowledged {number} {sequence} {id} {height} {index} {}", receipt.code()));
    Ok(())
}

/// Not by the macro, which panics when it cannot be heard.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _unheard = out.write_all(format!("\n{line}\n").as_bytes()).and_then(|()| out.flush());
}

/// What a child has acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Acknowledged {
    pub(super) number: u8,
    pub(super) sequence: u64,
    pub(super) id: Hash,
    pub(super) height: u32,
    pub(super) index: u32,
    pub(super) code: u16,
}

impl Acknowledged {
    fn read(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.strip_prefix("acknowledged ")?.split(' ').collect();
        let [number, sequence, id, height, index, code] = words.try_into().ok()?;
        Some(Self {
            number: number.parse().ok()?,
            sequence: sequence.parse().ok()?,
            id: id.parse().ok()?,
            height: height.parse().ok()?,
            index: index.parse().ok()?,
            code: code.parse().ok()?,
        })
    }
}

/// The command that runs a node; `before` are the words of the program that watches it.
pub(super) fn command(before: &[&str], conduct: Conduct, folder: &Path) -> Process {
    let program = std::env::current_exe().unwrap();
    let mut words = before.iter().map(std::ffi::OsStr::new).chain([program.as_os_str()]);
    let mut command = Process::new(words.next().unwrap());
    let conduct = if conduct == Conduct::Hasty { "hasty" } else { "honest" };
    command
        .args(words)
        .args(["--exact", "survival::child::child", "--nocapture", "--test-threads=1"])
        .env_remove("LD_LIBRARY_PATH")
        .env(ORDERS, format!("{conduct} {}", folder.display()))
        .stdout(Stdio::piped());
    command
}

/// A child at work.
pub(super) struct Running {
    pub(super) process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    pub(super) acknowledged: Vec<Acknowledged>,
    /// Why it has stopped by itself.
    pub(super) failed: Option<String>,
}

impl Running {
    pub(super) fn start(mut command: Process) -> Self {
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines, acknowledged: Vec::new(), failed: None }
    }

    /// Reads until the child has acknowledged so many transactions; false if it has ended.
    pub(super) fn hear(&mut self, count: usize) -> bool {
        while self.acknowledged.len() < count {
            let Some(Ok(line)) = self.lines.next() else { return false };
            self.acknowledged.extend(Acknowledged::read(&line));
            self.failed = line.strip_prefix("failed ").map(ToOwned::to_owned).or(self.failed.take());
        }
        true
    }

    /// Waits for its end, and reads what nobody has heard yet. Returns its exit code, if it was not killed.
    pub(super) fn end(&mut self) -> Option<i32> {
        self.hear(usize::MAX);
        self.process.wait().unwrap().code()
    }
}
