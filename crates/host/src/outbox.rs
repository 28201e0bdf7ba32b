//! Where what the host tells the ledger goes: attestations and reports, as commands that the embedder signs and sends.

use coalmine_core::{Address, Command};

/// The outbox did not take a command, for a reason of its own. The host offers it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotTaken;

/// Takes commands for the ledger. What it has taken it must not lose: the host offers it once.
pub trait Outbox: Send + Sync {
    /// Takes a command. It must not call the host.
    ///
    /// # Errors
    /// [`NotTaken`], as when there is no room: the host keeps the figures and tries again at a later block.
    fn take(&self, command: Command) -> Result<(), NotTaken>;

    /// The address that signs, if there is one: what it has said in an open round is not said again.
    fn reporter(&self) -> Option<Address>;
}

/// For a node that reports nothing: it follows the ledger, and others attest.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Outbox for Silent {
    fn take(&self, _: Command) -> Result<(), NotTaken> {
        Err(NotTaken)
    }

    fn reporter(&self) -> Option<Address> {
        None
    }
}
