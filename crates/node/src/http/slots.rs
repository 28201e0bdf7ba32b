//! How many streams may be open, in all and to one address.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::http::problem::{Kind, Problem};

/// The streams that are open.
#[derive(Debug, Clone)]
pub(super) struct Slots(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    all: usize,
    per_address: usize,
    open: Mutex<(usize, BTreeMap<IpAddr, usize>)>,
}

/// The place of an open stream, which is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Slot(Slots, IpAddr);

impl Slots {
    pub(super) fn new(all: usize, per_address: usize) -> Self {
        Self(Arc::new(Inner { all, per_address, open: Mutex::default() }))
    }

    pub(super) fn take(&self, address: IpAddr) -> Result<Slot, Problem> {
        let Inner { all, per_address, open } = &*self.0;
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, of_address) = &mut *open;
        if *count >= *all {
            return Err(Problem::new(Kind::Streams, format!("{all} streams are open, and no more may be")));
        }
        let own = of_address.entry(address).or_default();
        if *own >= *per_address {
            let why = format!("{per_address} streams to {address} are open, and no more may be");
            return Err(Problem::new(Kind::AddressStreams, why));
        }
        *own = own.saturating_add(1);
        *count = count.saturating_add(1);
        Ok(Slot(self.clone(), address))
    }

    /// How many streams are open.
    pub(super) fn open(&self) -> usize {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.0.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, of_address) = &mut *open;
        *count = count.saturating_sub(1);
        if let Some(own) = of_address.get_mut(&self.1) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                of_address.remove(&self.1);
            }
        }
    }
}
