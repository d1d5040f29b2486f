//! Registration: the gateway that culvert is, from its block and from its registration, which may
//! stand in the files like that of any gateway. The block beats the registration; without one, it
//! is one.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::gateway::{Block, GatewayConfig};
use super::gathered::{Gathered, Home, ServiceDef};
use super::scope::Realm;
use crate::config::diagnostic::Diagnostic;
use crate::config::source::{Sources, Span};
use crate::control::snapshot::Place;
use crate::mesh::catalog::{Catalog, Instance, Kind, Opaque, Proxy, Service, TaggedAddress};
use crate::mesh::derive;
use crate::mesh::name::{Locality, Name, ServiceName};
use crate::mesh::state::Gateway;

/// Consul's default name of the service.
pub(super) const SERVICE: &str = "mesh-gateway";

/// Consul's mark of a gateway that leads to the servers.
pub(super) const FEDERATION: &str = "consul-wan-federation";

/// The block's addresses, as a registration has them.
struct Own {
    /// By which others here reach it; empty when it binds all of the host's.
    address: String,
    /// `None`: the block has no address.
    port: Option<u16>,
    tagged: BTreeMap<String, TaggedAddress>,
}

impl Block {
    /// The gateway and its listener, from the block and the registration.
    pub(super) fn merge(
        self,
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
        let own = self.addresses();
        if let Some(port) = own.port {
            (gateway.address, gateway.port) = (own.address, port);
        }
        gateway.tagged.extend(own.tagged);
        self.amend(&mut gateway.meta);
        gateway.config.0.extend(self.opaque.0);
        let mut config = self.config;
        if config.addresses.is_empty() && registration.is_some() {
            config.addresses = binds(&gateway, config.at, errors);
            config.addresses_at = vec![config.at; config.addresses.len()];
        }
        (gateway, config)
    }

    /// Registers the gateway, unless a file does: with an address others can know of it.
    pub(super) fn register(&self, gathered: &mut Gathered, here: &Locality) {
        let mut written = gathered.services.iter().filter(|definition| {
            definition.service.kind == Kind::MeshGateway
                && definition.realm == Realm::Catalog
                && definition.locality == *here
        });
        let own = self.addresses();
        let (Some(port), false) = (own.port, own.tagged.is_empty()) else {
            return;
        };
        if written.any(|definition| self.fits(&definition.service)) {
            return;
        }
        let id = self.id.as_ref().map(|(id, _)| id.clone());
        let mut meta = BTreeMap::new();
        self.amend(&mut meta);
        let service = Service {
            kind: Kind::MeshGateway,
            id: id.unwrap_or_else(|| self.service.to_string()),
            name: self.service.clone(),
            namespace: Name::default_name(),
            address: own.address,
            port,
            tagged: own.tagged,
            tags: Vec::new(),
            meta,
            weights: None,
            native: false,
            proxy: Some(Arc::new(Proxy {
                config: self.opaque.clone(),
                ..Proxy::default()
            })),
            peer_meta: None,
            modify_index: 0,
        };
        gathered.services.push(ServiceDef {
            service,
            realm: Realm::Catalog,
            locality: here.clone(),
            home: Home::Nowhere,
            checks: Vec::new(),
            sidecar: false,
            wants_port: false,
            fallback_address: String::new(),
            at: self.config.at,
        });
    }

    /// What the block's addresses are in a registration.
    fn addresses(&self) -> Own {
        let addresses = &self.config.addresses;
        let mut specific = addresses.iter().filter(|one| !one.ip().is_unspecified());
        let lan = specific.next().map(|address| TaggedAddress {
            address: address.ip().to_string(),
            port: address.port(),
        });
        let tagged = [("lan", &lan), ("wan", &self.wan)];
        let tagged = tagged
            .into_iter()
            .filter_map(|(tag, address)| Some((tag.to_owned(), address.clone()?)));
        Own {
            tagged: tagged.collect(),
            port: lan
                .as_ref()
                .map(|lan| lan.port)
                .or_else(|| addresses.first().map(SocketAddr::port)),
            address: lan.map_or_else(String::new, |lan| lan.address),
        }
    }

    fn amend(&self, meta: &mut BTreeMap<String, String>) {
        meta.extend(self.meta.clone());
        match self.expose_servers {
            Some(true) => drop(meta.insert(FEDERATION.to_owned(), "1".to_owned())),
            Some(false) => drop(meta.remove(FEDERATION)),
            None => {}
        }
    }

    fn fits(&self, service: &Service) -> bool {
        match &self.id {
            Some((id, _)) => service.id.eq_ignore_ascii_case(id),
            None => service.name == self.service,
        }
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
        let fits = |instance: &&Arc<Instance>| self.fits(&instance.service);
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
        let own = match &service.address {
            none if none.is_empty() => &instance.node.address,
            own => own,
        };
        let lan = service.tagged.get("lan");
        let lan = lan.map(|lan| match lan.port {
            0 => (&lan.address, service.port),
            port => (&lan.address, port),
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
        at: Place {
            file: "".into(),
            line: 0,
            column: 0,
        },
    }
}

/// What a registered gateway binds. What cannot be bound is told at the block.
fn binds(gateway: &Gateway, at: Span, errors: &mut Vec<Diagnostic>) -> Vec<SocketAddr> {
    derive::binds(gateway, &derive::Fidelity::default()).map_or_else(
        |notes| {
            let expected = "expected `address` here, or another registration";
            let wrong = |note: derive::Note| Diagnostic::new(at, note.text, expected);
            errors.extend(notes.into_iter().map(wrong));
            Vec::new()
        },
        |binds| binds.into_iter().map(|(_, address)| address).collect(),
    )
}
