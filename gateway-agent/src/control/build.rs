//! Build: a checked configuration -> a snapshot. Pure; it cannot fail.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::cluster::{Cluster, Spec};
use super::mesh::{GatewayListener, MeshPart, Terms};
use super::routes::RouteTable;
use super::snapshot::{DefaultAction, Health, Limits, Listener, Origin, Pattern, Route, Snapshot};
use super::uses::Uses;
use crate::config::{Config, DefaultConfig, ListenerConfig, RouteConfig};

impl Snapshot {
    /// Builds the snapshot of a configuration. `previous`, the one in force, gives the
    /// generation, the ids of listeners, and the live state of clusters.
    #[must_use]
    pub fn build(config: &Config, previous: Option<&Self>) -> Self {
        Self::assemble(config, MeshPart::of(config, previous), previous)
    }

    /// Builds the snapshot of a configuration and of what a mesh adds to it. A `route` block beats
    /// a route of the mesh that has its name.
    #[must_use]
    pub fn assemble(config: &Config, part: Option<MeshPart>, previous: Option<&Self>) -> Self {
        let mut ids = Ids::new(previous);
        let mut listeners: Vec<_> = config
            .listeners
            .iter()
            .map(|listener| Arc::new(build_listener(config, listener, &mut ids)))
            .collect();
        let mut routes: Vec<_> = config
            .routes
            .iter()
            .map(|route| Arc::new(build_route(config, route, previous)))
            .collect();
        let mesh = part.map(|part| {
            let listener = part.listener.as_ref();
            listeners.extend(listener.map(|one| Arc::new(gateway_listener(one, &mut ids))));
            let terms = Terms::new(config, part.panic_percent);
            Arc::new(terms.put_in_force(part, &mut routes, previous))
        });
        let routes = RouteTable::new(routes);
        Self {
            generation: previous.map_or(1, |previous| previous.generation + 1),
            instance: Arc::clone(&config.instance),
            datacenter: Arc::clone(&config.datacenter),
            listeners,
            departed: departed(&routes, previous),
            routes,
            default: config
                .default
                .as_ref()
                .map(default_action)
                .unwrap_or_default(),
            limits: Arc::new(config.limits.clone()),
            engine: Arc::new(config.engine.clone()),
            settings: config.settings.clone(),
            mesh,
            watched: config.watched.clone(),
        }
    }
}

impl Terms {
    fn new(config: &Config, panic_percent: Option<u8>) -> Self {
        let health = config.settings.health;
        Self {
            idle_timeout: config.limits.idle_timeout,
            health: Health {
                panic_percent: panic_percent.unwrap_or(health.panic_percent),
                ..health
            },
        }
    }
}

/// The routes of `previous` that `routes` lacks and that have connections still.
fn departed(routes: &RouteTable, previous: Option<&Snapshot>) -> RouteTable {
    let before = previous.into_iter();
    let before = before.flat_map(|before| before.routes.iter().chain(before.departed.iter()));
    let gone = before.filter(|route| route.uses.now() > 0 && routes.get(&route.name).is_none());
    RouteTable::new(gone.map(Arc::clone).collect())
}

fn build_route(config: &Config, route: &RouteConfig, previous: Option<&Snapshot>) -> Route {
    let Limits {
        connect_timeout,
        idle_timeout,
        ..
    } = config.limits;
    let name = &route.name;
    let spec = Spec {
        endpoints: route.endpoints.clone(),
        balance: route.balance,
        choices: None,
        health: config.settings.health,
    };
    let before = previous.and_then(|previous| previous.before(name));
    Route {
        name: Arc::clone(name),
        origin: Origin::Configured,
        pattern: Pattern::of(name),
        refused: None,
        datacenter: route.datacenter.clone().unwrap_or_else(|| "".into()),
        service: Arc::clone(route.service.as_ref().unwrap_or(name)),
        access: route.access.clone(),
        send_proxy: route.send_proxy,
        balance: route.balance,
        connect_timeout: route.connect_timeout.unwrap_or(connect_timeout),
        idle_timeout: route.idle_timeout.unwrap_or(idle_timeout),
        max_connections: None,
        uses: before.map_or_else(Uses::default, |before| before.uses.clone()),
        keepalive: None,
        source_addresses: route.source_addresses.clone(),
        cluster: Cluster::renewed(spec, before.map(|before| &before.cluster)),
        notes: Vec::new(),
        at: config.place(route.at),
    }
}

/// Ids of listeners. One keeps its id as long as its name stays; a new one gets the lowest that
/// neither this snapshot nor the one before uses, so that no kernel entry ever means two of them.
struct Ids {
    before: HashMap<Arc<str>, u32>,
    used: HashSet<u32>,
    next: u32,
}

impl Ids {
    fn new(previous: Option<&Snapshot>) -> Self {
        let before: HashMap<_, _> = previous
            .iter()
            .flat_map(|previous| &previous.listeners)
            .map(|listener| (Arc::clone(&listener.name), listener.id))
            .collect();
        Self {
            used: before.values().copied().collect(),
            before,
            next: 0,
        }
    }

    fn of(&mut self, name: &str) -> u32 {
        if let Some(id) = self.before.get(name) {
            return *id;
        }
        while self.used.contains(&self.next) {
            self.next += 1;
        }
        self.used.insert(self.next);
        self.next
    }
}

fn build_listener(config: &Config, listener: &ListenerConfig, ids: &mut Ids) -> Listener {
    Listener {
        name: Arc::clone(&listener.name),
        id: ids.of(&listener.name),
        addresses: listener.addresses.clone(),
        destinations: listener.destinations.clone(),
        access: listener.access.clone(),
        accept_proxy: listener.accept_proxy.clone(),
        refuse: listener.refuse,
        default: listener.default.as_ref().map(default_action),
        at: config.place(listener.at),
    }
}

/// The listener of a mesh gateway, which steers no destinations.
fn gateway_listener(listener: &GatewayListener, ids: &mut Ids) -> Listener {
    Listener {
        name: Arc::clone(&listener.name),
        id: ids.of(&listener.name),
        addresses: listener.addresses.clone(),
        destinations: Vec::new(),
        access: listener.access.clone(),
        accept_proxy: listener.accept_proxy.clone(),
        refuse: listener.refuse,
        default: None,
        at: listener.at.clone(),
    }
}

fn default_action(default: &DefaultConfig) -> DefaultAction {
    match default {
        DefaultConfig::Reject => DefaultAction::Reject,
        DefaultConfig::Route(name, _) => DefaultAction::Route(Arc::clone(name)),
    }
}
