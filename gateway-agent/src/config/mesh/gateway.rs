//! `gateway "mesh" { ... }`: the gateway that culvert is, as the host's file says it. What else its
//! registration says is joined in `registration`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::fields::{self, what};
use super::registration::{FEDERATION, SERVICE};
use crate::config::access;
use crate::config::diagnostic::Diagnostic;
use crate::config::listener;
use crate::config::reader::Reader;
use crate::config::source::Span;
use crate::config::syntax::Table;
use crate::config::value;
use crate::control::cluster::Target;
use crate::control::policy::Access;
use crate::control::snapshot::{AcceptProxy, Refuse};
use crate::mesh::catalog::{Opaque, TaggedAddress};
use crate::mesh::name::Name;
use crate::mesh::route::DnsDiscovery;

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

/// A block: the listener, and what it says about the registration.
pub(in crate::config) struct Block {
    pub(super) config: GatewayConfig,
    pub(super) service: Name,
    pub(super) id: Option<(String, Span)>,
    pub(super) wan: Option<TaggedAddress>,
    pub(super) meta: BTreeMap<String, String>,
    pub(super) opaque: Opaque,
    pub(super) expose_servers: Option<bool>,
}

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
            // As the gateways that sidecars know do; an alert would be news to them.
            refuse: reader
                .word("refuse", listener::REFUSE)
                .unwrap_or(Refuse::Close),
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
