//! `Kind = "terminating-gateway"`

use super::fields::{flag, inside, refuse_repeated, text};
use super::{Head, Scope, service_defaults};
use crate::config::reader::Reader;
use crate::mesh::entries::TerminatingGateway;
use crate::mesh::entries::terminating::LinkedService;

pub(super) fn read(
    head: Head,
    reader: &mut Reader<'_, '_>,
    scope: &Scope<'_>,
) -> TerminatingGateway {
    let mut services = Vec::new();
    for table in reader.tables("services") {
        let link = inside(reader, table, "a linked service", |reader| {
            let link = LinkedService {
                service: service_defaults::service(reader, &head),
                ca_file: text(reader, "ca_file"),
                cert_file: text(reader, "cert_file"),
                key_file: text(reader, "key_file"),
                sni: text(reader, "sni"),
                disable_auto_host_rewrite: flag(reader, "disable_auto_host_rewrite"),
                at: scope.place(table.1),
            };
            check(&link, reader);
            link
        });
        services.push((link, table.1));
    }
    let names = services
        .iter()
        .map(|(link, at)| (link.service.clone(), *at));
    refuse_repeated(reader, "services", names);
    TerminatingGateway {
        gateway: head.service(),
        services: services.into_iter().map(|(link, _)| link).collect(),
        meta: head.meta,
        at: head.at,
    }
}

fn check(link: &LinkedService, reader: &mut Reader<'_, '_>) {
    if link.service.name.as_str().is_empty() {
        reader.missing("name", "expected a service, or `*` for all of a namespace");
    }
    let (cert, key) = (!link.cert_file.is_empty(), !link.key_file.is_empty());
    match (cert, key) {
        (true, false) => reader.missing("key_file", "expected one beside `cert_file`"),
        (false, true) => reader.missing("cert_file", "expected one beside `key_file`"),
        _ => {}
    }
    // Consul: without it there is no TLS that a certificate could be shown in.
    if (cert || key) && link.ca_file.is_empty() {
        reader.missing(
            "ca_file",
            "expected one: without it the service is dialled without TLS",
        );
    }
}
