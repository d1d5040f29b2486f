//! What a mode makes of a target: the way to it and the endpoints to dial.
//!
//! Consul: within the downstream's datacenter and partition a mode does not count. Elsewhere
//! `none` dials the instances, `local` the gateways here, `remote` the gateways there. Gateways
//! that are not known mean a refusal, none registered mean no endpoints; neither falls back to
//! the instances.

use std::sync::Arc;

use super::chain::Hop;
use super::endpoints;
use super::plan::Via;
use super::target::{Caller, locality};
use crate::mesh::catalog::{GatewayMode, Instance};
use crate::mesh::name::Locality;
use crate::mesh::route::{Health, MeshEndpoint};

/// What a mode makes of a target.
pub(super) struct Reach {
    pub(super) via: Via,
    pub(super) reason: String,
    pub(super) endpoints: Vec<MeshEndpoint>,
    pub(super) health: String,
    pub(super) refused: Option<String>,
}

impl Caller<'_, '_> {
    /// A service of the own mesh.
    pub(super) fn to_service(&self, hop: &Hop, mode: Option<GatewayMode>) -> Reach {
        let (here, there) = (&self.asker.locality, locality(hop));
        let direct = |via, why: &str| {
            let reason = format!("straight to the instances: {why}");
            self.direct(hop, &there, via, reason)
        };
        if !self.external_name(hop).is_empty() {
            let why = "its service-defaults set external_sni, and gateways know no such name";
            return direct(Via::ExternalName, why);
        }
        if *here == there {
            let why = match mode {
                Some(mode @ (GatewayMode::Local | GatewayMode::Remote)) => {
                    format!("{there} is where the downstream is, so mode {mode} does not count")
                }
                _ => format!("{there} is where the downstream is"),
            };
            return direct(Via::Direct, &why);
        }
        match mode {
            None => direct(Via::Direct, "nobody says a mode, which is as none"),
            Some(GatewayMode::None) => direct(Via::Direct, "mode none"),
            Some(GatewayMode::Local) => self.through(hop, here, Via::LocalGateways),
            Some(GatewayMode::Remote) => self.through(hop, &there, Via::RemoteGateways),
        }
    }

    fn direct(&self, hop: &Hop, there: &Locality, via: Via, reason: String) -> Reach {
        let wan = *there != self.asker.locality;
        let found = self.mesh.catalog.localities.contains_key(there);
        let endpoints = endpoints::instances(self.mesh, hop, there, wan);
        Reach {
            via,
            reason,
            endpoints,
            health: if found {
                "each instance by its own checks".to_owned()
            } else {
                format!("{there} is not known here")
            },
            refused: None,
        }
    }

    /// Consul: gateways are all up if the target has an instance that is, else all down; their
    /// own checks, maintenance included, do not count.
    fn through(&self, hop: &Hop, of: &Locality, via: Via) -> Reach {
        let there = locality(hop);
        let (up, all) = endpoints::tally(self.mesh, hop, &there);
        let health = if up > 0 { Health::Up } else { Health::Down };
        let gateways = endpoints::gateways(self.mesh, of, *of != self.asker.locality);
        let refused = gateways.is_none().then(|| unknown_gateways(of));
        let mut endpoints = gateways.unwrap_or_default();
        let none = endpoints.is_empty() && refused.is_none();
        for endpoint in &mut endpoints {
            endpoint.health = health;
        }
        Reach {
            via,
            reason: if none {
                format!("through the mesh gateways of {of}, of which none is registered")
            } else {
                format!("through the mesh gateways of {of}")
            },
            endpoints,
            health: format!(
                "all {}, since {} has {up} of {all} instances up in {there}; the gateways' own \
                 checks do not count",
                health.label(),
                subset_of(hop),
            ),
            refused,
        }
    }

    /// Consul: a peer's service is exported by the peer's gateways already, so `remote` and no
    /// mode at all mean what was imported, and `none` cannot be had. The gateways here count by
    /// their own checks, since what they lead to is not theirs.
    pub(super) fn to_peer(
        &self,
        hop: &Hop,
        mode: Option<GatewayMode>,
        exported: &[Arc<Instance>],
        notes: &mut Vec<String>,
    ) -> Reach {
        let here = &self.asker.locality;
        if mode == Some(GatewayMode::Local) {
            let gateways = endpoints::gateways(self.mesh, here, false);
            return Reach {
                via: Via::LocalGateways,
                reason: format!("through the mesh gateways of {here}"),
                refused: gateways.is_none().then(|| unknown_gateways(here)),
                endpoints: gateways.unwrap_or_default(),
                health: "each gateway by its own checks".to_owned(),
            };
        }
        if mode == Some(GatewayMode::None) {
            notes.push(format!(
                "mode none cannot be had for {} of a peer: it is taken as remote",
                hop.service
            ));
        }
        Reach {
            via: Via::Peer,
            reason: "through the mesh gateways of the peer, which is what it exports".to_owned(),
            endpoints: endpoints::imported(exported),
            health: "as the peer tells".to_owned(),
            refused: None,
        }
    }
}

fn unknown_gateways(of: &Locality) -> String {
    format!("{of} is not known here, so nobody knows its mesh gateways")
}

fn subset_of(hop: &Hop) -> String {
    match &hop.subset {
        Some(subset) => format!("subset {subset} of {}", hop.service),
        None => hop.service.to_string(),
    }
}
