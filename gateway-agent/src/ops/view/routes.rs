//! Routes with their endpoints and health, as `routes` shows them.

use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::milliseconds;
use crate::control::Snapshot;
use crate::control::cluster::EndpointState;
use crate::control::routes::MatchKind;
use crate::control::snapshot::{DefaultAction, Route as Configured};

/// One route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Its server name or wildcard.
    pub name: String,
    /// How it matched the name that was asked for: `exact`, `wildcard`, `default`.
    pub matched: Option<String>,
    /// Whether unknown names go here too.
    pub default: bool,
    /// Datacenter label, may be empty.
    pub datacenter: String,
    /// Service label.
    pub service: String,
    /// How endpoints are chosen.
    pub balance: String,
    /// Whether `allow` or `deny` restrict who may use it.
    pub restricted: bool,
    /// The PROXY header that is sent.
    pub send_proxy: Option<String>,
    /// Limit of one dial, milliseconds.
    pub connect_timeout_ms: u64,
    /// Silence that closes a connection, milliseconds.
    pub idle_timeout_ms: u64,
    /// Where it is configured: file, line, column.
    pub at: String,
    /// Endpoints known now.
    pub endpoints: Vec<Endpoint>,
    /// Host names that have not resolved.
    pub unresolved: Vec<String>,
}

/// One endpoint of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Where it is dialled.
    pub address: String,
    /// The host name it was resolved from.
    pub host: Option<String>,
    /// Configured weight of its entry.
    pub weight: u32,
    /// Connections it has now.
    pub active: u32,
    /// Failed dials in a row.
    pub failures: u32,
    /// How long it stays ejected, milliseconds; absent: it is usable.
    pub ejected_ms: Option<u64>,
}

/// The routes of a snapshot: all, or the one that `name` is configured as or matches.
#[must_use]
pub fn routes(snapshot: &Snapshot, name: Option<&str>, now: Instant) -> Vec<Route> {
    let Some(name) = name else {
        return snapshot
            .routes
            .iter()
            .map(|one| route(snapshot, one, None, now))
            .collect();
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    if let Some(configured) = snapshot.routes.get(&name) {
        let exact = (!name.starts_with("*.")).then_some(MatchKind::Exact);
        return vec![route(snapshot, configured, exact, now)];
    }
    let found = snapshot.routes.lookup(&name);
    found
        .map(|found| route(snapshot, found.route, Some(found.kind), now))
        .into_iter()
        .collect()
}

fn route(
    snapshot: &Snapshot,
    configured: &Arc<Configured>,
    matched: Option<MatchKind>,
    now: Instant,
) -> Route {
    Route {
        name: configured.name.to_string(),
        matched: matched.map(|kind| kind.label().to_owned()),
        default: snapshot.default == DefaultAction::Route(Arc::clone(&configured.name)),
        datacenter: configured.datacenter.to_string(),
        service: configured.service.to_string(),
        balance: configured.balance.label().to_owned(),
        restricted: !configured.access.is_open(),
        send_proxy: configured
            .send_proxy
            .map(|version| format!("{version:?}").to_lowercase()),
        connect_timeout_ms: milliseconds(configured.connect_timeout),
        idle_timeout_ms: milliseconds(configured.idle_timeout),
        at: configured.at.to_string(),
        endpoints: configured
            .cluster
            .survey(now)
            .into_iter()
            .map(Endpoint::from)
            .collect(),
        unresolved: configured
            .cluster
            .unresolved()
            .iter()
            .map(ToString::to_string)
            .collect(),
    }
}

impl From<EndpointState> for Endpoint {
    fn from(state: EndpointState) -> Self {
        Self {
            address: state.address.to_string(),
            host: state.host,
            weight: state.weight,
            active: state.active,
            failures: state.failures,
            ejected_ms: state.ejected_ms,
        }
    }
}
