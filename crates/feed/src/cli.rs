//! The command line of `feed`: a stream goes in, blocks come out.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use clap::Parser;
use coalmine_core::{Address, Block, Command, Genesis, Height, LimitError, Role};
use coalmine_json::blockfile::{BlockReader, Limits as FileLimits};
use coalmine_replay::error::Error;
use coalmine_replay::tool::run_tool;
use eventsource_client::Client;
use futures_util::FutureExt;
use launchdarkly_sdk_transport::{HyperTransport, Uri};
use tokio::runtime;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::backoff::Delays;
use crate::blocks::{Pending, Target, output};
use crate::manager::{Level, Log, Manager};
use crate::secret::Salt;
use crate::stream::{self, Limits};

/// The most messages that wait for the current block.
const MESSAGES_WAITING_MAX: usize = 4;
/// How long to wait for the reader of the output after a signal.
const READER_WAIT: Duration = Duration::from_secs(5);
/// The longest file of a key or a salt, in bytes.
const SECRET_SIZE_MAX: u64 = 4_096;
/// The permissions of everybody but the owner.
const OTHERS: u32 = 0o077;

/// Feeds the config feed of a ledger from a server-sent-events stream.
#[derive(Debug, Parser)]
#[command(
    name = "feed",
    version,
    max_term_width = 100,
    after_help = "\
Keeps the stream BASE/relay_auto_config open and writes its messages as a block file (.jsonl) to standard output, \
or applies them to a store. Every block time is a height; in a file, heights without messages are gaps. \
The keys in environments are replaced by hashes with the salt, which therefore must stay the same. \
SIGINT and SIGTERM end it once everything received is written, or if the output is not read for 5 seconds.

With --store a block with a rejected transaction is refused as a whole. Whoever executes a file must do the same: when \
the ledger rejects a part of a put, the parts after it must be withheld, because the last one makes the ledger forget \
every item that no part listed. With a file, the items of the ledger are not known either: it forgets an item whose \
entry in the first put after a start is invalid, which is logged as the error not_retained.

The files of key and salt must be their owner's alone. Proxies are used only with --env-proxy. Over http:// anybody on \
the way can read the key, so there is a warning unless the server is on this machine.

Example:
  (umask 077; head -c 32 /dev/urandom > salt)
  feed --key-file key --salt-file salt https://stream.example | replay run --events -

Exit codes: 0 ended on request, 1 the server refused the key or the ledger a block, 2 bad usage or bad \
input, 3 the store or the output failed, 4 the ledger needs rules that this build does not know, 141 the reader of \
standard output went away."
)]
pub struct Cli {
    /// Address of the server: http://HOST or https://HOST, with a path if needed
    #[arg(value_name = "BASE")]
    base: String,
    /// File with the key for the server
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
    /// File with the salt, at least 16 bytes
    #[arg(long, value_name = "FILE")]
    salt_file: PathBuf,
    /// Connect through the proxies of the environment: http_proxy, https_proxy, no_proxy
    #[arg(long)]
    env_proxy: bool,
    /// Version of the protocol to request; filters need 2
    #[arg(long, default_value_t = 2, value_name = "N")]
    protocol: i32,
    /// Block file with the genesis of the ledger [default: a genesis with the signer as its admin]
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// Signer, who needs the role feeder [default: the first admin of the genesis, or 0x11..11]
    #[arg(long, value_name = "ADDRESS")]
    signer: Option<Address>,
    /// Time between heights, in milliseconds
    #[arg(long, default_value = "2000", value_name = "MS")]
    block_time: NonZeroU64,
    /// First height; a store continues after its last one
    #[arg(long, default_value_t = 1, value_name = "HEIGHT", conflicts_with = "store")]
    height: Height,
    /// End after N blocks with messages, or once the current put is complete
    #[arg(long, value_name = "N")]
    blocks: Option<NonZeroU32>,
    /// Apply the blocks instead of writing them: memory, or rocksdb:PATH
    #[arg(long, value_name = "STORE")]
    store: Option<String>,
    /// Also log messages that are ignored
    #[arg(long)]
    verbose: bool,
}

/// Runs the tool and returns its exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    run_tool("feed", arguments, |cli: Cli| cli.execute())
}

impl Cli {
    fn execute(&self) -> Result<(), Error> {
        let key = String::from_utf8(secret(&self.key_file)?)
            .map_err(|_| Error::Input(format!("{}: the key is not text", self.key_file.display())))?;
        if key.trim().is_empty() {
            return Err(Error::Input(format!("{}: the key is empty", self.key_file.display())));
        }
        let salt = Salt::new(secret(&self.salt_file)?)
            .map_err(|error| Error::Input(format!("{}: {error}", self.salt_file.display())))?;
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(unusable)?;
        let is_https = self.base.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"));
        if is_plain_beyond_loopback(&self.base) {
            let text = "the key and all that is received cross the network unencrypted; use https://".into();
            self.log(&Log { level: Level::Warn, tag: "plain_http", text });
        }
        let transport = HyperTransport::builder();
        let transport = if self.env_proxy { transport.auto_proxy() } else { transport.disable_proxy() };
        // Reading the certificates of the system fails if there are none, and plain HTTP needs none.
        let ended = if is_https {
            let transport = transport.build_https().map_err(unusable)?;
            let client = stream::client(&self.base, key.trim(), self.protocol, transport, Limits::default());
            runtime.block_on(self.feed(client.map_err(unusable)?, salt))
        } else {
            let transport = transport.build_http().map_err(unusable)?;
            let client = stream::client(&self.base, key.trim(), self.protocol, transport, Limits::default());
            runtime.block_on(self.feed(client.map_err(unusable)?, salt))
        };
        // A thread that writes to a pipe that is not read would never end.
        runtime.shutdown_background();
        ended
    }

    async fn feed(&self, client: impl Client, salt: Salt) -> Result<(), Error> {
        let (genesis, signer) = self.genesis()?;
        let mut target = match &self.store {
            Some(store) => Target::ledger(store, &genesis)?,
            None => Target::file(genesis.clone())?,
        };
        let mut manager = Manager::new(salt, Delays::default());
        if let Some(state) = target.state() {
            manager.seed(state.feed_items());
        }
        let mut height = target.tip().map_or(Some(self.height), |tip| tip.checked_add(1));
        let mut pending = Pending::new(signer, target.next_sequence(&genesis, &signer));
        let mut blocks: u32 = 0;

        let (sender, mut messages) = mpsc::channel::<Vec<Command>>(MESSAGES_WAITING_MAX);
        let mut stream = pin!(stream::run(&client, &mut manager, &sender, |log| self.log(&log)));
        let block_time = Duration::from_millis(self.block_time.get());
        let mut ticks = interval(block_time);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick is immediate.
        ticks.tick().await;
        let stop = stop()?.shared();

        let ended = loop {
            // In this order, so that a block takes everything received before its time, as far as it has room.
            tokio::select! {
                biased;
                () = stop.clone() => break Ok(()),
                Some(commands) = messages.recv(), if !pending.is_full() => pending.push(&commands).map_err(unencodable)?,
                ended = &mut stream => break ended.map_err(|refused| Error::Differs(refused.to_string())),
                _ = ticks.tick() => {
                    let now = height.ok_or_else(|| Error::Input("there are no more heights".into()))?;
                    let block = pending.take(now).map_err(unencodable)?;
                    blocks = blocks.saturating_add(u32::from(block.is_some()));
                    target = work(target, now, block, stop.clone()).await?;
                    // A put may take several blocks, and without the last of them it has no effect.
                    if self.blocks.is_some_and(|max| blocks >= max.get()) && pending.is_empty() {
                        return Ok(());
                    }
                    height = now.checked_add(1);
                }
            }
        };
        // What was received goes into blocks, so that no put is cut off.
        while let Ok(commands) = messages.try_recv() {
            pending.push(&commands).map_err(unencodable)?;
        }
        while let Some(now) = height
            && let Some(block) = pending.take(now).map_err(unencodable)?
        {
            target = work(target, now, Some(block), stop.clone()).await?;
            height = now.checked_add(1);
        }
        ended
    }

    fn genesis(&self) -> Result<(Genesis, Address), Error> {
        const SIGNER: Address = Address([0x11; 20]);
        match &self.genesis {
            Some(path) => {
                let file = BlockReader::open(path, FileLimits::default())?;
                let header = file.header();
                for warning in &header.warnings {
                    self.log(&Log { level: Level::Warn, tag: "genesis", text: warning.to_string() });
                }
                Ok((header.genesis.clone(), self.signer.unwrap_or(header.signer)))
            }
            None => {
                let signer = self.signer.unwrap_or(SIGNER);
                Ok((Genesis::new("", [(signer, Role::Admin.into())]).map_err(unusable)?, signer))
            }
        }
    }

    fn log(&self, log: &Log) {
        let level = match log.level {
            Level::Debug if !self.verbose => return,
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warning",
            Level::Error => "error",
        };
        eprintln!("feed: {level}: {}: {}", log.tag, log.text);
    }
}

/// Ends with SIGINT or SIGTERM.
fn stop() -> Result<impl Future<Output = ()>, Error> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut interrupt = signal(SignalKind::interrupt()).map_err(unusable)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(unusable)?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Writes or applies a block, on a thread of its own, so that signals are handled even if the output is not read.
async fn work(
    mut target: Target,
    height: Height,
    block: Option<Block>,
    stop: impl Future<Output = ()>,
) -> Result<Target, Error> {
    let done = spawn_blocking(move || match &block {
        Some(block) => target.block(block).map(|()| target),
        None => target.empty(height).map(|()| target),
    });
    let given_up = async {
        stop.await;
        sleep(READER_WAIT).await;
    };
    tokio::select! {
        biased;
        done = done => done.map_err(unusable)?,
        () = given_up => Err(output(io::Error::new(io::ErrorKind::TimedOut, "interrupted, and it is not read"))),
    }
}

/// Whether an address is one to which a key goes unencrypted, and beyond this machine.
fn is_plain_beyond_loopback(base: &str) -> bool {
    let Ok(uri) = base.parse::<Uri>() else { return false };
    let host = uri.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_loopback =
        address.map_or_else(|_| host.eq_ignore_ascii_case("localhost"), |address| address.to_canonical().is_loopback());
    uri.scheme_str() == Some("http") && !is_loopback
}

/// The content of a small file that its owner alone can read.
fn secret(path: &Path) -> Result<Vec<u8>, Error> {
    let shown = path.display();
    let cannot = |error: io::Error| Error::Input(format!("{shown}: cannot be read: {error}"));
    let file = File::open(path).map_err(cannot)?;
    let metadata = file.metadata().map_err(cannot)?;
    // A pipe or a terminal has no content that stays.
    let mode = metadata.permissions().mode() & 0o777;
    if metadata.is_file() && mode & OTHERS != 0 {
        let text = format!("others have access to it (mode {mode:03o}); make it its owner's alone: chmod 600 {shown}");
        return Err(Error::Input(format!("{shown}: {text}")));
    }
    let mut bytes = Vec::new();
    let size = file.take(SECRET_SIZE_MAX.saturating_add(1)).read_to_end(&mut bytes).map_err(cannot)?;
    if u64::try_from(size).unwrap_or(u64::MAX) > SECRET_SIZE_MAX {
        return Err(Error::Input(format!("{shown}: longer than {SECRET_SIZE_MAX} bytes")));
    }
    Ok(bytes)
}

fn unusable(error: impl std::fmt::Display) -> Error {
    Error::Input(error.to_string())
}

/// The manager makes only commands that fit into transactions, so this would be a bug.
fn unencodable(error: LimitError) -> Error {
    Error::Input(format!("a message does not fit into transactions: {error}"))
}
