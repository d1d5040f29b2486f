//! A service of a peer: the exact name that the peer tells.

use std::sync::Arc;

use super::draft::{Draft, count, places};
use super::endpoints;
use super::held::Held;
use super::terms::Terms;
use crate::mesh::catalog::Instance;
use crate::mesh::name::{Name, ServiceName};
use crate::mesh::route::{MeshRoute, Reason, Role};

/// What the route to an imported service is derived from.
#[derive(Debug, PartialEq)]
pub(super) struct Inputs {
    pub(super) peer: Name,
    pub(super) service: ServiceName,
    pub(super) instances: Held<[Arc<Instance>]>,
}

impl Inputs {
    pub(super) fn derive(&self, terms: &Terms, draft: &mut Draft) {
        let Self {
            peer,
            service,
            instances,
        } = self;
        let Some(first) = instances.first() else {
            return;
        };
        // Consul: the name is read, never built, and the first instance's counts.
        let told = instances.iter().find_map(|instance| {
            let name = instance.service.peer_meta.as_ref()?.sni.first()?;
            Some(name).filter(|name| !name.is_empty())
        });
        let Some(name) = told else {
            let text = format!("peer {peer} tells no server name for its service {service}");
            draft.note(text, vec![first.at.clone()]);
            return;
        };
        let reason = Reason {
            rule: format!(
                "peer {peer} exports {service} with {}",
                count(instances.len(), "instance")
            )
            .into(),
            entries: places(instances.iter().map(|instance| &**instance)).collect(),
        };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if terms.fidelity.own_names && terms.is_ours(&name) {
            let text = format!(
                "peer {peer} names its service {service} {name}, as only something of this mesh \
                 may be named: it is left out"
            );
            draft.note(text, vec![first.at.clone()]);
            return;
        }
        let endpoints = endpoints::remote(instances, terms, draft);
        let route = endpoints.into_route(terms.route(name, Role::Imported, reason));
        draft.add(MeshRoute {
            datacenter: first.node.datacenter.clone(),
            service: Some(service.clone()),
            ..route
        });
    }
}
