//! The admin interface: HTTP over a unix socket for operators, and over TCP for what watches.
//!
//! The socket answers everything; who may open it may stop the agent, so it is for its owner and
//! group only. The TCP address, if there is one, answers metrics, health and readiness and nothing
//! else. Bodies are the types of [`super::view`].

mod answers;
mod socket;

use core::future::Future;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post, put};

use super::log::LevelHandle;
use super::metrics::Metrics;
use super::view;
use crate::control::Control;
use crate::proxy::registry::Registry;

pub use socket::{AdminSocket, SocketError};

/// What the admin interface answers from; cheap to clone.
#[derive(Clone)]
pub struct Admin {
    /// The configuration in force, and its reload.
    pub control: Control,
    /// Open connections.
    pub registry: Arc<Registry>,
    /// The metrics.
    pub metrics: Metrics,
    /// Level of the agent's own log.
    pub level: LevelHandle,
    /// What only the wiring knows.
    pub status: Arc<dyn StatusSource>,
    /// Ends the agent in order.
    pub drainer: Arc<dyn Drainer>,
}

/// Knows the state of the running agent.
pub trait StatusSource: Send + Sync {
    /// Where the agent is in its life; asked often, by probes.
    fn phase(&self) -> view::Phase;
    /// Everything else.
    fn runtime(&self) -> view::Runtime;
}

/// Ends the agent in order.
pub trait Drainer: Send + Sync {
    /// Starts the drain, as SIGTERM does; open connections may take `timeout`, or what the
    /// configuration says. Returns at once; a second call changes nothing.
    fn drain(&self, timeout: Option<Duration>);
}

/// Answers everything on the admin socket until `shutdown`, then finishes the requests that run.
/// The socket's file goes at the end.
///
/// # Errors
/// The socket cannot be watched by the runtime.
pub async fn serve_socket(
    socket: AdminSocket,
    admin: Admin,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (listener, file) = socket.into_parts();
    let listener = tokio::net::UnixListener::from_std(listener)?;
    let served = axum::serve(listener, full(admin))
        .with_graceful_shutdown(shutdown)
        .await;
    drop(file);
    served
}

/// Answers metrics, health and readiness over TCP until `shutdown`.
///
/// # Errors
/// None today; the signature is the server's.
pub async fn serve_metrics(
    listener: tokio::net::TcpListener,
    admin: Admin,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, public(admin))
        .with_graceful_shutdown(shutdown)
        .await
}

/// What anyone who watches may ask.
fn public(admin: Admin) -> Router {
    watching().fallback(answers::not_found).with_state(admin)
}

/// What operators may ask.
fn full(admin: Admin) -> Router {
    watching()
        .route("/status", get(answers::status))
        .route("/routes", get(answers::routes))
        .route("/connections", get(answers::connections))
        .route("/explain", get(answers::explain))
        .route("/explain/upstream", get(answers::explain_upstream))
        .route("/explain/intention", get(answers::explain_intention))
        .route("/reload", post(answers::reload))
        .route("/drain", post(answers::drain))
        .route(
            "/log-level",
            put(answers::set_log_level).get(answers::log_level),
        )
        .fallback(answers::not_found)
        .with_state(admin)
}

fn watching() -> Router<Admin> {
    Router::new()
        .route("/health", get(answers::health))
        .route("/ready", get(answers::ready))
        .route("/metrics", get(answers::metrics))
}

#[cfg(test)]
mod tests;
