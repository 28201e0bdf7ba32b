//! The command line of `coalmine`.

mod client;
mod config;
mod dev;
mod error;
mod export;
mod init;
mod keys;
mod notify;
mod output;
mod serve;
mod snapshot;
mod start;
mod status;
mod story;
mod tx;
mod watch;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::cli::error::Error;
use crate::cli::output::Format;
use crate::home::Home;

/// Feature flags and canary rollouts, decided by a ledger: the node.
#[derive(Debug, Parser)]
#[command(
    name = "coalmine",
    version,
    max_term_width = 100,
    after_help = "\
Every option of a node can also be set in the environment (COALMINE_HOME, COALMINE_LISTEN, …) and in config.toml; a \
flag goes before the environment, and that before the file.

Exit codes: 0 success, 1 the ledger rejected a transaction or it has not settled, 2 bad usage or bad input, 3 the \
database or the output failed or the node cannot be reached, 4 the ledger needs rules that this build does not know, \
5 the records do not have the root of their block, 130 ended by a second signal, 141 the reader of standard output went \
away."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Folder of the node [default: .coalmine in the home folder]
    #[arg(long, global = true, env = "COALMINE_HOME", value_name = "FOLDER")]
    home: Option<PathBuf>,
    /// Form of the results
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORM")]
    format: Format,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the home of a node: configuration, genesis and keys
    Init(init::InitArgs),
    /// Run the node
    Start(start::StartArgs),
    /// Run a node in memory that plays a story again and again, to look at
    Dev(dev::DevArgs),
    /// Make, show, import and export keys
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Build, preview, sign and send a transaction, and wait for its receipt
    Tx(tx::TxArgs),
    /// Print what happens, block by block
    Watch(watch::WatchArgs),
    /// Show how a node is
    Status(status::StatusArgs),
    /// Back up the state of a node, and make a new one of it
    #[command(subcommand)]
    Snapshot(snapshot::SnapshotCommand),
    /// Write all blocks as a block file, for the replay tool
    Export(export::ExportArgs),
    /// Show how notifications and reporters are, and send again what was given up
    #[command(subcommand)]
    Notify(notify::NotifyCommand),
    /// Check or show the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
}

/// Bad usage.
const USAGE: u8 = 2;

/// Runs the command line and returns its exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // If not even this can be written, nothing can be reported.
            let _printed = error.print();
            return if error.use_stderr() { USAGE } else { 0 };
        }
    };
    let format = cli.format;
    match cli.execute() {
        Ok(()) => 0,
        Err(error) => {
            if !error.is_broken_pipe() {
                format.problem(&error);
            }
            error.exit_code()
        }
    }
}

impl Cli {
    fn execute(self) -> Result<(), Error> {
        let home = Home::at(self.home.unwrap_or_else(|| std::env::home_dir().unwrap_or_default().join(".coalmine")));
        let out = self.format;
        match self.command {
            Command::Init(args) => init::init(&args, &home, out),
            Command::Start(args) => start::start(&args, &home),
            Command::Dev(args) => dev::dev(&args),
            Command::Keys(command) => keys::keys(&command, out),
            Command::Tx(args) => tx::tx(&args, &home, out),
            Command::Watch(args) => watch::watch(&args, out),
            Command::Status(args) => status::status(&args, out),
            Command::Snapshot(command) => snapshot::snapshot(&command, &home, out),
            Command::Export(args) => export::export(&args, &home, out),
            Command::Notify(command) => notify::notify(&command, out),
            Command::Config(command) => config::config(&command, &home),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_are_sound() {
        super::Cli::command().debug_assert();
    }
}
