//! `dev`: a node in memory that plays a story, to look at.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use coalmine_auth::{SecretKey, create_key};
use coalmine_core::{Role, Roles};

use crate::chain::Chain;
use crate::cli::error::Error;
use crate::cli::output::Format;
use crate::cli::serve::{listen, log, serve};
use crate::cli::story::Story;
use crate::config::{Config, Log, LogFormat};
use crate::database::Database;
use crate::engine::{Solo, SystemClock};
use crate::http;
use crate::node::Options;

/// The story that is played without another one.
const STORY: &str = include_str!("../../../../fixtures/scenarios/two-canaries.json");
/// A story is at most so long, in bytes.
const STORY_SIZE_MAX: u64 = 16 << 20;

/// Arguments of `dev`.
#[derive(Debug, Args)]
#[command(after_help = "\
Everything is in memory, and gone when it ends. Only this machine can reach it. The keys are made anew, in a folder of \
their own that goes with the node; what they sign is worth nothing elsewhere.

Examples:
  coalmine dev
  coalmine dev fixtures/scenarios/vita-recovery-canary.json --block-interval 100ms")]
pub(super) struct DevArgs {
    /// The story: a block file in JSON [default: two canaries, one of which fails]
    #[arg(value_name = "STORY.json")]
    story: Option<PathBuf>,
    /// Play nothing: a ledger of your own to try commands on
    #[arg(long, conflicts_with = "story")]
    empty: bool,
    /// Port on 127.0.0.1
    #[arg(long, env = "COALMINE_DEV_PORT", default_value_t = 8700, value_name = "PORT")]
    port: u16,
    /// Time between two heights
    #[arg(long, default_value = "1s", value_parser = humantime::parse_duration, value_name = "TIME")]
    block_interval: Duration,
    /// What is logged, such as info or coalmine_node=debug
    #[arg(long, env = "COALMINE_LOG", default_value = "warn", value_name = "FILTER")]
    log: String,
}

pub(super) fn dev(args: &DevArgs) -> Result<(), Error> {
    let config = Config { block_interval: args.block_interval, ..Config::default() };
    let log_config = Log { format: LogFormat::Text, filter: args.log.clone() };
    let config = Config { log: log_config, ..config }.checked()?;
    log(&config.log);
    let story = match &args.story {
        None => Story::read("the story of coalmine dev", STORY)?,
        Some(path) => {
            let failed = |error| Error::Input(format!("{}: {error}", path.display()));
            if fs::metadata(path).map_err(failed)?.len() > STORY_SIZE_MAX {
                return Err(Error::Input(format!("{}: a story has at most {STORY_SIZE_MAX} bytes", path.display())));
            }
            Story::read(&path.display().to_string(), &fs::read_to_string(path).map_err(failed)?)?
        }
    };
    let listener = listen((std::net::Ipv4Addr::LOCALHOST, args.port).into())?;
    let address = listener.local_addr().map_err(Error::input)?;
    let keys = tempfile::Builder::new().prefix("coalmine-dev-").tempdir().map_err(Error::input)?;
    let chain = Chain::open(Database::memory(), &story.genesis, Options::default())?;
    let node = chain.node().clone();
    let solo = Solo::start(chain, SystemClock::default(), config.block_interval, false)?;

    let out = Format::Text;
    out.line(&format!("coalmine dev: chain {:?}, in memory", story.genesis.chain().as_str()))?;
    out.line("")?;
    out.line(&format!("  look at it       http://{address}/"))?;
    out.line(&format!("  ask it           curl http://{address}/v1/status"))?;
    let mut admin = None;
    for (number, (address, key)) in (1_u32..).zip(&story.keys) {
        let roles = story.roles(address);
        let name =
            if roles.contains(Role::Admin) && admin.is_none() { "admin".into() } else { format!("key-{number}") };
        let file = keys.path().join(format!("{name}.pem"));
        create_key(&file, key)?;
        if name == "admin" {
            admin = Some(file.clone());
        }
        out.line(&format!("  {:<16} {} {}", shown(roles), address, file.display()))?;
    }
    if let Some(file) = admin {
        let at = if args.port == 8700 { String::new() } else { format!(" --node http://{address}") };
        let file = file.display();
        out.line(&format!(
            "  change something coalmine tx --key {file}{at} create_feature --name hello --description \"my first one\""
        ))?;
    }
    out.line("")?;
    let empty = args.empty;
    let signer = SecretKey::generate().map_err(Error::input)?;
    let api = http::Options { signer: Some(Arc::new(signer)), ..http::Options::default() };
    serve(&node, solo, listener, api, |node| {
        if !empty {
            tokio::spawn(story.play(node));
        }
        Ok(None)
    })
}

/// The roles of a key, in words.
fn shown(roles: Roles) -> String {
    let names: Vec<&str> = roles.iter().map(Role::name).collect();
    if names.is_empty() { "no role yet".into() } else { names.join(", ") }
}
