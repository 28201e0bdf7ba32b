//! Is it on for this user, and which version serves this unit?

use axum::body::Body;
use coalmine_answers as answers;
use coalmine_core::{Address, Height, Name};
use coalmine_json::render::{Fields, Value};
use serde::Deserialize;

use crate::http::api::{Api, Ask, Reply, WAIT};
use crate::http::body;
use crate::http::params::{PAGE_MAX, name};
use crate::http::problem::{Kind, Problem};
use crate::http::show::{no_feature, no_plugin};

/// Waits for the height that is asked about, and makes sure that the answer of now is that of then.
async fn height_asked(ask: &Ask) -> Result<Option<Height>, Problem> {
    let Some(height) = ask.params.get::<Height>("height")? else { return Ok(None) };
    ask.api.node().wait_for(height, WAIT).await?;
    let from = height.checked_add(1);
    let later = ask.api.ask(move |node| Ok(from.map_or(Ok(Vec::new()), |from| node.outcomes(from, 1))?)).await?;
    match later.first() {
        None => Ok(Some(height)),
        Some(later) => {
            let why = format!("there were changes at height {} and the state of before is not kept", later.height);
            Err(Problem::new(Kind::Past, why))
        }
    }
}

/// Answers `GET /v1/check`.
pub(super) async fn check(ask: Ask) -> Result<Reply, Problem> {
    let feature = name(&ask.params.need::<String>("feature")?)?;
    let user: Address = ask.params.need("user")?;
    let asked = height_asked(&ask).await?;
    let (verdict, height) = ask.api.state(|state, height| {
        let height = asked.or(height);
        (
            state.feature(&feature).map(|_| answers::verdict(&feature, &user, &state.check(&feature, &user), height)),
            height,
        )
    });
    let verdict = verdict.ok_or_else(|| no_feature(&ask.api, &feature))?;
    Ok(Reply::fields(verdict.object())?.at(height))
}

/// Answers `GET /v1/route`.
pub(super) async fn route(ask: Ask) -> Result<Reply, Problem> {
    let plugin = name(&ask.params.need::<String>("plugin")?)?;
    let unit = unit("unit", &ask.params.need::<String>("unit")?)?;
    let asked = height_asked(&ask).await?;
    let (route, height) = ask.api.state(|state, height| {
        let height = asked.or(height);
        let routing = answers::routing(state, &plugin, &unit);
        (routing.map(|routing| answers::route(&plugin, &unit, &routing, height)), height)
    });
    let route = route.ok_or_else(|| no_plugin(&ask.api, &plugin))?;
    Ok(Reply::fields(route.object())?.at(height))
}

fn unit(parameter: &str, text: &str) -> Result<Vec<u8>, Problem> {
    answers::unit_from_text(text).map_err(|error| Problem::parameter(parameter, format!("{text:?}: {error}")))
}

/// The body of `POST /v1/check`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Checks {
    checks: Vec<CheckOf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckOf {
    feature: String,
    user: String,
}

/// The body of `POST /v1/route`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Routes {
    routes: Vec<RouteOf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteOf {
    plugin: String,
    unit: String,
}

/// Parses the entries of a list, with the place of the first that is wrong.
fn entries<T, U>(list: &str, found: Vec<T>, parse: impl Fn(T) -> Result<U, String>) -> Result<Vec<U>, Problem> {
    if found.len() > PAGE_MAX {
        let why = format!("{list} has {} entries and may have {PAGE_MAX}; ask several times", found.len());
        return Err(Problem::new(Kind::TooLarge, why));
    }
    let entry = |(index, entry)| parse(entry).map_err(|why| Problem::body(format!("{list}[{index}]: {why}")));
    found.into_iter().enumerate().map(entry).collect()
}

fn shown(text: &str, why: impl std::fmt::Display) -> String {
    format!("{text:?}: {why}")
}

/// Answers `POST /v1/check`. A feature that does not exist is off, as everywhere in the rules.
pub(super) async fn check_all(ask: Ask, request: Body) -> Result<Reply, Problem> {
    let Checks { checks } = body::json(&ask.headers, request).await?;
    let checks: Vec<(Name, Address)> = entries("checks", checks, |CheckOf { feature, user }| {
        let name = feature.parse().map_err(|error| shown(&feature, error))?;
        Ok((name, user.parse().map_err(|error| shown(&user, error))?))
    })?;
    list(&ask.api, |state, height| {
        let verdict = |(name, user): &(Name, Address)| answers::verdict(name, user, &state.check(name, user), height);
        checks.iter().map(|check| verdict(check).object().into()).collect()
    })
}

/// Answers `POST /v1/route`. A plugin that does not exist has no version.
pub(super) async fn route_all(ask: Ask, request: Body) -> Result<Reply, Problem> {
    let Routes { routes } = body::json(&ask.headers, request).await?;
    let routes: Vec<(Name, Vec<u8>)> = entries("routes", routes, |RouteOf { plugin, unit }| {
        let name = plugin.parse().map_err(|error| shown(&plugin, error))?;
        Ok((name, answers::unit_from_text(&unit).map_err(|error| shown(&unit, error))?))
    })?;
    list(&ask.api, |state, height| {
        let route = |(plugin, unit): &(Name, Vec<u8>)| {
            let routing = answers::routing(state, plugin, unit);
            let nowhere = || answers::no_route(plugin, unit, height);
            routing.map_or_else(nowhere, |routing| answers::route(plugin, unit, &routing, height))
        };
        routes.iter().map(|asked| route(asked).object().into()).collect()
    })
}

fn list(api: &Api, answer: impl FnOnce(&coalmine_core::State, Option<Height>) -> Vec<Value>) -> Result<Reply, Problem> {
    let (items, height) = api.state(|state, height| (answer(state, height), height));
    Ok(Reply::fields(Fields::new().with("height", height).with("items", items))?.at(height))
}
