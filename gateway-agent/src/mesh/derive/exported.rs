//! A service that peers may use: one name per peer.
//!
//! A tcp service is passed through to the single target of its discovery chain. One that is
//! routed by request would have to be ended here with a certificate that only xDS hands out;
//! passed through, the far end would show the wrong identity. So its names are refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::View;
use super::chain::{self, DeadEnd, Target};
use super::draft::Draft;
use super::held::Held;
use super::service::{balance, connect_timeout, select};
use super::terms::{CONNECT_TIMEOUT, Terms};
use crate::control::snapshot::Place;
use crate::mesh::catalog::Instance;
use crate::mesh::entries::Entries;
use crate::mesh::entries::exported::Consumer;
use crate::mesh::name::{Name, ServiceName};
use crate::mesh::route::{Action, MeshRoute, Reason, Role};
use crate::mesh::sni;

/// What the routes of an exported service are derived from.
#[derive(Debug, PartialEq)]
pub(super) struct Inputs {
    service: ServiceName,
    /// The peers, and where each is allowed.
    peers: BTreeMap<Name, Place>,
    protocol: String,
    /// Whether there is such a service at all.
    exists: bool,
    target: Result<Target, DeadEnd>,
    /// Who answers for the target.
    instances: Option<Held<[Arc<Instance>]>>,
}

impl Inputs {
    pub(super) fn all(view: &View) -> impl Iterator<Item = (ServiceName, Self)> {
        exports(view).into_iter().map(|(service, peers)| {
            let target = chain::follow(view, &service);
            let instances = target.as_ref().ok();
            let instances = instances.and_then(|target| view.connect.get(&target.service));
            let inputs = Self {
                protocol: view.entries.protocol(&service).to_owned(),
                exists: exists(view, &service),
                instances: instances.map(Held::of),
                service: service.clone(),
                peers,
                target,
            };
            (service, inputs)
        })
    }

    pub(super) fn derive(&self, terms: &Terms, draft: &mut Draft) {
        let Self { service, .. } = self;
        let at = || self.peers.values().take(1).cloned().collect();
        if !self.exists {
            let text = format!(
                "service {service} is exported, and neither an instance nor a config entry in the \
                 mesh here is its own"
            );
            draft.note(text, at());
            return;
        }
        if Entries::is_http(&self.protocol) {
            return self.refuse(terms, draft);
        }
        match &self.target {
            Ok(target) => self.pass(target, terms, draft),
            Err(DeadEnd { why, at }) => {
                let text = format!("service {service} is exported, but no peer reaches it: {why}");
                draft.note(text, vec![at.clone()]);
            }
        }
    }

    fn pass(&self, target: &Target, terms: &Terms, draft: &mut Draft) {
        let resolver = target.resolver.as_deref();
        let subsets = resolver.map(|resolver| &resolver.subsets);
        let part = subsets.and_then(|subsets| subsets.get_key_value(&target.subset));
        let part = part.map(|(name, subset)| (name.as_str(), subset));
        let instances = self.instances.as_deref().unwrap_or_default();
        let (endpoints, why) = select(&target.service, instances, part, terms, draft);
        if instances.is_empty() {
            let text = format!(
                "service {} is exported and leads to {}, which has no instance here",
                self.service, target.service
            );
            draft.note(text, self.peers.values().take(1).cloned().collect());
        }
        let template = MeshRoute {
            service: Some(target.service.clone()),
            subset: part.map(|(name, _)| name.into()),
            balance: balance(resolver, draft),
            // Consul: a target of a chain has the resolver's time or 5 s, whatever the gateway's
            // own setting says, and is not used while nothing is up.
            connect_timeout: connect_timeout(resolver).unwrap_or(CONNECT_TIMEOUT),
            panic_percent: Some(0),
            ..endpoints.into_route(terms.route(String::new(), Role::ExportedTcp, why))
        };
        for (peer, at) in &self.peers {
            let told = &template.reason;
            let entries = std::iter::once(at).chain(&target.path).chain(&told.entries);
            let reason = Reason {
                rule: format!("peer {peer} may use {}: {}", self.service, told.rule).into(),
                entries: entries.cloned().collect(),
            };
            let name = sni::exported(&self.service, peer, &terms.trust_domain);
            draft.add(MeshRoute {
                name: name.into(),
                reason,
                ..template.clone()
            });
        }
    }

    fn refuse(&self, terms: &Terms, draft: &mut Draft) {
        let Self {
            service, protocol, ..
        } = self;
        let why: Arc<str> = format!(
            "service {service} speaks {protocol}: for a peer its connections would have to be \
             ended here, with a certificate that only xDS hands out"
        )
        .into();
        for (peer, at) in &self.peers {
            let reason = Reason {
                rule: format!("peer {peer} may use {service}, which speaks {protocol}").into(),
                entries: vec![at.clone()],
            };
            let name = sni::exported(service, peer, &terms.trust_domain);
            let route = terms.route(name, Role::ExportedHttp, reason);
            draft.add(MeshRoute {
                action: Action::Refuse(Arc::clone(&why)),
                service: Some(service.clone()),
                ..route
            });
        }
    }
}

/// Whether there is a service. Consul: one is exported if an instance answers for it in the mesh, or
/// if it has a discovery chain of its own, wherever that leads.
fn exists(view: &View, service: &ServiceName) -> bool {
    let answers = view.connect.get(service);
    answers.is_some_and(|instances| !instances.is_empty())
        || view.entries.resolvers.contains_key(service)
        || view.entries.routers.contains_key(service)
        || view.entries.splitters.contains_key(service)
}

/// The services with a discovery chain of their own.
fn chained(view: &View) -> impl Iterator<Item = &ServiceName> {
    let entries = &view.entries;
    let resolvers = entries.resolvers.keys();
    resolvers
        .chain(entries.routers.keys())
        .chain(entries.splitters.keys())
}

/// Which peers may use which service. Consul: `*` stands for all of a namespace but `consul`.
fn exports(view: &View) -> BTreeMap<ServiceName, BTreeMap<Name, Place>> {
    let mut exports: BTreeMap<ServiceName, BTreeMap<Name, Place>> = BTreeMap::new();
    let entry = view.entries.exported.get(&view.here.partition);
    for export in entry.iter().flat_map(|entry| &entry.services) {
        let peers: Vec<_> = export
            .consumers
            .iter()
            .filter_map(|consumer| match consumer {
                Consumer::Peer(peer) => Some(peer),
                Consumer::Partition(_) | Consumer::SamenessGroup(_) => None,
            })
            .collect();
        if peers.is_empty() {
            continue;
        }
        let named = ServiceName {
            partition: view.here.partition.clone(),
            ..export.service.clone()
        };
        let services: BTreeSet<&ServiceName> = if named.name == *"*" {
            let all = view.connect.keys().chain(chained(view));
            let meant = |service: &&ServiceName| {
                let ServiceName {
                    name,
                    namespace,
                    partition,
                } = service;
                *namespace == named.namespace && *partition == named.partition && *name != *"consul"
            };
            all.filter(meant).collect()
        } else {
            [&named].into()
        };
        for service in services {
            let allowed = exports.entry(service.clone()).or_default();
            for peer in &peers {
                let first = allowed.entry((*peer).clone());
                first.or_insert_with(|| export.at.clone());
            }
        }
    }
    exports
}
