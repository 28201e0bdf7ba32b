//! The records of sequences and rounds: DF, and D7 of kind 4.

use std::collections::BTreeMap;

use super::{put_u32, put_u64};
use crate::Model;
use crate::raw::put_lp8;

pub(super) fn entries(model: &Model, entries: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
    for (signer, last) in &model.sequences {
        entries.insert([&[0xDF, 1], &signer.0[..]].concat(), last.to_be_bytes().to_vec());
    }
    for (key, pool) in &model.pools {
        let mut ident = vec![key.kind];
        put_lp8(&mut ident, &key.subject);
        if !key.version.is_empty() {
            put_lp8(&mut ident, &key.version);
        }
        for (reporter, said) in &pool.entries {
            let mut value = Vec::new();
            if key.has_numbers() {
                said.iter().for_each(|n| put_u64(&mut value, *n));
            } else {
                value.push(said[0] as u8);
            }
            entries.insert([&[0xDF, 2], &ident[..], &reporter.0[..]].concat(), value);
        }
        let mut due = vec![0xD7, 4];
        put_u32(&mut due, pool.due);
        due.extend(ident);
        entries.insert(due, Vec::new());
    }
}
