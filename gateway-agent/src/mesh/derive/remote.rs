//! The mesh gateways of another datacenter or partition: all names there, and all its servers.

use std::sync::Arc;

use super::draft::{Draft, count, places};
use super::endpoints::{self, Endpoints};
use super::held::Held;
use super::terms::Terms;
use crate::mesh::catalog::Instance;
use crate::mesh::name::Locality;
use crate::mesh::route::{MeshRoute, Reason, Role};
use crate::mesh::sni;

/// What the routes to a group of gateways are derived from.
#[derive(Debug, PartialEq)]
pub(super) struct Inputs {
    pub(super) to: Locality,
    /// By direct query.
    pub(super) direct: Option<Held<[Arc<Instance>]>>,
    /// By federation state, where those are read.
    pub(super) federation: Option<Held<[Arc<Instance>]>>,
}

impl Inputs {
    pub(super) fn derive(&self, terms: &Terms, draft: &mut Draft) {
        let (gateways, source) = self.chosen();
        // Consul: a datacenter that is known but has no gateway makes no route.
        if gateways.is_empty() {
            return;
        }
        let reason = Reason {
            rule: format!(
                "{} has {} by {source}",
                self.to,
                count(gateways.len(), "mesh gateway")
            )
            .into(),
            entries: places(gateways.iter().map(|gateway| &**gateway)).collect(),
        };
        let Endpoints { list, dns } = endpoints::remote(gateways, terms, draft);
        let mut add = |name: String, role: Role| {
            let route = terms.route(name, role, reason.clone());
            draft.add(MeshRoute {
                datacenter: self.to.datacenter.clone(),
                endpoints: list.clone(),
                dns,
                ..route
            });
        };
        let (all, itself) = self.roles(terms);
        let name = sni::gateways(&self.to, &terms.trust_domain);
        add(format!("*.{name}"), all);
        add(name, itself);
        if terms.wan_federation && self.has_servers(terms) {
            let name = sni::any_server(&self.to.datacenter, &terms.domain);
            add(format!("*.{name}"), Role::RemoteServers);
            add(name, Role::RemoteServersExact);
        }
    }

    /// Consul, 1.9.11, 1.10.4, 1.11 on: the federation state counts if and only if its newest
    /// gateway is newer than the newest one of the direct answer. An empty answer is older than
    /// anything.
    fn chosen(&self) -> (&[Arc<Instance>], &'static str) {
        let direct = self.direct.as_deref().unwrap_or_default();
        let federation = self.federation.as_deref().unwrap_or_default();
        if newest(federation) > newest(direct) {
            (federation, "federation state")
        } else {
            (direct, "direct query")
        }
    }

    fn roles(&self, terms: &Terms) -> (Role, Role) {
        if self.to.partition.is_default() && self.to.datacenter != terms.here.datacenter {
            (Role::RemoteDc, Role::RemoteDcExact)
        } else {
            (Role::RemotePartition, Role::RemotePartitionExact)
        }
    }

    /// Servers belong to the default partition of a datacenter. Consul: which of the gateways
    /// serve them is not asked.
    fn has_servers(&self, terms: &Terms) -> bool {
        self.to.partition.is_default() && self.to.datacenter != terms.here.datacenter
    }
}

/// The highest index among gateways; `None` without any, which is below all.
fn newest(gateways: &[Arc<Instance>]) -> Option<u64> {
    let indexes = gateways.iter().map(|gateway| gateway.service.modify_index);
    indexes.max()
}
