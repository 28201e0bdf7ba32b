//! A story of a block file, played on a node again and again by keys that were made for it.
//!
//! Whoever signs in the story gets a key; its address stands wherever that of the story stood. Heights move with the
//! round. A feature stays from round to round and a plugin gets new versions, so later rounds leave out what there is
//! already, and begin by turning off what the one before has left on.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::num::NonZeroU32;
use std::time::Duration;

use coalmine_auth::{Envelope, SecretKey, Signer as _};
use coalmine_core::{
    Address, Command, Encode as _, Genesis, Height, LimitError, Name, Payload, Roles, Sequence, State, Status,
    Transaction, TxCommand, Valid, Version,
};
use coalmine_json::blockfile::{BlockReader, FileError, Form, Limits};

use crate::cli::error::Error;
use crate::node::Node;

/// The heights between two rounds.
const BETWEEN: Height = 5;
/// How long a height may take to come; a node whose blocks have ended plays no further.
const WAIT: Duration = Duration::from_secs(3_600);

/// A signer, and what it sends in one transaction.
type Sent = (Address, Vec<Command>);

/// A story.
pub(super) struct Story {
    /// The genesis, with the addresses of the keys.
    pub(super) genesis: Genesis,
    /// The keys, by address.
    pub(super) keys: BTreeMap<Address, SecretKey>,
    /// Who sends what nobody signs, and what begins a round.
    admin: Address,
    blocks: Vec<(Height, Vec<Sent>)>,
    features: BTreeSet<Name>,
    /// The plugins, each with the first version that the story registers.
    plugins: BTreeMap<Name, Version>,
    /// How much the major of a version grows with each round: by the highest one, so that no two meet.
    majors: u64,
}

impl Story {
    /// Reads a block file in JSON, and makes the keys.
    pub(super) fn read(name: &str, text: &str) -> Result<Self, Error> {
        let told = Told::read(name, text)?;
        let mut keys = BTreeMap::new();
        let mut addresses = BTreeMap::new();
        for address in told.signers {
            let key = SecretKey::generate().map_err(Error::input)?;
            addresses.insert(address, key.public_key().address());
            keys.insert(key.public_key().address(), key);
        }
        let Told { genesis, admin, blocks, .. } = Told::read(name, &with_addresses(text, &addresses))?;
        let commands = blocks.iter().flat_map(|(_, txs)| txs).flat_map(|(_, commands)| commands);
        let (mut features, mut plugins, mut majors) = (BTreeSet::new(), BTreeMap::new(), 1_u64);
        for command in commands {
            if let Command::CreateFeature { name, .. } = command {
                features.insert(*name);
            } else if let Command::RegisterVersion { plugin, version, .. } = command {
                plugins.entry(*plugin).or_insert_with(|| version.clone());
                majors = majors.max(major(version).map_or(1, |(major, _)| major));
            }
        }
        Ok(Self { genesis, keys, admin, blocks, features, plugins, majors })
    }

    /// The roles of a key before the first block.
    pub(super) fn roles(&self, address: &Address) -> Roles {
        self.genesis.roles().get(address).copied().unwrap_or_default()
    }

    /// Plays it until the node stops.
    pub(super) async fn play(self, node: Node) {
        let mut stop = node.stop();
        tokio::select! {
            () = self.rounds(&node) => {}
            () = stop.stopped() => {}
        }
    }

    async fn rounds(&self, node: &Node) {
        let (Some((first, _)), Some((last, _))) = (self.blocks.first(), self.blocks.last()) else { return };
        for round in 0.. {
            let begin = node.tip().height.unwrap_or_default().saturating_add(2);
            if round > 0 {
                let commands = node.read(|state| self.reset(state));
                commands.into_iter().for_each(|command| self.submit(node, self.admin, vec![command]));
            }
            let moved = Moved { by: begin.saturating_sub(*first).saturating_add(Height::from(round > 0)), round };
            for (height, txs) in &self.blocks {
                let before = height.saturating_add(moved.by).saturating_sub(1);
                if node.wait_for(before, WAIT).await.is_err() {
                    return;
                }
                for (signer, commands) in txs {
                    let commands = node.read(|state| self.in_round(commands, moved, state));
                    self.submit(node, *signer, commands);
                }
            }
            let end = last.saturating_add(moved.by).saturating_add(BETWEEN);
            if node.wait_for(end, WAIT).await.is_err() {
                return;
            }
        }
    }

    /// What turns off all that the round before has left on.
    fn reset(&self, state: &State) -> Vec<Command> {
        let is_on = |name: &&Name| {
            let status = state.feature(name).map(|feature| feature.status);
            status.is_some_and(|status| !matches!(status, Status::Disabled | Status::RolledBack))
        };
        let off = self.features.iter().filter(is_on).map(|name| Command::Disable { name: *name });
        let deployed = self.plugins.keys().filter(|plugin| state.deployment(plugin).is_some());
        let back = deployed.map(|plugin| Command::RollbackDeployment { plugin: *plugin });
        let closed = state.global().breaker.is_some().then_some(Command::ResetBreaker);
        off.chain(back).chain(closed).collect()
    }

    /// Commands as a later round sends them.
    fn in_round(&self, commands: &[Command], moved: Moved, state: &State) -> Vec<Command> {
        let command = |command: &Command| self.moved(command, moved, state);
        commands.iter().filter_map(command).collect()
    }

    fn moved(&self, command: &Command, moved: Moved, state: &State) -> Option<Command> {
        let mut command = command.clone();
        if let Command::CreateFeature { name, .. } = &command
            && state.feature(name).is_some()
        {
            return None;
        }
        if let Command::RegisterVersion { plugin, version, .. } = &command
            && moved.round > 0
            && self.plugins.get(plugin) == Some(version)
        {
            return None;
        }
        if let Command::RegisterVersion { plugin, version, .. }
        | Command::Deploy { plugin, version, .. }
        | Command::RetireVersion { plugin, version }
        | Command::ReportVersion { plugin, version, .. }
        | Command::AttestHealth { plugin, version, .. }
        | Command::ReportLoad { plugin, version, .. }
        | Command::ReportUnload { plugin, version, .. } = &mut command
        {
            *version = self.version(plugin, version, moved, state);
        } else if let Command::Report { trial, .. } = &mut command {
            *trial = trial.map(|trial| trial.saturating_add(moved.by));
        } else if let Command::TripBreaker { until, .. } = &mut command {
            *until = until.and_then(|until| NonZeroU32::new(until.get().saturating_add(moved.by)));
        } else if let Command::CancelSchedule { at, .. } = &mut command {
            *at = at.saturating_add(moved.by);
        } else if let Command::Schedule { at, commands } = &mut command {
            *at = at.saturating_add(moved.by);
            let inner = commands.iter().filter_map(|command| self.moved(command, moved, state)).collect();
            *commands = Valid::new(inner).ok()?;
        }
        Some(command)
    }

    /// The version of a round: what the story begins with is what now serves everybody, others are new ones.
    fn version(&self, plugin: &Name, version: &Version, moved: Moved, state: &State) -> Version {
        if moved.round == 0 {
            return version.clone();
        }
        if self.plugins.get(plugin) == Some(version) {
            return state.plugin(plugin).map_or_else(|| version.clone(), |plugin| plugin.current.clone());
        }
        let newer = major(version).and_then(|(major, rest)| {
            let major = major.checked_add(moved.round.checked_mul(self.majors)?)?;
            format!("{major}.{rest}").parse().ok()
        });
        newer.unwrap_or_else(|| version.clone())
    }

    /// Signs and sends. What a round makes no sense of is rejected, as anybody's would be.
    fn submit(&self, node: &Node, signer: Address, commands: Vec<Command>) {
        let Some(key) = self.keys.get(&signer).filter(|_| !commands.is_empty()) else { return };
        let sequence = Sequence { number: node.sequence(&signer).next, valid_until: None };
        let envelope = || -> Result<Envelope, Error> {
            let tx = Transaction::new(signer, commands).map_err(|error: LimitError| Error::input(error))?;
            Envelope::sign(node.domain(), &tx.with_sequence(sequence), key).map_err(Error::input)
        };
        match envelope() {
            Ok(envelope) => {
                if let Err(error) = node.submit(&envelope.to_bytes())
                    && !node.stop().is_stopping()
                {
                    tracing::warn!(%error, "a transaction of the story is not taken");
                }
            }
            Err(error) => tracing::warn!(%error, "a transaction of the story cannot be signed"),
        }
    }
}

/// The major of a version, and what is behind it.
fn major(version: &Version) -> Option<(u64, String)> {
    let text = version.to_string();
    let (major, rest) = text.split_once('.')?;
    Some((major.parse().ok()?, rest.to_owned()))
}

/// How far a round is from the story as it is written.
#[derive(Debug, Clone, Copy)]
struct Moved {
    by: Height,
    round: u64,
}

/// A story as it is written.
struct Told {
    genesis: Genesis,
    admin: Address,
    signers: BTreeSet<Address>,
    blocks: Vec<(Height, Vec<Sent>)>,
}

impl Told {
    fn read(name: &str, text: &str) -> Result<Self, Error> {
        let input = Cursor::new(text.as_bytes().to_vec());
        let bad = |error: FileError| Error::Input(error.to_string());
        let mut reader = BlockReader::new(name, input, Some(Form::Json), Limits::default()).map_err(bad)?;
        let (genesis, admin) = (reader.header().genesis.clone(), reader.header().signer);
        let mut signers: BTreeSet<Address> = genesis.roles().keys().copied().collect();
        signers.insert(admin);
        let mut blocks = Vec::new();
        for block in reader.by_ref() {
            let block = block.map_err(bad)?.block;
            let txs: Vec<Sent> = block.payloads().filter_map(sendable).collect();
            signers.extend(txs.iter().map(|(signer, _)| *signer));
            blocks.push((block.height(), txs));
        }
        Ok(Self { genesis, admin, signers, blocks })
    }
}

/// What can be sent of a payload: all but bytes that are no transaction, and commands that no key can be made to sign.
fn sendable(payload: Payload) -> Option<Sent> {
    let Payload::Transaction(tx) = payload else { return None };
    let command = |command: &TxCommand| match command {
        TxCommand::Valid(command) => Some(command.clone()),
        TxCommand::Invalid { .. } => None,
    };
    let commands = tx.commands().iter().map(command).collect::<Option<Vec<_>>>()?;
    Some((*tx.signer(), commands))
}

/// A text with other addresses.
fn with_addresses(text: &str, addresses: &BTreeMap<Address, Address>) -> String {
    const LEN: usize = 42;
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("0x") {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let found = from.get(..LEN).and_then(|text| text.parse::<Address>().ok());
        match found.as_ref().and_then(|address| addresses.get(address)) {
            Some(address) => {
                out.push_str(&address.to_string());
                rest = from.get(LEN..).unwrap_or_default();
            }
            None => {
                out.push_str("0x");
                rest = from.get(2..).unwrap_or_default();
            }
        }
    }
    out + rest
}
