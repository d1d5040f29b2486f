//! Mesh: the routes that a mesh asks for -> routes of the data path.
//!
//! Pure. Which routes there must be is `crate::mesh`'s; here they get what the configuration says
//! for all routes, and the live state of the routes before them. A route that asks for what it asked
//! for before stays the very same, so that one change in a large mesh costs what it changes, not
//! what there is.

use std::collections::{BTreeSet, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::cluster::{Balance, Cluster, Entry, Spec};
use super::policy::Access;
use super::routes::RouteTable;
use super::snapshot::{AcceptProxy, Health, Origin, Pattern, Place, Refuse, Route, Snapshot};
use super::uses::Uses;
use crate::config::Config;
use crate::mesh::derive::{Derived, Fidelity, View};
use crate::mesh::route::{Action, MeshBalance, MeshEndpoint, MeshRoute, RouteKeepalive};
use crate::mesh::{Locality, Mesh};

/// What a mesh adds to a configuration.
#[derive(Debug)]
pub struct MeshPart {
    /// What is known of the mesh.
    pub mesh: Arc<Mesh>,
    /// The routes that it asks for, sorted by name, each name once.
    pub routes: Vec<Arc<MeshRoute>>,
    /// What an operator should know of their derivation.
    pub notes: Vec<String>,
    /// What they were derived from, for the next derivation to start from.
    pub derived: Derived,
    /// Where its connections come in; `None`: we are no gateway of it.
    pub listener: Option<GatewayListener>,
    /// Overrides the panic share of the configuration for all routes of the mesh.
    pub panic_percent: Option<u8>,
}

impl MeshPart {
    /// Derives what the mesh of a configuration asks for; what has not changed since `previous`
    /// is taken from there. `None` where the configuration has no mesh.
    pub(super) fn of(config: &Config, previous: Option<&Snapshot>) -> Option<Self> {
        let mesh = Arc::clone(&config.mesh.as_ref()?.mesh);
        let before = previous.and_then(|previous| previous.mesh.as_ref());
        let derived = config.gateway.as_ref().map(|gateway| {
            let fidelity = Fidelity {
                hostnames: gateway.hostnames,
                ..Fidelity::default()
            };
            let view = View::of(&mesh);
            match before {
                Some(before) => before.derived.update(&view, &fidelity),
                None => Derived::new(&view, &fidelity),
            }
        });
        let derived = derived.unwrap_or_default();
        Some(Self {
            mesh,
            routes: derived.routes().map(Arc::clone).collect(),
            notes: derived.notes().iter().map(ToString::to_string).collect(),
            derived,
            listener: config.gateway.as_ref().map(|gateway| GatewayListener {
                name: Arc::clone(&gateway.name),
                addresses: gateway.addresses.clone(),
                access: gateway.access.clone(),
                accept_proxy: gateway.accept_proxy.clone(),
                refuse: gateway.refuse,
                at: config.place(gateway.at),
            }),
            panic_percent: config
                .gateway
                .as_ref()
                .and_then(|gateway| gateway.panic_percent),
        })
    }
}

/// The listener of a mesh gateway.
#[derive(Clone, Debug)]
pub struct GatewayListener {
    /// Its name.
    pub name: Arc<str>,
    /// Addresses to bind.
    pub addresses: Vec<SocketAddr>,
    /// Who may connect.
    pub access: Access,
    /// Whether, and from whom, a PROXY header is read.
    pub accept_proxy: Option<AcceptProxy>,
    /// How a refusal looks to the client.
    pub refuse: Refuse,
    /// Where it is configured.
    pub at: Place,
}

/// The mesh behind a snapshot.
#[derive(Debug)]
pub struct MeshState {
    /// What is known of the mesh.
    pub mesh: Arc<Mesh>,
    /// What an operator should know of the derivation of its routes.
    pub notes: Vec<String>,
    /// What they were derived from.
    pub derived: Derived,
    /// What it asks for and does not get, because a `route` block has the same name. Sorted by name.
    pub shadowed: Vec<Arc<MeshRoute>>,
}

impl MeshState {
    /// The route of this name that a `route` block stands in place of.
    #[must_use]
    pub fn shadowed(&self, name: &str) -> Option<&Arc<MeshRoute>> {
        let found = self
            .shadowed
            .binary_search_by(|route| (*route.name).cmp(name));
        found.ok().and_then(|at| self.shadowed.get(at))
    }

    /// What an operator should know: of the derivation, of routes that are not as the mesh asks
    /// for, and of endpoints that were left out of `routes`.
    #[must_use]
    pub fn notes(&self, routes: &RouteTable) -> Vec<String> {
        let derived = self.notes.iter().cloned();
        let shadowed = self.shadowed.iter().map(|route| {
            let (name, role) = (&route.name, route.role);
            format!("{name}: a route block stands in place of the mesh's {role} route")
        });
        let left_out = routes.iter().flat_map(|route| {
            let of = |note| format!("{}: {note}", route.name);
            route.notes.iter().map(of)
        });
        derived.chain(shadowed).chain(left_out).collect()
    }

    /// Datacenters and partitions other than ours whose gateways are known.
    #[must_use]
    pub fn remote(&self) -> BTreeSet<&Locality> {
        let Mesh { here, catalog, .. } = &*self.mesh;
        let direct = catalog.localities.iter();
        let direct = direct.filter(|(_, census)| !census.gateways.is_empty());
        let direct = direct.map(|(locality, _)| locality);
        let federated = catalog.federation.keys();
        direct
            .chain(federated)
            .filter(|locality| *locality != here)
            .collect()
    }
}

/// What the configuration says about all routes of a mesh.
pub(super) struct Terms {
    pub(super) idle_timeout: Duration,
    pub(super) health: Health,
}

impl Terms {
    /// Adds the routes of `part` to those of the configuration, and keeps what they came from.
    pub(super) fn put_in_force(
        &self,
        part: MeshPart,
        routes: &mut Vec<Arc<Route>>,
        previous: Option<&Snapshot>,
    ) -> MeshState {
        let taken: HashSet<Arc<str>> = routes.iter().map(|route| Arc::clone(&route.name)).collect();
        let mut shadowed = Vec::new();
        for wanted in &part.routes {
            if taken.contains(&wanted.name) {
                shadowed.push(Arc::clone(wanted));
                continue;
            }
            let before = previous.and_then(|previous| previous.before(&wanted.name));
            routes.push(match before {
                Some(same) if self.makes(same, wanted, &part) => Arc::clone(same),
                other => Arc::new(self.route(wanted, &part, other.map(Arc::as_ref))),
            });
        }
        MeshState {
            mesh: part.mesh,
            notes: part.notes,
            derived: part.derived,
            shadowed,
        }
    }

    /// Whether `route` is what becomes of `wanted`.
    fn makes(&self, route: &Route, wanted: &Arc<MeshRoute>, part: &MeshPart) -> bool {
        let same = |before: &Arc<MeshRoute>| Arc::ptr_eq(before, wanted) || before == wanted;
        route.idle_timeout == self.idle_timeout
            && route.cluster.spec().health == self.health_for(wanted)
            && route.at == *place(wanted, part)
            && route.origin.mesh().is_some_and(same)
    }

    fn route(&self, wanted: &Arc<MeshRoute>, part: &MeshPart, before: Option<&Route>) -> Route {
        let mut notes = Vec::new();
        let (balance, choices) = balance(wanted.balance);
        let spec = Spec {
            endpoints: entries(&wanted.endpoints, &mut notes),
            balance,
            choices,
            health: self.health_for(wanted),
        };
        let service = wanted.service.as_ref().map(ToString::to_string);
        Route {
            name: Arc::clone(&wanted.name),
            origin: Origin::Mesh(Arc::clone(wanted)),
            pattern: Pattern::of(&wanted.name),
            refused: match &wanted.action {
                Action::Forward => None,
                Action::Refuse(why) => Some(Arc::clone(why)),
            },
            datacenter: wanted.datacenter.as_str().into(),
            service: service.unwrap_or_default().into(),
            // Who may connect is the listener's to say: the mesh speaks of identities, which the
            // services themselves check.
            access: Access::default(),
            send_proxy: None,
            balance,
            connect_timeout: wanted.connect_timeout,
            idle_timeout: self.idle_timeout,
            max_connections: wanted.limits.max_connections,
            uses: before.map_or_else(Uses::default, |before| before.uses.clone()),
            keepalive: wanted.keepalive.map(settable),
            source_addresses: Vec::new(),
            cluster: Cluster::renewed(spec, before.map(|before| &before.cluster)),
            notes,
            at: place(wanted, part).clone(),
        }
    }

    fn health_for(&self, wanted: &MeshRoute) -> Health {
        Health {
            panic_percent: wanted.panic_percent.unwrap_or(self.health.panic_percent),
            ..self.health
        }
    }
}

/// Where a route stands: what told most about it, or else the gateway itself.
fn place<'p>(wanted: &'p MeshRoute, part: &'p MeshPart) -> &'p Place {
    let told = wanted.reason.entries.first();
    told.unwrap_or(&part.mesh.gateway.at)
}

/// How endpoints are chosen, and of how many drawn.
fn balance(wanted: MeshBalance) -> (Balance, Option<u32>) {
    /// Envoy's number of choices where none is told.
    const CHOICES: u32 = 2;
    match wanted {
        MeshBalance::RoundRobin => (Balance::RoundRobin, None),
        MeshBalance::Random => (Balance::Random, None),
        MeshBalance::LeastRequest(choices) => {
            (Balance::LeastConnections, Some(choices.unwrap_or(CHOICES)))
        }
    }
}

/// The endpoints that can be dialled, each once; the others become notes.
fn entries(endpoints: &[MeshEndpoint], notes: &mut Vec<Arc<str>>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::with_capacity(endpoints.len());
    let mut known = HashSet::with_capacity(endpoints.len());
    for endpoint in endpoints {
        let shown = endpoint.to_string();
        let target = match crate::config::endpoint(&shown) {
            Ok(target) => target,
            Err(why) => {
                let note = format!("{} is left out: {why}", endpoint.instance);
                notes.push(note.into());
                continue;
            }
        };
        if !known.insert(target.clone()) {
            let note = format!("{} is left out: {shown} stands twice", endpoint.instance);
            notes.push(note.into());
            continue;
        }
        entries.push(Entry {
            target,
            weight: endpoint.weight.max(1),
            health: endpoint.health,
        });
    }
    entries
}

/// A keepalive that the kernel takes (tcp(7): times of 1 to 32767 s, 1 to 127 probes); what is 0
/// is left to the system.
fn settable(wanted: RouteKeepalive) -> RouteKeepalive {
    let within = |value: Option<u32>, most: u32| {
        value
            .filter(|&value| value > 0)
            .map(|value| value.min(most))
    };
    RouteKeepalive {
        time: within(wanted.time, 32_767),
        interval: within(wanted.interval, 32_767),
        probes: within(wanted.probes, 127),
    }
}

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;
