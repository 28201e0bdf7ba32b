//! `init`: the home of a node.

use std::path::Path;

use clap::Args;
use coalmine_auth::{Domain, PublicKey, SecretKey, Signer as _, check_genesis, create_key, read_key};
use coalmine_core::{Address, Genesis, Role};
use coalmine_json::render::Fields;

use crate::cli::error::Error;
use crate::cli::keys::shown;
use crate::cli::output::Format;
use crate::config::Config;
use crate::home::Home;

/// Arguments of `init`.
#[derive(Debug, Args)]
#[command(after_help = "\
Without --admin a key is made for one, keys/admin.pem: keep it where it is safe, and give the daily work to keys with \
lesser roles. genesis.json says who is who before the first block, and may be edited until then; every node of a ledger \
has the same. Its hash, which is printed, is part of every signature.

Example:
  coalmine init --chain payments-1 && coalmine start")]
pub(super) struct InitArgs {
    /// Id of the ledger [default: coalmine- and six random digits]
    #[arg(long, value_name = "ID")]
    chain: Option<String>,
    /// An admin: an address, a public key in hex, or a key file; may be repeated
    #[arg(long = "admin", value_name = "KEY")]
    admins: Vec<String>,
}

pub(super) fn init(args: &InitArgs, home: &Home, out: Format) -> Result<(), Error> {
    let mut admins: Vec<Address> = args.admins.iter().map(|admin| address(admin)).collect::<Result<_, _>>()?;
    let generate = || SecretKey::generate().map_err(Error::input);
    let node_key = generate()?;
    let made = if admins.is_empty() { Some(generate()?) } else { None };
    admins.extend(made.as_ref().map(|key| key.public_key().address()));
    let chain = match &args.chain {
        Some(chain) => chain.clone(),
        None => {
            let random = generate()?.public_key().to_string();
            format!("coalmine-{}", random.chars().skip(2).take(6).collect::<String>())
        }
    };
    let genesis =
        Genesis::new(&chain, admins.iter().map(|admin| (*admin, Role::Admin.into()))).map_err(Error::input)?;
    check_genesis(&genesis).map_err(Error::input)?;

    home.create()?;
    home.write(&home.config(), &Config::default().to_text())?;
    home.write(&home.genesis_file(), &genesis_text(&genesis)?)?;
    let key_file = home.keys().join("node.pem");
    create_key(&key_file, &node_key)?;
    let mut fields = Fields::new()
        .text("home", home.path().display())
        .with("chain", chain)
        .text("genesis_hash", Domain::of(&genesis).genesis())
        .with("node", shown(&key_file, &node_key));
    if let Some(key) = &made {
        let file = home.keys().join("admin.pem");
        create_key(&file, key)?;
        fields = fields.with("admin", shown(&file, key));
    }
    out.fields(&fields)
}

/// The genesis as a file for people.
fn genesis_text(genesis: &Genesis) -> Result<String, Error> {
    let value: serde_json::Value =
        serde_json::from_str(&coalmine_json::write_genesis(genesis)).map_err(Error::input)?;
    Ok(serde_json::to_string_pretty(&value).map_err(Error::input)? + "\n")
}

/// An address, or that of a key.
pub(super) fn address(text: &str) -> Result<Address, Error> {
    if let Ok(address) = text.parse::<Address>() {
        return Ok(address);
    }
    if let Ok(key) = text.parse::<PublicKey>() {
        return Ok(key.address());
    }
    if Path::new(text).exists() {
        return Ok(read_key(Path::new(text))?.public_key().address());
    }
    Err(Error::Input(format!(
        "{text}: this is no address (0x and 40 hex digits), no public key (64 hex digits), and no file"
    )))
}
