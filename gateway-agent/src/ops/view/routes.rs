//! Routes with their endpoints and health, as `routes` shows them.

use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::milliseconds;
use crate::control::Snapshot;
use crate::control::cluster::EndpointState;
use crate::control::routes::MatchKind;
use crate::control::snapshot::{DefaultAction, Route as Configured};
use crate::mesh::route;

/// One route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Its server name or wildcard.
    pub name: String,
    /// How it matched the name that was asked for: `exact`, `wildcard`, `default`.
    pub matched: Option<String>,
    /// Whether unknown names go here too.
    pub default: bool,
    /// What made it: `configured`, `mesh`.
    pub origin: String,
    /// What the mesh has it for; absent: the mesh has not.
    pub role: Option<String>,
    /// The rule of the mesh that made it.
    pub rule: Option<String>,
    /// The entries and registrations that shaped it: file, line, column.
    pub entries: Vec<String>,
    /// Why its connections are refused; absent: they are not.
    pub refused: Option<String>,
    /// How host names among the endpoints are found: `logical_dns`, `strict_dns`; absent: the mesh
    /// does not say.
    pub dns: Option<String>,
    /// What the mesh limits.
    pub limits: RouteLimits,
    /// Connections that it has now.
    pub in_use: u32,
    /// Keepalive towards its endpoints; absent: that of the limits.
    pub keepalive: Option<RouteKeepalive>,
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
    /// What an operator should know.
    pub notes: Vec<String>,
}

/// Limits of one route. Those on requests are shown only: a gateway that passes TLS through sees
/// no requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteLimits {
    /// Connections at one time.
    pub max_connections: Option<u32>,
    /// Requests that wait.
    pub max_pending_requests: Option<u32>,
    /// Requests at one time.
    pub max_concurrent_requests: Option<u32>,
}

/// Keepalive of one route, in seconds; what is absent is the system's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteKeepalive {
    /// Silence before the first probe.
    pub time: Option<u32>,
    /// Time between probes.
    pub interval: Option<u32>,
    /// Probes without an answer that end a connection.
    pub probes: Option<u32>,
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
    /// What its checks say: `up`, `down`; `unknown`: nobody looks.
    pub health: String,
    /// Connections it has now.
    pub active: u32,
    /// Failed dials in a row.
    pub failures: u32,
    /// How long it stays ejected, milliseconds; absent: it is not.
    pub ejected_ms: Option<u64>,
}

/// The routes of a snapshot: all, or the one that `name` is configured as or matches.
#[must_use]
pub fn routes(snapshot: &Snapshot, name: Option<&str>, now: Instant) -> Vec<Route> {
    let Some(name) = name else {
        return snapshot
            .routes
            .iter()
            .map(|one| shown(snapshot, one, None, now))
            .collect();
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    if let Some(configured) = snapshot.routes.get(&name) {
        let exact = (!name.starts_with("*.")).then_some(MatchKind::Exact);
        return vec![shown(snapshot, configured, exact, now)];
    }
    let found = snapshot.routes.lookup(&name);
    found
        .map(|found| shown(snapshot, found.route, Some(found.kind), now))
        .into_iter()
        .collect()
}

fn shown(
    snapshot: &Snapshot,
    configured: &Arc<Configured>,
    matched: Option<MatchKind>,
    now: Instant,
) -> Route {
    let mesh = configured.origin.mesh();
    let entries = mesh.map(|mesh| mesh.reason.entries.iter().map(ToString::to_string));
    Route {
        name: configured.name.to_string(),
        matched: matched.map(|kind| kind.label().to_owned()),
        default: snapshot.default == DefaultAction::Route(Arc::clone(&configured.name)),
        origin: if mesh.is_some() { "mesh" } else { "configured" }.to_owned(),
        role: mesh.map(|mesh| mesh.role.to_string()),
        rule: mesh.map(|mesh| mesh.reason.rule.to_string()),
        entries: entries.into_iter().flatten().collect(),
        refused: configured.refused.as_ref().map(ToString::to_string),
        dns: mesh.and_then(|mesh| Some(mesh.dns?.label().to_owned())),
        limits: mesh.map(|mesh| mesh.limits.into()).unwrap_or_default(),
        in_use: configured.uses.now(),
        keepalive: configured.keepalive.map(RouteKeepalive::from),
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
        notes: notes(snapshot, configured),
    }
}

fn notes(snapshot: &Snapshot, configured: &Configured) -> Vec<String> {
    let mut notes: Vec<String> = configured.notes.iter().map(ToString::to_string).collect();
    if configured.origin.mesh().is_none()
        && let Some(mesh) = &snapshot.mesh
        && let Some(hidden) = mesh.shadowed(&configured.name)
    {
        notes.push(format!("stands in place of the mesh's {}", hidden.role));
    }
    notes
}

impl From<route::RouteLimits> for RouteLimits {
    fn from(limits: route::RouteLimits) -> Self {
        let route::RouteLimits {
            max_connections,
            max_pending_requests,
            max_concurrent_requests,
        } = limits;
        Self {
            max_connections,
            max_pending_requests,
            max_concurrent_requests,
        }
    }
}

impl From<route::RouteKeepalive> for RouteKeepalive {
    fn from(keepalive: route::RouteKeepalive) -> Self {
        let route::RouteKeepalive {
            time,
            interval,
            probes,
        } = keepalive;
        Self {
            time,
            interval,
            probes,
        }
    }
}

impl From<EndpointState> for Endpoint {
    fn from(state: EndpointState) -> Self {
        Self {
            address: state.address.to_string(),
            host: state.host,
            weight: state.weight,
            health: state.health.label().to_owned(),
            active: state.active,
            failures: state.failures,
            ejected_ms: state.ejected_ms,
        }
    }
}
