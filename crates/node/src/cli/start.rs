//! `start`: runs the node of a home.

use std::sync::Arc;

use clap::Args;
use coalmine_auth::{SecretKey, create_key, read_key};
use coalmine_store::Tip;

use crate::beside::Beside;
use crate::chain::Chain;
use crate::cli::config::read;
use crate::cli::error::Error;
use crate::cli::serve::{listen, log, serve};
use crate::config::{Http, Overrides};
use crate::database::Database;
use crate::engine::{Solo, SystemClock};
use crate::home::Home;
use crate::http::{self, NodeSigner};
use crate::mempool::Limits;
use crate::node::{OpenError, Options};

/// Arguments of `start`.
#[derive(Debug, Args)]
#[command(after_help = "\
SIGTERM and SIGINT end it: no new transactions, streams end, the block in hand is finished; a second signal ends it at \
once. Nothing that was acknowledged is lost either way.")]
pub(super) struct StartArgs {
    #[command(flatten)]
    overrides: Overrides,
    /// The clock is right, though the last block seems to be more than a year ago
    #[arg(long)]
    accept_clock: bool,
}

pub(super) fn start(args: &StartArgs, home: &Home) -> Result<(), Error> {
    let genesis = home.genesis()?;
    let config = read(home, &args.overrides)?;
    log(&config.log);
    let listener = listen(config.http.listen)?;
    let options = Options { keep_blocks: config.kept(), limits: Limits::default() };
    let chain =
        Chain::open(Database::open(&home.data())?, &genesis, options).map_err(|error| with_evidence(error, home))?;
    let node = chain.node().clone();
    let Tip { height, root } = node.tip();
    tracing::info!(chain = genesis.chain().as_str(), genesis = %node.domain().genesis(), height, %root, "opened");
    let solo = Solo::start(chain, SystemClock::default(), config.block_interval, args.accept_clock)?;
    tracing::info!(listen = %config.http.listen, height = node.tip().height, "running");
    let api = api(&config.http, node_key(home)?);
    serve(&node, solo, listener, api, |node| Ok(Some(Beside::start(&node, &config, home.path())?)))
}

/// What the configuration says of the API. Each stream has a connection, and requests have some besides.
fn api(config: &Http, signer: NodeSigner) -> http::Options {
    let default = http::Options::default();
    let count = |count| usize::try_from(count).unwrap_or(usize::MAX);
    http::Options {
        streams: count(config.streams),
        streams_per_address: count(config.streams_per_address),
        connections: default.connections.saturating_add(count(config.streams)),
        is_behind_proxy: config.behind_proxy,
        signer: Some(signer),
        ..default
    }
}

/// The key with which this node signs roots. It is made at the first start, and holds no role.
fn node_key(home: &Home) -> Result<NodeSigner, Error> {
    let path = home.keys().join("node.pem");
    if !path.exists() {
        create_key(&path, &SecretKey::generate().map_err(Error::input)?).map_err(Error::input)?;
    }
    Ok(Arc::new(read_key(&path).map_err(Error::input)?))
}

/// Writes down what is known of a root that is wrong.
fn with_evidence(error: OpenError, home: &Home) -> Error {
    if let OpenError::Ledger(coalmine_store::OpenError::Root { tip, computed }) = &error {
        let path = home.path().join("root-mismatch.json");
        let text = format!(
            "{{\"height\":{},\"root\":\"{}\",\"computed\":\"{computed}\",\"version\":\"{}\"}}\n",
            tip.height.map_or_else(|| "null".into(), |height| height.to_string()),
            tip.root,
            env!("CARGO_PKG_VERSION"),
        );
        match home.write(&path, &text) {
            Ok(()) => {
                tracing::error!(file = %path.display(), "what is known is written down; keep it, and a copy of data/")
            }
            Err(error) => tracing::error!(%error, "what is known cannot be written down"),
        }
    }
    error.into()
}
