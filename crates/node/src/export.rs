//! All blocks of a node as a block file: whoever executes it comes to the same root.

use std::cell::Cell;
use std::io::{self, Write};
use std::ops::ControlFlow;

use coalmine_auth::Domain;
use coalmine_core::{Block, DecodeError, Genesis, Height, LimitError};
use coalmine_json::blockfile::{BlockWriter, Form, Header};
use coalmine_store::StoreError;

use crate::block::to_execute;
use crate::database::Database;
use crate::node::{FIRST, OLDEST};
use crate::tables::{Table, height_key, read_block_row, read_height};

/// Why blocks cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The database fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row that does not decode.
    #[error("a row of the node does not decode ({0}); restore a copy")]
    Row(#[from] DecodeError),
    /// A block that cannot be made.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The first blocks are gone.
    #[error("the blocks below height {0} are no longer here: they were pruned, or the node was made of a snapshot")]
    Pruned(Height),
    /// The output.
    #[error("cannot be written: {0}")]
    Output(#[from] io::Error),
}

/// Writes the blocks up to a tip, and returns their number with the output.
///
/// Heights at which nothing was sent are left out, as block files do: whoever executes the file does there what is due.
///
/// # Errors
/// [`ExportError`].
pub fn blocks<W: Write>(
    database: &Database,
    genesis: &Genesis,
    tip: Option<Height>,
    out: W,
    form: Form,
) -> Result<(u64, W), ExportError> {
    let mark =
        |key| database.get(Table::Meta, key)?.map(|row| read_height(&row)).transpose().map_err(ExportError::from);
    let mut writer = BlockWriter::new(out, form, &Header::new(genesis.clone()))?;
    let Some(tip) = tip else { return Ok((0, writer.finish()?)) };
    let oldest = mark(OLDEST)?.unwrap_or_default();
    let first = mark(FIRST)?.ok_or(ExportError::Pruned(tip))?;
    if oldest > first {
        return Err(ExportError::Pruned(oldest));
    }
    let domain = Domain::of(genesis);
    let (written, last) = (Cell::new(0_u64), Cell::new(None));
    let mut write = |block: &Block| {
        written.set(written.get().saturating_add(1));
        last.set(Some(block.height()));
        writer.block(block, None)
    };
    if database.get(Table::Blocks, &height_key(first))?.is_none() {
        write(&Block::empty(first))?;
    }
    let mut failed = None;
    database.scan(Table::Blocks, &height_key(first), &[0xff; 5], &mut |key, value| {
        let block = || -> Result<Option<Block>, ExportError> {
            let height = read_height(key)?;
            if height > tip {
                return Ok(None);
            }
            Ok(Some(to_execute(&domain, height, &read_block_row(value)?)?))
        };
        let went_on = block().and_then(|block| match block {
            Some(block) => Ok(write(&block).map(|()| true)?),
            None => Ok(false),
        });
        match went_on {
            Ok(true) => ControlFlow::Continue(()),
            Ok(false) => ControlFlow::Break(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    if last.get() != Some(tip) {
        write(&Block::empty(tip))?;
    }
    Ok((written.get(), writer.finish()?))
}
