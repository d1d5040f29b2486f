//! The servers here, in a WAN federation through mesh gateways.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::address::best;
use super::draft::{Draft, count, places};
use super::endpoints::{Candidate, label, side_by_side};
use super::held::Held;
use super::terms::Terms;
use crate::mesh::catalog::Instance;
use crate::mesh::name::Name;
use crate::mesh::route::{Health, MeshRoute, Reason, Role};
use crate::mesh::sni;

/// What the routes to the servers are derived from.
#[derive(Debug, PartialEq)]
pub(super) struct Inputs {
    pub(super) servers: Held<[Arc<Instance>]>,
    /// Whether the name of any server is routed.
    pub(super) any: bool,
}

impl Inputs {
    pub(super) fn derive(&self, terms: &Terms, draft: &mut Draft) {
        if self.servers.is_empty() {
            return;
        }
        let here = &terms.here.datacenter;
        let mut nodes: BTreeMap<&Name, Vec<&Instance>> = BTreeMap::new();
        for server in self.servers.iter() {
            nodes.entry(&server.node.name).or_default().push(server);
        }
        for (node, servers) in &nodes {
            let name = sni::server(node.as_str(), here, &terms.domain);
            let rule = format!("{node} is a server of {here}");
            draft.add(route(name, Role::LocalServer, rule, servers, terms));
        }
        if self.any {
            let servers: Vec<&Instance> = self.servers.iter().map(|server| &**server).collect();
            let rule = format!("{here} has {}", count(servers.len(), "server"));
            let name = sni::any_server(here, &terms.domain);
            draft.add(route(name, Role::LocalServersAny, rule, &servers, terms));
        }
    }
}

fn route(
    name: String,
    role: Role,
    rule: String,
    servers: &[&Instance],
    terms: &Terms,
) -> MeshRoute {
    let reason = Reason {
        rule: rule.into(),
        entries: places(servers.iter().copied()).collect(),
    };
    // Consul: nobody looks at the health of servers; the LAN address, the port of the service.
    let candidates: Vec<_> = servers
        .iter()
        .map(|server| Candidate::new(best(server, false), Health::Unknown, 1, &label(server)))
        .filter(|candidate| !candidate.endpoint.host.is_empty())
        .collect();
    side_by_side(candidates, terms).into_route(terms.route(name, role, reason))
}
