//! What the agent says about itself, as the admin socket writes it and the command line reads it.
//!
//! One set of types for both ends, so that a table never says anything else than `--json`. They
//! hold texts and numbers only: nothing of the agent's inside shows through by accident. Fields
//! are an interface; adding one is fine, changing one is a breaking change.

mod connections;
mod explanation;
mod reload;
mod routes;
mod status;

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

pub use connections::{Connection, Spliced, connections};
pub use explanation::{Explanation, Step};
pub use reload::{ConfigError, LastReload, ReloadRefused, Reloaded};
pub use routes::{Endpoint, Route, RouteKeepalive, RouteLimits, routes};
pub use status::{
    Destination, Engine, Listener, Mesh, Phase, Runtime, Status, Steer, Usage, status,
};

/// What to drain with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrainRequest {
    /// How long open connections may take, such as `30s`; absent: `limits.drain_timeout`.
    pub timeout: Option<String>,
}

/// The answer to a drain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draining {
    /// Connections that are open now.
    pub connections: u64,
    /// How long they may take, in milliseconds.
    pub timeout_ms: u64,
}

/// The level of the agent's own log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLevel {
    /// The level or directives in force.
    pub level: String,
}

/// The answer to a request that cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What is wrong, and what would be right.
    pub error: String,
}

/// A time for people and programs: RFC 3339, UTC, milliseconds.
fn timestamp(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

fn milliseconds(duration: core::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
