//! Commands that write block files: `convert` and `generate`.

use crate::blockfile::{BlockReader, BlockWriter, FileBlock, Form, Header, Limits, Place};
use crate::cli::{ConvertArgs, GenerateArgs};
use crate::commands::note;
use crate::error::Error;
use crate::generate::{GenerateError, Generator, Workload};
use crate::output::{Output, Target};

/// Turns a block file into another form.
pub(crate) fn convert(args: &ConvertArgs, target: &Target) -> Result<(), Error> {
    if target.file.is_some() {
        return Err(Error::Input("convert writes OUT; leave -o out".into()));
    }
    let form = args.to.or_else(|| Form::of(&args.out)).ok_or_else(|| {
        Error::Input(format!(
            "{}: no form of block files ends like this; say --to json, jsonl or blocks",
            args.out.display()
        ))
    })?;
    let reader = BlockReader::open(&args.input, Limits::default())?;
    let header = reader.header().clone();
    let target = Target { file: Some(args.out.clone()), ..Target::default() };
    let mut out = Output::open(&target, [args.input.as_path()])?;
    write_blocks(&mut out, form, &header, reader.map(|block| block.map_err(Error::from)))?;
    out.finish()
}

/// Writes what can be read; the blocks before an error are kept.
fn write_blocks(
    out: &mut Output,
    form: Form,
    header: &Header,
    blocks: impl Iterator<Item = Result<FileBlock, Error>>,
) -> Result<(), Error> {
    let mut read = Ok(());
    let mut count = 0_u64;
    out.write(|out| {
        let mut writer = BlockWriter::new(out, form, header)?;
        for block in blocks {
            match block {
                Ok(FileBlock { block, expect, .. }) => {
                    writer.block(&block, expect.as_ref().map(|expect| expect.text.as_str()))?;
                    count = count.saturating_add(1);
                }
                Err(error) => {
                    read = Err(error);
                    break;
                }
            }
        }
        writer.finish().map(|_| ())
    })?;
    if read.is_err() {
        note(format!("{count} blocks before the damage were written"));
    }
    read
}

/// Makes a synthetic workload.
pub(crate) fn generate(args: &GenerateArgs, target: &Target) -> Result<(), Error> {
    let GenerateArgs { features, users, blocks, txs_per_block, seed, mix } = args.clone();
    let form = target.file.as_deref().map_or(Some(Form::Jsonl), |path| match path.to_str() {
        Some("-") => Some(Form::Jsonl),
        Some(_) | None => Form::of(path),
    });
    let form =
        form.ok_or_else(|| Error::Input("-o: the name of a block file ends in .json, .jsonl or .blocks".into()))?;
    let wrong = |error: GenerateError| Error::Input(error.to_string());
    let mut header = Header::new(Generator::genesis().map_err(wrong)?);
    header.name = Some("generated".into());
    header.description = Some(format!(
        "{features} features, {users} users, {blocks} blocks of {txs_per_block} transactions, seed {seed}, mix {mix}"
    ));
    let workload = Workload { features, users, blocks, txs_per_block, seed, mix };
    let blocks = Generator::new(workload).map(|block| match block {
        Ok(block) => Ok(FileBlock { place: Place::File, block, expect: None }),
        Err(error) => Err(wrong(error)),
    });
    let mut out = Output::open(target, [])?;
    write_blocks(&mut out, form, &header, blocks)?;
    out.finish()
}
