//! `Kind = "exported-services"`

use super::fields::{Make, inside, text};
use super::{Head, Scope};
use crate::config::diagnostic::Diagnostic;
use crate::config::reader::Reader;
use crate::mesh::entries::ExportedServices;
use crate::mesh::entries::exported::{Consumer, Export};
use crate::mesh::name::{Name, ServiceName};

pub(super) fn read(head: Head, reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> ExportedServices {
    let partition = partition(&head, reader);
    let mut services = Vec::new();
    for table in reader.tables("services") {
        let export = inside(reader, table, "an exported service", |reader| {
            let name = text(reader, "name");
            if name.is_empty() {
                reader.missing("name", "expected a service, or `*` for all of a namespace");
            }
            let namespace = text(reader, "namespace");
            Export {
                service: ServiceName::new(&name, &namespace, partition.as_str()),
                consumers: consumers(reader),
                at: scope.place(table.1),
            }
        });
        services.push(export);
    }
    ExportedServices {
        partition,
        services,
        meta: head.meta,
        at: head.at,
    }
}

/// The partition, which is the entry's name.
fn partition(head: &Head, reader: &mut Reader<'_, '_>) -> Name {
    let named = Name::new(&head.name);
    if named != head.partition() {
        let message = format!(
            "the exports of `{named}` stand in the partition `{}`",
            head.partition
        );
        let expected = format!("expected `Name = \"{}\"`", head.partition);
        reader.error(
            Diagnostic::new(head.name_at, message, expected)
                .help("exported services are named after their partition"),
        );
    }
    named
}

fn consumers(reader: &mut Reader<'_, '_>) -> Vec<Consumer> {
    let mut consumers = Vec::new();
    for table in reader.tables("consumers") {
        consumers.extend(inside(reader, table, "a consumer", consumer));
    }
    if consumers.is_empty() && !reader.has("consumers") {
        reader.missing(
            "consumers",
            "expected at least one: `consumers { peer = \"north\" }`",
        );
    }
    consumers
}

fn consumer(reader: &mut Reader<'_, '_>) -> Option<Consumer> {
    let make: [Make<Name, Consumer>; 4] = [
        ("peer", Consumer::Peer),
        // Consul 1.13 called it so.
        ("peer_name", Consumer::Peer),
        ("partition", Consumer::Partition),
        ("sameness_group", Consumer::SamenessGroup),
    ];
    let mut given = Vec::new();
    for (key, make) in make {
        if let Some((name, at)) = reader.text(key).filter(|(name, _)| !name.is_empty()) {
            if name == "*" {
                let message = format!("a `{key}` that services are exported to is not `*`");
                let expected = "expected one by its name; name each consumer";
                reader.error(Diagnostic::new(at, message, expected));
            }
            given.push((make(Name::new(&name)), at));
        }
    }
    match &given[..] {
        [] => reader.complain(
            "a consumer names nobody".to_owned(),
            "expected one of: peer, partition, sameness_group",
        ),
        [_] => {}
        [first, again, ..] => reader.error(
            Diagnostic::new(again.1, "a consumer names two", "expected one of them")
                .also(first.1, "the first one"),
        ),
    }
    given.into_iter().next().map(|(consumer, _)| consumer)
}
