//! Every request that the API answers, described once: the router, the OpenAPI document and docs/api.md come from here.

use axum::routing::{MethodRouter, get, post};

use crate::http::api::Api;
use crate::http::problem::Kind;
use crate::http::{ask, document, events, forward, metrics, ofrep, proof, show, status, submit};

/// The method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
}

impl Method {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
        }
    }
}

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
}

/// A parameter.
#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) place: Place,
    pub(super) is_required: bool,
    /// The type of JSON Schema.
    pub(super) schema: &'static str,
    pub(super) about: &'static str,
}

/// What a request has as its body.
#[derive(Debug)]
pub(super) struct RequestBody {
    pub(super) media_types: &'static [&'static str],
    pub(super) about: &'static str,
    /// An example, in JSON.
    pub(super) example: &'static str,
}

/// An answer that is no problem.
#[derive(Debug)]
pub(super) struct Success {
    pub(super) status: u16,
    pub(super) media_type: &'static str,
    pub(super) about: &'static str,
}

/// A request that the API answers.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) op: Op,
    pub(super) method: Method,
    /// The path, as axum and OpenAPI write it.
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    pub(super) about: &'static str,
    pub(super) parameters: &'static [&'static Parameter],
    pub(super) body: Option<RequestBody>,
    pub(super) successes: &'static [Success],
    /// The problems of its own; those that any request may have are not here.
    pub(super) problems: &'static [Kind],
}

impl Route {
    /// The name of a parameter of its query, if it has it.
    pub(super) fn parameter(&self, name: &str) -> Option<&'static str> {
        let query = self.parameters.iter().filter(|parameter| parameter.place == Place::Query);
        query.map(|parameter| parameter.name).find(|known| *known == name)
    }

    pub(super) fn handler(&self) -> MethodRouter<Api> {
        match self.op {
            Op::Submit => post(submit::submit),
            Op::Transaction => get(submit::transaction),
            Op::Sequence => get(submit::sequence),
            Op::Status => get(status::status),
            Op::Features => get(show::features),
            Op::Feature => get(show::feature),
            Op::FeatureMetrics => get(show::metrics),
            Op::FeatureHistory => get(show::feature_history),
            Op::FeatureSamples => get(show::feature_samples),
            Op::Overrides => get(show::overrides),
            Op::Plugins => get(show::plugins),
            Op::Plugin => get(show::plugin),
            Op::PluginHistory => get(show::plugin_history),
            Op::PluginSamples => get(show::plugin_samples),
            Op::Feed => get(show::feed),
            Op::Roles => get(show::roles),
            Op::Schedule => get(show::schedule),
            Op::Global => get(show::global),
            Op::Calendar => get(forward::calendar),
            Op::Check => get(ask::check),
            Op::CheckAll => post(ask::check_all),
            Op::Route => get(ask::route),
            Op::RouteAll => post(ask::route_all),
            Op::Preview => post(forward::preview),
            Op::ProofIsEnabled => get(proof::is_enabled),
            Op::ProofRoute => get(proof::route),
            Op::ProofKey => get(proof::key),
            Op::Events => get(events::events),
            Op::Evaluate => post(ofrep::evaluate),
            Op::EvaluateAll => post(ofrep::evaluate_all),
            Op::Refetches => get(events::refetches),
            Op::Live => get(status::livez),
            Op::Ready => get(status::readyz),
            Op::Metrics => get(metrics::metrics),
            Op::Document => get(document::openapi),
        }
    }
}

/// What is done for a request. The name is the `operationId` of the OpenAPI document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Submit,
    Transaction,
    Sequence,
    Status,
    Features,
    Feature,
    FeatureMetrics,
    FeatureHistory,
    FeatureSamples,
    Overrides,
    Plugins,
    Plugin,
    PluginHistory,
    PluginSamples,
    Feed,
    Roles,
    Schedule,
    Global,
    Calendar,
    Check,
    CheckAll,
    Route,
    RouteAll,
    Preview,
    ProofIsEnabled,
    ProofRoute,
    ProofKey,
    Events,
    Evaluate,
    EvaluateAll,
    Refetches,
    Live,
    Ready,
    Metrics,
    Document,
}

const fn path(name: &'static str, schema: &'static str, about: &'static str) -> Parameter {
    Parameter { name, place: Place::Path, is_required: true, schema, about }
}

const fn need(name: &'static str, schema: &'static str, about: &'static str) -> Parameter {
    Parameter { name, place: Place::Query, is_required: true, schema, about }
}

const fn may(name: &'static str, schema: &'static str, about: &'static str) -> Parameter {
    Parameter { name, place: Place::Query, is_required: false, schema, about }
}

const MIN_HEIGHT: Parameter =
    may("min_height", "integer", "Waits until the node is at this height, 10 s at most: read your own writes");
const CONSISTENCY: Parameter = may(
    "consistency",
    "string",
    "`local`, the default, answers from what this node has; `linearizable` makes sure first that it has everything that was acknowledged",
);
const AFTER: Parameter = may("after", "string", "`next` of the page before");
const LIMIT: Parameter = may("limit", "integer", "How many entries at most: 1 to 1 000, 100 unless you say");
const NAME: Parameter = path("name", "string", "The name");
const FROM: Parameter = may("from", "integer", "The first height");
const TO: Parameter = may("to", "integer", "The last height");
const ID: Parameter = path("id", "string", "The id of a transaction: 64 hex digits");
const ADDRESS: Parameter = path("address", "string", "The address of a signer: `0x` and 40 hex digits");
const WAIT: Parameter = may(
    "wait",
    "string",
    "`none`, the default, answers when it is taken; `commit` when it is in a block, or after 10 s",
);
const FEATURE: Parameter = need("feature", "string", "The feature");
const USER: Parameter = need("user", "string", "The user: an address");
const PLUGIN: Parameter = need("plugin", "string", "The plugin");
const UNIT: Parameter =
    need("unit", "string", "What requests are routed by: `0x` and hex digits are bytes, anything else is text");
const HEIGHT: Parameter = may(
    "height",
    "integer",
    "The height that is asked about. One to come is waited for, 10 s at most; of one that has passed the answer is known as long as nothing has happened since",
);
const BLOCKS: Parameter =
    may("blocks", "integer", "How many blocks to look ahead: 10 000 unless you say, 100 000 at most");
const HEX: Parameter = path("hex", "string", "The key of a record, in hex; FORMAT.md says which there are");
const FROM_EVENT: Parameter = may(
    "from",
    "integer",
    "The height of the first block, for who has no `Last-Event-ID`; without either the stream begins now",
);
const OF_FEATURE: Parameter = may("feature", "string", "Only events of these features: names with commas between them");
const OF_PLUGIN: Parameter = may("plugin", "string", "Only events of these plugins, or of the features");
const OF_KIND: Parameter = may("kind", "string", "Only events of these kinds, such as `rolled_back,promoted`");
const KEY: Parameter = path("*key", "string", "The name of a feature, or `plugin/` and the name of a plugin");
const CONFIG: Parameter = may(
    "flagConfigEtag",
    "string",
    "The `etag` of an event: the answer is that of its height or later, if that comes within 2 s",
);
const CONFIG_TIME: Parameter = may("flagConfigLastModified", "string", "Taken, and not looked at");

const fn json(about: &'static str) -> Success {
    Success { status: 200, media_type: "application/json", about }
}

const fn get_json(
    op: Op,
    path: &'static str,
    summary: &'static str,
    about: &'static str,
    parameters: &'static [&'static Parameter],
    success: &'static [Success],
    problems: &'static [Kind],
) -> Route {
    Route { op, method: Method::Get, path, summary, about, parameters, body: None, successes: success, problems }
}

const PAGED: &[&Parameter] = &[&AFTER, &LIMIT, &MIN_HEIGHT, &CONSISTENCY];
const PAGED_NAME: &[&Parameter] = &[&NAME, &AFTER, &LIMIT, &MIN_HEIGHT, &CONSISTENCY];
const ONE_NAME: &[&Parameter] = &[&NAME, &MIN_HEIGHT, &CONSISTENCY];
const RANGE_NAME: &[&Parameter] = &[&NAME, &FROM, &TO, &LIMIT, &MIN_HEIGHT, &CONSISTENCY];
const READ: &[&Parameter] = &[&MIN_HEIGHT, &CONSISTENCY];
const PAGE: &[Success] = &[json("`{height, items, next}`; `next` is null on the last page")];
const OBJECT: &[Success] = &[json("One object")];

/// All requests, in the order of the documentation.
pub(super) const ROUTES: &[Route] = &[
    Route {
        op: Op::Submit,
        method: Method::Post,
        path: "/v1/transactions",
        summary: "Submit a transaction",
        about: "Takes a signed envelope. The same envelope again gets the same answer and is never executed twice, so whoever got no answer submits it again. A transaction that a block rejects has status 200 here, and its reject in `result` and `code`.",
        parameters: &[&WAIT],
        body: Some(RequestBody {
            media_types: &["application/octet-stream", "application/json"],
            about: "The bytes of the envelope, or an object with it in base64",
            example: r#"{"envelope":"AQAAAD..."}"#,
        }),
        successes: &[
            json("It is in a block: `{id, state: committed, height, index, result, code, events}`"),
            Success {
                status: 202,
                media_type: "application/json",
                about: "It waits for a block: `{id, state: pending}`",
            },
        ],
        problems: &[
            Kind::Body,
            Kind::Envelope,
            Kind::Signature,
            Kind::NoRole,
            Kind::Reserved,
            Kind::Sequence,
            Kind::Expired,
            Kind::TooLarge,
            Kind::SignerFull,
            Kind::Full,
            Kind::NotAccepting,
        ],
    },
    get_json(
        Op::Transaction,
        "/v1/transactions/{id}",
        "Where a transaction is",
        "`unknown` is also what was pruned; `why` says why one has left without a block, for as long as that is remembered.",
        &[&ID, &MIN_HEIGHT, &CONSISTENCY],
        &[json("`{id, state}`: pending, committed (as when it is submitted) or unknown")],
        &[],
    ),
    get_json(
        Op::Sequence,
        "/v1/sequence/{address}",
        "Sequences of a signer",
        "A sequence has to be above the last one that was used; `next` counts what waits.",
        &[&ADDRESS, &MIN_HEIGHT, &CONSISTENCY],
        &[json("`{address, last, next}`; `last` is 0 before the first")],
        &[],
    ),
    get_json(
        Op::Status,
        "/v1/status",
        "The node and its ledger",
        "Chain, height and root, the rules in force, known and scheduled, the engine and its health, and the key that signs roots.",
        READ,
        OBJECT,
        &[],
    ),
    get_json(Op::Features, "/v1/features", "Features", "By name, as `replay show SOURCE features`.", PAGED, PAGE, &[]),
    get_json(
        Op::Feature,
        "/v1/features/{name}",
        "One feature",
        "With its policy and the progress of its rollout, as `replay show SOURCE feature NAME`.",
        ONE_NAME,
        OBJECT,
        &[Kind::Name, Kind::Feature],
    ),
    get_json(
        Op::FeatureMetrics,
        "/v1/features/{name}/metrics",
        "What was reported of a feature",
        "As `replay show SOURCE metrics NAME`.",
        ONE_NAME,
        OBJECT,
        &[Kind::Name, Kind::Feature],
    ),
    get_json(
        Op::FeatureHistory,
        "/v1/features/{name}/history",
        "Changes of status and percent",
        "Oldest first, as `replay show SOURCE history NAME`.",
        PAGED_NAME,
        PAGE,
        &[Kind::Name, Kind::Feature],
    ),
    get_json(
        Op::FeatureSamples,
        "/v1/features/{name}/samples",
        "Share and error rate by height",
        "One sample of each block that changed the feature. The next page is asked with `from` = `next`.",
        RANGE_NAME,
        PAGE,
        &[Kind::Name, Kind::Feature],
    ),
    get_json(
        Op::Overrides,
        "/v1/features/{name}/overrides",
        "Overrides for single users",
        "By address, as `replay show SOURCE overrides NAME`.",
        PAGED_NAME,
        PAGE,
        &[Kind::Name, Kind::Feature],
    ),
    get_json(Op::Plugins, "/v1/plugins", "Plugins", "By name, as `replay show SOURCE plugins`.", PAGED, PAGE, &[]),
    get_json(
        Op::Plugin,
        "/v1/plugins/{name}",
        "One plugin",
        "With its deployment, plan and versions, as `replay show SOURCE plugin NAME`.",
        ONE_NAME,
        OBJECT,
        &[Kind::Name, Kind::Plugin],
    ),
    get_json(
        Op::PluginHistory,
        "/v1/plugins/{name}/history",
        "What happened to a plugin",
        "Oldest first, as `replay show SOURCE plugin-history NAME`.",
        PAGED_NAME,
        PAGE,
        &[Kind::Name, Kind::Plugin],
    ),
    get_json(
        Op::PluginSamples,
        "/v1/plugins/{name}/samples",
        "Share and error rates of deployments by height",
        "One sample of each block that changed a deployment; `deployment` is null where one has ended. The next page is asked with `from` = `next`.",
        RANGE_NAME,
        PAGE,
        &[Kind::Name, Kind::Plugin],
    ),
    get_json(
        Op::Feed,
        "/v1/feed",
        "The config feed",
        "Its totals in `feed`, and its items: environments first, each kind by id, as `replay show SOURCE feed`.",
        PAGED,
        PAGE,
        &[],
    ),
    get_json(
        Op::Roles,
        "/v1/roles",
        "Who holds roles",
        "By address, with the last sequence of each, as `replay show SOURCE roles`.",
        PAGED,
        PAGE,
        &[],
    ),
    get_json(
        Op::Schedule,
        "/v1/schedule",
        "Scheduled commands",
        "In the order in which they run, as `replay show SOURCE schedule`.",
        PAGED,
        PAGE,
        &[],
    ),
    get_json(
        Op::Global,
        "/v1/global",
        "The global record",
        "Parameters and the circuit breaker, as `replay show SOURCE global`.",
        READ,
        OBJECT,
        &[],
    ),
    get_json(
        Op::Calendar,
        "/v1/calendar",
        "What will happen without traffic",
        "The state is run forward over empty blocks, as by `replay calendar SOURCE`. `stale` lists the features that are past their expires_at; if `has_more` is true, `limit` has cut the list.",
        &[&BLOCKS, &LIMIT, &MIN_HEIGHT, &CONSISTENCY],
        &[json("`{height, until, stale, items, has_more}`, an item for each height at which something happens")],
        &[Kind::Busy],
    ),
    get_json(
        Op::Check,
        "/v1/check",
        "Is a feature on for a user?",
        "And why, as `replay check SOURCE FEATURE USER`.",
        &[&FEATURE, &USER, &HEIGHT, &MIN_HEIGHT, &CONSISTENCY],
        OBJECT,
        &[Kind::Name, Kind::Feature, Kind::Past],
    ),
    Route {
        op: Op::CheckAll,
        method: Method::Post,
        path: "/v1/check",
        summary: "Are features on for users?",
        about: "Up to 1 000 answers of one state. A feature that does not exist is off, and `why` is `unknown`.",
        parameters: READ,
        body: Some(RequestBody {
            media_types: &["application/json"],
            about: "Features and users",
            example: r#"{"checks":[{"feature":"search_v3","user":"0x1111111111111111111111111111111111111111"}]}"#,
        }),
        successes: &[json("`{height, items}`, in the order of the questions")],
        problems: &[Kind::Body, Kind::TooLarge, Kind::MediaType],
    },
    get_json(
        Op::Route,
        "/v1/route",
        "Which version serves a unit?",
        "And why, as `replay route SOURCE PLUGIN UNIT`.",
        &[&PLUGIN, &UNIT, &HEIGHT, &MIN_HEIGHT, &CONSISTENCY],
        OBJECT,
        &[Kind::Name, Kind::Plugin, Kind::Past],
    ),
    Route {
        op: Op::RouteAll,
        method: Method::Post,
        path: "/v1/route",
        summary: "Which versions serve units?",
        about: "Up to 1 000 answers of one state. The version of a plugin that does not exist is null.",
        parameters: READ,
        body: Some(RequestBody {
            media_types: &["application/json"],
            about: "Plugins and units",
            example: r#"{"routes":[{"plugin":"api","unit":"order-4711"}]}"#,
        }),
        successes: &[json("`{height, items}`, in the order of the questions")],
        problems: &[Kind::Body, Kind::TooLarge, Kind::MediaType],
    },
    Route {
        op: Op::Preview,
        method: Method::Post,
        path: "/v1/preview",
        summary: "What commands would do",
        about: "Runs them in the next block without changing anything, as `replay preview SOURCE COMMANDS`: receipts and why, events, records before and after, who is switched, and what falls due then. With `users` (up to 1 000 addresses) who is switched is exact, otherwise an estimate of `sample` derived addresses. Nobody has to sign.",
        parameters: READ,
        body: Some(RequestBody {
            media_types: &["application/json"],
            about: "`commands` is a transaction as block files have it, or a list of them; `signer` is the first admin unless you say; `sample` is 1 000 unless you say and 10 000 at most, `blocks` 100 and 10 000",
            example: r#"{"commands":{"op":"start_canary","name":"search_v3","percent":5},"signer":"0x1111111111111111111111111111111111111111","blocks":100}"#,
        }),
        successes: &[json("`{preview, receipts, events, records, features, plugins, upcoming}`")],
        problems: &[Kind::Body, Kind::TooLarge, Kind::MediaType, Kind::Busy],
    },
    get_json(
        Op::ProofIsEnabled,
        "/v1/proof/is-enabled",
        "Proof whether a feature is on for a user",
        "`bundle` is what `replay prove SOURCE is-enabled FEATURE USER` writes, and what `replay verify-proof` and coalmine-proof verify. `attestation` is what the node signs for its root: `\"coalmine/root/1\" ‖ lp8 chain ‖ genesis 32 ‖ height u32 ‖ root 32`, by Ed25519.",
        &[&FEATURE, &USER, &MIN_HEIGHT, &CONSISTENCY],
        &[json("`{bundle, attestation}`")],
        &[Kind::Name, Kind::Busy],
    ),
    get_json(
        Op::ProofRoute,
        "/v1/proof/route",
        "Proof which version serves a unit",
        "As `replay prove SOURCE route PLUGIN UNIT`.",
        &[&PLUGIN, &UNIT, &MIN_HEIGHT, &CONSISTENCY],
        &[json("`{bundle, attestation}`")],
        &[Kind::Name, Kind::Busy],
    ),
    get_json(
        Op::ProofKey,
        "/v1/proof/key/{hex}",
        "Proof of a record, or of its absence",
        "As `replay prove SOURCE key HEX`.",
        &[&HEX, &MIN_HEIGHT, &CONSISTENCY],
        &[json("`{bundle, attestation}`")],
        &[Kind::Busy],
    ),
    Route {
        op: Op::Events,
        method: Method::Get,
        path: "/v1/events",
        summary: "Follow what happens",
        about: "Server-sent events. First `hello {tip, root, oldest}`; then one `block {height, root, time, txs, events}` for each block that has something to tell, with the height as its id; a `tip {tip, root}` every 10 s while nothing else comes, a comment every 15 s. Whoever comes back with `Last-Event-ID` gets everything since, from the database. `reset {tip, root, oldest}` says that something is missing: the id is too old, is above the tip, or the reader was too slow, whose stream ends then. Fetch anew after it. With a filter, blocks have the events that it wants, and those without any do not come.",
        parameters: &[&FROM_EVENT, &OF_FEATURE, &OF_PLUGIN, &OF_KIND, &MIN_HEIGHT, &CONSISTENCY],
        body: None,
        successes: &[Success {
            status: 200,
            media_type: "text/event-stream",
            about: "A stream that ends when the node does",
        }],
        problems: &[Kind::Name, Kind::AddressStreams, Kind::Streams],
    },
    Route {
        op: Op::Evaluate,
        method: Method::Post,
        path: "/ofrep/v1/evaluate/flags/{*key}",
        summary: "Evaluate a flag (OFREP)",
        about: "OpenFeature Remote Evaluation Protocol 0.3. A feature is a boolean flag with the variants `on` and `off`; `plugin/NAME` is a string flag whose value is a version. A `targetingKey` that is `0x` and 40 hex digits is that address, any other stands for the first 20 bytes of SHA-256(`\"coalmine/targeting/1\" ‖ key`); requests to plugins are routed by that address. Nothing else of the context is read or kept. Reasons: `STATIC` (the same for all), `TARGETING_MATCH` (an override), `SPLIT` (a bucket), `DISABLED`, `UNKNOWN` (of a prerequisite). `metadata` has `status`, `percentBp`, `since`, `decidedBy` if a prerequisite decided, `height` and `root`. Errors are those of OFREP: `PARSE_ERROR`, `INVALID_CONTEXT`, `TARGETING_KEY_MISSING`, `FLAG_NOT_FOUND`, `GENERAL`.",
        parameters: &[&KEY],
        body: Some(RequestBody {
            media_types: &["application/json"],
            about: "The evaluation context",
            example: r#"{"context":{"targetingKey":"user-1"}}"#,
        }),
        successes: &[json("`{key, value, reason, variant, metadata}`")],
        problems: &[],
    },
    Route {
        op: Op::EvaluateAll,
        method: Method::Post,
        path: "/ofrep/v1/evaluate/flags",
        summary: "Evaluate all flags (OFREP)",
        about: "As for one flag, of up to 10 000. Height and root are in the metadata of the whole. The `ETag` is that of the flags for this context; with `If-None-Match` the answer is 304 while nothing has changed. `eventStreams` names the stream that says when to ask again.",
        parameters: &[&CONFIG, &CONFIG_TIME],
        body: Some(RequestBody {
            media_types: &["application/json"],
            about: "The evaluation context",
            example: r#"{"context":{"targetingKey":"user-1"}}"#,
        }),
        successes: &[
            json("`{flags, metadata, eventStreams}`"),
            Success { status: 304, media_type: "application/json", about: "Nothing has changed" },
        ],
        problems: &[],
    },
    Route {
        op: Op::Refetches,
        method: Method::Get,
        path: "/ofrep/v1/sse",
        summary: "When to evaluate again (OFREP)",
        about: "Server-sent events, each `{type: refetchEvaluation, etag}`: one whenever somebody connects, and one for each block after which a flag may have another value.",
        parameters: &[],
        body: None,
        successes: &[Success {
            status: 200,
            media_type: "text/event-stream",
            about: "A stream that ends when the node does",
        }],
        problems: &[Kind::AddressStreams, Kind::Streams],
    },
    get_json(
        Op::Live,
        "/livez",
        "Does it live?",
        "Says that requests are answered, and nothing of the database: restart what does not answer.",
        &[],
        &[json("`{status: ok}`")],
        &[],
    ),
    get_json(
        Op::Ready,
        "/readyz",
        "Is it ready?",
        "Whether blocks come, and the last height is young enough. Evaluations go on while it is not.",
        &[],
        &[
            json("`{status: ok, reasons: []}`"),
            Success { status: 503, media_type: "application/json", about: "`{status: not ready, reasons}`" },
        ],
        &[],
    ),
    Route {
        op: Op::Metrics,
        method: Method::Get,
        path: "/metrics",
        summary: "Metrics",
        about: "For Prometheus: in the OpenMetrics form if `Accept` names it, else in the older text form. Gauges of the state are those of the moment, counters begin with the process.",
        parameters: &[],
        body: None,
        successes: &[Success { status: 200, media_type: "text/plain", about: "Metrics" }],
        problems: &[],
    },
    get_json(
        Op::Document,
        "/openapi.json",
        "This API",
        "As an OpenAPI 3.1 document.",
        &[],
        &[json("The document")],
        &[],
    ),
];
