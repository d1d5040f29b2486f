//! Catalog: services, nodes and their checks, as a source tells them.
//!
//! [`Catalog::new`] sorts instances into what is asked for later: per datacenter and partition
//! the connect view of each service (who answers for it in the mesh), the mesh gateways and the
//! servers. Whether an instance is usable is judged where a route is derived.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::entries::Entries;
use super::name::{Locality, Name, ServiceName};
use crate::control::snapshot::Place;

mod instance;
mod registration;

pub use instance::{
    Check, Instance, Kind, Node, PeerMeta, Service, Status, TaggedAddress, Weights,
};
pub use registration::{GatewayMode, Opaque, Placed, Proxy, Upstream, UpstreamKind};

/// All that is known of all datacenters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    /// Each datacenter and partition that is known, with or without instances.
    pub localities: BTreeMap<Locality, Census>,
    /// Mesh gateways by federation state (WAN federation), where such a state exists.
    pub federation: BTreeMap<Locality, Arc<[Arc<Instance>]>>,
    /// Instances imported from peers, by the peer's name here and the service's there.
    pub imported: BTreeMap<(Name, ServiceName), Arc<[Arc<Instance>]>>,
    /// Peerings, by the peer's name here.
    pub peerings: BTreeMap<Name, Arc<Peering>>,
}

/// What is in one datacenter and partition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Census {
    /// Every instance, sorted by node and ID.
    pub all: Vec<Arc<Instance>>,
    /// Who answers for a service in the mesh: its connect proxies, its native instances, and the
    /// terminating gateways that link it.
    pub connect: BTreeMap<ServiceName, Arc<[Arc<Instance>]>>,
    /// Instances of kind mesh gateway.
    pub gateways: Arc<[Arc<Instance>]>,
    /// Instances of the service `consul`.
    pub servers: Arc<[Arc<Instance>]>,
}

/// A peering with another cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Peering {
    /// The peer's name here.
    pub name: Name,
    /// Server name of the peer's servers; empty when not known.
    pub server_name: String,
    /// Addresses of the peer's servers, `host:port`.
    pub server_addresses: Vec<String>,
    /// When it last changed.
    pub modify_index: u64,
    /// Where it stands.
    pub at: Place,
}

impl Catalog {
    /// Sorts instances. `known` are localities that exist even if nothing is in them. The result
    /// does not depend on the order of the instances.
    #[must_use]
    pub fn new(
        instances: impl IntoIterator<Item = Arc<Instance>>,
        known: impl IntoIterator<Item = Locality>,
        entries: &Entries,
    ) -> Self {
        let mut localities: BTreeMap<Locality, Census> = known
            .into_iter()
            .map(|locality| (locality, Census::default()))
            .collect();
        for instance in instances {
            let census = localities.entry(instance.locality()).or_default();
            census.all.push(instance);
        }
        for census in localities.values_mut() {
            census.sort(entries);
        }
        Self {
            localities,
            ..Self::default()
        }
    }

    /// Who answers for a service somewhere; nobody where nothing is known.
    #[must_use]
    pub fn connect(&self, service: &ServiceName, at: &Locality) -> &[Arc<Instance>] {
        self.localities
            .get(at)
            .and_then(|census| census.connect.get(service))
            .map_or(&[], |instances| instances)
    }

    /// The mesh gateways of a locality.
    #[must_use]
    pub fn gateways(&self, of: &Locality) -> &[Arc<Instance>] {
        self.localities
            .get(of)
            .map_or(&[], |census| &census.gateways)
    }
}

impl Census {
    fn sort(&mut self, entries: &Entries) {
        self.all.sort_by_cached_key(|instance| {
            (instance.node.name.clone(), instance.service.id.clone())
        });
        let mut connect: BTreeMap<ServiceName, Vec<Arc<Instance>>> = BTreeMap::new();
        let outside = self.outside();
        for instance in &self.all {
            for service in answers_for(instance, entries, &outside) {
                connect
                    .entry(service)
                    .or_default()
                    .push(Arc::clone(instance));
            }
        }
        self.connect = connect
            .into_iter()
            .map(|(service, instances)| (service, instances.into()))
            .collect();
        self.gateways = self.pick(|service| service.kind == Kind::MeshGateway);
        self.servers =
            self.pick(|service| service.kind == Kind::Typical && service.name == *"consul");
    }

    fn pick(&self, wanted: impl Fn(&Service) -> bool) -> Arc<[Arc<Instance>]> {
        self.all
            .iter()
            .filter(|instance| wanted(&instance.service))
            .map(Arc::clone)
            .collect()
    }

    /// What a terminating gateway's `*` stands for: applications with an instance that is not
    /// native, but not the servers.
    fn outside(&self) -> BTreeSet<ServiceName> {
        self.all
            .iter()
            .filter(|instance| {
                let service = &instance.service;
                service.kind == Kind::Typical && !service.native && service.name != *"consul"
            })
            .map(|instance| instance.service_name())
            .collect()
    }
}

/// The services that an instance answers for in the mesh, each once.
fn answers_for(
    instance: &Instance,
    entries: &Entries,
    outside: &BTreeSet<ServiceName>,
) -> BTreeSet<ServiceName> {
    let service = &instance.service;
    match service.kind {
        Kind::ConnectProxy => service
            .proxy
            .iter()
            .map(|proxy| ServiceName {
                name: proxy.destination_service.clone(),
                namespace: service.namespace.clone(),
                partition: instance.node.partition.clone(),
            })
            .collect(),
        Kind::Typical if service.native => [instance.service_name()].into(),
        Kind::TerminatingGateway => {
            let entry = entries.terminating.get(&instance.service_name());
            let links = entry.iter().flat_map(|entry| &entry.services);
            links
                .flat_map(|link| linked(&link.service, outside))
                .collect()
        }
        _ => BTreeSet::new(),
    }
}

fn linked(link: &ServiceName, outside: &BTreeSet<ServiceName>) -> Vec<ServiceName> {
    if link.name != *"*" {
        return vec![link.clone()];
    }
    outside
        .iter()
        .filter(|service| {
            service.namespace == link.namespace && service.partition == link.partition
        })
        .cloned()
        .collect()
}
