//! Who signs: keys, addresses, multisignatures, and signed envelopes around transactions.
//!
//! Core trusts its host that a transaction comes from its signer. This crate is how a host knows: an [`Envelope`] has the
//! bytes of a transaction and signatures over them that are good for one ledger alone ([`Domain`]). Signatures are Ed25519
//! by the rules of ZIP-215, which every implementation decides alike; they are checked one by one, never in a batch.
//!
//! Whatever an envelope says, its transaction counts only if [`Envelope::verify`] says so, on entry and again when it is
//! executed. There is no I/O here but that of key files ([`read_key`], [`create_key`]).
//!
//! ```
//! use coalmine_auth::{Domain, Envelope, SecretKey, Signer as _};
//! use coalmine_core::{Encode as _, Decode as _, Sequence, prelude::*};
//!
//! let key = SecretKey::generate()?;
//! let admin = key.public_key().address();
//! let genesis = Genesis::new("example-1", [(admin, Role::Admin.into())])?;
//! let domain = Domain::of(&genesis);
//!
//! let command = Command::create_feature("search_v3".parse()?, "")?;
//! let tx = Transaction::new(admin, vec![command])?.with_sequence(Sequence { number: 1, valid_until: None });
//! let envelope = Envelope::sign(&domain, &tx, &key)?;
//!
//! // On the other side: the bytes of the transaction go into a block only if the envelope is good.
//! let received = Envelope::from_bytes(&envelope.to_bytes())?;
//! received.verify(&domain)?;
//! let block = Block::from_encoded(1, [received.transaction()])?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod address;
mod cometbft;
mod envelope;
mod key;
mod key_file;
mod multisig;
mod reserved;

pub use address::{address_of, address_of_targeting_key};
pub use cometbft::{ImportError, from_cometbft, to_cometbft};
pub use envelope::{Domain, ENVELOPE_SIZE_MAX, Envelope, Proof, SignError, VerifyError};
pub use key::{KeyError, PublicKey, SecretKey, Signature, Signer, SignerError};
pub use key_file::{KEY_FILE_SIZE_MAX, KeyFileError, create_key, create_secret, read_key, read_secret};
pub use multisig::{KEYS_MAX, KEYS_MIN, Multisig, MultisigError};
pub use reserved::{ReservedError, SMALL_ORDER, check_genesis, check_grants, is_reserved};
