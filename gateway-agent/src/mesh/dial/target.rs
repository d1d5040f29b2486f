//! One target of a chain: its mode, and what follows from it.
//!
//! Consul: the downstream's levels hold for every target of a chain; where they are silent, each
//! target answers for itself. Server name and identity are the target's whatever the way, since a
//! gateway is invisible to TLS.

use std::sync::Arc;
use std::time::Duration;

use super::chain::{self, Hop, resolver};
use super::downstream::Found;
use super::levels::{self, decision, overriding};
use super::plan::{Level, Target, Via};
use super::upstream::Asked;
use super::{ModeRules, identity};
use crate::mesh::catalog::Instance;
use crate::mesh::name::Locality;
use crate::mesh::{Mesh, sni};

/// Who dials, with what it says of every target.
pub(super) struct Caller<'m, 'a> {
    pub(super) mesh: &'m Mesh,
    pub(super) asker: &'a Found<'m>,
    pub(super) asked: &'a Asked<'m>,
    /// Levels 1 to 6.
    pub(super) own: &'a [Level],
}

impl Caller<'_, '_> {
    /// Where connections go, and who takes over, in order. There is at least one target.
    pub(super) fn reach(
        &self,
        rules: ModeRules,
        notes: &mut Vec<String>,
    ) -> (Vec<Target>, Vec<Target>) {
        if self.asked.is_query() {
            return (vec![self.query()], Vec::new());
        }
        let (targets, others) = chain::compile(self.mesh, self.asked.start(), rules, notes);
        let mut aim = |hops: Vec<Hop>| {
            let targets = hops.into_iter().map(|hop| self.aim(hop, notes));
            targets.collect::<Vec<Target>>()
        };
        (aim(targets), aim(others))
    }

    fn aim(&self, hop: Hop, notes: &mut Vec<String>) -> Target {
        let last = levels::of_target(self.mesh, &hop.service, hop.peer.as_ref());
        let from = decision(self.own).or_else(|| decision(&last)).cloned();
        let mode = from.as_ref().and_then(|level| level.value);
        let exported = self.exported(&hop);
        let reach = match &hop.peer {
            Some(_) => self.to_peer(&hop, mode, exported, notes),
            None => self.to_service(&hop, mode),
        };
        let (sni, spiffe) = match &hop.peer {
            Some(_) => told_by_peer(&hop, exported, notes),
            None => self.names(&hop),
        };
        Target {
            connect_timeout: self.connect_timeout(&hop),
            datacenter: hop.peer.is_none().then_some(hop.datacenter),
            service: hop.service,
            query: false,
            subset: hop.subset,
            peer: hop.peer,
            way: hop.way,
            mode,
            mode_from: from,
            via: reach.via,
            reason: reach.reason,
            sni,
            spiffe,
            endpoints: reach.endpoints,
            health: reach.health,
            refused: reach.refused,
        }
    }

    /// A prepared query. Its instances are known only when it is executed, and no mesh gateway
    /// routes its server name: it is dialled directly whatever the modes say.
    fn query(&self) -> Target {
        let (asked, trust_domain) = (self.asked, &self.mesh.trust_domain);
        let (name, datacenter) = (&asked.service.name, &asked.datacenter);
        let sni = format!("{name}.default.{datacenter}.query.{trust_domain}");
        let reason = "a prepared query is only dialled directly: no mesh gateway routes its name";
        let health = "instances and identities are known when the query is executed";
        Target {
            service: asked.service.clone(),
            query: true,
            subset: None,
            datacenter: Some(datacenter.clone()),
            peer: None,
            way: Vec::new(),
            mode: None,
            mode_from: None,
            via: Via::Direct,
            reason: reason.to_owned(),
            sni: sni.to_ascii_lowercase(),
            spiffe: Vec::new(),
            endpoints: Vec::new(),
            health: health.to_owned(),
            connect_timeout: self.connect_timeout(&asked.start()),
            refused: None,
        }
    }

    /// What a peer exports under the name of a target.
    fn exported(&self, hop: &Hop) -> &[Arc<Instance>] {
        let imported = &self.mesh.catalog.imported;
        let key = hop.peer.clone().map(|peer| (peer, hop.service.clone()));
        key.and_then(|key| imported.get(&key))
            .map_or(&[], |instances| instances)
    }

    /// Server name and identity, spelt as the catalog spells them: identities do not fold case.
    fn names(&self, hop: &Hop) -> (String, Vec<String>) {
        let trust_domain = &self.mesh.trust_domain;
        let localities = &self.mesh.catalog.localities;
        let known = localities.get_key_value(&locality(hop));
        let datacenter = known.map_or(&hop.datacenter, |(known, _)| &known.datacenter);
        let service = known
            .and_then(|(_, census)| census.connect.get_key_value(&hop.service))
            .map_or(&hop.service, |(service, _)| service);
        let identity = identity::service(service, datacenter, trust_domain);
        let name = match self.external_name(hop) {
            "" => sni::service(service, hop.subset.as_deref(), datacenter, trust_domain),
            external => external.to_owned(),
        };
        (name, identity.into_iter().collect())
    }

    pub(super) fn external_name(&self, hop: &Hop) -> &str {
        let defaults = self.mesh.entries.service_defaults.get(&hop.service);
        defaults.map_or("", |defaults| &defaults.external_sni)
    }

    /// Consul: what the downstream sets for the upstream holds for the whole chain; else each
    /// target's resolver says; else 5 s.
    fn connect_timeout(&self, hop: &Hop) -> Duration {
        let in_registration = self
            .asked
            .stanza
            .and_then(|stanza| stanza.config.number("connect_timeout_ms"))
            .and_then(|told| u64::try_from(told).ok());
        let defaults = self.mesh.entries.service_defaults.get(&self.asker.service);
        let config = defaults.and_then(|defaults| defaults.upstream_config.as_ref());
        let config = config.filter(|_| !self.asker.is_gateway());
        let of_one = config.and_then(|config| overriding(config, self.asked));
        let of_all = config.and_then(|config| config.defaults.as_ref());
        let in_entries = [of_one, of_all].into_iter().flatten();
        let told = in_registration.into_iter();
        let told = told.chain(in_entries.filter_map(|config| config.connect_timeout_ms));
        let own = resolver(self.mesh, hop).and_then(|resolver| resolver.connect_timeout);
        told.filter(|told| *told > 0)
            .map(Duration::from_millis)
            .next()
            .or_else(|| own.filter(|own| !own.is_zero()))
            .unwrap_or(CONNECT_TIMEOUT)
    }
}

/// Consul's, where nobody says one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Consul: server name and identities come from the peer and are not built here.
fn told_by_peer(
    hop: &Hop,
    exported: &[Arc<Instance>],
    notes: &mut Vec<String>,
) -> (String, Vec<String>) {
    let told = exported
        .iter()
        .filter_map(|instance| instance.service.peer_meta.as_ref())
        .find_map(|meta| Some((meta.sni.first()?, meta)));
    let Some((name, meta)) = told else {
        notes.push(format!(
            "the peer has told no server name of {}: it cannot be dialled",
            hop.service
        ));
        return (String::new(), Vec::new());
    };
    (name.to_ascii_lowercase(), meta.spiffe_ids.clone())
}

pub(super) fn locality(hop: &Hop) -> Locality {
    Locality {
        datacenter: hop.datacenter.clone(),
        partition: hop.service.partition.clone(),
    }
}
