//! One entry of any kind, and how it joins the others.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::fmt;
use std::sync::Arc;

use super::{
    Entries, ExportedServices, IngressGateway, MeshSettings, ProxyDefaults, ServiceDefaults,
    ServiceResolver, ServiceRouter, ServiceSplitter, TerminatingGateway,
};
use crate::control::snapshot::Place;
use crate::mesh::intentions::ServiceIntentions;
use crate::mesh::name::ServiceName;

/// A config entry of any kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// `proxy-defaults`.
    ProxyDefaults(Arc<ProxyDefaults>),
    /// `service-defaults`.
    ServiceDefaults(Arc<ServiceDefaults>),
    /// `service-resolver`.
    ServiceResolver(Arc<ServiceResolver>),
    /// `service-router`.
    ServiceRouter(Arc<ServiceRouter>),
    /// `service-splitter`.
    ServiceSplitter(Arc<ServiceSplitter>),
    /// `service-intentions`.
    ServiceIntentions(Arc<ServiceIntentions>),
    /// `ingress-gateway`.
    IngressGateway(Arc<IngressGateway>),
    /// `terminating-gateway`.
    TerminatingGateway(Arc<TerminatingGateway>),
    /// `mesh`.
    MeshSettings(Arc<MeshSettings>),
    /// `exported-services`.
    ExportedServices(Arc<ExportedServices>),
}

impl Entry {
    /// What it is about.
    #[must_use]
    pub fn kind(&self) -> EntryKind {
        match self {
            Self::ProxyDefaults(_) => EntryKind::ProxyDefaults,
            Self::ServiceDefaults(_) => EntryKind::ServiceDefaults,
            Self::ServiceResolver(_) => EntryKind::ServiceResolver,
            Self::ServiceRouter(_) => EntryKind::ServiceRouter,
            Self::ServiceSplitter(_) => EntryKind::ServiceSplitter,
            Self::ServiceIntentions(_) => EntryKind::ServiceIntentions,
            Self::IngressGateway(_) => EntryKind::IngressGateway,
            Self::TerminatingGateway(_) => EntryKind::TerminatingGateway,
            Self::MeshSettings(_) => EntryKind::MeshSettings,
            Self::ExportedServices(_) => EntryKind::ExportedServices,
        }
    }

    /// Where it stands.
    #[must_use]
    pub fn at(&self) -> &Place {
        match self {
            Self::ProxyDefaults(entry) => &entry.at,
            Self::ServiceDefaults(entry) => &entry.at,
            Self::ServiceResolver(entry) => &entry.at,
            Self::ServiceRouter(entry) => &entry.at,
            Self::ServiceSplitter(entry) => &entry.at,
            Self::ServiceIntentions(entry) => &entry.at,
            Self::IngressGateway(entry) => &entry.at,
            Self::TerminatingGateway(entry) => &entry.at,
            Self::MeshSettings(entry) => &entry.at,
            Self::ExportedServices(entry) => &entry.at,
        }
    }
}

impl fmt::Display for Entry {
    /// ``service-resolver "web"``; those of a whole partition by their partition alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name: &dyn fmt::Display = match self {
            Self::ProxyDefaults(entry) => &entry.partition,
            Self::ServiceDefaults(entry) => &entry.service,
            Self::ServiceResolver(entry) => &entry.service,
            Self::ServiceRouter(entry) => &entry.service,
            Self::ServiceSplitter(entry) => &entry.service,
            Self::ServiceIntentions(entry) => &destination(entry),
            Self::IngressGateway(entry) => &entry.gateway,
            Self::TerminatingGateway(entry) => &entry.gateway,
            Self::MeshSettings(entry) => &entry.partition,
            Self::ExportedServices(entry) => &entry.partition,
        };
        write!(f, "{} \"{name}\"", self.kind())
    }
}

impl Entries {
    /// Adds an entry. Kind and name are those of one entry only.
    ///
    /// # Errors
    ///
    /// Where the first one of its kind and name stands, which stays.
    pub fn insert(&mut self, entry: Entry) -> Result<(), Place> {
        match entry {
            Entry::ProxyDefaults(entry) => add(
                &mut self.proxy_defaults,
                entry.partition.clone(),
                entry,
                |entry| &entry.at,
            ),
            Entry::ServiceDefaults(entry) => add(
                &mut self.service_defaults,
                entry.service.clone(),
                entry,
                |entry| &entry.at,
            ),
            Entry::ServiceResolver(entry) => {
                add(&mut self.resolvers, entry.service.clone(), entry, |entry| {
                    &entry.at
                })
            }
            Entry::ServiceRouter(entry) => {
                add(&mut self.routers, entry.service.clone(), entry, |entry| {
                    &entry.at
                })
            }
            Entry::ServiceSplitter(entry) => {
                add(&mut self.splitters, entry.service.clone(), entry, |entry| {
                    &entry.at
                })
            }
            Entry::ServiceIntentions(entry) => {
                add(&mut self.intentions, destination(&entry), entry, |entry| {
                    &entry.at
                })
            }
            Entry::IngressGateway(entry) => {
                add(&mut self.ingress, entry.gateway.clone(), entry, |entry| {
                    &entry.at
                })
            }
            Entry::TerminatingGateway(entry) => add(
                &mut self.terminating,
                entry.gateway.clone(),
                entry,
                |entry| &entry.at,
            ),
            Entry::MeshSettings(entry) => {
                add(&mut self.mesh, entry.partition.clone(), entry, |entry| {
                    &entry.at
                })
            }
            Entry::ExportedServices(entry) => add(
                &mut self.exported,
                entry.partition.clone(),
                entry,
                |entry| &entry.at,
            ),
        }
    }
}

fn destination(entry: &ServiceIntentions) -> ServiceName {
    ServiceName::new(&entry.name, &entry.namespace, &entry.partition)
}

fn add<K: Ord, V>(
    map: &mut BTreeMap<K, Arc<V>>,
    key: K,
    value: Arc<V>,
    at: impl Fn(&V) -> &Place,
) -> Result<(), Place> {
    match map.entry(key) {
        Slot::Vacant(slot) => {
            slot.insert(value);
            Ok(())
        }
        Slot::Occupied(first) => Err(at(first.get()).clone()),
    }
}

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// Settings of all proxies.
    ProxyDefaults,
    /// Settings of one service.
    ServiceDefaults,
    /// Where a service's connections go.
    ServiceResolver,
    /// Where a service's requests go.
    ServiceRouter,
    /// Shares of a service's requests.
    ServiceSplitter,
    /// Who may connect to whom.
    ServiceIntentions,
    /// What enters the mesh.
    IngressGateway,
    /// What terminating gateways link.
    TerminatingGateway,
    /// Settings of the mesh.
    MeshSettings,
    /// What peers and partitions may use.
    ExportedServices,
}

impl EntryKind {
    /// All of them, the most used first.
    pub const ALL: [Self; 10] = [
        Self::ProxyDefaults,
        Self::ServiceDefaults,
        Self::ServiceResolver,
        Self::ServiceRouter,
        Self::ServiceSplitter,
        Self::ServiceIntentions,
        Self::IngressGateway,
        Self::TerminatingGateway,
        Self::MeshSettings,
        Self::ExportedServices,
    ];

    /// The word of configuration.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::ProxyDefaults => "proxy-defaults",
            Self::ServiceDefaults => "service-defaults",
            Self::ServiceResolver => "service-resolver",
            Self::ServiceRouter => "service-router",
            Self::ServiceSplitter => "service-splitter",
            Self::ServiceIntentions => "service-intentions",
            Self::IngressGateway => "ingress-gateway",
            Self::TerminatingGateway => "terminating-gateway",
            Self::MeshSettings => "mesh",
            Self::ExportedServices => "exported-services",
        }
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}
