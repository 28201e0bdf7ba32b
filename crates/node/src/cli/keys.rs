//! `keys`: make, show, import and export keys.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use coalmine_auth::{
    SecretKey, Signer as _, create_key, create_secret, from_cometbft, read_key, read_secret, to_cometbft,
};
use coalmine_json::render::Fields;

use crate::cli::error::Error;
use crate::cli::output::Format;

/// Commands about keys. A key file is PKCS#8 PEM that nobody but its owner can read.
#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Make a new key
    New {
        /// The file to make
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Show public key and address of a key
    Show {
        /// The key file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Make a key file of a key in another form
    Import(Move),
    /// Write a key in another form, to a file that nobody else can read
    Export(Move),
}

/// A key and its form elsewhere.
#[derive(Debug, Args)]
pub(super) struct Move {
    /// The file to read
    #[arg(value_name = "FROM")]
    from: PathBuf,
    /// The file to make
    #[arg(value_name = "TO")]
    to: PathBuf,
    /// The form of the other file
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    form: Form,
}

/// Forms of keys elsewhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// PKCS#8 PEM, as openssl genpkey -algorithm ed25519 makes it
    #[default]
    Pem,
    /// priv_validator_key.json of CometBFT
    Cometbft,
}

pub(super) fn keys(command: &KeysCommand, out: Format) -> Result<(), Error> {
    match command {
        KeysCommand::New { file } => {
            let key = SecretKey::generate().map_err(Error::input)?;
            create_key(file, &key)?;
            out.fields(&shown(file, &key))
        }
        KeysCommand::Show { file } => out.fields(&shown(file, &read_key(file)?)),
        KeysCommand::Import(Move { from, to, form }) => {
            let key = match form {
                Form::Pem => read_key(from)?,
                Form::Cometbft => {
                    let text = read_secret(from)?;
                    from_cometbft(&text).map_err(|error| Error::Input(format!("{}: {error}", from.display())))?
                }
            };
            create_key(to, &key)?;
            out.fields(&shown(to, &key))
        }
        KeysCommand::Export(Move { from, to, form }) => {
            let key = read_key(from)?;
            match form {
                Form::Pem => create_key(to, &key)?,
                Form::Cometbft => create_secret(to, &to_cometbft(&key))?,
            }
            out.fields(&shown(to, &key))
        }
    }
}

/// What everybody may know of a key.
pub(super) fn shown(file: &Path, key: &SecretKey) -> Fields {
    let public = key.public_key();
    let file = fs::canonicalize(file).unwrap_or_else(|_| file.into());
    Fields::new().text("address", public.address()).text("public_key", public).text("file", file.display())
}
