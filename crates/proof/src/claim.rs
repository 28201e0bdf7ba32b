//! Questions about a state, and the keys that each answer depends on.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use coalmine_core::{Address, Encode, Fault, Key, Name, Read, query};

/// A question about a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// What is the value of a key? FORMAT.md says which keys there are.
    Key(Vec<u8>),
    /// What is the record of a feature?
    Feature(Name),
    /// What is the record of a plugin?
    Plugin(Name),
    /// Is a feature on for a user?
    IsEnabled {
        /// The feature.
        feature: Name,
        /// The user.
        user: Address,
    },
    /// Which version of a plugin serves a unit?
    Route {
        /// The plugin.
        plugin: Name,
        /// The unit: an account, a request id, any bytes.
        unit: Vec<u8>,
    },
}

impl Claim {
    /// Returns the key of the one record that the question is about; `None` when it takes several.
    pub fn key(&self) -> Option<Vec<u8>> {
        match self {
            Self::Key(key) => Some(key.clone()),
            Self::Feature(name) => Some(Key::Feature(*name).to_bytes()),
            Self::Plugin(name) => Some(Key::Plugin(*name).to_bytes()),
            Self::IsEnabled { .. } | Self::Route { .. } => None,
        }
    }

    /// Returns every key on which the answer can depend, whether it is there or not.
    ///
    /// The set depends on nothing but the question and the records under these keys, so prover and
    /// verifier arrive at the same one. Which features an answer takes is in their policies.
    pub(crate) fn keys(&self, records: &impl Read) -> Result<Vec<Vec<u8>>, Fault> {
        match self {
            Self::Key(_) | Self::Feature(_) | Self::Plugin(_) => Ok(self.key().into_iter().collect()),
            Self::IsEnabled { feature, user } => keys_of_is_enabled(records, feature, user),
            Self::Route { plugin, .. } => {
                let keys = [Key::Global, Key::Plugin(*plugin), Key::Deployment(*plugin)];
                Ok(keys.iter().map(Encode::to_bytes).collect())
            }
        }
    }
}

/// The global record, and of the feature and everything it rests on the record, the policy and the
/// user's override.
fn keys_of_is_enabled(records: &impl Read, feature: &Name, user: &Address) -> Result<Vec<Vec<u8>>, Fault> {
    let mut keys = vec![Key::Global.to_bytes()];
    let mut seen = BTreeSet::new();
    let mut open = vec![*feature];
    while let Some(name) = open.pop() {
        if seen.insert(name) {
            let of_feature = [Key::Feature(name), Key::Policy(name), Key::Override { name, user: *user }];
            keys.extend(of_feature.iter().map(Encode::to_bytes));
            open.extend(query::policy(records, &name)?.prerequisites);
        }
    }
    Ok(keys)
}
