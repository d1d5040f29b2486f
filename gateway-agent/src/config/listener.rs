//! `listener "name" { ... }`

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ipnet::IpNet;

use super::access;
use super::reader::{Reader, What};
use super::source::Span;
use super::syntax::{Spanned, Table, Value};
use super::value;
use crate::control::policy::Access;
use crate::control::snapshot::{AcceptProxy, DestinationPrefix, Refuse};

/// A listener as configured.
#[derive(Debug)]
pub struct ListenerConfig {
    /// Its name.
    pub name: Arc<str>,
    /// Addresses to bind.
    pub addresses: Vec<SocketAddr>,
    /// Destinations to steer.
    pub destinations: Vec<DestinationPrefix>,
    /// Who may connect.
    pub access: Access,
    /// From whom PROXY headers are read.
    pub accept_proxy: Option<AcceptProxy>,
    /// How refusals look.
    pub refuse: Refuse,
    /// Overrides the global default.
    pub default: Option<DefaultConfig>,
    /// Where its label stands.
    pub(crate) at: Span,
    /// Where each address stands.
    pub(super) addresses_at: Vec<Span>,
    /// Where each destination stands.
    pub(super) destinations_at: Vec<Span>,
}

/// What a `default` block says.
#[derive(Debug)]
pub enum DefaultConfig {
    /// Refuse.
    Reject,
    /// Use the route of this name, and where that stands.
    Route(Arc<str>, Span),
}

/// Reads one listener; `None` when it has no usable name.
pub(super) fn read<'r>(
    label: (&'r str, Span),
    table: &'r Table<'_>,
    datacenter: &Arc<str>,
    errors: &'r mut Vec<super::diagnostic::Diagnostic>,
) -> Option<ListenerConfig> {
    let (text, at) = label;
    let what = What {
        kind: "listener",
        label: Some(text),
    };
    let mut reader = Reader::new(table, at, what, errors);
    let name = reader.keep(value::identifier(text, "._-", 64, true), at);
    // Without a name the rest is still checked.
    let service = name.clone().unwrap_or_else(|| text.into());

    let addressed = reader.has("address") || reader.has("destinations");
    let (addresses, addresses_at) = reader
        .parsed_list("address", value::listen_address)
        .into_iter()
        .unzip();
    let (destinations, destinations_at) = destinations(&mut reader, datacenter, &service)
        .into_iter()
        .unzip();
    if !addressed {
        reader.missing("address", "expected `address` or `destinations`");
    }
    let listener = ListenerConfig {
        name: service,
        addresses,
        destinations,
        access: access::read(&mut reader),
        accept_proxy: accept_proxy(&mut reader),
        refuse: reader.word("refuse", REFUSE).unwrap_or_default(),
        default: default(&mut reader),
        at,
        addresses_at,
        destinations_at,
    };
    reader.finish();
    name.map(|_| listener)
}

pub(super) const REFUSE: &[(&str, Refuse)] = &[("alert", Refuse::Alert), ("close", Refuse::Close)];

/// Reads `default`, here and at the top.
pub(super) fn default(reader: &mut Reader<'_, '_>) -> Option<DefaultConfig> {
    let (table, at) = reader.table("default")?;
    let what = What {
        kind: "default",
        label: None,
    };
    let mut reader = Reader::new(table, at, what, reader.errors());
    let action = reader.word("action", &[("reject", ())]);
    let route = reader.string("route").and_then(|(text, at)| {
        let name = reader.keep(value::route_name(text), at)?;
        Some(DefaultConfig::Route(name.into(), at))
    });
    match (reader.has("action"), reader.has("route")) {
        (true, true) => {
            let message = "default says two things".to_owned();
            reader.complain(message, "expected either `action` or `route`, not both");
        }
        (false, false) => {
            reader.missing(
                "action",
                "expected `action = \"reject\"` or `route = \"name\"`",
            );
        }
        _ => {}
    }
    reader.finish();
    route.or_else(|| action.map(|()| DefaultConfig::Reject))
}

pub(super) fn accept_proxy(reader: &mut Reader<'_, '_>) -> Option<AcceptProxy> {
    let (table, at) = reader.table("accept_proxy")?;
    let what = What {
        kind: "accept_proxy",
        label: None,
    };
    let mut reader = Reader::new(table, at, what, reader.errors());
    let given = reader.has("from");
    let from = reader.parsed_list("from", value::prefix);
    access::refuse_repeated(&mut reader, from.iter());
    if !given {
        // Anybody could announce any source: there is no sensible default.
        reader.missing(
            "from",
            "expected the prefixes of the senders that are trusted",
        );
    }
    let required = reader.bool("required").unwrap_or(true);
    reader.finish();
    Some(AcceptProxy::new(
        from.into_iter().map(|(prefix, _)| prefix).collect(),
        required,
    ))
}

fn destinations(
    reader: &mut Reader<'_, '_>,
    datacenter: &Arc<str>,
    service: &Arc<str>,
) -> Vec<(DestinationPrefix, Span)> {
    let mut all = Vec::new();
    for value in reader.list("destinations") {
        let labels = (Arc::clone(datacenter), Arc::clone(service));
        all.extend(destination(reader, value, labels).map(|one| (one, value.at)));
    }
    all
}

/// A string, or an object with labels of its own.
fn destination<'r>(
    reader: &mut Reader<'r, '_>,
    value: &'r Spanned<Value<'_>>,
    labels: (Arc<str>, Arc<str>),
) -> Option<DestinationPrefix> {
    let (mut datacenter, mut service) = labels;
    let (prefix, ports): (IpNet, RangeInclusive<u16>) = match &value.value {
        Value::String(text) => reader.keep(value::destination(text), value.at)?,
        Value::Table(table) => {
            let what = What {
                kind: "destination",
                label: None,
            };
            let mut reader = Reader::new(table, value.at, what, reader.errors());
            let given = reader.has("prefix");
            let prefix = reader.parsed("prefix", value::destination);
            if !given {
                reader.missing("prefix", "expected `prefix = \"192.0.2.0/24:443\"`");
            }
            // The kernel's table holds so many bytes of each.
            datacenter = reader
                .parsed("datacenter", |text| value::label(text, 64))
                .unwrap_or(datacenter);
            service = reader
                .parsed("service", |text| value::label(text, 128))
                .unwrap_or(service);
            reader.finish();
            prefix?
        }
        _ => return reader.unexpected(value, "destinations", "a string or an object"),
    };
    Some(DestinationPrefix {
        prefix,
        ports,
        datacenter,
        service,
    })
}
