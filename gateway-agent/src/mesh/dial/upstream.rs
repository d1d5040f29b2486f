//! Whom a proxy dials: the question, completed by what the registration says.

use super::chain::Hop;
use super::downstream::Found;
use super::plan;
use super::{Question, Refusal};
use crate::mesh::Mesh;
use crate::mesh::catalog::{Upstream, UpstreamKind};
use crate::mesh::entries::Entries;
use crate::mesh::name::{Locality, Name, ServiceName};

/// Whom, with what the registration says of it.
pub(super) struct Asked<'m> {
    pub(super) service: ServiceName,
    pub(super) peer: Option<Name>,
    /// Of no meaning for a peer's.
    pub(super) datacenter: Name,
    pub(super) stanza: Option<&'m Upstream>,
}

impl Asked<'_> {
    pub(super) fn is_query(&self) -> bool {
        let kind = self.stanza.map(|stanza| stanza.kind);
        kind == Some(UpstreamKind::PreparedQuery)
    }

    /// Where its chain starts.
    pub(super) fn start(&self) -> Hop {
        Hop {
            service: self.service.clone(),
            subset: None,
            datacenter: self.datacenter.clone(),
            peer: self.peer.clone(),
            way: Vec::new(),
        }
    }

    /// In words, without where it is taken from by default.
    pub(super) fn label(&self) -> String {
        match &self.peer {
            Some(peer) => format!("{} of peer {peer}", self.service),
            None => self.service.to_string(),
        }
    }

    pub(super) fn into_plan(self) -> plan::Asked {
        plan::Asked {
            prepared_query: self.is_query(),
            datacenter: self.peer.is_none().then_some(self.datacenter),
            at: self.stanza.map(|stanza| stanza.at.clone()),
            service: self.service,
            peer: self.peer,
        }
    }
}

/// Completes the question.
pub(super) fn find<'m>(
    mesh: &'m Mesh,
    asker: &Found<'m>,
    question: &Question<'_>,
    notes: &mut Vec<String>,
) -> Result<Asked<'m>, Refusal> {
    if let (Some(peer), Some(datacenter)) = (question.peer, question.datacenter) {
        let what = format!("peer `{peer}` and datacenter `{datacenter}` exclude each other");
        return Err(Refusal::new(what).help("name one of them"));
    }
    let stanza = stanza(asker, question, notes);
    let given = |name: &Name| (!name.as_str().is_empty()).then(|| name.clone());
    let peer = question.peer.cloned();
    let datacenter = question.datacenter.cloned();
    let asked = Asked {
        service: question.upstream.clone(),
        peer: peer.or_else(|| stanza.and_then(|stanza| given(&stanza.peer))),
        datacenter: datacenter
            .or_else(|| stanza.and_then(|stanza| given(&stanza.datacenter)))
            .unwrap_or_else(|| asker.locality.datacenter.clone()),
        stanza,
    };
    if stanza.is_none() {
        known(mesh, &asked)?;
        note_absence(asker, &asked, notes);
    }
    Ok(asked)
}

/// The protocol of an upstream: a peer tells that of its own service.
pub(super) fn protocol(mesh: &Mesh, asked: &Asked<'_>) -> String {
    let Some(peer) = &asked.peer else {
        return mesh.entries.protocol(&asked.service).to_owned();
    };
    let imported = (peer.clone(), asked.service.clone());
    let instances = mesh.catalog.imported.get(&imported);
    let told = instances.into_iter().flat_map(|instances| instances.iter());
    told.filter_map(|instance| instance.service.peer_meta.as_ref())
        .map(|meta| meta.protocol.clone())
        .find(|protocol| !protocol.is_empty())
        .unwrap_or_else(|| "tcp".to_owned())
}

/// The upstream of the registration that the question means.
fn stanza<'m>(
    asker: &Found<'m>,
    question: &Question<'_>,
    notes: &mut Vec<String>,
) -> Option<&'m Upstream> {
    let named: Vec<&Upstream> = asker
        .proxy()?
        .upstreams
        .iter()
        .filter(|upstream| named_by(upstream, asker) == *question.upstream)
        .collect();
    let own = |name: &Name| name.as_str().is_empty() || *name == asker.locality.datacenter;
    let here =
        |upstream: &&&Upstream| upstream.peer.as_str().is_empty() && own(&upstream.datacenter);
    match (question.peer, question.datacenter) {
        (Some(peer), _) => named.into_iter().find(|upstream| upstream.peer == *peer),
        (None, Some(datacenter)) => named.into_iter().find(|upstream| {
            let inside = upstream.peer.as_str().is_empty();
            let same = upstream.datacenter == *datacenter;
            inside && (same || (own(&upstream.datacenter) && own(datacenter)))
        }),
        (None, None) => {
            let chosen = named.iter().find(here).or_else(|| named.first()).copied()?;
            if named.len() > 1 {
                notes.push(format!(
                    "the registration names {} upstreams {}: this is the answer for the one at {}; \
                     name a datacenter or a peer for another",
                    named.len(),
                    question.upstream,
                    chosen.at
                ));
            }
            Some(chosen)
        }
    }
}

/// The name of a registration's upstream. Consul: what is not said is as the proxy's own.
fn named_by(upstream: &Upstream, asker: &Found<'_>) -> ServiceName {
    let or_own = |name: &Name, own: &Name| {
        let chosen = if name.as_str().is_empty() { own } else { name };
        chosen.clone()
    };
    ServiceName {
        name: upstream.destination.clone(),
        namespace: or_own(&upstream.namespace, asker.namespace()),
        partition: or_own(&upstream.partition, &asker.locality.partition),
    }
}

/// Refuses an upstream that no registration names and nobody knows: most likely a slip.
fn known(mesh: &Mesh, asked: &Asked<'_>) -> Result<(), Refusal> {
    match &asked.peer {
        Some(peer) => known_at_peer(mesh, peer, &asked.service),
        None => known_here(mesh, asked),
    }
}

fn known_at_peer(mesh: &Mesh, peer: &Name, service: &ServiceName) -> Result<(), Refusal> {
    let catalog = &mesh.catalog;
    let exporters = catalog.imported.keys().map(|(peer, _)| peer);
    let mut peers = catalog.peerings.keys().chain(exporters);
    if !peers.any(|known| known == peer) {
        let known = catalog.peerings.keys().map(ToString::to_string);
        let what = format!("no peer `{peer}` is known");
        return Err(Refusal::new(what).nearest(peer.as_str(), known));
    }
    let mut services = catalog.imported.keys().filter(|(from, _)| from == peer);
    if services.any(|(_, known)| known == service) {
        return Ok(());
    }
    let known = catalog.imported.keys().filter(|(from, _)| from == peer);
    let known = known.map(|(_, service)| service.to_string());
    let what = format!("peer {peer} exports no service `{service}`");
    Err(Refusal::new(what).nearest(&service.to_string(), known))
}

fn known_here(mesh: &Mesh, asked: &Asked<'_>) -> Result<(), Refusal> {
    let localities = &mesh.catalog.localities;
    let mut datacenters = localities.keys().map(|locality| &locality.datacenter);
    if !datacenters.any(|known| *known == asked.datacenter) {
        let known = localities
            .keys()
            .map(|Locality { datacenter, .. }| datacenter.to_string());
        let what = format!("no datacenter `{}` is known", asked.datacenter);
        return Err(Refusal::new(what).nearest(asked.datacenter.as_str(), known));
    }
    let services = || {
        let connected = localities.values().flat_map(|census| census.connect.keys());
        connected.chain(configured(&mesh.entries))
    };
    if services().any(|known| *known == asked.service) {
        return Ok(());
    }
    let what = format!("no service `{}` is known in the mesh", asked.service);
    let known = services().map(ToString::to_string);
    Err(Refusal::new(what).nearest(&asked.service.to_string(), known))
}

/// Services that entries speak of: some are names only, which lead elsewhere.
fn configured(entries: &Entries) -> impl Iterator<Item = &ServiceName> {
    let settings = entries
        .resolvers
        .keys()
        .chain(entries.service_defaults.keys());
    settings
        .chain(entries.routers.keys())
        .chain(entries.splitters.keys())
}

fn note_absence(asker: &Found<'_>, asked: &Asked<'_>, notes: &mut Vec<String>) {
    let Some(proxy) = asker.proxy().filter(|_| !asker.is_gateway()) else {
        return;
    };
    let others = proxy
        .upstreams
        .iter()
        .filter(|upstream| named_by(upstream, asker) == asked.service)
        .map(|upstream| match (&upstream.peer, &upstream.datacenter) {
            (peer, _) if !peer.as_str().is_empty() => format!("peer {peer}"),
            (_, datacenter) if !datacenter.as_str().is_empty() => datacenter.to_string(),
            _ => asker.locality.datacenter.to_string(),
        });
    let others: Vec<String> = others.collect();
    let place = match &asked.peer {
        Some(peer) => format!("peer {peer}"),
        None => asked.datacenter.to_string(),
    };
    let elsewhere = if others.is_empty() {
        String::new()
    } else {
        format!(" (it names the one of {})", others.join(", "))
    };
    notes.push(format!(
        "the proxy of {} names no upstream {} of {place}{elsewhere}: level 1 has nothing to say",
        asker.service, asked.service
    ));
}
