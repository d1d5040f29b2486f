//! Open connections, as `connections` shows them.

use std::time::Instant;

use gateway_common::abi::splice::Direction;
use serde::{Deserialize, Serialize};

use super::{milliseconds, timestamp};
use crate::proxy::registry::{Live, Registry};
use crate::proxy::splice::sockmap::Splice;

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
    /// Whether the agent has nothing to do for it and keeps no task.
    #[serde(default)]
    pub resting: bool,
    /// Bytes sent to the client.
    pub sent: u64,
    /// Bytes received from the client.
    pub received: u64,
    /// What the kernel does of it, to the client and from it; absent while it does nothing.
    #[serde(default)]
    pub spliced: Option<[Spliced; 2]>,
}

/// One direction of a spliced connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spliced {
    /// Bytes that the kernel moved.
    pub redirected: u64,
    /// Bytes that it left to the agent.
    pub relayed: u64,
    /// Bytes that waited in the kernel when the last one came.
    pub backlog: u64,
    /// The most that ever waited so.
    pub most_backlog: u64,
    /// Bytes passed to the agent that queued in the kernel, charged to no buffer, when the last one came.
    pub hidden: u64,
    /// Bytes that may do so for longer than a moment.
    pub budget: u32,
    /// How often the receiver had no room, or too many waited: then the agent relays.
    pub pauses: u32,
    /// Whether the agent relays.
    pub paused: bool,
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
    let moved = live.moved();
    let fallbacks = path.as_ref().map(|path| &path.fallbacks[..]);
    let fallbacks = fallbacks.unwrap_or_default();
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
        engine: path.as_ref().map(|path| path.engine.label().to_owned()),
        engine_notes: fallbacks.iter().map(ToString::to_string).collect(),
        resting: live.is_resting(),
        sent: moved.sent,
        received: moved.received,
        spliced: live.splice().and_then(|splice| {
            let down = spliced(&*splice, Direction::Downstream)?;
            Some([down, spliced(&*splice, Direction::Upstream)?])
        }),
    }
}

/// None when the connection has just ended.
fn spliced(splice: &dyn Splice, direction: Direction) -> Option<Spliced> {
    let stream = splice.stream(direction).ok()?;
    Some(Spliced {
        redirected: stream.redirected,
        relayed: stream.passed,
        backlog: stream.backlog,
        most_backlog: stream.most_backlog,
        hidden: stream.hidden,
        budget: splice.budget(direction),
        pauses: stream.pauses,
        paused: stream.is_paused(),
    })
}
