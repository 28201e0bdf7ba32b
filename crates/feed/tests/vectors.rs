//! Every public vector of the source is met, but for the departures that are named here with their reasons.
//!
//! The files lie outside of the repository; without them these tests say so and pass.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use coalmine_feed::backoff::{Backoff, Delays, jitter};
use coalmine_feed::command::{Command, FeedKind as Kind, FeedPart as Part};
use coalmine_feed::manager::{Action, Input, Level, Log, Manager};
use coalmine_feed::message::{Environment, Filter};
use coalmine_feed::projects::{Change, ProjectError, Projects};
use coalmine_feed::rotation::{Credential, CredentialKind, Grace, Rotation};
use coalmine_feed::secret::Salt;
use serde_json::{Value, json};

/// The cases of a file; none where there is no such file.
fn cases(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/autoconfig").join(file);
    let Ok(text) = fs::read_to_string(&path) else {
        eprintln!("skipped: there is no file {}", path.display());
        return Vec::new();
    };
    let file: Value = serde_json::from_str(&text).unwrap();
    let cases = file["cases"].as_array().unwrap().clone();
    assert!(!cases.is_empty(), "{} holds no cases", path.display());
    cases
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no string"))
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|value| text(value).to_owned()).collect()
}

fn salt() -> Salt {
    Salt::new(*b"a salt for tests").unwrap()
}

fn manager() -> Manager {
    Manager::new(salt(), Delays::default())
}

#[test]
fn delays_are_those_of_the_source() {
    for case in cases("backoff.json") {
        let ms = |key: &str| case[key].as_u64().unwrap();
        let delays = Delays { initial_ms: ms("initial_ms"), max_ms: ms("max_ms"), reset_ms: ms("reset_interval_ms") };
        let mut backoff = Backoff::new(delays);
        let mut found = Vec::new();
        for step in case["script"].as_array().unwrap() {
            match text(&step["op"]) {
                "fail" => found.push(backoff.fail(step["at"].as_u64().unwrap())),
                "good" => backoff.good(step["at"].as_u64().unwrap()),
                "server_retry" => backoff.set_base(step["ms"].as_u64().unwrap()),
                op => panic!("{op}"),
            }
        }
        assert_eq!(json!(found), case["delays_ms"], "{}", case["name"]);
        for delay in found {
            for random in [0, 1, delay / 2 - 1, delay / 2, u64::MAX] {
                assert!((delay / 2 + 1..=delay).contains(&jitter(delay, random)), "{}", case["name"]);
            }
        }
    }
}

#[test]
fn answers_are_taken_as_the_source_takes_them() {
    for case in cases("connection.json") {
        let name = text(&case["name"]);
        let mut inputs: Vec<Input<'_>> = Vec::new();
        let status = |value: &Value| Input::Response { status: value.as_u64().unwrap().try_into().unwrap() };
        match (&case["http_status"], &case["sequence"], name) {
            (Value::Number(_), _, _) => inputs.push(status(&case["http_status"])),
            (_, Value::Array(sequence), _) => inputs.extend(sequence.iter().map(status)),
            (_, _, "network error") => inputs.push(Input::Failed { reason: "connection refused" }),
            // Requests, and addresses that are none, are in the tests of the stream.
            _ => continue,
        }
        let mut manager = manager();
        let actions: Vec<Action> = inputs.into_iter().flat_map(|input| manager.handle(input, 0, 0)).collect();
        let stops = actions.contains(&Action::Stop);
        let retries = actions.iter().any(|action| matches!(action, Action::Reconnect(_)));
        assert_eq!(json!(stops), case["permanent_failure"], "{name}");
        assert_eq!(json!(retries), case["retry"], "{name}");

        let logs = logs(&actions);
        let found = logs.first().map(|log| (log.level, log.tag, log.text.as_str()));
        match case["log"].as_str().map(|log| log.split_once(':').unwrap()) {
            None if case.get("sequence").is_some() => assert_eq!(logs.len(), 1, "{name}"),
            None => assert_eq!(found, None, "{name}"),
            Some(("error", "invalid key")) => assert_eq!(found.unwrap().1, "invalid_key", "{name}"),
            Some(("warn", "Unexpected error")) => assert_eq!(found.unwrap().1, "failed", "{name}"),
            Some((_, error)) => assert_eq!(found, Some((Level::Warn, "http_error", error)), "{name}"),
        }
    }
}

#[test]
fn credentials_rotate_as_those_of_the_source() {
    for case in cases("credential_rotation.json") {
        let name = text(&case["name"]);
        let mut rotation = Rotation::default();
        for op in case["ops"].as_array().unwrap() {
            let kind = || match text(&op["kind"]) {
                "sdk" => CredentialKind::Sdk,
                "mob" => CredentialKind::Mobile,
                "env" => CredentialKind::Environment,
                kind => panic!("{kind}"),
            };
            let key = || text(&op["key"]).to_owned();
            let ms = |key: &str| op[key].as_u64().unwrap();
            match text(&op["op"]) {
                "init" => rotation.init(kind(), key()),
                "rotate" => rotation.rotate(kind(), key()),
                "rotate_with_grace" => {
                    let grace = Grace { key: text(&op["grace_key"]).into(), until_ms: ms("grace_expiry") };
                    rotation.rotate_with_grace(key(), grace, ms("now"));
                }
                "step" => {
                    let step = rotation.step(ms("now"));
                    let found = json!({ "additions": named(&step.additions), "expirations": named(&step.expirations) });
                    assert_eq!(found, op["expect"], "{name}");
                }
                "all" => {
                    let primary: BTreeSet<Credential> =
                        rotation.primary().map(|(kind, key)| (kind, key.to_owned())).collect();
                    let deprecated: BTreeSet<Credential> =
                        rotation.deprecated().map(|key| (CredentialKind::Sdk, key.to_owned())).collect();
                    let found = json!({ "deprecated": named(&deprecated), "primary": named(&primary) });
                    assert_eq!(found, op["expect"], "{name}");
                }
                op => panic!("{op}"),
            }
        }
    }
}

fn named(credentials: &BTreeSet<Credential>) -> Vec<String> {
    let name = |kind| match kind {
        CredentialKind::Environment => "env",
        CredentialKind::Mobile => "mob",
        CredentialKind::Sdk => "sdk",
    };
    let mut names: Vec<String> = credentials.iter().map(|(kind, key)| format!("{}:{key}", name(*kind))).collect();
    names.sort();
    names
}

#[test]
fn filters_make_the_environments_of_the_source() {
    for case in cases("project_filters.json") {
        let mut projects = Projects::default();
        for op in case["ops"].as_array().unwrap() {
            let (id, project) = (text(&op["id"]), op["project"].as_str().unwrap_or_default());
            let (changes, result) = match text(&op["op"]) {
                "add_environment" => (projects.add_environment(id, project), Ok(())),
                "update_environment" => match projects.update_environment(id, project) {
                    Ok(changes) => (changes, Ok(())),
                    Err(error) => (Vec::new(), Err(error)),
                },
                "delete_environment" => projects.delete_environment(id),
                "add_filter" => (projects.add_filter(id, text(&op["key"]), project), Ok(())),
                "delete_filter" => projects.delete_filter(id),
                op => panic!("{op}"),
            };
            let told = |change: &Change| match change {
                Change::Add(name) => format!("add {name}"),
                Change::Update(name) => format!("update {name}"),
                Change::Delete(name) => format!("delete {name}"),
            };
            let mut actions: Vec<String> = changes.iter().map(told).collect();
            actions.sort();
            let mut environments: Vec<String> = projects.environments().collect();
            environments.sort();
            let found = json!({
                "actions": actions,
                "environments": environments,
                "errors": u8::from(matches!(result, Err(ProjectError::NotOne(_) | ProjectError::UnknownProject))),
                "projects": projects.projects().collect::<Vec<_>>(),
            });
            assert_eq!(found, op["expect"], "{}: {op}", case["name"]);
        }
    }
}

/// What the ledger does with the stream and the source does not, or the other way round: the case, the number of the
/// event in it, what happens here, and why.
const DEPARTURES: &[(&str, usize, &[&str], &str)] = &[
    (
        "empty id matches an empty envID: inserted (no validation)",
        0,
        &["warn:invalid_id"],
        "an id of the ledger has at least one character",
    ),
    ("empty id matches an empty envID: inserted (no validation)", 1, &["warn:invalid_id"], "likewise"),
    (
        "put NOT listing a tombstoned env forgets the tombstone: older patch resurrects it",
        3,
        &[],
        "a put marks what it does not list, and the mark keeps the version, so that a late patch brings nothing back",
    ),
];

/// What the source logs about versions. Here the ledger tells that: by an event, or a note that nothing was to be done.
const TAGS_OF_THE_LEDGER: [&str; 5] =
    ["info:added", "info:updated", "info:removed", "debug:out_of_order_update", "debug:out_of_order_delete"];

#[test]
fn streams_do_what_they_do_at_the_source() {
    let mut departed = BTreeSet::new();
    let cases = cases("stream_manager.json");
    for case in &cases {
        let name = text(&case["name"]);
        let mut manager = manager();
        let mut ledger = Receiver::default();
        for (index, event) in case["events"].as_array().unwrap().iter().enumerate() {
            let input = Input::Event { name: text(&event["event"]), data: text(&event["data"]), retry_ms: None };
            let actions = manager.handle(input, 0, 0);
            let expect = &event["expect"];
            let restarts = actions.iter().any(|action| matches!(action, Action::Reconnect(_)));
            assert_eq!(json!(restarts), expect["restart"], "{name}, event {index}");
            assert!(!actions.contains(&Action::Stop), "{name}, event {index}");

            let mut found: Vec<String> = Vec::new();
            for action in &actions {
                if let Action::Emit(commands) = action {
                    commands.iter().for_each(|command| found.extend(ledger.apply(command)));
                }
            }
            found.extend(logs(&actions).iter().map(|log| tag(log)));
            let mut expected: Vec<String> = expect["actions"].as_array().unwrap().iter().map(expected).collect();
            let tags = texts(&expect["log_tags"]);
            expected.extend(tags.into_iter().filter(|tag| !TAGS_OF_THE_LEDGER.contains(&tag.as_str())));
            // The ledger stores environments and filters first and forgets afterwards; the source does it list by list.
            found.sort();
            expected.sort();
            match DEPARTURES.iter().find(|(case, at, _, _)| (*case, *at) == (name, index)) {
                Some((_, _, departure, reason)) => {
                    assert_ne!(found, expected, "{name}, event {index}: no departure, though {reason}");
                    assert_eq!(found, *departure, "{name}, event {index}");
                    departed.insert((name, index));
                }
                None => assert_eq!(found, expected, "{name}, event {index}"),
            }
        }
    }
    assert!(cases.is_empty() || departed.len() == DEPARTURES.len(), "a departure names no case");
}

fn logs(actions: &[Action]) -> Vec<&Log> {
    actions.iter().filter_map(|action| if let Action::Log(log) = action { Some(log) } else { None }).collect()
}

fn tag(log: &Log) -> String {
    let level = match log.level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    };
    format!("{level}:{}", log.tag)
}

/// An action of the source in one line. The keys in it are hidden as the bridge hides them.
fn expected(action: &Value) -> String {
    let mut action = action.clone();
    if let Some(params) = action.get_mut("params") {
        for secret in ["sdk_key", "mob_key", "expiring_sdk_key"] {
            if let Some(secret) = params.get_mut(secret) {
                *secret = json!(salt().hide(text(secret)));
            }
        }
    }
    action.to_string()
}

fn environment_action(action: &str, body: &[u8]) -> String {
    let environment = Environment::from_body(body).unwrap();
    let mut params = json!({
        "env_id": environment.env_id,
        "env_key": environment.env_key,
        "env_name": environment.env_name,
        "mob_key": environment.mob_key,
        "proj_key": environment.proj_key,
        "proj_name": environment.proj_name,
        "sdk_key": environment.sdk_key.value,
        "secure_mode": environment.secure_mode,
        "ttl_seconds": environment.default_ttl * 60,
    });
    if let Some(expiring) = environment.sdk_key.expiring {
        params["expiring_sdk_key"] = json!(expiring.value);
        params["expiring_at_ms"] = json!(expiring.timestamp);
    }
    json!({ "action": action, "params": params }).to_string()
}

/// The receiver as its specification tells it, naive.
#[derive(Default)]
struct Receiver {
    items: BTreeMap<(Kind, String), (u64, State)>,
    listed: BTreeSet<(Kind, String)>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Live,
    Deleted,
    Forgotten,
}

impl Receiver {
    fn apply(&mut self, command: &Command) -> Vec<String> {
        let mut actions = Vec::new();
        match command {
            Command::FeedPatch { kind, id, version, body } => {
                actions.extend(self.upsert(*kind, id.as_str(), *version, body.as_bytes(), false));
            }
            Command::FeedDelete { kind, id, version } => {
                let key = (*kind, id.as_str().to_owned());
                let stored = self.items.get(&key).copied();
                if stored.is_none_or(|(stored, _)| stored < *version) {
                    self.items.insert(key, (*version, State::Deleted));
                    if let Some((_, State::Live)) = stored {
                        actions.push(delete_action(*kind, id.as_str()));
                    }
                }
            }
            Command::FeedPut { part, environments, filters } => {
                if matches!(part, Part::Only | Part::First) {
                    self.listed.clear();
                }
                let environments = environments.iter().map(|item| (Kind::Environment, item));
                let filters = filters.iter().map(|item| (Kind::Filter, item));
                for (kind, item) in environments.chain(filters) {
                    self.listed.insert((kind, item.id.as_str().to_owned()));
                    actions.extend(self.upsert(kind, item.id.as_str(), item.version, item.body.as_bytes(), true));
                }
                if matches!(part, Part::Only | Part::Last) {
                    for (key, (_, state)) in &mut self.items {
                        if !self.listed.contains(key) {
                            if *state == State::Live {
                                actions.push(delete_action(key.0, &key.1));
                            }
                            *state = State::Forgotten;
                        }
                    }
                    actions.push(json!({ "action": "received_all_environments" }).to_string());
                }
            }
        }
        actions
    }

    fn upsert(&mut self, kind: Kind, id: &str, version: u64, body: &[u8], is_put: bool) -> Option<String> {
        let key = (kind, id.to_owned());
        let stored = self.items.get(&key).copied();
        let is_as_unseen = is_put && matches!(stored, Some((_, State::Forgotten)));
        if !is_as_unseen && stored.is_some_and(|(stored, _)| version <= stored) {
            return None;
        }
        self.items.insert(key, (version, State::Live));
        let was_live = matches!(stored, Some((_, State::Live)));
        match (kind, was_live) {
            (Kind::Environment, false) => Some(environment_action("add_environment", body)),
            (Kind::Environment, true) => Some(environment_action("update_environment", body)),
            (Kind::Filter, false) => {
                let filter = Filter::from_body(body).unwrap();
                let key = filter.key;
                Some(json!({ "action": "add_filter", "id": id, "key": key, "proj_key": filter.proj_key }).to_string())
            }
            (Kind::Filter, true) => None,
        }
    }
}

fn delete_action(kind: Kind, id: &str) -> String {
    let action = match kind {
        Kind::Environment => "delete_environment",
        Kind::Filter => "delete_filter",
    };
    json!({ "action": action, "id": id }).to_string()
}
