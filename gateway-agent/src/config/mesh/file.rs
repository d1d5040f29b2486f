//! One file of the mesh: a config entry by itself, or any mix of definitions. Blocks of
//! datacenters and partitions hold the same definitions once more.

use super::check::{self, Owner};
use super::fields::{self, what};
use super::gathered::{Gathered, Home};
use super::scope::{Realm, Scope};
use super::{entry, node, peering, service};
use crate::config::diagnostic::Diagnostic;
use crate::config::labelled;
use crate::config::reader::Reader;
use crate::config::source::{Source, Span};
use crate::config::syntax::{self, Spanned, Table, Value};
use crate::mesh::name::Name;

/// Reads one file.
pub(super) fn read(
    source: &Source,
    scope: &Scope<'_>,
    gathered: &mut Gathered,
    errors: &mut Vec<Diagnostic>,
) {
    let Some(Spanned { value, at }) = syntax::parse_value(source, errors) else {
        return;
    };
    match &value {
        Value::Table(table) if is_entry(table) => entry::read(table, at, scope, gathered, errors),
        Value::Table(table) => {
            let mut reader = Reader::folded(table, at, what("a file of the mesh", None), errors);
            datacenters(&mut reader, scope, gathered);
            partitions(&mut reader, scope, gathered);
            peering::read(&mut reader, scope, gathered);
            entries(&mut reader, scope, gathered);
            definitions(&mut reader, scope, gathered);
            reader.finish();
        }
        // A list of entries, as `consul config read` and scripts around it write them.
        Value::List(list) => {
            for Spanned { value, at } in list {
                match value {
                    Value::Table(table) => entry::read(table, *at, scope, gathered, errors),
                    other => {
                        let message = format!("a config entry is {}", other.kind());
                        errors.push(Diagnostic::new(*at, message, EXPECTED_ENTRY));
                    }
                }
            }
        }
        Value::Broken => {}
        other => {
            let message = format!("a file of the mesh is {}", other.kind());
            let expected = "expected an object of definitions, or a list of config entries";
            errors.push(Diagnostic::new(at, message, expected));
        }
    }
}

const EXPECTED_ENTRY: &str = "expected `{ \"Kind\": ..., \"Name\": ... }`";

/// Whether the whole file is one config entry.
fn is_entry(table: &Table<'_>) -> bool {
    let mut keys = table.items.iter().map(|item| &*item.key.value);
    keys.any(|key| key.eq_ignore_ascii_case("kind"))
}

/// What may stand at the top, in a datacenter and in a partition: nodes, services, checks.
fn definitions(reader: &mut Reader<'_, '_>, scope: &Scope<'_>, gathered: &mut Gathered) {
    node::read(reader, scope, gathered);
    services(reader, scope, &Home::Nowhere, gathered);
    for key in ["check", "checks"] {
        for (table, at) in reader.tables(key) {
            let check = check::read(table, at, scope, &Owner::Free, reader.errors());
            gathered.checks.push(check);
        }
    }
}

/// `service` and `services`, here and in a node's block.
pub(super) fn services(
    reader: &mut Reader<'_, '_>,
    scope: &Scope<'_>,
    home: &Home,
    gathered: &mut Gathered,
) {
    for key in ["service", "services"] {
        for (table, at) in reader.tables(key) {
            service::read(table, at, scope, home.clone(), gathered, reader.errors());
        }
    }
}

/// `config_entries { bootstrap ... }`.
fn entries(reader: &mut Reader<'_, '_>, scope: &Scope<'_>, gathered: &mut Gathered) {
    for (table, at) in reader.tables("config_entries") {
        let block = what("config_entries", None);
        let mut inner = Reader::folded(table, at, block, reader.errors());
        for (table, at) in inner.tables("bootstrap") {
            entry::read(table, at, scope, gathered, inner.errors());
        }
        inner.finish();
    }
}

fn datacenters(reader: &mut Reader<'_, '_>, scope: &Scope<'_>, gathered: &mut Gathered) {
    let blocks = labelled(reader, "datacenter", "datacenter \"dc2\" { ... }");
    for ((label, at), table) in blocks {
        let Some(name) = reader.keep(fields::name(label), at) else {
            continue;
        };
        if let Some(before) = gathered.datacenters.insert(name.clone(), at) {
            let message = format!("two datacenters are named \"{label}\"");
            let again = Diagnostic::new(at, message, "expected one block for a datacenter");
            reader.error(again.also(before, "the first one"));
        }
        let scope = Scope {
            datacenter: name.clone(),
            partition: Name::default_name(),
            fixed_datacenter: Some(name),
            ..scope.clone()
        };
        datacenter(table, (label, at), &scope, gathered, reader.errors());
    }
}

fn datacenter(
    table: &Table<'_>,
    (label, at): (&str, Span),
    scope: &Scope<'_>,
    gathered: &mut Gathered,
    errors: &mut Vec<Diagnostic>,
) {
    let mut reader = Reader::folded(table, at, what("datacenter", Some(label)), errors);
    gathered.localities.push(scope.locality());
    if reader.weak_bool("primary") == Some(true) {
        match &gathered.primary {
            Some((other, before)) => {
                let message = format!("two datacenters are primary: {other} and {label}");
                let again = Diagnostic::new(at, message, "expected one `primary = true`");
                reader.error(again.also(*before, "the first one"));
            }
            None => gathered.primary = Some((scope.datacenter.clone(), at)),
        }
    }
    if let Some((table, at)) = reader.single("federation_state") {
        let scope = Scope {
            realm: Realm::Federation,
            ..scope.clone()
        };
        gathered.federation.push(scope.locality());
        let state = what("federation_state", None);
        let mut inner = Reader::folded(table, at, state, reader.errors());
        definitions(&mut inner, &scope, gathered);
        inner.finish();
    }
    partitions(&mut reader, scope, gathered);
    definitions(&mut reader, scope, gathered);
    reader.finish();
}

fn partitions(reader: &mut Reader<'_, '_>, scope: &Scope<'_>, gathered: &mut Gathered) {
    let blocks = labelled(reader, "partition", "partition \"blue\" { ... }");
    for ((label, at), table) in blocks {
        let Some(name) = reader.keep(fields::name(label), at) else {
            continue;
        };
        let scope = Scope {
            partition: name,
            ..scope.clone()
        };
        if let Some(before) = gathered.partitions.insert(scope.locality(), at) {
            let message = format!(
                "two partitions of {} are named \"{label}\"",
                scope.datacenter
            );
            let again = Diagnostic::new(at, message, "expected one block for a partition");
            reader.error(again.also(before, "the first one"));
        }
        gathered.localities.push(scope.locality());
        let partition = what("partition", Some(label));
        let mut inner = Reader::folded(table, at, partition, reader.errors());
        entries(&mut inner, &scope, gathered);
        definitions(&mut inner, &scope, gathered);
        inner.finish();
    }
}
