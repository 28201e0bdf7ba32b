//! What the tests of the stream share.

use std::sync::{Arc, Mutex};

use coalmine_core::{Command, FeedEntry};
use coalmine_feed::backoff::Delays;
use coalmine_feed::manager::{Log, Manager};
use coalmine_feed::secret::Salt;
use coalmine_feed::stream::{self, Limits, Refused};
use coalmine_feed::transport::HttpTransport;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A stream that runs, and what comes out of it.
pub(crate) struct Running {
    /// The commands of each message.
    pub(crate) messages: mpsc::Receiver<Vec<Command>>,
    /// The tags and texts of the log entries.
    pub(crate) logs: Arc<Mutex<Vec<String>>>,
    /// How it ended.
    pub(crate) end: JoinHandle<Result<(), Refused>>,
}

/// How many messages wait at most.
pub(crate) const WAITING_MAX: usize = 4;

pub(crate) fn start<T: HttpTransport>(base: &str, transport: T, delays: Delays, limits: Limits) -> Running {
    let client = stream::client(base, "key-1", 2, transport, limits).unwrap();
    let (sender, messages) = mpsc::channel(WAITING_MAX);
    let logs = Arc::new(Mutex::new(Vec::new()));
    let entries = Arc::clone(&logs);
    let end = tokio::spawn(async move {
        let mut manager = Manager::new(Salt::new(*b"a salt for tests").unwrap(), delays);
        let log = |log: Log| entries.lock().unwrap().push(format!("{}: {}", log.tag, log.text));
        stream::run(&client, &mut manager, &sender, log).await
    });
    Running { messages, logs, end }
}

impl Running {
    /// The next message, in short form: `put[e1@3 |f1@2]`.
    pub(crate) async fn next(&mut self) -> String {
        let commands = self.messages.recv().await.unwrap_or_default();
        commands.iter().map(short).collect::<Vec<_>>().join(" ")
    }

    /// The log entries that contain `what`.
    pub(crate) fn logged(&self, what: &str) -> Vec<String> {
        self.logs.lock().unwrap().iter().filter(|log| log.contains(what)).cloned().collect()
    }
}

/// Whether the test `path`, which calls this, has a process of its own, so that what it reads there of memory is
/// its own. If not, it is run again in one, where it must pass.
pub(crate) fn is_alone(path: &str) -> bool {
    const ALONE: &str = "COALMINE_FEED_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut process = std::process::Command::new(std::env::current_exe().unwrap());
    let output = process.args(["--exact", path, "--nocapture"]).env(ALONE, "").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    false
}

/// The most memory that this process ever had, in kilobytes.
pub(crate) fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

fn short(command: &Command) -> String {
    let list = |entries: &[FeedEntry]| {
        entries.iter().map(|entry| format!("{}@{}", entry.id.as_str(), entry.version)).collect::<Vec<_>>().join(" ")
    };
    match command {
        Command::FeedPut { environments, filters, .. } => format!("put[{}|{}]", list(environments), list(filters)),
        Command::FeedPatch { id, version, .. } => format!("patch[{}@{version}]", id.as_str()),
        Command::FeedDelete { id, version, .. } => format!("delete[{}@{version}]", id.as_str()),
        other => panic!("{other:?}"),
    }
}
