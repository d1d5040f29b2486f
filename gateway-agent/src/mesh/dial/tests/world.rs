//! Small meshes by hand: `web` and its proxy in dc1, `api` and mesh gateways in dc1 and dc2.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::{Downstream, ModeRules, Plan, Question, Refusal, dial};
use crate::control::snapshot::Place;
use crate::mesh::catalog::{
    Catalog, Check, GatewayMode, Instance, Kind, Node, Opaque, PeerMeta, Peering, Placed, Proxy,
    Service, Status, TaggedAddress, Upstream, UpstreamKind,
};
use crate::mesh::entries::headers::HeaderChanges;
use crate::mesh::entries::resolver::{Failover, Redirect};
use crate::mesh::entries::router::{RequestMatch, Retry, RouteDestination, ServiceRoute, Timeout};
use crate::mesh::entries::service_defaults::{UpstreamConfig, UpstreamConfiguration};
use crate::mesh::entries::splitter::Split;
use crate::mesh::entries::{
    Entries, ProxyDefaults, ServiceDefaults, ServiceResolver, ServiceRouter, ServiceSplitter,
};
use crate::mesh::intentions::Action;
use crate::mesh::name::{Locality, Name, ServiceName};
use crate::mesh::state::Gateway;
use crate::mesh::{Mesh, entries::resolver::Subset};

pub(super) const TRUST_DOMAIN: &str = "0a6f1c9e-3b52-4d87-9e10-7c25d1b84f63.consul";

/// What a mesh is made of.
#[derive(Clone, Default)]
pub(super) struct World {
    pub(super) instances: Vec<Instance>,
    pub(super) known: Vec<Locality>,
    pub(super) entries: Entries,
    pub(super) imported: BTreeMap<(Name, ServiceName), Vec<Instance>>,
    pub(super) proxy: Proxy,
}

impl World {
    /// `web` with a proxy in dc1; `api` in dc1 (2 instances), dc2 (2) and blue/dc1 (1), imported
    /// from the peer north as well; mesh gateways in dc1 (2), dc2 (1) and blue/dc1 (1).
    pub(super) fn new() -> Self {
        let mut world = Self {
            instances: vec![
                sidecar("dc1", "a1", "api", "10.1.0.1"),
                sidecar("dc1", "a2", "api", "fd00:1::2"),
                sidecar("dc2", "b1", "api", "10.2.0.1"),
                sidecar("dc2", "b2", "api", "10.2.0.2"),
                sidecar("blue/dc1", "c1", "api", "10.3.0.1"),
                gateway("dc1", "g1", "10.1.0.251", "198.51.100.1"),
                gateway("dc1", "g2", "10.1.0.252", "198.51.100.2"),
                gateway("dc2", "h1", "10.2.0.251", "2001:db8:2::1"),
                gateway("blue/dc1", "k1", "10.3.0.251", "198.51.100.3"),
            ],
            ..Self::default()
        };
        world.proxy.destination_service = "web".into();
        let mut exported = gateway("north", "n1", "203.0.113.9", "203.0.113.9");
        exported.peer = Some("north".into());
        own(&mut exported).peer_meta = Some(PeerMeta {
            sni: vec!["api.default.default.here.external.north.consul".into()],
            spiffe_ids: vec!["spiffe://north.consul/ns/default/dc/n1/svc/api".into()],
            protocol: String::new(),
        });
        let key = ("north".into(), ServiceName::plain("api"));
        world.imported.insert(key, vec![exported]);
        world
    }

    pub(super) fn mesh(&self) -> Mesh {
        let mut web = sidecar("dc1", "w1", "web", "10.1.0.9");
        own(&mut web).proxy = Some(Arc::new(self.proxy.clone()));
        web.at = place(7);
        let instances = self.instances.iter().cloned().chain([web]).map(Arc::new);
        let mut catalog = Catalog::new(instances, self.known.iter().cloned(), &self.entries);
        for (key, imported) in &self.imported {
            let imported = imported.iter().cloned().map(Arc::new).collect();
            catalog.imported.insert(key.clone(), imported);
            let peering = Peering {
                name: key.0.clone(),
                server_name: String::new(),
                server_addresses: Vec::new(),
                modify_index: 0,
                at: place(1),
            };
            catalog.peerings.insert(key.0.clone(), Arc::new(peering));
        }
        Mesh {
            here: Locality::of("dc1"),
            trust_domain: TRUST_DOMAIN.into(),
            domain: "consul".into(),
            gateway: Gateway {
                service: ServiceName::plain("mesh-gateway"),
                address: String::new(),
                port: 8443,
                tagged: BTreeMap::new(),
                meta: BTreeMap::new(),
                config: Opaque::default(),
                at: place(1),
            },
            catalog,
            entries: self.entries.clone(),
            default_intention: Action::Deny,
            mode_rules: ModeRules::V1_14,
        }
    }

    /// `web` asks for `api` somewhere.
    pub(super) fn ask(&self, datacenter: Option<&str>, peer: Option<&str>) -> Plan {
        let service = ServiceName::plain("api");
        self.dial("web", &service, datacenter, peer, ModeRules::V1_14)
            .unwrap()
    }

    pub(super) fn dial(
        &self,
        downstream: &str,
        upstream: &ServiceName,
        datacenter: Option<&str>,
        peer: Option<&str>,
        rules: ModeRules,
    ) -> Result<Plan, Refusal> {
        let (datacenter, peer) = (datacenter.map(Name::new), peer.map(Name::new));
        let question = Question {
            downstream: Downstream::Service(&ServiceName::plain(downstream)),
            upstream,
            datacenter: datacenter.as_ref(),
            peer: peer.as_ref(),
            rules,
        };
        dial(&self.mesh(), &question)
    }

    pub(super) fn proxy_defaults(&mut self, mode: GatewayMode) {
        let mut entry = ProxyDefaults::new(Name::default_name(), place(60));
        entry.mesh_gateway = says(mode, 60);
        let entries = &mut self.entries.proxy_defaults;
        entries.insert(Name::default_name(), Arc::new(entry));
    }

    pub(super) fn defaults(&mut self, service: &str) -> &mut ServiceDefaults {
        let service = ServiceName::plain(service);
        let empty = ServiceDefaults::new(service.clone(), place(50));
        let entries = &mut self.entries.service_defaults;
        Arc::make_mut(entries.entry(service).or_insert_with(|| Arc::new(empty)))
    }

    pub(super) fn upstream_config(&mut self) -> &mut UpstreamConfiguration {
        self.defaults("web").upstream_config.get_or_insert_default()
    }

    pub(super) fn resolver(&mut self, service: &str) -> &mut ServiceResolver {
        let service = ServiceName::plain(service);
        let empty = ServiceResolver::new(service.clone(), place(40));
        let entries = &mut self.entries.resolvers;
        Arc::make_mut(entries.entry(service).or_insert_with(|| Arc::new(empty)))
    }

    /// Parts of a service: service, subset, hundredths of a per cent.
    pub(super) fn split(&mut self, service: &str, parts: &[(&str, &str, u32)]) {
        let service = ServiceName::plain(service);
        let splits = parts.iter().map(|(to, subset, weight)| Split {
            weight: *weight,
            service: (*to).into(),
            subset: (*subset).into(),
            namespace: Name::default(),
            partition: Name::default(),
            request_headers: HeaderChanges::default(),
            response_headers: HeaderChanges::default(),
            at: place(44),
        });
        let splitter = ServiceSplitter {
            service: service.clone(),
            splits: splits.collect(),
            meta: BTreeMap::new(),
            at: place(44),
        };
        let entries = &mut self.entries.splitters;
        entries.insert(service, Arc::new(splitter));
    }

    /// One route of a service that leads to another one.
    pub(super) fn route(&mut self, service: &str, to: &str) {
        let service = ServiceName::plain(service);
        let destination = RouteDestination {
            service: to.into(),
            subset: String::new(),
            namespace: Name::default(),
            partition: Name::default(),
            prefix_rewrite: String::new(),
            request_timeout: Timeout::Usual,
            idle_timeout: Timeout::Usual,
            retry: Retry::default(),
            request_headers: HeaderChanges::default(),
            response_headers: HeaderChanges::default(),
            at: place(45),
        };
        let route = ServiceRoute {
            matches: RequestMatch::default(),
            destination: Some(destination),
            at: place(45),
        };
        let router = ServiceRouter {
            service: service.clone(),
            routes: vec![route],
            meta: BTreeMap::new(),
            at: place(45),
        };
        self.entries.routers.insert(service, Arc::new(router));
    }

    /// The instance on a node.
    pub(super) fn on(&mut self, node: &str) -> &mut Instance {
        let mut instances = self.instances.iter_mut();
        instances
            .find(|instance| instance.node.name == *node)
            .unwrap()
    }
}

pub(super) fn place(line: u32) -> Place {
    Place {
        file: "mesh.hcl".into(),
        line,
        column: 3,
    }
}

pub(super) fn says(mode: GatewayMode, line: u32) -> Option<Placed<GatewayMode>> {
    let at = place(line);
    Some(Placed { value: mode, at })
}

pub(super) fn upstream(destination: &str, datacenter: &str) -> Upstream {
    Upstream {
        kind: UpstreamKind::Service,
        destination: destination.into(),
        namespace: Name::default(),
        partition: Name::default(),
        peer: Name::default(),
        datacenter: datacenter.into(),
        local_bind_address: String::new(),
        local_bind_port: 5000,
        local_bind_socket_path: String::new(),
        local_bind_socket_mode: String::new(),
        mesh_gateway: None,
        config: Opaque::default(),
        at: place(10),
    }
}

pub(super) fn upstream_settings(service: &str) -> UpstreamConfig {
    UpstreamConfig::new(ServiceName::plain(service), place(51))
}

/// Another target: `service`, `datacenter`, `peer`; empty ones as it was.
pub(super) fn elsewhere(service: &str, datacenter: &str, peer: &str) -> Redirect {
    Redirect {
        service: service.into(),
        subset: String::new(),
        namespace: Name::default(),
        partition: Name::default(),
        datacenter: datacenter.into(),
        peer: peer.into(),
        sameness_group: String::new(),
        at: place(41),
    }
}

pub(super) fn failover(datacenters: &[&str], targets: Vec<Redirect>) -> Failover {
    Failover {
        service: Name::default(),
        subset: String::new(),
        namespace: Name::default(),
        datacenters: datacenters.iter().map(|name| Name::new(name)).collect(),
        targets,
        policy_mode: String::new(),
        regions: Vec::new(),
        sameness_group: String::new(),
        at: place(42),
    }
}

pub(super) fn subset(filter: &str, only_passing: bool) -> Subset {
    Subset {
        filter: filter.into(),
        only_passing,
        at: place(43),
    }
}

pub(super) fn sidecar(at: &str, node: &str, service: &str, address: &str) -> Instance {
    let mut instance = instance(at, node, &format!("{service}-sidecar-proxy"));
    let own = own(&mut instance);
    own.kind = Kind::ConnectProxy;
    own.address = address.into();
    own.port = 20000;
    own.proxy = Some(Arc::new(Proxy {
        destination_service: service.into(),
        ..Proxy::default()
    }));
    instance
}

pub(super) fn gateway(at: &str, node: &str, lan: &str, wan: &str) -> Instance {
    let mut instance = instance(at, node, "mesh-gateway");
    let own = own(&mut instance);
    own.kind = Kind::MeshGateway;
    own.address = lan.into();
    own.port = 8443;
    let (address, port) = (wan.into(), 443);
    own.tagged = [("wan".into(), TaggedAddress { address, port })].into();
    instance
}

/// An instance in `dc` or `partition/dc`.
pub(super) fn instance(at: &str, node: &str, service: &str) -> Instance {
    let (partition, datacenter) = at.split_once('/').unwrap_or(("default", at));
    let node = Node {
        name: node.into(),
        id: String::new(),
        address: String::new(),
        datacenter: datacenter.into(),
        partition: partition.into(),
        tagged: BTreeMap::new(),
        meta: BTreeMap::new(),
        at: place(1),
    };
    let service = Service {
        kind: Kind::Typical,
        id: service.into(),
        name: service.into(),
        namespace: Name::default_name(),
        address: String::new(),
        port: 0,
        tagged: BTreeMap::new(),
        tags: Vec::new(),
        meta: BTreeMap::new(),
        weights: None,
        native: false,
        proxy: None,
        peer_meta: None,
        modify_index: 0,
    };
    Instance {
        node: Arc::new(node),
        service: Arc::new(service),
        checks: Vec::new(),
        peer: None,
        at: place(2),
    }
}

pub(super) fn own(instance: &mut Instance) -> &mut Service {
    Arc::make_mut(&mut instance.service)
}

pub(super) fn check(status: Status) -> Check {
    Check {
        id: "alive".into(),
        name: String::new(),
        service_id: String::new(),
        status,
        output: String::new(),
        at: place(3),
    }
}

/// `address health weight`, as many as there are.
pub(super) fn shown(plan: &Plan) -> Vec<String> {
    let target = plan.targets.first().unwrap();
    let endpoints = target.endpoints.iter();
    endpoints
        .map(|one| format!("{one} {} {}", one.health.label(), one.weight))
        .collect()
}
