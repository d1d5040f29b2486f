//! Open connections, as `connections` shows them.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::{milliseconds, timestamp};
use crate::proxy::registry::{Live, Registry};

/// One open connection that has a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// Its number, as in the access log.
    pub id: u64,
    /// When it was accepted.
    pub started: String,
    /// Milliseconds since then.
    pub age_ms: u64,
    /// Listener that accepted it.
    pub listener: String,
    /// Address the client is judged by.
    pub source: String,
    /// Address the client connected to.
    pub destination: String,
    /// Server name of its hello.
    pub name: Option<String>,
    /// Its route.
    pub route: String,
    /// The connected endpoint; absent while none is.
    pub endpoint: Option<String>,
    /// The engine that moves its bytes; absent while none does.
    pub engine: Option<String>,
    /// Why better engines did not fit.
    pub engine_notes: Vec<String>,
    /// Bytes sent to the client.
    pub sent: u64,
    /// Bytes received from the client.
    pub received: u64,
}

/// All open connections, oldest first.
#[must_use]
pub fn connections(registry: &Registry, now: Instant) -> Vec<Connection> {
    registry
        .list()
        .iter()
        .map(|live| connection(live, now))
        .collect()
}

fn connection(live: &Live, now: Instant) -> Connection {
    let (opened, path) = (&live.opened, live.path());
    let (sent, received) = live.bytes();
    Connection {
        id: opened.id,
        started: timestamp(opened.started),
        age_ms: milliseconds(now.saturating_duration_since(opened.accepted)),
        listener: opened.listener.to_string(),
        source: opened.source.to_string(),
        destination: opened.destination.to_string(),
        name: opened.server_name.as_ref().map(ToString::to_string),
        route: opened.route.name.to_string(),
        endpoint: path.as_ref().map(|path| path.endpoint.to_string()),
        engine: path.as_ref().map(|path| path.engine.to_owned()),
        engine_notes: path.map(|path| path.notes).unwrap_or_default(),
        sent,
        received,
    }
}
