//! `peering "name" { ... }`: a peer, and what is imported from it.

use std::sync::Arc;

use super::check::{self, Owner};
use super::fields::{self, label, what};
use super::gathered::{Gathered, Imported, PeeringDef};
use super::node;
use super::scope::Scope;
use crate::config::diagnostic::Diagnostic;
use crate::config::labelled;
use crate::config::reader::Reader;
use crate::config::source::Span;
use crate::config::syntax::Table;
use crate::config::value;
use crate::mesh::catalog::{
    Check, Instance, Kind, PeerMeta, Peering, Service, Status, TaggedAddress,
};
use crate::mesh::name::{Name, ServiceName};

/// Reads all peerings of a file.
pub(super) fn read(reader: &mut Reader<'_, '_>, scope: &Scope<'_>, gathered: &mut Gathered) {
    let blocks = labelled(reader, "peering", "peering \"north\" { ... }");
    for ((label, at), table) in blocks {
        let Some(name) = reader.keep(fields::name(label), at) else {
            continue;
        };
        let peering = peering(table, (&name, at), scope, reader.errors());
        gathered.peerings.push(peering);
    }
}

fn peering(
    table: &Table<'_>,
    (name, at): (&Name, Span),
    scope: &Scope<'_>,
    errors: &mut Vec<Diagnostic>,
) -> PeeringDef {
    let mut reader = Reader::folded(table, at, what("peering", Some(name.as_str())), errors);
    let server_name = reader.text("server_name").and_then(|(text, at)| {
        if text.is_empty() {
            return None;
        }
        reader.keep(value::route_name(&text), at)
    });
    let peering = Peering {
        name: name.clone(),
        server_name: server_name.unwrap_or_default(),
        server_addresses: server_addresses(&mut reader),
        modify_index: reader
            .weak_number("modify_index", 0..=u64::MAX)
            .unwrap_or_default(),
        at: scope.place(at),
    };
    let datacenter = reader.name("datacenter").map(|(name, _)| name);
    let scope = Scope {
        datacenter: datacenter.unwrap_or_default(),
        partition: Name::default_name(),
        ..scope.clone()
    };
    let mut imported = Vec::new();
    let blocks = labelled(&mut reader, "service", "service \"db\" { ... }");
    for ((label, at), table) in blocks {
        let Some(service) = reader.keep(fields::name(label), at) else {
            continue;
        };
        let service = Label {
            peer: name,
            service: &service,
            at,
        };
        imported.push(import(table, &service, &scope, reader.errors()));
    }
    reader.finish();
    PeeringDef {
        peering,
        at,
        imported,
    }
}

struct Label<'l> {
    peer: &'l Name,
    service: &'l Name,
    at: Span,
}

fn server_addresses(reader: &mut Reader<'_, '_>) -> Vec<String> {
    let mut addresses = Vec::new();
    for (text, at) in reader.texts("server_addresses") {
        if reader.keep(value::target(&text), at).is_some() {
            addresses.push(text);
        }
    }
    addresses
}

fn import(
    table: &Table<'_>,
    label: &Label<'_>,
    scope: &Scope<'_>,
    errors: &mut Vec<Diagnostic>,
) -> Imported {
    let kind = what("imported service", Some(label.service.as_str()));
    let mut reader = Reader::folded(table, label.at, kind, errors);
    let texts = |reader: &mut Reader<'_, '_>, key| -> Vec<String> {
        reader
            .texts(key)
            .into_iter()
            .map(|(text, _)| text)
            .collect()
    };
    let meta = PeerMeta {
        sni: texts(&mut reader, "sni"),
        spiffe_ids: texts(&mut reader, "spiffe_ids"),
        protocol: reader
            .text("protocol")
            .map_or_else(String::new, |(text, _)| text.to_ascii_lowercase()),
    };
    if meta.sni.is_empty() {
        // The exporter makes the name; it cannot be guessed.
        reader.missing("sni", "expected the server name that the peer tells");
    }
    let namespace = reader.name_or_default("namespace");
    let mut instances = Vec::new();
    for key in ["instance", "instances"] {
        for (table, at) in reader.tables(key) {
            instances.push(instance(table, at, label, scope, &meta, reader.errors()));
        }
    }
    reader.finish();
    for instance in &mut instances {
        instance.service = Arc::new(Service {
            namespace: namespace.clone(),
            ..Service::clone(&instance.service)
        });
    }
    Imported {
        name: ServiceName {
            name: label.service.clone(),
            namespace,
            partition: Name::default_name(),
        },
        instances,
        at: label.at,
    }
}

fn instance(
    table: &Table<'_>,
    at: Span,
    of: &Label<'_>,
    scope: &Scope<'_>,
    peer_meta: &PeerMeta,
    errors: &mut Vec<Diagnostic>,
) -> Instance {
    let mut reader = Reader::folded(table, at, what("instance", label(table, &["id"])), errors);
    let name = reader.name("node").map(|(name, _)| name);
    let node = node::bare(&name.unwrap_or_else(|| of.peer.clone()), scope, at);
    let id = reader.text("id").map(|(id, _)| id);
    let mut tagged = reader.tagged_addresses();
    if let Some(wan) = wan(&mut reader) {
        tagged.insert("wan".to_owned(), wan);
    }
    let service = Service {
        kind: Kind::Typical,
        id: id.unwrap_or_else(|| of.service.to_string()),
        name: of.service.clone(),
        namespace: Name::default_name(),
        address: reader.host("address"),
        port: reader.port("port"),
        tagged,
        tags: reader
            .texts("tags")
            .into_iter()
            .map(|(tag, _)| tag)
            .collect(),
        meta: fields::meta(&mut reader, |_| true),
        weights: reader.weights(),
        native: false,
        proxy: None,
        peer_meta: Some(peer_meta.clone()),
        modify_index: reader
            .weak_number("modify_index", 0..=u64::MAX)
            .unwrap_or_default(),
    };
    if service.address.is_empty() && !service.tagged.contains_key("wan") {
        reader.missing("address", "expected `address = \"203.0.113.7\"`, or `wan`");
    }
    let checks = checks(&mut reader, &service, scope, at);
    reader.finish();
    Instance {
        node: Arc::new(node),
        service: Arc::new(service),
        checks,
        peer: Some(of.peer.clone()),
        at: scope.place(at),
    }
}

fn wan(outer: &mut Reader<'_, '_>) -> Option<TaggedAddress> {
    let (table, at) = outer.single("wan")?;
    let mut reader = Reader::folded(table, at, what("wan", None), outer.errors());
    let wan = TaggedAddress {
        address: reader.host("address"),
        port: reader.port("port"),
    };
    reader.finish();
    Some(wan)
}

fn checks(
    reader: &mut Reader<'_, '_>,
    service: &Service,
    scope: &Scope<'_>,
    at: Span,
) -> Vec<Check> {
    let mut checks = Vec::new();
    for key in ["check", "checks"] {
        for (table, at) in reader.tables(key) {
            let owner = Owner::Service(&service.id);
            checks.push(check::read(table, at, scope, &owner, reader.errors()).check);
        }
    }
    let critical = reader.maintenance().then_some(Status::Critical);
    for status in [reader.status(), critical].into_iter().flatten() {
        checks.push(Check {
            id: format!("service:{}:status", service.id),
            name: "Service status".to_owned(),
            service_id: service.id.clone(),
            status,
            output: String::new(),
            at: scope.place(at),
        });
    }
    checks
}
