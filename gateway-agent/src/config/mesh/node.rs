//! `node "name" { ... }`: a machine, which Consul would know by itself.

use std::collections::BTreeMap;

use super::check::{self, Owner};
use super::fields::{self, what};
use super::file;
use super::gathered::{CheckDef, Gathered, Home, NodeDef};
use super::scope::Scope;
use crate::config::diagnostic::Diagnostic;
use crate::config::labelled;
use crate::config::reader::Reader;
use crate::config::source::Span;
use crate::config::syntax::Table;
use crate::mesh::catalog::{Check, Node, Status};
use crate::mesh::name::Name;

/// Reads all nodes of a block.
pub(super) fn read(reader: &mut Reader<'_, '_>, scope: &Scope<'_>, gathered: &mut Gathered) {
    let blocks = labelled(reader, "node", "node \"n1\" { ... }");
    for ((label, at), table) in blocks {
        if let Some(name) = reader.keep(fields::name(label), at) {
            one(table, (&name, at), scope, gathered, reader.errors());
        }
    }
}

fn one(
    table: &Table<'_>,
    (name, at): (&Name, Span),
    scope: &Scope<'_>,
    gathered: &mut Gathered,
    errors: &mut Vec<Diagnostic>,
) {
    let mut reader = Reader::folded(table, at, what("node", Some(name.as_str())), errors);
    let scope = whereabouts(&mut reader, scope);
    let mut node = bare(name, &scope, at);
    node.id = reader.text("id").map_or_else(String::new, |(id, _)| id);
    node.address = address(&mut reader);
    node.tagged = tagged(&mut reader);
    // Consul itself writes such keys.
    node.meta = fields::meta(&mut reader, |_| true);
    let maintenance = reader.maintenance();

    let number = gathered.nodes.len();
    if maintenance {
        gathered.checks.push(in_maintenance(&scope, number, at));
    }
    gathered.nodes.push(NodeDef {
        node,
        realm: scope.realm,
        at,
        written: true,
    });
    file::services(&mut reader, &scope, &Home::Node(number), gathered);
    for key in ["check", "checks"] {
        for (table, at) in reader.tables(key) {
            let owner = Owner::Node(number);
            let check = check::read(table, at, &scope, &owner, reader.errors());
            gathered.checks.push(check);
        }
    }
    reader.finish();
}

/// A node of which nothing is told but its name.
pub(super) fn bare(name: &Name, scope: &Scope<'_>, at: Span) -> Node {
    Node {
        name: name.clone(),
        id: String::new(),
        address: String::new(),
        datacenter: scope.datacenter.clone(),
        partition: scope.partition.clone(),
        tagged: BTreeMap::new(),
        meta: BTreeMap::new(),
        at: scope.place(at),
    }
}

fn whereabouts<'a>(reader: &mut Reader<'_, '_>, scope: &Scope<'a>) -> Scope<'a> {
    let mut scope = scope.clone();
    if let Some((datacenter, at)) = reader.name("datacenter") {
        let fixed = scope.fixed_datacenter.as_ref();
        if let Some(fixed) = fixed.filter(|fixed| **fixed != datacenter) {
            let message =
                format!("the node names datacenter {datacenter}, but stands in that of {fixed}");
            let expected = "expected no `datacenter` within a datacenter";
            reader.error(Diagnostic::new(at, message, expected));
        }
        scope.datacenter = datacenter;
    }
    if let Some((partition, at)) = reader.name("partition") {
        if !scope.partition.is_default() && scope.partition != partition {
            let message = format!(
                "the node names partition {partition}, but stands in one of {}",
                scope.partition
            );
            let expected = "expected no `partition` within a partition";
            reader.error(Diagnostic::new(at, message, expected));
        }
        scope.partition = partition;
    }
    scope
}

/// Nobody dials "any address".
fn address(reader: &mut Reader<'_, '_>) -> String {
    let at = reader.all("address").next().map(|item| item.value.at);
    let address = reader.host("address");
    if let Some(at) = at
        && matches!(&*address, "0.0.0.0" | "::")
    {
        let message = format!("a node cannot be reached at {address}");
        let expected = "expected the address that others dial";
        reader.error(Diagnostic::new(at, message, expected));
    }
    address
}

/// Addresses by tag: plain texts, unlike those of a service.
fn tagged(reader: &mut Reader<'_, '_>) -> BTreeMap<String, String> {
    let mut tagged = BTreeMap::new();
    for (table, _) in reader.tables("tagged_addresses") {
        for item in &table.items {
            if let Some((text, at)) = reader.as_string(&item.value, &item.key.value)
                && let Some(host) = reader.keep(fields::host(text), at)
            {
                tagged.insert(item.key.value.to_string(), host);
            }
        }
    }
    tagged
}

fn in_maintenance(scope: &Scope<'_>, node: usize, at: Span) -> CheckDef {
    CheckDef {
        check: Check {
            id: "_node_maintenance".to_owned(),
            name: "Node Maintenance Mode".to_owned(),
            service_id: String::new(),
            status: Status::Critical,
            output: String::new(),
            at: scope.place(at),
        },
        alias: None,
        realm: scope.realm,
        locality: scope.locality(),
        home: Home::Node(node),
        at,
    }
}
