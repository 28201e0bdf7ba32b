//! The table of log and vote.

use std::io;
use std::ops::ControlFlow;

use coalmine_raft::{Rows, Write};
use coalmine_store::StoreError;

use crate::database::{Batch, Database, Sync};
use crate::tables::Table;

/// The table of a database.
#[derive(Debug, Clone)]
pub struct RaftRows(pub Database);

fn failed(error: StoreError) -> io::Error {
    io::Error::other(error)
}

impl Rows for RaftRows {
    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self.0.get(Table::Raft, key).map_err(failed)
    }

    fn scan(&self, start: &[u8], end: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> io::Result<()> {
        let mut visit = |key: &[u8], value: &[u8]| {
            if visit(key, value) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        self.0.scan(Table::Raft, start, end, &mut visit).map_err(failed)
    }

    fn write(&self, changes: Vec<(Vec<u8>, Option<Vec<u8>>)>, how: Write) -> io::Result<()> {
        let mut batch = Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.put(Table::Raft, key, value),
                None => batch.delete(Table::Raft, key),
            }
        }
        let sync = match how {
            Write::Synced => Sync::Now,
            Write::Unsynced => Sync::Later,
        };
        self.0.write(batch, sync).map_err(failed)
    }
}
