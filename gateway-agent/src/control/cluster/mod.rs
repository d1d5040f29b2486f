//! Cluster: the endpoints of one route, and which of them a connection gets.
//!
//! Pure: no tokio and no clock (`now` is an argument). One short mutex per route guards the list
//! of endpoints and the round-robin state; it is never held across a call out. What an endpoint
//! has lived through (active connections, failed dials) sits in `Endpoint` and is carried over
//! reloads by route and address, so that a reload neither forgives a dead endpoint nor forgets
//! a busy one. Resolving names is not here: `resolve` brings the answers.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

mod balance;
mod endpoint;
mod health;
mod members;
#[cfg(test)]
mod tests;

pub use balance::Balance;
pub use endpoint::{ActiveGuard, Endpoint, EndpointState};

use super::snapshot::Health;
use crate::mesh::route::Health as Checked;
use members::Members;

/// The endpoints of one route.
#[derive(Debug)]
pub struct Cluster {
    spec: Spec,
    members: Mutex<Members>,
}

/// What the configuration says about a cluster. Two clusters of one spec behave alike, so a
/// reload keeps the old one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The entries, in the order of the configuration.
    pub endpoints: Vec<Entry>,
    /// How endpoints are chosen.
    pub balance: Balance,
    /// How many `least_connections` draws and compares; `None`: its own rule.
    pub choices: Option<u32>,
    /// When endpoints are ejected.
    pub health: Health,
}

/// One configured endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub target: Target,
    /// Its share of the connections, relative to the other entries; at least 1.
    pub weight: u32,
    /// What checks elsewhere say of it.
    pub health: Checked,
}

impl Entry {
    /// An endpoint that nobody checks.
    #[must_use]
    pub fn unchecked(target: Target, weight: u32) -> Self {
        Self {
            target,
            weight,
            health: Checked::Unknown,
        }
    }
}

/// Where a configured endpoint is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// At this address.
    Address(SocketAddr),
    /// At every address of a host name.
    Host {
        /// The name, lower case.
        host: Arc<str>,
        /// The port at each of its addresses.
        port: u16,
    },
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Host { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// What a connection tells about itself when it asks for an endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The time of asking.
    pub now: Instant,
    /// The client's address (the announced one behind PROXY), for `source_hash`.
    pub source: IpAddr,
    /// Endpoints this connection has dialled in vain.
    pub tried: &'a [SocketAddr],
}

/// The chosen endpoint.
#[derive(Clone, Debug)]
pub struct Pick {
    /// Dial this one.
    pub endpoint: Arc<Endpoint>,
    /// Further addresses of the same host name, the other family first, for happy eyeballs;
    /// usually empty.
    pub alternates: Vec<Arc<Endpoint>>,
    /// Whether ejections and checks were overruled because too few endpoints are usable.
    pub panic: bool,
}

/// Why there is no endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoEndpoint {
    /// The route has no endpoints.
    NoneConfigured,
    /// All endpoints are host names that never resolved.
    Unresolved,
    /// The connection has tried every endpoint.
    AllTried,
    /// The checks of every endpoint say that it is down, and the panic share is 0.
    AllDown,
}

impl fmt::Display for NoEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoneConfigured => "the route has no endpoints",
            Self::Unresolved => "no endpoint name of the route has resolved yet",
            Self::AllTried => "every endpoint of the route was tried in vain",
            Self::AllDown => {
                "the checks of every endpoint of the route say that it is down, and its panic share is 0"
            }
        })
    }
}

impl std::error::Error for NoEndpoint {}

impl Cluster {
    /// Builds a cluster. `previous`, the cluster of the same route before the reload, hands over
    /// what its endpoints have lived through and what its names resolved to.
    #[must_use]
    pub fn new(spec: Spec, previous: Option<&Self>) -> Self {
        let members = match previous {
            Some(previous) => previous.members().respecified(&spec.endpoints),
            None => Members::new(&spec.endpoints),
        };
        Self {
            spec,
            members: Mutex::new(members),
        }
    }

    /// The cluster of a route after a reload: the very same where its spec is.
    #[must_use]
    pub fn renewed(spec: Spec, previous: Option<&Arc<Self>>) -> Arc<Self> {
        match previous {
            Some(same) if same.spec == spec => Arc::clone(same),
            other => Arc::new(Self::new(spec, other.map(Arc::as_ref))),
        }
    }

    /// What the configuration says about it.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Chooses an endpoint that the connection has not tried.
    ///
    /// Usable endpoints, neither ejected nor down, come first. With fewer of them than the panic
    /// share, all are used. A connection that has tried every usable endpoint gets ejected ones as
    /// well, since one may answer and a refusal helps nobody; one that is down it gets in panic only.
    ///
    /// # Errors
    ///
    /// [`NoEndpoint`] when there is none to try.
    pub fn pick(&self, ask: &Ask<'_>) -> Result<Pick, NoEndpoint> {
        let mut members = self.members();
        let (pool, panic) = self.pool(&members, ask)?;
        let Spec {
            balance, choices, ..
        } = self.spec;
        let chosen = balance::choose((balance, choices), &mut members, &pool, ask.source);
        Ok(Pick {
            alternates: alternates(&members, &pool, chosen),
            endpoint: Arc::clone(&members.list[chosen]),
            panic,
        })
    }

    /// Says what [`Cluster::pick`] would choose, without taking a turn of the round robin. With
    /// the `random` balance it is one possible answer.
    ///
    /// # Errors
    ///
    /// As [`Cluster::pick`].
    pub fn preview(&self, ask: &Ask<'_>) -> Result<Pick, NoEndpoint> {
        Self {
            spec: self.spec.clone(),
            members: Mutex::new(self.members().clone()),
        }
        .pick(ask)
    }

    /// Notes a failed dial. Answers whether it ejected the endpoint.
    pub fn failed(&self, endpoint: &Arc<Endpoint>, now: Instant) -> bool {
        // Held until the end: two failures at one time must not both take the last free
        // place among the ejected.
        let members = self.members();
        let ejected = members
            .list
            .iter()
            .filter(|member| member.is_ejected(now))
            .count();
        let may_eject = ejected < health::most_ejected(&self.spec.health, members.list.len());
        endpoint.failed(&self.spec.health, may_eject, now)
    }

    /// Notes a successful dial: the endpoint has proved itself and is usable at once.
    pub fn succeeded(&self, endpoint: &Arc<Endpoint>) {
        endpoint.succeeded();
    }

    /// All endpoints of now.
    #[must_use]
    pub fn endpoints(&self) -> Arc<[Arc<Endpoint>]> {
        Arc::clone(&self.members().list)
    }

    /// All endpoints of now with their health, for people and metrics.
    #[must_use]
    pub fn survey(&self, now: Instant) -> Vec<EndpointState> {
        self.endpoints()
            .iter()
            .map(|endpoint| endpoint.state(now))
            .collect()
    }

    /// The host names among the entries, each once.
    #[must_use]
    pub fn hosts(&self) -> Vec<Arc<str>> {
        let mut hosts: Vec<Arc<str>> = Vec::new();
        for entry in &self.spec.endpoints {
            if let Target::Host { host, .. } = &entry.target
                && !hosts.contains(host)
            {
                hosts.push(Arc::clone(host));
            }
        }
        hosts
    }

    /// The host names that never resolved.
    #[must_use]
    pub fn unresolved(&self) -> Vec<Arc<str>> {
        let members = self.members();
        self.hosts()
            .into_iter()
            .filter(|host| !members.is_resolved(host))
            .collect()
    }

    /// Takes the addresses of a host name. An empty answer changes nothing: the last good one
    /// stays.
    pub fn resolved(&self, host: &str, addresses: &[IpAddr]) {
        if !addresses.is_empty() {
            self.members()
                .resolved(&self.spec.endpoints, host, addresses);
        }
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        // No caller leaves the members half changed, so a panic elsewhere does not spoil them.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The candidates of this connection, by index, and whether the rules were overruled.
    fn pool(&self, members: &Members, ask: &Ask<'_>) -> Result<(Vec<usize>, bool), NoEndpoint> {
        if self.spec.endpoints.is_empty() {
            return Err(NoEndpoint::NoneConfigured);
        }
        if members.list.is_empty() {
            return Err(NoEndpoint::Unresolved);
        }
        let untried = |at: &usize| !ask.tried.contains(&members.list[*at].address);
        let up = |at: &usize| !members.list[*at].is_down();
        let usable = |at: &usize| up(at) && !members.list[*at].is_ejected(ask.now);
        let mut all = 0..members.list.len();

        let best: Vec<usize> = all.clone().filter(usable).collect();
        let panic = health::is_panic(&self.spec.health, best.len(), members.list.len());
        if !panic {
            let pool: Vec<usize> = best.into_iter().filter(untried).collect();
            if !pool.is_empty() {
                return Ok((pool, false));
            }
        }
        let pool: Vec<usize> = all
            .clone()
            .filter(|at| panic || up(at))
            .filter(untried)
            .collect();
        if !pool.is_empty() {
            Ok((pool, true))
        } else if panic || all.any(|at| up(&at)) {
            Err(NoEndpoint::AllTried)
        } else {
            Err(NoEndpoint::AllDown)
        }
    }
}

/// The other candidates of the chosen one's host name and port, the other family first.
fn alternates(members: &Members, pool: &[usize], chosen: usize) -> Vec<Arc<Endpoint>> {
    let first = &members.list[chosen];
    let Some(host) = &first.host else {
        return Vec::new();
    };
    let mut others: Vec<_> = pool
        .iter()
        .filter(|&&at| at != chosen)
        .map(|&at| &members.list[at])
        .filter(|other| {
            other.host.as_ref() == Some(host) && other.address.port() == first.address.port()
        })
        .map(Arc::clone)
        .collect();
    others.sort_by_key(|other| other.address.is_ipv4() == first.address.is_ipv4());
    others
}
