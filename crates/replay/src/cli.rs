//! The command line: what can be asked for, and which command answers.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use coalmine_core::{Address, Hash, Height, Name};
use coalmine_store::Tip;

use crate::blockfile::Form;
use crate::commands;
use crate::error::Error;
use crate::generate::Mix;
use crate::output::{Format, Target};

/// Feeds block files to coalmine: runs, checks, compares, shows and proves.
#[derive(Debug, Parser)]
#[command(
    name = "replay",
    version,
    max_term_width = 100,
    after_help = "\
SOURCE is a block file (it is run in memory first), rocksdb:PATH, or a dump. Where a file is read, \
- is standard input.

Exit codes: 0 all held, 1 an expectation, root or comparison failed, 2 bad usage or bad input file, \
3 the store failed or holds a corrupt record, 130 interrupted (what is committed stays), 141 the \
reader of standard output went away."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// How results are written
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORM")]
    format: Format,
    /// Write results to FILE instead of standard output
    #[arg(short = 'o', long = "output", global = true, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Execute block files in order and check what they expect
    Run(RunArgs),
    /// Run each file on several stores and compare them block by block
    Verify(VerifyArgs),
    /// Read a store from end to end, decode every record and rebuild its root
    VerifyStore(VerifyStoreArgs),
    /// Turn a block file into another form
    Convert(ConvertArgs),
    /// Show records
    Show(ShowArgs),
    /// Is a feature on for an address, and why?
    Check(CheckArgs),
    /// Tell which version of a plugin serves a unit
    Route(RouteArgs),
    /// Tell what loading a plugin would do, in order, or why it would be refused
    Plan(PlanArgs),
    /// Write every key and value in key order
    Dump(DumpArgs),
    /// Make a store from a dump and check its root
    Restore(RestoreArgs),
    /// Compare the records of two sources
    Diff(PairArgs),
    /// Find the first height at which two runs disagree
    Bisect(BisectArgs),
    /// Prove that a record is, or is not, in the state
    Prove(ProveArgs),
    /// Check a proof without a store and print what it proves
    VerifyProof(VerifyProofArgs),
    /// Make a seeded synthetic workload
    Generate(GenerateArgs),
}

/// Arguments of `run`.
#[derive(Debug, Args)]
#[command(after_help = "\
On rocksdb:PATH a run continues where the store stands; the store is created if it is not there. \
Blocks at or below its tip are skipped if they are the ones that the store has executed. The store \
does not keep blocks, so they are executed once more in memory, from the genesis on, and have to give \
the root of the store: name every file from the first one on. If no file has a block at or below the \
tip, only the id of the ledger is compared.

Rejected transactions are results, not failures. Expectations that fail are listed on standard error.

Example:
  replay run --events --until 5000 canary.json
  replay run --store rocksdb:./state january.blocks february.blocks")]
pub(crate) struct RunArgs {
    /// Block files with the same genesis and rising heights; - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// memory, or rocksdb:PATH
    #[arg(long, default_value = "memory", value_name = "STORE")]
    pub(crate) store: String,
    /// Run up to HEIGHT, by empty blocks where the files have none, and stop there
    #[arg(long, value_name = "HEIGHT")]
    pub(crate) until: Option<Height>,
    /// Print every event
    #[arg(long)]
    pub(crate) events: bool,
    /// Print every receipt
    #[arg(long)]
    pub(crate) receipts: bool,
    /// Print the root after every N-th block of the files
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) root_every: Option<u64>,
    /// Print no summary, no rates and no progress
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Every file runs on memory, on RocksDB in a temporary folder, and on RocksDB closed and reopened after \
every block. Roots, receipts and events are compared at every height, all records at the end, and \
every expectation is checked. A build without RocksDB compares memory with memory reopened.

Example:
  replay verify fixtures/scenarios/*.json")]
pub(crate) struct VerifyArgs {
    /// Block files, each run by itself
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

/// Arguments of `verify-store`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  replay verify-store rocksdb:./state --expect 5000:$ROOT")]
pub(crate) struct VerifyStoreArgs {
    /// rocksdb:PATH
    #[arg(value_name = "STORE")]
    pub(crate) store: String,
    /// The tip that the store must have; HEIGHT is `genesis` before the first block
    #[arg(long, value_name = "HEIGHT:ROOT", value_parser = tip)]
    pub(crate) expect: Option<Tip>,
}

/// Arguments of `convert`.
#[derive(Debug, Args)]
#[command(after_help = "\
Nothing of genesis and blocks is lost; name, description and expectations exist in JSON only. When the \
input is damaged, the blocks before the damage are written, and the exit code is 2.

Example:
  replay convert canary.json canary.blocks")]
pub(crate) struct ConvertArgs {
    /// The block file to read; - is standard input
    #[arg(value_name = "IN")]
    pub(crate) input: PathBuf,
    /// The block file to write; - is standard output
    #[arg(value_name = "OUT")]
    pub(crate) out: PathBuf,
    /// The form of OUT if its name does not end in it
    #[arg(long, value_name = "FORM", value_parser = form)]
    pub(crate) to: Option<Form>,
}

/// Arguments of `show`.
#[derive(Debug, Args)]
#[command(after_help = "\
With --at, a block file is run up to that height. A store or a dump answers for the past what its \
history tells: features and feature (status and percent), history and plugin-history.

Example:
  replay show canary.json feature vita_recovery_v2 --at 150
  replay show rocksdb:./state history vita_recovery_v2
  replay show plugin-canary.json plugin api --at 30")]
pub(crate) struct ShowArgs {
    /// A block file, rocksdb:PATH or a dump
    #[arg(value_name = "SOURCE")]
    pub(crate) source: String,
    #[command(subcommand)]
    pub(crate) what: What,
    /// As of the end of this height
    #[arg(long, global = true, value_name = "HEIGHT")]
    pub(crate) at: Option<Height>,
}

/// What `show` shows.
#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// Every feature with status and percent
    Features,
    /// One feature with its policy and how far its rollout is
    Feature {
        /// The feature
        name: Name,
    },
    /// What the reporters told about a feature
    Metrics {
        /// The feature
        name: Name,
    },
    /// Every change of status or percent
    History {
        /// The feature
        name: Name,
    },
    /// Users with a switch of their own
    Overrides {
        /// The feature
        name: Name,
    },
    /// Who may do what
    Roles,
    /// Commands that run at a later height
    Schedule,
    /// The ledger: id, parameters, circuit breaker
    Global,
    /// The config feed: its totals, and what is known of each item
    Feed,
    /// Features past their expires_at
    Stale,
    /// Every plugin with its current version and where its deployment stands
    Plugins,
    /// One plugin with its deployment, plan and versions
    Plugin {
        /// The plugin
        name: Name,
    },
    /// Everything that happened to a plugin
    PluginHistory {
        /// The plugin
        name: Name,
    },
}

/// Arguments of `route`.
#[derive(Debug, Args)]
#[command(after_help = "\
UNIT is whatever the plugin is asked for, always in the same form: an account, a request id. 0x and hex \
digits stand for bytes, anything else for its text. While there is a deployment, units whose bucket is \
below share_bps get its new version. --at needs a block file.

Example:
  replay route plugin-canary.json api 0x1111111111111111111111111111111111111111 --at 30
  replay route rocksdb:./state api order-4711")]
pub(crate) struct RouteArgs {
    /// A block file, rocksdb:PATH or a dump
    #[arg(value_name = "SOURCE")]
    pub(crate) source: String,
    /// The plugin
    pub(crate) plugin: Name,
    /// The unit
    #[arg(value_parser = unit)]
    pub(crate) unit: Bytes,
    /// As of the end of this height
    #[arg(long, value_name = "HEIGHT")]
    pub(crate) at: Option<Height>,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
#[command(after_help = "\
A line per plugin, in the order in which hosts load them; or the reject that the command would meet, and \
the plugin it fails at. --at needs a block file.

Example:
  replay plan plugin-load-diamond.json shop --at 10")]
pub(crate) struct PlanArgs {
    /// A block file, rocksdb:PATH or a dump
    #[arg(value_name = "SOURCE")]
    pub(crate) source: String,
    /// The plugin
    pub(crate) plugin: Name,
    /// As of the end of this height
    #[arg(long, value_name = "HEIGHT")]
    pub(crate) at: Option<Height>,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(after_help = "\
--at needs a block file: overrides, policies and the like are not kept for the past.

Example:
  replay check canary.json vita_recovery_v2 0x1111111111111111111111111111111111111111 --at 150")]
pub(crate) struct CheckArgs {
    /// A block file, rocksdb:PATH or a dump
    #[arg(value_name = "SOURCE")]
    pub(crate) source: String,
    /// The feature
    pub(crate) name: Name,
    /// The user
    pub(crate) address: Address,
    /// As of the end of this height
    #[arg(long, value_name = "HEIGHT")]
    pub(crate) at: Option<Height>,
}

/// Arguments of `dump`.
#[derive(Debug, Args)]
#[command(after_help = "\
The first line has format, height and root; every further line is {\"key\":\"hex\",\"value\":\"hex\"}.

Example:
  replay dump rocksdb:./state -o state.dump")]
pub(crate) struct DumpArgs {
    /// A block file, rocksdb:PATH or a dump
    #[arg(value_name = "SOURCE")]
    pub(crate) source: String,
}

/// Arguments of `restore`.
#[derive(Debug, Args)]
#[command(after_help = "\
The records have to give the root of the dump, else nothing is written. The folder must be new or empty.

Example:
  replay restore state.dump rocksdb:./copy")]
pub(crate) struct RestoreArgs {
    /// The dump; - is standard input
    #[arg(value_name = "DUMP")]
    pub(crate) dump: String,
    /// rocksdb:PATH
    #[arg(value_name = "STORE")]
    pub(crate) store: String,
}

/// Arguments of `diff`.
#[derive(Debug, Args)]
#[command(after_help = "\
A line per record: - only in the first source, + only in the second, ~ in both, with the fields that \
differ as FIRST -> SECOND. Exit code 1 when anything differs.

Example:
  replay diff canary.json rocksdb:./state")]
pub(crate) struct PairArgs {
    /// A block file, rocksdb:PATH or a dump
    #[arg(value_name = "SOURCE")]
    pub(crate) first: String,
    /// Another one
    #[arg(value_name = "SOURCE")]
    pub(crate) second: String,
}

/// Arguments of `bisect`.
#[derive(Debug, Args)]
#[command(after_help = "\
Two block files are run side by side up to the first height at which blocks, receipts, events or roots \
disagree. A store or dump keeps the root of its tip only, so a block file is compared with it there; \
if the histories tell of an earlier height, it is named too. Exit code 1 when they disagree.

Example:
  replay bisect mine.blocks theirs.blocks")]
pub(crate) struct BisectArgs {
    #[command(flatten)]
    pub(crate) pair: PairArgs,
}

/// Arguments of `prove`.
#[derive(Debug, Args)]
#[command(after_help = "\
Writes JSON with root, height and ICS-23 proofs in base64.

Example:
  replay prove state.dump is-enabled top 0x1111111111111111111111111111111111111111 -o proof.json
  replay prove plugin-canary.json plugin api -o proof.json")]
pub(crate) struct ProveArgs {
    /// A block file, rocksdb:PATH or a dump
    #[arg(value_name = "SOURCE")]
    pub(crate) source: String,
    #[command(subcommand)]
    pub(crate) what: Claim,
}

/// What `prove` proves.
#[derive(Debug, Subcommand)]
pub(crate) enum Claim {
    /// The value of a key, or that there is none
    Key {
        /// The key in hex
        #[arg(value_parser = bytes)]
        key: Bytes,
    },
    /// The record of a feature, or that there is none
    Feature {
        /// The feature
        name: Name,
    },
    /// The record of a plugin with its current version, or that there is none
    Plugin {
        /// The plugin
        name: Name,
    },
    /// Everything that decides whether a feature is on for an address
    IsEnabled {
        /// The feature
        name: Name,
        /// The user
        address: Address,
    },
}

/// Bytes, as one argument.
#[derive(Debug, Clone)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

/// Arguments of `verify-proof`.
#[derive(Debug, Args)]
#[command(after_help = "\
The root comes from somebody who is trusted, such as a light client; the height in the file is what the \
prover says, and is not proven. Exit code 1 when anything in the file does not hold.

Example:
  replay verify-proof proof.json --root $ROOT")]
pub(crate) struct VerifyProofArgs {
    /// What `prove` wrote; - is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: String,
    /// The state root
    #[arg(long, value_name = "HEX")]
    pub(crate) root: Hash,
}

/// Arguments of `generate`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
The same arguments give the same bytes. Features are created in blocks of their own before the others, \
and so are plugins, if the mix has any of version_success, version_error, deploy, register or health, \
which the default mix has not. The form of the file is that of its name; standard output gets .jsonl.

Example:
  replay generate --features 1000 --blocks 500 --txs-per-block 2000 -o load.blocks
  replay generate --mix success=95,error=5 | replay run -
  replay generate --mix version_success=80,version_error=1,deploy=2,register=1,health=5 | replay run -")]
pub(crate) struct GenerateArgs {
    /// How many features there are, and how many plugins if the mix has them
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) features: u32,
    /// How many users there are
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) users: u32,
    /// How many blocks behind those that create features and plugins
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(..=4_000_000_000))]
    pub(crate) blocks: u32,
    /// How many transactions in each of them
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(..=65_536))]
    pub(crate) txs_per_block: u32,
    /// Where the pseudo-random numbers begin
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// Weights of the kinds of transactions: KIND=WEIGHT,…
    #[arg(long, default_value_t, value_name = "MIX")]
    pub(crate) mix: Mix,
}

fn tip(text: &str) -> Result<Tip, String> {
    let (height, root) = text.split_once(':').ok_or("write HEIGHT:ROOT")?;
    let height = match height {
        "genesis" => None,
        height => Some(height.parse().map_err(|error| format!("HEIGHT: {error}"))?),
    };
    Ok(Tip { height, root: root.parse().map_err(|error| format!("ROOT: {error}"))? })
}

fn form(text: &str) -> Result<Form, String> {
    Form::of(format!("a.{text}").as_ref()).ok_or_else(|| "write json, jsonl or blocks".into())
}

fn unit(text: &str) -> Result<Bytes, String> {
    match text.strip_prefix("0x") {
        Some(digits) => bytes(digits),
        None => Ok(Bytes(text.into())),
    }
}

fn bytes(text: &str) -> Result<Bytes, String> {
    hex::decode(text).map(Bytes).map_err(|error| error.to_string())
}

/// Runs the tool and returns its exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing can be done where help itself cannot be written.
            let _printed = error.print();
            return if error.use_stderr() { 2 } else { 0 };
        }
    };
    match cli.execute() {
        Ok(()) => 0,
        Err(error) => {
            if !error.is_broken_pipe() {
                eprintln!("replay: {error}");
            }
            error.exit_code()
        }
    }
}

impl Cli {
    fn execute(self) -> Result<(), Error> {
        let target = Target { format: self.format, file: self.output };
        match &self.command {
            Command::Run(args) => commands::run::run(args, &target),
            Command::Verify(args) => commands::verify::verify(args, &target),
            Command::VerifyStore(args) => commands::verify::verify_store(args, &target),
            Command::Convert(args) => commands::files::convert(args, &target),
            Command::Show(args) => commands::show::show(args, &target),
            Command::Check(args) => commands::show::check(args, &target),
            Command::Route(args) => commands::plugins::route(args, &target),
            Command::Plan(args) => commands::plugins::plan(args, &target),
            Command::Dump(args) => commands::transfer::dump(args, &target),
            Command::Restore(args) => commands::transfer::restore(args, &target),
            Command::Diff(args) => commands::compare::diff(args, &target),
            Command::Bisect(args) => commands::compare::bisect(&args.pair, &target),
            Command::Prove(args) => commands::prove::prove(args, &target),
            Command::VerifyProof(args) => commands::prove::verify_proof(args, &target),
            Command::Generate(args) => commands::files::generate(args, &target),
        }
    }
}
