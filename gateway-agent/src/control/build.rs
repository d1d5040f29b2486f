//! Build: a checked configuration -> a snapshot. Pure; it cannot fail.

use std::collections::HashSet;
use std::sync::Arc;

use super::cluster::{Cluster, Spec};
use super::routes::RouteTable;
use super::snapshot::{DefaultAction, Limits, Listener, Pattern, Route, Snapshot};
use crate::config::{Config, DefaultConfig, ListenerConfig, RouteConfig};

impl Snapshot {
    /// Builds the snapshot of a configuration. `previous`, the one in force, gives the
    /// generation, the ids of listeners, and the live state of clusters.
    #[must_use]
    pub fn build(config: &Config, previous: Option<&Self>) -> Self {
        let routes = config
            .routes
            .iter()
            .map(|route| build_route(config, route, previous));
        Self {
            generation: previous.map_or(1, |previous| previous.generation + 1),
            instance: Arc::clone(&config.instance),
            datacenter: Arc::clone(&config.datacenter),
            listeners: build_listeners(config, previous),
            routes: RouteTable::new(routes.map(Arc::new).collect()),
            default: config
                .default
                .as_ref()
                .map(default_action)
                .unwrap_or_default(),
            limits: config.limits.clone(),
            engine: config.engine.clone(),
            settings: config.settings.clone(),
        }
    }
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
    let before = previous
        .and_then(|previous| previous.routes.get(name))
        .map(|old| &old.cluster);
    Route {
        name: Arc::clone(name),
        pattern: Pattern::of(name),
        datacenter: route.datacenter.clone().unwrap_or_else(|| "".into()),
        service: Arc::clone(route.service.as_ref().unwrap_or(name)),
        access: route.access.clone(),
        send_proxy: route.send_proxy,
        balance: route.balance,
        connect_timeout: route.connect_timeout.unwrap_or(connect_timeout),
        idle_timeout: route.idle_timeout.unwrap_or(idle_timeout),
        source_addresses: route.source_addresses.clone(),
        cluster: match before {
            Some(same) if *same.spec() == spec => Arc::clone(same),
            other => Arc::new(Cluster::new(spec, other.map(Arc::as_ref))),
        },
        at: config.place(route.at),
    }
}

/// A listener keeps its id as long as its name stays; a new one gets the lowest that neither
/// this snapshot nor the one before uses, so that no kernel entry ever means two of them.
fn build_listeners(config: &Config, previous: Option<&Snapshot>) -> Vec<Arc<Listener>> {
    let before = |name: &str| previous.and_then(|previous| previous.listener(name));
    let used: HashSet<u32> = previous
        .iter()
        .flat_map(|previous| previous.listeners.iter().map(|listener| listener.id))
        .collect();
    let mut free = (0..).filter(|id| !used.contains(id));
    config
        .listeners
        .iter()
        .map(|listener| {
            let id = before(&listener.name)
                .map(|old| old.id)
                .or_else(|| free.next());
            // The range of ids is endless.
            Arc::new(build_listener(config, listener, id.unwrap_or(u32::MAX)))
        })
        .collect()
}

fn build_listener(config: &Config, listener: &ListenerConfig, id: u32) -> Listener {
    Listener {
        name: Arc::clone(&listener.name),
        id,
        addresses: listener.addresses.clone(),
        destinations: listener.destinations.clone(),
        access: listener.access.clone(),
        accept_proxy: listener.accept_proxy.clone(),
        refuse: listener.refuse,
        default: listener.default.as_ref().map(default_action),
        at: config.place(listener.at),
    }
}

fn default_action(default: &DefaultConfig) -> DefaultAction {
    match default {
        DefaultConfig::Reject => DefaultAction::Reject,
        DefaultConfig::Route(name, _) => DefaultAction::Route(Arc::clone(name)),
    }
}
