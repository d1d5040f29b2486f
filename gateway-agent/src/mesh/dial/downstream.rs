//! Who dials: the proxy of a service, found in the catalog.
//!
//! Instances of one service usually say the same; where they do not, the answer is one proxy's
//! and says so.

use std::sync::Arc;

use super::plan::Asker;
use super::{Downstream, Refusal};
use crate::mesh::Mesh;
use crate::mesh::catalog::{Instance, Kind, Placed, Proxy};
use crate::mesh::name::{Locality, Name, ServiceName};

/// Who dials, with its registration.
pub(super) struct Found<'m> {
    pub(super) service: ServiceName,
    pub(super) kind: Kind,
    pub(super) instance: Option<&'m Arc<Instance>>,
    pub(super) locality: Locality,
}

impl<'m> Found<'m> {
    fn new(instance: &'m Arc<Instance>) -> Self {
        Self {
            service: destination(instance).unwrap_or_else(|| instance.service_name()),
            kind: instance.service.kind,
            instance: Some(instance),
            locality: instance.locality(),
        }
    }

    /// What its registration says as a proxy.
    pub(super) fn proxy(&self) -> Option<&'m Proxy> {
        self.instance?.service.proxy.as_deref()
    }

    /// Its namespace as a proxy, which is that of upstreams that name none.
    pub(super) fn namespace(&self) -> &Name {
        &self.service.namespace
    }

    /// Whether it leads into the mesh: it then has listeners instead of upstreams.
    pub(super) fn is_gateway(&self) -> bool {
        leads_in(self.kind)
    }

    pub(super) fn into_plan(self) -> Asker {
        Asker {
            kind: self.kind,
            instance: self.instance.map(|instance| named(instance)),
            at: self.instance.map(|instance| instance.at.clone()),
            service: self.service,
            locality: self.locality,
        }
    }
}

/// Finds who dials.
pub(super) fn find<'m>(
    mesh: &'m Mesh,
    downstream: Downstream<'_>,
    notes: &mut Vec<String>,
) -> Result<Found<'m>, Refusal> {
    let found = match downstream {
        Downstream::Service(service) => of_service(mesh, service, notes),
        Downstream::Proxy(id) => with_id(mesh, id, notes),
    }?;
    if found.locality != mesh.here {
        notes.push(format!(
            "{} is in {}, so that is whose gateways are the local ones",
            found.service, found.locality
        ));
    }
    Ok(found)
}

/// `node/service id`.
pub(super) fn named(instance: &Instance) -> String {
    format!("{}/{}", instance.node.name, instance.service.id)
}

fn of_service<'m>(
    mesh: &'m Mesh,
    service: &ServiceName,
    notes: &mut Vec<String>,
) -> Result<Found<'m>, Refusal> {
    let named_so = |instance: &&Arc<Instance>| instance.service_name() == *service;
    let dialling = |instance: &&Arc<Instance>| {
        dials(instance) && (named_so(instance) || destination(instance).as_ref() == Some(service))
    };
    let proxies = first_locality(mesh, dialling);
    if let Some(first) = proxies.first() {
        note_differences(service, &proxies, notes);
        return Ok(Found::new(first));
    }
    let others = first_locality(mesh, named_so);
    if let Some(first) = others.first() {
        return without_proxy(service, first, notes);
    }
    if mesh.entries.service_defaults.contains_key(service) {
        notes.push(format!(
            "no proxy of {service} is registered: levels 1 and 3 have nothing to say"
        ));
        return Ok(Found {
            service: service.clone(),
            kind: Kind::ConnectProxy,
            instance: None,
            locality: Locality {
                datacenter: mesh.here.datacenter.clone(),
                partition: service.partition.clone(),
            },
        });
    }
    let known = all(mesh).filter(|instance| can_be_asked(instance.service.kind));
    let known =
        known.map(|instance| destination(instance).unwrap_or_else(|| instance.service_name()));
    let known = known.chain(mesh.entries.service_defaults.keys().cloned());
    Err(Refusal::new(format!("no service `{service}` is known"))
        .nearest(&service.to_string(), known.map(|known| known.to_string())))
}

/// An instance without a proxy: an application, or a gateway that does not dial like one.
fn without_proxy<'m>(
    service: &ServiceName,
    first: &'m Arc<Instance>,
    notes: &mut Vec<String>,
) -> Result<Found<'m>, Refusal> {
    let own = &first.service;
    if matches!(own.kind, Kind::MeshGateway | Kind::TerminatingGateway) {
        let what = format!("`{service}` is a {}", own.kind.label());
        return Err(Refusal::new(format!("{what} and has no upstreams"))
            .help("name a service that has a proxy, or an ingress gateway"));
    }
    notes.push(if own.native {
        format!("{service} speaks the mesh's TLS itself: this is what a proxy of it would be told")
    } else {
        format!("no proxy of {service} is registered: levels 1 and 3 have nothing to say")
    });
    Ok(Found::new(first))
}

fn with_id<'m>(mesh: &'m Mesh, id: &str, notes: &mut Vec<String>) -> Result<Found<'m>, Refusal> {
    let by_id = first_locality(mesh, |instance| {
        let proxy = instance.service.proxy.as_deref();
        let stands_for = proxy.is_some_and(|proxy| proxy.destination_id == id);
        dials(instance) && (instance.service.id == id || stands_for)
    });
    let Some(first) = by_id.first() else {
        let known = all(mesh).filter(|instance| dials(instance));
        let known = known.map(|instance| instance.service.id.clone());
        return Err(
            Refusal::new(format!("no proxy with the ID `{id}` is known")).nearest(id, known),
        );
    };
    let found = Found::new(first);
    note_differences(&found.service, &by_id, notes);
    Ok(found)
}

/// What matches where we are; where nothing does, in the first locality where something does.
fn first_locality<'m>(
    mesh: &'m Mesh,
    wanted: impl Fn(&&'m Arc<Instance>) -> bool,
) -> Vec<&'m Arc<Instance>> {
    let localities = &mesh.catalog.localities;
    let here = localities.get(&mesh.here).into_iter();
    here.chain(localities.values())
        .map(|census| census.all.iter().filter(&wanted).collect::<Vec<_>>())
        .find(|matching| !matching.is_empty())
        .unwrap_or_default()
}

fn all(mesh: &Mesh) -> impl Iterator<Item = &Arc<Instance>> {
    let localities = mesh.catalog.localities.values();
    localities.flat_map(|census| &census.all)
}

/// The service that a proxy stands for.
fn destination(instance: &Instance) -> Option<ServiceName> {
    let proxy = instance.service.proxy.as_deref();
    let proxy = proxy.filter(|_| instance.service.kind == Kind::ConnectProxy)?;
    Some(ServiceName {
        name: proxy.destination_service.clone(),
        namespace: instance.service.namespace.clone(),
        partition: instance.node.partition.clone(),
    })
}

fn dials(instance: &Instance) -> bool {
    let kind = instance.service.kind;
    kind == Kind::ConnectProxy || leads_in(kind)
}

fn leads_in(kind: Kind) -> bool {
    matches!(kind, Kind::IngressGateway | Kind::ApiGateway)
}

fn can_be_asked(kind: Kind) -> bool {
    !matches!(kind, Kind::MeshGateway | Kind::TerminatingGateway)
}

/// Notes proxies of one service that do not all say the same about modes and upstreams.
fn note_differences(service: &ServiceName, proxies: &[&Arc<Instance>], notes: &mut Vec<String>) {
    let Some((first, rest)) = proxies.split_first() else {
        return;
    };
    let said = said(first);
    let others = rest.iter().filter(|proxy| self::said(proxy) != said);
    let others: Vec<String> = others.map(|proxy| named(proxy)).collect();
    if !others.is_empty() {
        notes.push(format!(
            "the proxies of {service} differ: this is the answer for {}; others are {}",
            named(first),
            others.join(", ")
        ));
    }
}

/// What a registration says about modes, wherever it says it.
fn said(instance: &Instance) -> Option<impl PartialEq + use<'_>> {
    let proxy = instance.service.proxy.as_deref()?;
    let value = |mode: &Option<Placed<_>>| mode.as_ref().map(|mode| mode.value);
    let upstreams = proxy.upstreams.iter().map(|upstream| {
        let name = (
            &upstream.namespace,
            &upstream.partition,
            &upstream.destination,
        );
        let place = (&upstream.datacenter, &upstream.peer);
        (upstream.kind, name, place, value(&upstream.mesh_gateway))
    });
    Some((value(&proxy.mesh_gateway), upstreams.collect::<Vec<_>>()))
}
