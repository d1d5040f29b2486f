//! `gateway "mesh" { ... }`: the gateway that culvert is. The block beats its registration, which
//! may stand in the files like that of any gateway.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::fields::{self, what};
use super::gathered::{Gathered, Home};
use super::scope::Realm;
use crate::config::access;
use crate::config::diagnostic::Diagnostic;
use crate::config::listener;
use crate::config::reader::Reader;
use crate::config::source::{Sources, Span};
use crate::config::syntax::Table;
use crate::config::value;
use crate::control::cluster::Target;
use crate::control::policy::Access;
use crate::control::snapshot::{AcceptProxy, Refuse};
use crate::mesh::catalog::{Catalog, Instance, Kind, Opaque, TaggedAddress};
use crate::mesh::name::{Locality, Name, ServiceName};
use crate::mesh::route::DnsDiscovery;
use crate::mesh::state::Gateway;

/// The gateway's listener and its own settings.
#[derive(Debug)]
pub struct GatewayConfig {
    /// Its name.
    pub name: Arc<str>,
    /// Addresses to bind.
    pub addresses: Vec<SocketAddr>,
    /// Who may connect.
    pub access: Access,
    /// From whom PROXY headers are read.
    pub accept_proxy: Option<AcceptProxy>,
    /// How refusals look.
    pub refuse: Refuse,
    /// How host names of other gateways are resolved where their registration does not say.
    pub hostnames: DnsDiscovery,
    /// With fewer than this percentage of a route's endpoints up, all are used; `None`: what
    /// `health` says.
    pub panic_percent: Option<u8>,
    /// Where its label stands.
    pub(crate) at: Span,
    /// Where each address stands; the label, for those of a registration.
    pub(in crate::config) addresses_at: Vec<Span>,
}

/// What the block says about the registration.
pub(in crate::config) struct Block {
    config: GatewayConfig,
    service: Name,
    id: Option<(String, Span)>,
    wan: Option<TaggedAddress>,
    meta: BTreeMap<String, String>,
    opaque: Opaque,
    expose_servers: Option<bool>,
}

/// Consul's default name of the service.
const SERVICE: &str = "mesh-gateway";

/// Consul's mark of a gateway that leads to the servers.
const FEDERATION: &str = "consul-wan-federation";

/// Reads one block.
pub(in crate::config) fn read(
    (label, at): (&str, Span),
    table: &Table<'_>,
    errors: &mut Vec<Diagnostic>,
) -> Option<Block> {
    let mut reader = Reader::new(table, at, what("gateway", Some(label)), errors);
    let known = label == "mesh";
    if !known {
        let message = format!("there is no gateway \"{label}\"");
        reader.error(Diagnostic::new(at, message, "expected `gateway \"mesh\"`"));
    }
    let (addresses, addresses_at) = reader
        .parsed_list("address", value::listen_address)
        .into_iter()
        .unzip();
    let block = Block {
        config: GatewayConfig {
            name: label.into(),
            addresses,
            access: access::read(&mut reader),
            accept_proxy: listener::accept_proxy(&mut reader),
            refuse: reader.word("refuse", listener::REFUSE).unwrap_or_default(),
            hostnames: reader
                .word("hostnames", HOSTNAMES)
                .unwrap_or(DnsDiscovery::StrictDns),
            panic_percent: reader.number("panic_percent", 0..=100),
            at,
            addresses_at,
        },
        service: reader
            .name("service")
            .map_or_else(|| Name::new(SERVICE), |(name, _)| name),
        id: reader.string("id").map(|(text, at)| (text.to_owned(), at)),
        wan: reader.parsed("wan_address", value::target).map(tagged),
        meta: fields::meta(&mut reader, |key| key == FEDERATION),
        opaque: reader.opaque("config"),
        expose_servers: reader.bool("expose_servers"),
    };
    reader.finish();
    known.then_some(block)
}

const HOSTNAMES: &[(&str, DnsDiscovery)] = &[
    ("all", DnsDiscovery::StrictDns),
    ("first", DnsDiscovery::LogicalDns),
];

fn tagged(target: Target) -> TaggedAddress {
    match target {
        Target::Address(address) => TaggedAddress {
            address: address.ip().to_string(),
            port: address.port(),
        },
        Target::Host { host, port } => TaggedAddress {
            address: host.to_string(),
            port,
        },
    }
}

impl Block {
    /// The gateway and its listener, from the block and the registration.
    pub(super) fn merge(
        mut self,
        catalog: &Catalog,
        here: &Locality,
        sources: &Sources,
        errors: &mut Vec<Diagnostic>,
    ) -> (Gateway, GatewayConfig) {
        let registration = self.registration(catalog, here, errors);
        let mut gateway = match registration {
            Some(instance) => registered(instance),
            None => unregistered(&self.service, here),
        };
        gateway.at = sources.place(self.config.at);
        if let Some(first) = self.config.addresses.first() {
            let any = first.ip().is_unspecified();
            let address = if any {
                String::new()
            } else {
                first.ip().to_string()
            };
            if !any {
                let lan = TaggedAddress {
                    address: address.clone(),
                    port: first.port(),
                };
                gateway.tagged.insert("lan".to_owned(), lan);
            }
            (gateway.address, gateway.port) = (address, first.port());
        }
        gateway
            .tagged
            .extend(self.wan.take().map(|wan| ("wan".to_owned(), wan)));
        gateway.meta.append(&mut self.meta);
        gateway.config.0.append(&mut self.opaque.0);
        match self.expose_servers {
            Some(true) => drop(gateway.meta.insert(FEDERATION.to_owned(), "1".to_owned())),
            Some(false) => drop(gateway.meta.remove(FEDERATION)),
            None => {}
        }
        let mut config = self.config;
        if config.addresses.is_empty() && registration.is_some() {
            config.addresses = binds(&gateway);
            config.addresses_at = vec![config.at; config.addresses.len()];
        }
        (gateway, config)
    }

    /// The registration that is this gateway's: the one of its ID, else the one of its name; of
    /// several, the one at its address.
    fn registration<'c>(
        &self,
        catalog: &'c Catalog,
        here: &Locality,
        errors: &mut Vec<Diagnostic>,
    ) -> Option<&'c Arc<Instance>> {
        let all = catalog.gateways(here);
        let fits = |instance: &&Arc<Instance>| match &self.id {
            Some((id, _)) => instance.service.id.eq_ignore_ascii_case(id),
            None => instance.service.name == self.service,
        };
        let fitting: Vec<_> = all.iter().filter(fits).collect();
        let at_address: Vec<_> = fitting
            .iter()
            .copied()
            .filter(|instance| self.is_at(instance))
            .collect();
        let found = match (&fitting[..], &at_address[..]) {
            ([one], _) | (_, [one]) => Some(*one),
            _ => None,
        };
        if found.is_none() && self.config.addresses.is_empty() {
            errors.push(self.homeless(fitting.len()));
        }
        found
    }

    fn is_at(&self, instance: &Instance) -> bool {
        let service = &instance.service;
        let own = if service.address.is_empty() {
            &instance.node.address
        } else {
            &service.address
        };
        let lan = service.tagged.get("lan");
        let lan = lan.map(|lan| {
            (
                &lan.address,
                if lan.port == 0 {
                    service.port
                } else {
                    lan.port
                },
            )
        });
        let mut addresses = [Some((own, service.port)), lan].into_iter().flatten();
        addresses.any(|(host, port)| {
            let host = host.parse().ok();
            let equal = |address: &SocketAddr| Some(address.ip()) == host && address.port() == port;
            self.config.addresses.iter().any(equal)
        })
    }

    fn homeless(&self, fitting: usize) -> Diagnostic {
        let expected = "expected `address = \"10.1.0.1:8443\"`, or a registration";
        let (sought, at) = match &self.id {
            Some((id, at)) => (format!("with the ID \"{id}\""), *at),
            None => (format!("named \"{}\"", self.service), self.config.at),
        };
        let message = match fitting {
            0 => format!("the gateway has no address, and no mesh-gateway {sought} is registered"),
            _ => format!("{fitting} mesh gateways {sought} are registered here"),
        };
        let wrong = Diagnostic::new(at, message, expected);
        match fitting {
            0 => wrong,
            _ => wrong.help("say `address`, or `id`, to tell which of them this one is"),
        }
    }
}

/// The address of this host by which others reach it: the gateway's, from its block or from a
/// registration that stands on no node; empty when none is told.
pub(super) fn host_address(block: Option<&Block>, gathered: &Gathered, here: &Locality) -> String {
    let of_block = block.into_iter().flat_map(|block| &block.config.addresses);
    let of_block = of_block.map(SocketAddr::ip);
    let registered = gathered.services.iter().filter(|definition| {
        definition.service.kind == Kind::MeshGateway
            && definition.realm == Realm::Catalog
            && definition.locality == *here
            && matches!(definition.home, Home::Nowhere)
    });
    let registered = registered.filter_map(|definition| {
        let lan = definition.service.tagged.get("lan")?;
        lan.address.parse().ok()
    });
    let specific = of_block
        .chain(registered)
        .find(|address: &IpAddr| !address.is_unspecified());
    specific.map_or_else(String::new, |address| address.to_string())
}

/// The gateway where no block says which: the only one of the usual name, if there is one.
pub(super) fn without_block(catalog: &Catalog, here: &Locality) -> Gateway {
    let usual = |instance: &&Arc<Instance>| instance.service.name == *SERVICE;
    let all: Vec<_> = catalog.gateways(here).iter().filter(usual).collect();
    match &all[..] {
        [one] => registered(one),
        _ => unregistered(&Name::new(SERVICE), here),
    }
}

fn registered(instance: &Instance) -> Gateway {
    let service = &instance.service;
    Gateway {
        service: instance.service_name(),
        address: service.address.clone(),
        port: service.port,
        tagged: service.tagged.clone(),
        meta: service.meta.clone(),
        config: service
            .proxy
            .as_ref()
            .map_or_else(Opaque::default, |proxy| proxy.config.clone()),
        at: instance.at.clone(),
    }
}

fn unregistered(name: &Name, here: &Locality) -> Gateway {
    Gateway {
        service: ServiceName {
            name: name.clone(),
            namespace: Name::default_name(),
            partition: here.partition.clone(),
        },
        address: String::new(),
        port: 0,
        tagged: BTreeMap::new(),
        meta: BTreeMap::new(),
        config: Opaque::default(),
        at: crate::control::snapshot::Place {
            file: "".into(),
            line: 0,
            column: 0,
        },
    }
}

/// What a registered gateway binds: the one place that asks.
fn binds(gateway: &Gateway) -> Vec<SocketAddr> {
    let host = match &*gateway.address {
        "" => "0.0.0.0",
        address => address,
    };
    let host = host.parse().ok();
    host.map(|host| SocketAddr::new(host, gateway.port))
        .into_iter()
        .collect()
}
