//! The JSON of a genesis, as block files have it.

use std::collections::BTreeMap;

use coalmine_core::{Address, ChainId, Genesis, GenesisError, Params, Role, Roles, RuleSet};

use crate::error::{JsonError, unknown_rules};
use crate::json::{Problem, Val, quoted, shown};
use crate::ops::{self, params_json, role_names};

/// Reads a genesis: an object with `roles`, and `chain`, `rules` and `params` where they are not the default.
///
/// # Errors
/// [`JsonError`] if the text is no genesis, or one that no ledger can have.
pub fn read_genesis(text: &str) -> Result<Genesis, JsonError> {
    match genesis(Val::document(text)) {
        Ok((genesis, _admin)) => Ok(genesis),
        Err(problem) => Err(problem.into_json_error(text)),
    }
}

/// Compact JSON of a genesis. Roles are in the order of their addresses; defaults are left out.
///
/// ```
/// let json = r#"{"chain":"x","roles":{"0x1111111111111111111111111111111111111111":["admin"]}}"#;
/// let genesis = coalmine_json::read_genesis(json)?;
/// assert_eq!(coalmine_json::write_genesis(&genesis), json);
/// # Ok::<(), coalmine_json::JsonError>(())
/// ```
#[must_use]
pub fn write_genesis(genesis: &Genesis) -> String {
    let mut entries = Vec::new();
    if genesis.rules() != RuleSet::One {
        entries.push(format!("\"rules\":{}", genesis.rules().number()));
    }
    if !genesis.chain().as_str().is_empty() {
        entries.push(format!("\"chain\":{}", quoted(genesis.chain().as_str())));
    }
    let roles = genesis.roles().iter().map(|(address, roles)| {
        let names: Vec<String> = roles.iter().map(|role| quoted(Role::name(role))).collect();
        format!("\"{address}\":[{}]", names.join(","))
    });
    entries.push(format!("\"roles\":{{{}}}", roles.collect::<Vec<_>>().join(",")));
    if *genesis.params() != Params::default() {
        entries.push(format!("\"params\":{}", params_json(genesis.params())));
    }
    format!("{{{}}}", entries.join(","))
}

/// A genesis, and its first admin in the order of the file.
pub(crate) fn genesis(value: Val<'_>) -> Result<(Genesis, Address), Problem> {
    let object = value.object().map_err(|problem| problem.in_key("genesis"))?;
    object.only("genesis", ["rules", "chain", "roles", "params"].into_iter())?;

    let rules = match object.get("rules") {
        Some(rules) => {
            let number = rules.u16().map_err(|problem| problem.in_key("rules"))?;
            RuleSet::from_number(number).ok_or_else(|| rules.problem(unknown_rules(number)).of_rules(number))?
        }
        None => RuleSet::One,
    };
    let chain = match object.get("chain") {
        Some(chain) => {
            let text = chain.string().map_err(|problem| problem.in_key("chain"))?;
            ChainId::new(text.as_bytes()).map_err(|error| chain.problem(format!("{}: {error}", shown(&text))))?
        }
        None => ChainId::new(b"").map_err(|error| value.problem(error.to_string()))?,
    };

    let roles_value = object.need("roles").map_err(|problem| problem.in_key("genesis"))?;
    let mut roles = BTreeMap::new();
    let mut admin = None;
    for entry in roles_value.object().map_err(|problem| problem.in_key("roles"))?.entries() {
        let address: Address = entry
            .key
            .parse()
            .map_err(|error| entry.key_problem(format!("{} is invalid: {error}", shown(&entry.key))))?;
        let mut held = Roles::NONE;
        for role in entry.value.elements().map_err(|problem| problem.in_key("roles"))? {
            held = held.with(role?.one_of("role", Role::from_name, role_names)?);
        }
        if held.is_empty() {
            return Err(entry.value.problem(GenesisError::NoRole.to_string()));
        }
        if held.contains(Role::Admin) {
            admin = admin.or(Some(address));
        }
        if roles.insert(address, held).is_some() {
            return Err(entry.key_problem(format!("{address} is repeated")));
        }
    }
    let admin = admin.ok_or_else(|| roles_value.problem(GenesisError::NoAdmin.to_string()))?;

    let mut params = Params::default();
    let params_value = object.get("params");
    if let Some(value) = params_value {
        params = ops::params(value)?;
    }
    Genesis::with_params(rules, chain, roles, params).map(|genesis| (genesis, admin)).map_err(|error| {
        let value = if error == GenesisError::Params { params_value.unwrap_or(roles_value) } else { roles_value };
        value.problem(error.to_string())
    })
}
