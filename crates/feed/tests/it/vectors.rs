//! Every public vector of the source is met, but for the departures that are named here with their reasons.
//!
//! The files lie outside of the repository; without them these tests say so and pass.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use coalmine_core::feed::Receiver;
use coalmine_core::{
    Address, Block, Command, Event, FeedBody, FeedItem, FeedKey, FeedKind, Genesis, Height, ItemState, Receipt, Role,
    Transaction,
};
use coalmine_feed::backoff::{Backoff, Delays, jitter};
use coalmine_feed::manager::{Action, Input, Level, Log, Manager};
use coalmine_feed::message::{Environment, Filter};
use coalmine_feed::projects::{Change, ProjectError, Projects};
use coalmine_feed::rotation::{Credential, CredentialKind, Grace, Rotation};
use coalmine_feed::secret::Salt;
use coalmine_feed::stream::{self, Limits};
use coalmine_feed::transport::HyperTransport;
use coalmine_store::{Ledger, MemoryStore};
use serde_json::{Value, json};

const ADMIN: Address = Address([0x11; 20]);
const FEEDER: Address = Address([0x22; 20]);

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
    let mut manager = Manager::new(salt(), Delays::default());
    manager.seed([]);
    manager
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
            (_, _, "bad stream URI") => {
                let result = stream::client("not a uri", "key", 2, HyperTransport::new().unwrap(), Limits::default());
                assert_eq!(json!(result.is_err()), case["permanent_failure"], "{name}");
                continue;
            }
            // The requests are compared in the tests of the stream.
            _ => {
                assert!(case.get("request").is_some(), "{name}");
                continue;
            }
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
            let show = |change: &Change| match change {
                Change::Add(name) => format!("add {name}"),
                Change::Update(name) => format!("update {name}"),
                Change::Delete(name) => format!("delete {name}"),
            };
            let mut actions: Vec<String> = changes.iter().map(show).collect();
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
    (
        "filter update with higher version emits nothing (no update action for filters)",
        1,
        &[],
        "that the version of a filter rises is a note of the ledger and no event, as no action follows",
    ),
    (
        "filter update with higher version emits nothing (no update action for filters)",
        2,
        &["info:put_received", r#"{"action":"received_all_environments"}"#],
        "likewise",
    ),
    (
        "put without data member deletes everything",
        1,
        &["error:malformed", RESTARTS],
        "a put that says nothing of any item is taken for damaged, not for an order to delete all of them",
    ),
    ("put with data null deletes everything", 1, &["error:malformed", RESTARTS], "likewise"),
];

/// The mark of a departure in which the connection starts again, or does not, other than at the source.
const RESTARTS: &str = "restarts";

/// Events of empty data, which the source takes even of a frame without a line of data. On the wire they need that line
/// here, though it be empty: a frame without one is no event by the rule of server-sent events, and nothing is logged.
/// Frames of both forms are in the tests of the stream.
const DEPARTURES_ON_THE_WIRE: &[(&str, usize)] = &[
    ("empty data restarts for put/patch/delete", 0),
    ("empty data restarts for put/patch/delete", 1),
    ("empty data restarts for put/patch/delete", 2),
];

/// What the source logs of a message that is late. Here that is a note of the ledger, which also has one where the source
/// is silent.
const TAGS_OF_NOTES: [&str; 2] = ["debug:out_of_order_update", "debug:out_of_order_delete"];

#[test]
fn streams_do_what_they_do_at_the_source() {
    let mut departed = BTreeSet::new();
    let mut departed_on_the_wire = Vec::new();
    let cases = cases("stream_manager.json");
    for case in &cases {
        let name = text(&case["name"]);
        let mut manager = manager();
        let mut fed = Fed::new();
        for (index, event) in case["events"].as_array().unwrap().iter().enumerate() {
            let input = Input::Event { name: text(&event["event"]), data: text(&event["data"]), retry_ms: None };
            if event["data"] == "" {
                departed_on_the_wire.push((name, index));
            }
            let actions = manager.handle(input, 0, 0);
            let expect = &event["expect"];
            let restarts = actions.iter().any(|action| matches!(action, Action::Reconnect(_)));
            assert!(!actions.contains(&Action::Stop), "{name}, event {index}");

            let mut found: Vec<String> = Vec::new();
            for action in &actions {
                if let Action::Emit(commands) = action {
                    found.extend(fed.apply(commands));
                }
            }
            let logged: BTreeSet<String> = found.iter().filter_map(|action| logged(action)).collect();
            found.extend(logged);
            found.extend(logs(&actions).iter().map(|log| tag(log)));
            if json!(restarts) != expect["restart"] {
                found.push(RESTARTS.into());
            }
            let mut expected: Vec<String> = expect["actions"].as_array().unwrap().iter().map(expected).collect();
            let tags = texts(&expect["log_tags"]);
            expected.extend(tags.into_iter().filter(|tag| !TAGS_OF_NOTES.contains(&tag.as_str())));
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
    assert!(cases.is_empty() || departed_on_the_wire == DEPARTURES_ON_THE_WIRE, "{departed_on_the_wire:?}");
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

/// What the source logs beside an action. Here the action is an event of the ledger already.
fn logged(action: &str) -> Option<String> {
    let verbs = [("add_", "info:added"), ("update_", "info:updated"), ("delete_", "info:removed")];
    let action: Value = serde_json::from_str(action).unwrap();
    let mut tags = verbs.into_iter().filter(|(verb, _)| text(&action["action"]).starts_with(verb));
    tags.next().map(|(_, tag)| tag.to_owned())
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

/// The ledger that is fed.
struct Fed {
    ledger: Ledger<MemoryStore>,
    height: Height,
}

impl Fed {
    fn new() -> Self {
        let genesis = Genesis::new("", [(ADMIN, Role::Admin.into()), (FEEDER, Role::Feeder.into())]).unwrap();
        Self { ledger: Ledger::create(MemoryStore::new(), &genesis).unwrap(), height: 0 }
    }

    /// What the commands of a message do, in the words of the source.
    fn apply(&mut self, commands: &[Command]) -> Vec<String> {
        self.height += 1;
        let transaction = Transaction::new(FEEDER, commands.to_vec()).unwrap();
        let execution = self.ledger.execute(&Block::new(self.height, vec![transaction]).unwrap()).unwrap();
        let outcome = execution.outcome().clone();
        assert_eq!(outcome.receipts, [Receipt::Ok], "{commands:?}");
        self.ledger.commit(execution).unwrap();
        outcome.events.iter().filter_map(|event| self.action(event)).collect()
    }

    fn action(&self, event: &Event) -> Option<String> {
        let body = |kind, id| match &self.ledger.state().feed_item(kind, id).unwrap().state {
            ItemState::Live(body) => body.as_bytes().to_vec(),
            state @ (ItemState::Deleted | ItemState::Forgotten | ItemState::Unborn) => panic!("{state:?}"),
        };
        Some(match event {
            Event::FeedInsert { kind: kind @ FeedKind::Environment, id, .. } => {
                environment_action("add_environment", &body(*kind, id))
            }
            Event::FeedUpdated { kind: kind @ FeedKind::Environment, id, .. } => {
                environment_action("update_environment", &body(*kind, id))
            }
            Event::FeedInsert { kind: kind @ FeedKind::Filter, id, .. } => {
                let Filter { key, proj_key } = Filter::from_body(&body(*kind, id)).unwrap();
                json!({ "action": "add_filter", "id": id.as_str(), "key": key, "proj_key": proj_key }).to_string()
            }
            Event::FeedDelete { kind, id, .. } => {
                json!({ "action": format!("delete_{}", kind.name()), "id": id.as_str() }).to_string()
            }
            Event::FeedReceivedAll => json!({ "action": "received_all_environments" }).to_string(),
            other => panic!("{other:?}"),
        })
    }
}

/// What the receiver of the ledger does otherwise, as above. The number is that of the operation.
const RECEIVER_DEPARTURES: &[(&str, usize, &str, &str)] = &[
    ("empty id is an ordinary id", 0, "refused", "an id of the ledger has at least one character"),
    ("empty id is an ordinary id", 1, "refused", "likewise"),
    ("empty id is an ordinary id", 2, "{}", "likewise"),
];

#[test]
fn items_are_received_as_at_the_source() {
    /// The source has negative versions, the ledger has none. Only their order counts.
    const SHIFT: i64 = 100;
    let mut departed = BTreeSet::new();
    let cases = cases("message_receiver.json");
    for case in &cases {
        let name = text(&case["name"]);
        let mut receiver = Receiver::default();
        for (index, op) in case["ops"].as_array().unwrap().iter().enumerate() {
            let version = || u64::try_from(op["version"].as_i64().unwrap() + SHIFT).unwrap();
            let key = op["id"].as_str().map(|id| id.parse().map(|id| FeedKey { kind: FeedKind::Environment, id }));
            let named = |key: &FeedKey| texts(&op["ids"]).contains(&key.id.as_str().to_owned());
            let ids = |keys: Vec<FeedKey>| json!(keys.iter().map(|key| key.id.as_str()).collect::<Vec<_>>());
            let mut expected = op["expect"].clone();
            let found = match (text(&op["op"]), key) {
                (_, Some(Err(_))) => json!("refused"),
                ("upsert", Some(Ok(key))) => {
                    let body = FeedBody::new(text(&op["item"]).as_bytes()).unwrap();
                    json!(receiver.upsert(key, version(), &body).name())
                }
                ("delete", Some(Ok(key))) => json!(receiver.delete(key, version()).name()),
                ("forget", Some(Ok(key))) => json!(receiver.forget(&key).name()),
                ("purge", _) => ids(receiver.purge(named)),
                ("retain", _) => ids(receiver.retain(named)),
                ("state", _) => {
                    // The source keeps the item of a tombstone; nobody can see it.
                    for item in expected.as_object_mut().unwrap().values_mut().filter(|item| item["tombstone"] == true)
                    {
                        item["item"] = json!("");
                    }
                    let shown = |item: &FeedItem| {
                        let version = i64::try_from(item.version).unwrap() - SHIFT;
                        let body = item.body().map_or("", |body| str::from_utf8(body.as_bytes()).unwrap());
                        json!({ "item": body, "tombstone": !item.is_live(), "version": version })
                    };
                    let items = receiver.items().map(|(key, item)| (key.id.to_string(), shown(item)));
                    items.collect::<serde_json::Map<_, _>>().into()
                }
                (op, _) => panic!("{op}"),
            };
            match RECEIVER_DEPARTURES.iter().find(|(case, at, _, _)| (*case, *at) == (name, index)) {
                Some((_, _, departure, reason)) => {
                    assert_ne!(found, expected, "{name}, operation {index}: no departure, though {reason}");
                    let found = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
                    assert_eq!(found, *departure, "{name}, operation {index}");
                    departed.insert((name, index));
                }
                None => assert_eq!(found, expected, "{name}, operation {index}"),
            }
        }
    }
    assert!(cases.is_empty() || departed.len() == RECEIVER_DEPARTURES.len(), "a departure names no case");
}
