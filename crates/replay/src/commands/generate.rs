//! `generate`: a seeded synthetic workload as a block file.

use std::num::NonZeroU32;

use clap::Args;
use coalmine_json::blockfile::{FileBlock, Form, Header, Place};

use crate::commands::write_blocks::write_blocks;
use crate::error::Error;
use crate::generate::{GenerateError, Generator, Mix, Rounds, Workload};
use crate::output::{Output, Target};

/// Arguments of `generate`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
The same arguments give the same bytes. Blocks that create features come first; blocks that register \
plugins follow if the mix has any of version_success, version_error, deploy, register or health, \
which the default mix does not. With --rounds the reports come from several reporters, twice the quorum \
less one. The form of the file follows from its name; standard output gets .jsonl.

Example:
  replay generate --features 1000 --blocks 500 --txs-per-block 2000 -o load.blocks
  replay generate --mix success=95,error=5 | replay run -
  replay generate --rounds 5 --quorum 3 --sequences | replay run -
  replay generate --mix version_success=80,version_error=1,deploy=2,register=1,health=5 | replay run -")]
pub(crate) struct GenerateArgs {
    /// Number of features, and of plugins if the mix has them
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    features: u32,
    /// Number of users
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    users: u32,
    /// Number of blocks after those that create features and plugins
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(..=4_000_000_000))]
    blocks: u32,
    /// Number of transactions in each of them
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(..=65_536))]
    txs_per_block: u32,
    /// Seed of the pseudo-random numbers
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Weights of the kinds of transactions: KIND=WEIGHT,...
    #[arg(long, default_value_t, value_name = "MIX")]
    mix: Mix,
    /// Give the first six features the standard names, such as vita_recovery_v2
    #[arg(long)]
    standard_names: bool,
    /// Collect reports in rounds of N blocks
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rounds: Option<u32>,
    /// Number of reporters that it takes for a round to act
    #[arg(long, default_value_t = 3, value_name = "N", requires = "rounds", value_parser = clap::value_parser!(u8).range(1..=64))]
    quorum: u8,
    /// Give every transaction a sequence, which the ledger then requires
    #[arg(long)]
    sequences: bool,
}

/// Writes a synthetic workload.
pub(crate) fn generate(args: &GenerateArgs, target: &Target) -> Result<(), Error> {
    let GenerateArgs { features, users, blocks, txs_per_block, seed, mix, standard_names, rounds, quorum, sequences } =
        args.clone();
    let form = target.file.as_deref().map_or(Some(Form::Jsonl), |path| match path.to_str() {
        Some("-") => Some(Form::Jsonl),
        Some(_) | None => Form::of(path),
    });
    let form =
        form.ok_or_else(|| Error::Input("-o: the name of a block file ends in .json, .jsonl or .blocks".into()))?;
    let wrong = |error: GenerateError| Error::Input(error.to_string());
    let mut description = format!(
        "{features} features, {users} users, {blocks} blocks of {txs_per_block} transactions, seed {seed}, mix {mix}"
    );
    let mut generator = Generator::new(Workload { features, users, blocks, txs_per_block, seed, mix });
    if standard_names {
        description.push_str(", standard names");
        generator = generator.with_standard_names();
    }
    if let Some(blocks) = rounds.and_then(NonZeroU32::new) {
        description.push_str(&format!(", rounds of {blocks} blocks with a quorum of {quorum}"));
        generator = generator.with_rounds(Rounds { blocks, quorum });
    }
    if sequences {
        description.push_str(", sequences");
        generator = generator.with_sequences();
    }
    let mut header = Header::new(generator.genesis().map_err(wrong)?);
    header.name = Some("generated".into());
    header.description = Some(description);
    let blocks = generator.map(|block| match block {
        Ok(block) => Ok(FileBlock { place: Place::File, block, expect: None }),
        Err(error) => Err(wrong(error)),
    });
    write_blocks(Output::open(target, [])?, form, &header, blocks)
}
