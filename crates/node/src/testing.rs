//! Nodes in memory, for tests of what is built on them.

use std::thread::JoinHandle;
use std::time::Duration;

use coalmine_auth::{Envelope, SecretKey, Signer as _};
use coalmine_core::{Address, Command, Encode as _, Genesis, Height, Role, Sequence, Transaction};

use crate::chain::{Chain, Stamp, Stopped};
use crate::database::Database;
use crate::engine::{Solo, SystemClock};
use crate::node::{Node, Options};

/// A key, different for each number.
#[must_use]
pub fn key(number: u8) -> SecretKey {
    SecretKey::from_seed(&[number; 32])
}

/// The address of a key.
#[must_use]
pub fn address(key: &SecretKey) -> Address {
    key.public_key().address()
}

/// The genesis of chain `test-1`, of which key 1 is the admin.
///
/// # Panics
/// Never.
#[must_use]
#[expect(clippy::expect_used, reason = "for tests, of constants")]
pub fn genesis() -> Genesis {
    Genesis::new("test-1", [(address(&key(1)), Role::Admin.into())]).expect("it is valid")
}

/// The envelope of commands, signed with a key.
///
/// # Panics
/// There are no commands, or too many.
#[must_use]
#[expect(clippy::expect_used, reason = "for tests")]
pub fn signed(node: &Node, key: &SecretKey, sequence: u64, commands: Vec<Command>) -> Vec<u8> {
    let tx = Transaction::new(address(key), commands).expect("as many as a transaction takes");
    let tx = tx.with_sequence(Sequence { number: sequence, valid_until: None });
    Envelope::sign(node.domain(), &tx, key).expect("it has a sequence").to_bytes()
}

/// A node whose blocks are made one by one.
#[derive(Debug)]
pub struct Manual(Chain);

/// A node in memory whose blocks a test makes.
///
/// # Panics
/// The genesis cannot be used.
#[must_use]
#[expect(clippy::expect_used, reason = "for tests")]
pub fn manual(genesis: &Genesis, options: Options) -> (Node, Manual) {
    let chain = Chain::open(Database::memory(), genesis, options).expect("a new node");
    (chain.node().clone(), Manual(chain))
}

impl Manual {
    /// Makes the next block of what waits.
    ///
    /// # Errors
    /// As for [`Chain::make`].
    pub fn block(&mut self) -> Result<Height, Stopped> {
        let next = self.0.node().tip().height.map_or(1, |tip| tip.saturating_add(1));
        self.block_at(next)?;
        Ok(next)
    }

    /// Makes the block of a height.
    ///
    /// # Errors
    /// As for [`Chain::make`].
    pub fn block_at(&mut self, height: Height) -> Result<(), Stopped> {
        self.0.make(height, &Stamp { time: u64::from(height).saturating_mul(1_000), marks: Vec::new() })
    }

    /// The right to commit.
    pub const fn chain(&mut self) -> &mut Chain {
        &mut self.0
    }
}

/// A node in memory that makes blocks by itself until this is dropped.
#[derive(Debug)]
pub struct Running {
    node: Node,
    blocks: Option<JoinHandle<Result<(), Stopped>>>,
}

/// A node in memory that makes blocks by itself.
///
/// # Panics
/// The genesis cannot be used.
#[must_use]
#[expect(clippy::expect_used, reason = "for tests")]
pub fn running(genesis: &Genesis, options: Options, interval: Duration) -> Running {
    let (node, Manual(chain)) = manual(genesis, options);
    let solo = Solo::start(chain, SystemClock::default(), interval, false).expect("a new engine");
    Running { node, blocks: Some(solo.spawn().expect("a thread")) }
}

impl Running {
    /// The node.
    #[must_use]
    pub const fn node(&self) -> &Node {
        &self.node
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.node.begin_stop();
        if let Some(blocks) = self.blocks.take() {
            let _ended = blocks.join();
        }
    }
}
