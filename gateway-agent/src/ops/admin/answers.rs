//! One function for each request.

use core::time::Duration;
use std::net::IpAddr;
use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::Admin;
use crate::control;
use crate::control::questions::{self, Answer, IntentionQuestion, UpstreamQuestion};
use crate::ops::{metrics, view};

/// `GET /health`: the agent answers, so it lives.
pub(super) async fn health() -> &'static str {
    "ok\n"
}

/// `GET /ready`: whether new connections should come here.
pub(super) async fn ready(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    match admin.status.phase() {
        view::Phase::Ready => (StatusCode::OK, "ready\n"),
        view::Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        view::Phase::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    }
}

/// `GET /metrics`.
pub(super) async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)],
        admin.metrics.render(),
    )
}

/// `GET /status`.
pub(super) async fn status(State(admin): State<Admin>) -> Json<view::Status> {
    Json(view::status(&admin.control, admin.status.runtime()))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoutesQuery {
    name: Option<String>,
}

/// `GET /routes[?name=]`: all routes, or the one a name is or matches (none: 404).
pub(super) async fn routes(
    State(admin): State<Admin>,
    query: Result<Query<RoutesQuery>, QueryRejection>,
) -> Result<Json<Vec<view::Route>>, Refused> {
    let Query(query) = query.map_err(|error| Refused::bad(error.body_text()))?;
    let found = view::routes(
        &admin.control.snapshot(),
        query.name.as_deref(),
        Instant::now(),
    );
    match query.name {
        Some(name) if found.is_empty() => Err(Refused(
            StatusCode::NOT_FOUND,
            format!("no route is or matches {name:?}"),
        )),
        _ => Ok(Json(found)),
    }
}

/// `GET /connections`.
pub(super) async fn connections(State(admin): State<Admin>) -> Json<Vec<view::Connection>> {
    Json(view::connections(&admin.registry, Instant::now()))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExplainQuery {
    name: String,
    from: Option<String>,
    listener: Option<String>,
}

/// `GET /explain?name=[&from=][&listener=]`: an empty name stands for a hello without one.
pub(super) async fn explain(
    State(admin): State<Admin>,
    query: Result<Query<ExplainQuery>, QueryRejection>,
) -> Result<Json<view::Explanation>, Refused> {
    let Query(query) = query.map_err(|error| Refused::bad(error.body_text()))?;
    let from = query.from.map(|from| {
        from.parse::<IpAddr>()
            .map_err(|error| Refused::bad(format!("from {from:?}: {error}, expected an address")))
    });
    let (from, listener) = (from.transpose()?, query.listener.as_deref());
    let snapshot = admin.control.snapshot();
    let chain = control::explain::explain(&snapshot, &query.name, from, listener, Instant::now());
    Ok(Json(chain.into()))
}

/// `GET /explain/upstream?service=&upstream=[&proxy=][&datacenter=][&peer=]`.
pub(super) async fn explain_upstream(
    State(admin): State<Admin>,
    query: Result<Query<UpstreamQuestion>, QueryRejection>,
) -> Result<Json<Answer>, Refused> {
    let Query(question) = query.map_err(|error| Refused::bad(error.body_text()))?;
    let answer = questions::upstream(&admin.control.snapshot(), &question);
    answer.map(Json).map_err(Refused::bad)
}

/// `GET /explain/intention?from=&to=[&peer=][&method=][&path=][&headers=]`.
pub(super) async fn explain_intention(
    State(admin): State<Admin>,
    query: Result<Query<IntentionQuestion>, QueryRejection>,
) -> Result<Json<Answer>, Refused> {
    let Query(question) = query.map_err(|error| Refused::bad(error.body_text()))?;
    let answer = questions::intention(&admin.control.snapshot(), &question);
    answer.map(Json).map_err(Refused::bad)
}

/// `POST /reload`: 422 when the new configuration is not taken.
pub(super) async fn reload(
    State(admin): State<Admin>,
) -> Result<Json<view::Reloaded>, (StatusCode, Json<view::ReloadRefused>)> {
    match admin.control.reload().await {
        Ok(generation) => Ok(Json(view::Reloaded { generation })),
        Err(errors) => {
            let stays = admin.control.snapshot().generation;
            let refused = view::ReloadRefused::new(stays, &errors);
            Err((StatusCode::UNPROCESSABLE_ENTITY, Json(refused)))
        }
    }
}

/// `POST /drain`, with an optional [`view::DrainRequest`].
pub(super) async fn drain(
    State(admin): State<Admin>,
    body: Bytes,
) -> Result<(StatusCode, Json<view::Draining>), Refused> {
    let request: view::DrainRequest = if body.is_empty() {
        view::DrainRequest::default()
    } else {
        serde_json::from_slice(&body).map_err(|error| Refused::bad(format!("body: {error}")))?
    };
    let timeout = request.timeout.as_deref().map(duration).transpose()?;
    let shown = timeout.unwrap_or(admin.control.snapshot().limits.drain_timeout);
    let connections = admin.registry.list().len() as u64;
    admin.drainer.drain(timeout);
    let timeout_ms = u64::try_from(shown.as_millis()).unwrap_or(u64::MAX);
    Ok((
        StatusCode::ACCEPTED,
        Json(view::Draining {
            connections,
            timeout_ms,
        }),
    ))
}

fn duration(text: &str) -> Result<Duration, Refused> {
    humantime::parse_duration(text)
        .map_err(|error| Refused::bad(format!("timeout {text:?}: {error}, expected e.g. 30s")))
}

/// `GET /log-level`.
pub(super) async fn log_level(State(admin): State<Admin>) -> Json<view::LogLevel> {
    Json(view::LogLevel {
        level: admin.level.current(),
    })
}

/// `PUT /log-level`: the body is the level.
pub(super) async fn set_log_level(
    State(admin): State<Admin>,
    level: String,
) -> Result<Json<view::LogLevel>, Refused> {
    admin
        .level
        .set(&level)
        .map_err(|error| Refused::bad(error.to_string()))?;
    tracing::info!(level = level.trim(), "log level changed");
    Ok(log_level(State(admin)).await)
}

/// Everything else.
pub(super) async fn not_found(uri: Uri) -> Refused {
    Refused(
        StatusCode::NOT_FOUND,
        format!("nothing answers at {}", uri.path()),
    )
}

/// A request that cannot be served.
#[derive(Debug)]
pub(super) struct Refused(StatusCode, String);

impl Refused {
    fn bad(error: String) -> Self {
        Self(StatusCode::BAD_REQUEST, error)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(view::Refusal { error: self.1 })).into_response()
    }
}
