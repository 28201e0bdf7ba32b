//! Writing a block file, for `convert` and `generate`.

use coalmine_json::blockfile::{BlockWriter, FileBlock, Form, Header};

use crate::error::Error;
use crate::output::Output;
use crate::terminal::note;

/// Writes the blocks up to the first error, which it returns once they are written.
pub(crate) fn write_blocks(
    mut out: Output,
    form: Form,
    header: &Header,
    blocks: impl Iterator<Item = Result<FileBlock, Error>>,
) -> Result<(), Error> {
    let mut read = Ok(());
    let mut count = 0_u64;
    let written = out.write(|out| {
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
    });
    let is_damaged = read.is_err();
    let ended = out.end(written.and(read));
    if is_damaged && !matches!(ended, Err(Error::Output { .. })) {
        note(format!("{count} blocks before the damage were written"));
    }
    ended
}
