//! `check { ... }`: what a check found. Nobody runs it here: one that does not say what it found
//! passes.

use super::fields::{label, what};
use super::gathered::{Alias, CheckDef, Home};
use super::scope::Scope;
use crate::config::diagnostic::Diagnostic;
use crate::config::reader::Reader;
use crate::config::source::Span;
use crate::config::syntax::Table;
use crate::mesh::catalog::{Check, Status};

/// Whose check it is, as far as the blocks around it say.
pub(super) enum Owner<'o> {
    /// Its own keys say it.
    Free,
    /// A node's block is around it.
    Node(usize),
    /// The definition of a service is around it: its ID.
    Service(&'o str),
}

/// Reads one check.
pub(super) fn read(
    table: &Table<'_>,
    at: Span,
    scope: &Scope<'_>,
    owner: &Owner<'_>,
    errors: &mut Vec<Diagnostic>,
) -> CheckDef {
    let what = what(
        "check",
        label(table, &["id", "check_id", "CheckID", "name"]),
    );
    let mut reader = Reader::folded(table, at, what, errors);
    let plain = |reader: &mut Reader<'_, '_>, key| {
        reader.text(key).map_or_else(String::new, |(text, _)| text)
    };
    let id = plain(&mut reader, "id");
    let check_id = plain(&mut reader, "check_id");
    let name = plain(&mut reader, "name");
    // Consul: the name stands for an absent ID, but within a service.
    let within = matches!(owner, Owner::Service(_));
    let name_as_id = if within { String::new() } else { name.clone() };
    let id = [id, check_id, name_as_id]
        .into_iter()
        .find(|id| !id.is_empty())
        .unwrap_or_default();
    if id.is_empty() && !within {
        reader.missing("name", "expected `id` or `name`");
    }
    let check = Check {
        id,
        name,
        service_id: service_id(&mut reader, owner),
        status: reader.status().unwrap_or(Status::Passing),
        output: plain(&mut reader, "output"),
        at: scope.place(at),
    };
    let home = match owner {
        Owner::Node(node) => Home::Node(*node),
        Owner::Service(_) => Home::Nowhere,
        Owner::Free => reader
            .name("node")
            .map_or(Home::Nowhere, |(name, at)| Home::Named(name, at)),
    };
    let mut locality = scope.locality();
    if matches!(owner, Owner::Free) {
        let own = reader.name("datacenter");
        locality.datacenter = own.map_or(locality.datacenter, |(name, _)| name);
        let own = reader.name("partition");
        locality.partition = own.map_or(locality.partition, |(name, _)| name);
    }
    let alias = alias(&mut reader);
    reader.ignored(CONSULS);
    reader.finish();
    CheckDef {
        check,
        alias,
        realm: scope.realm,
        locality,
        home,
        at,
    }
}

/// A check within a service is that service's.
fn service_id(reader: &mut Reader<'_, '_>, owner: &Owner<'_>) -> String {
    let given = reader.text("service_id");
    match (owner, given) {
        (Owner::Service(own), Some((given, at))) if given != *own => {
            let message = format!("the check of service \"{own}\" names another: \"{given}\"");
            let expected = "expected no `service_id` within a service";
            reader.error(Diagnostic::new(at, message, expected));
            (*own).to_owned()
        }
        (Owner::Service(own), _) => (*own).to_owned(),
        (_, given) => given.map_or_else(String::new, |(text, _)| text),
    }
}

/// An alias repeats what the checks of a service, or of a node, say.
fn alias(reader: &mut Reader<'_, '_>) -> Option<Alias> {
    let node = reader.name("alias_node").map(|(name, _)| name);
    let service = reader.text("alias_service").map(|(text, _)| text);
    if node.is_none() && service.is_none() {
        return None;
    }
    Some(Alias {
        node,
        service_id: service.unwrap_or_default(),
    })
}

/// How Consul runs a check, which nobody does here.
const CONSULS: &[&str] = &[
    "notes",
    "type",
    "token",
    "namespace",
    "partition",
    "http",
    "header",
    "method",
    "body",
    "disable_redirects",
    "tcp",
    "tcp_use_tls",
    "udp",
    "grpc",
    "grpc_use_tls",
    "h2ping",
    "h2ping_use_tls",
    "args",
    "script_args",
    "shell",
    "docker_container_id",
    "os_service",
    "ttl",
    "interval",
    "timeout",
    "tls_server_name",
    "tls_skip_verify",
    "success_before_passing",
    "failures_before_warning",
    "failures_before_critical",
    "deregister_critical_service_after",
    "output_max_size",
    "service_name",
    "service_tags",
    "exposed_port",
    "create_index",
    "modify_index",
];
