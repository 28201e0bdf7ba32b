//! The API described: as an OpenAPI document, and as docs/api.md. Both are made from the table of routes.

use std::fmt::Write as _;

use axum::response::{IntoResponse as _, Response};
use coalmine_json::render::{Fields, Value};

use crate::http::api::{HEIGHT, JSON, Reply};
use crate::http::body::BODY_MAX;
use crate::http::problem::{Kind, MEDIA_TYPE, TYPE_PREFIX};
use crate::http::routes::{Method, Parameter, Place, ROUTES, Route};
use crate::http::status::VERSION;

/// Answers `GET /openapi.json`.
pub(super) async fn openapi() -> Response {
    Reply::of_type(JSON, super::openapi_json().into_bytes()).into_response()
}

/// The OpenAPI document.
pub(super) fn document() -> Fields {
    let mut paths: Vec<(String, Fields)> = Vec::new();
    for route in ROUTES {
        let path = route.path.replace("{*", "{");
        let operation = operation(route);
        match paths.iter_mut().find(|(known, _)| *known == path) {
            Some((_, methods)) => *methods = std::mem::take(methods).with(route.method.name(), operation),
            None => paths.push((path, Fields::new().with(route.method.name(), operation))),
        }
    }
    let paths = paths.into_iter().fold(Fields::new(), |all, (path, methods)| all.with(path, methods));
    let info = Fields::new()
        .with("title", "coalmine")
        .with("summary", "The HTTP API of a node")
        .with("version", VERSION)
        .with("license", Fields::new().with("name", "Apache-2.0 OR MIT").with("identifier", "Apache-2.0 OR MIT"));
    let schemas = Fields::new().with("Problem", problem_schema());
    Fields::new()
        .with("openapi", "3.1.0")
        .with("info", info)
        .with("paths", paths)
        .with("components", Fields::new().with("schemas", schemas))
}

fn operation(route: &Route) -> Fields {
    let parameters = route.parameters.iter().map(|parameter| shown_parameter(parameter).into());
    let fields = Fields::new()
        .with("operationId", format!("{:?}", route.op))
        .with("summary", route.summary)
        .with("description", route.about)
        .with("parameters", parameters.collect::<Vec<Value>>());
    let fields = match &route.body {
        None => fields,
        Some(body) => {
            let content = body.media_types.iter().fold(Fields::new(), |all, media_type| {
                let of_type = if *media_type == JSON {
                    let example = serde_json::from_str::<Value>(body.example).unwrap_or(Value::None);
                    Fields::new().with("schema", Fields::new().with("type", "object")).with("example", example)
                } else {
                    Fields::new()
                };
                all.with(*media_type, of_type)
            });
            let body = Fields::new().with("description", body.about).with("required", true).with("content", content);
            fields.with("requestBody", body)
        }
    };
    fields.with("responses", responses(route))
}

fn shown_parameter(parameter: &Parameter) -> Fields {
    let place = match parameter.place {
        Place::Path => "path",
        Place::Query => "query",
    };
    Fields::new()
        .with("name", parameter.name.trim_start_matches('*'))
        .with("in", place)
        .with("required", parameter.is_required)
        .with("description", parameter.about)
        .with("schema", Fields::new().with("type", parameter.schema))
}

fn responses(route: &Route) -> Fields {
    let header = Fields::new()
        .with("description", "The height of the state that the answer is about; `none` before the first block")
        .with("schema", Fields::new().with("type", "string"));
    let headers = Fields::new().with(HEIGHT, header);
    let mut all = Fields::new();
    for success in route.successes {
        let content = Fields::new().with(success.media_type, Fields::new());
        let response = Fields::new().with("description", success.about).with("headers", headers.clone());
        // An answer that says that nothing has changed has no body.
        let response = if success.status == 304 { response } else { response.with("content", content) };
        all = all.with(success.status.to_string(), response);
    }
    let mut statuses: Vec<u16> = route.problems.iter().map(|kind| kind.status()).collect();
    statuses.sort_unstable();
    statuses.dedup();
    let reference = Fields::new().with("$ref", "#/components/schemas/Problem");
    let content = Fields::new().with(MEDIA_TYPE, Fields::new().with("schema", reference));
    for status in statuses {
        let of_status = route.problems.iter().filter(|kind| kind.status() == status);
        let names: Vec<String> = of_status.map(|kind| format!("`{}`: {}", kind.name(), kind.title())).collect();
        let response = Fields::new().with("description", names.join("; ")).with("headers", headers.clone());
        all = all.with(status.to_string(), response.with("content", content.clone()));
    }
    let response = Fields::new().with("description", "Any other problem").with("headers", headers);
    all.with("default", response.with("content", content))
}

fn problem_schema() -> Fields {
    let member = |kind: &'static str, about: &'static str| Fields::new().with("type", kind).with("description", about);
    let names = Kind::ALL.iter().map(|kind| format!("{TYPE_PREFIX}{}", kind.name()).into()).collect::<Vec<Value>>();
    let properties = Fields::new()
        .with("type", member("string", "What kind of problem it is").with("enum", names))
        .with("title", member("string", "The same in words"))
        .with("status", member("integer", "The status of the answer"))
        .with("detail", member("string", "What is wrong with this request, and what to do"))
        .with("reject", member("string", "The name of the reject that a block would give"))
        .with("code", member("integer", "Its code"));
    let required = ["type", "title", "status", "detail"].map(Value::from).to_vec();
    Fields::new()
        .with("type", "object")
        .with("description", "A problem document of RFC 9457")
        .with("properties", properties)
        .with("required", required)
}

/// The text of docs/api.md.
pub(super) fn markdown() -> String {
    let mut out = String::from(INTRODUCTION);
    // Writing to a string cannot fail.
    let _written = write_markdown(&mut out);
    out
}

const INTRODUCTION: &str = "\
# The HTTP API of a node

Made from the table that the router is made from, `crates/node/src/http/routes.rs`; a test compares. The node serves the same as an
OpenAPI 3.1 document at `/openapi.json`. It listens to `127.0.0.1:8700` unless it is told otherwise.

JSON is that of the tool: an object here has the members that `replay --format json` prints. Every answer has the header
`coalmine-height`, the height of the state that it is about (`none` before the first block).

- **Reads** are of what this node has. `?min_height=N` waits for a height, 10 s at most: submit with `?wait=commit`, take `height` of the
  answer, and read with it. `?consistency=linearizable` asks the engine.
- **Pages** have `items` and `next`; give `next` as `after` for the next page.
- **Limits**: bodies 256 KiB, queries 8 KiB, lists and pages 1 000 entries, 10 s for headers, for a body and for an idle connection, 1 000
  streams in all and 32 to one address. Cross-origin requests are not allowed.
- **Problems** are documents of RFC 9457 with the media type `application/problem+json`: `type`, `title`, `status`, `detail`, and for what
  a block would reject `reject` and `code`. OFREP has errors of its own.

";

fn write_markdown(out: &mut String) -> std::fmt::Result {
    writeln!(out, "| request | what |\n|---|---|")?;
    for route in ROUTES {
        writeln!(out, "| [`{}`](#{}) | {} |", title(route), anchor(&title(route)), route.summary)?;
    }
    for route in ROUTES {
        writeln!(out, "\n## `{}`\n\n{}. {}", title(route), route.summary, route.about)?;
        if !route.parameters.is_empty() {
            writeln!(out, "\n| parameter | in | what |\n|---|---|---|")?;
        }
        for parameter in route.parameters {
            let place = match parameter.place {
                Place::Path => "path",
                Place::Query if parameter.is_required => "query, required",
                Place::Query => "query",
            };
            let name = parameter.name.trim_start_matches('*');
            writeln!(out, "| `{name}` | {place} | {} |", parameter.about)?;
        }
        if let Some(body) = &route.body {
            let types: Vec<String> = body.media_types.iter().map(|media_type| format!("`{media_type}`")).collect();
            writeln!(out, "\nBody ({}): {}.\n\n```json\n{}\n```", types.join(" or "), body.about, body.example)?;
        }
        writeln!(out, "\n| status | answer |\n|---|---|")?;
        for success in route.successes {
            writeln!(out, "| {} | {} |", success.status, success.about)?;
        }
        for kind in route.problems {
            writeln!(out, "| {} | `{}`: {} |", kind.status(), kind.name(), kind.title())?;
        }
    }
    writeln!(out, "\n## Problems\n\nThe type is `{TYPE_PREFIX}` and the name.\n")?;
    writeln!(out, "| status | name | what | reject |\n|---|---|---|---|")?;
    for kind in Kind::ALL {
        let reject = kind.reject().map_or_else(String::new, |reject| format!("{} ({})", reject.name(), reject.code()));
        writeln!(out, "| {} | `{}` | {} | {reject} |", kind.status(), kind.name(), kind.title())?;
    }
    writeln!(out, "\nNo body has more than {BODY_MAX} bytes.")
}

fn title(route: &Route) -> String {
    let method = match route.method {
        Method::Get => "GET",
        Method::Post => "POST",
    };
    format!("{method} {}", route.path.replace("{*", "{"))
}

/// The anchor that forges make of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}
