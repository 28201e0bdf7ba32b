//! `config check` and `config show`.

use clap::{Args, Subcommand};

use crate::beside::Beside;
use crate::cli::error::Error;
use crate::cli::output::Format;
use crate::config::{Config, Overrides};
use crate::home::Home;

/// Commands about the configuration.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Check config.toml, the environment and flags, and say what is wrong
    Check(ConfigArgs),
    /// Show what a node would be started with
    Show(ConfigArgs),
}

/// Arguments of both.
#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    #[command(flatten)]
    overrides: Overrides,
}

pub(super) fn config(command: &ConfigCommand, home: &Home) -> Result<(), Error> {
    let (ConfigCommand::Check(args) | ConfigCommand::Show(args)) = command;
    let config = read(home, &args.overrides)?;
    match command {
        ConfigCommand::Check(_) => {
            Beside::check(&config, home.path())?;
            Format::Text.line(&format!("{}: good", home.config().display()))
        }
        ConfigCommand::Show(_) => Format::Text.line(config.to_text().trim_end()),
    }
}

/// The configuration of a home, which need not have a file.
pub(super) fn read(home: &Home, overrides: &Overrides) -> Result<Config, Error> {
    let path = home.config();
    let config = if path.exists() { Config::read(&path)? } else { Config::default() };
    Ok(config.with(overrides)?)
}
