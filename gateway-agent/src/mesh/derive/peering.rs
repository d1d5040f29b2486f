//! The control plane of peerings through mesh gateways: the servers here, and those of peers.

use std::sync::Arc;

use super::address::{Aim, best};
use super::draft::{Draft, count, places};
use super::endpoints::{Candidate, Endpoints, label, named_first, side_by_side};
use super::held::Held;
use super::terms::Terms;
use crate::mesh::catalog::{Instance, Peering};
use crate::mesh::route::{DnsDiscovery, Health, Reason, Role};
use crate::mesh::sni;

/// What the route to the servers here is derived from.
#[derive(Debug, PartialEq)]
pub(super) struct Own {
    pub(super) servers: Held<[Arc<Instance>]>,
}

impl Own {
    pub(super) fn derive(&self, terms: &Terms, draft: &mut Draft) {
        let mut voters = Vec::new();
        let mut candidates = Vec::new();
        for server in self.servers.iter() {
            // Consul: a read replica never leads, and only the leader answers peers.
            if server
                .service
                .meta
                .get("read_replica")
                .is_some_and(|value| value == "true")
            {
                continue;
            }
            voters.push(&**server);
            let Some(port) = tls_port(server) else {
                let text = format!(
                    "server {} tells no usable grpc_tls_port: no peer reaches it",
                    server.node.name
                );
                draft.note(text, vec![server.at.clone()]);
                continue;
            };
            let aim = Aim {
                port,
                ..best(server, false)
            };
            candidates.push(Candidate::new(aim, Health::Unknown, 1, &label(server)));
        }
        if voters.is_empty() {
            return;
        }
        let here = &terms.here.datacenter;
        let reason = Reason {
            rule: format!(
                "peers reach {} of {here}",
                count(candidates.len(), "server")
            )
            .into(),
            entries: places(voters).collect(),
        };
        let name = sni::peering(here, &terms.trust_domain);
        let route = terms.route(name, Role::PeeringLocalServers, reason);
        draft.add(side_by_side(candidates, terms).into_route(route));
    }
}

fn tls_port(server: &Instance) -> Option<u16> {
    let told = server.service.meta.get("grpc_tls_port")?;
    told.parse().ok().filter(|port| *port != 0)
}

/// What the route to the servers of peers is derived from: the peerings with one server name.
#[derive(Debug, PartialEq)]
pub(super) struct Remote {
    pub(super) peerings: Vec<Held<Peering>>,
}

impl Remote {
    pub(super) fn derive(&self, terms: &Terms, draft: &mut Draft) {
        // Consul: of several with one name the newest counts. The first, if they are of one age.
        let newest = self
            .peerings
            .iter()
            .rev()
            .max_by_key(|peering| peering.modify_index);
        let Some(peering) = newest else {
            return;
        };
        for other in self
            .peerings
            .iter()
            .filter(|other| other.name != peering.name)
        {
            let text = format!(
                "peers {} and {} have one server name, {}: the addresses of {} are used",
                peering.name, other.name, peering.server_name, peering.name
            );
            draft.note(text, vec![other.at.clone(), peering.at.clone()]);
        }
        let Endpoints { list, dns } = servers_of(peering, draft);
        if list.is_empty() {
            return;
        }
        let reason = Reason {
            rule: format!(
                "peer {} has {}",
                peering.name,
                count(list.len(), "server address")
            )
            .into(),
            entries: vec![peering.at.clone()],
        };
        let name = peering
            .server_name
            .trim_end_matches('.')
            .to_ascii_lowercase();
        if terms.fidelity.own_names && terms.is_ours(&name) {
            let text = format!(
                "peer {} names its servers {name}, as only something of this mesh may be named: \
                 they are left out",
                peering.name
            );
            draft.note(text, vec![peering.at.clone()]);
            return;
        }
        let route = terms.route(name, Role::PeeringRemoteServers, reason);
        draft.add(Endpoints { list, dns }.into_route(route));
    }
}

/// Consul, 1.15.8, 1.16.4, 1.17.1 on: host names go before addresses, and all are resolved.
fn servers_of(peering: &Peering, draft: &mut Draft) -> Endpoints {
    let mut candidates: Vec<Candidate> = Vec::new();
    for address in &peering.server_addresses {
        let Some(aim) = Aim::parse(address) else {
            let text = format!(
                "server address `{address}` of peer {} is left out; write host:port",
                peering.name
            );
            draft.note(text, vec![peering.at.clone()]);
            continue;
        };
        let candidate = Candidate::new(aim, Health::Unknown, 1, peering.name.as_str());
        if !candidates
            .iter()
            .any(|other| other.endpoint == candidate.endpoint)
        {
            candidates.push(candidate);
        }
    }
    named_first(candidates, DnsDiscovery::StrictDns)
}
