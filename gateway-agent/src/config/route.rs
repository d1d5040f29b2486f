//! `route "name" { ... }`

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::access;
use super::diagnostic::Diagnostic;
use super::reader::{Reader, What};
use super::source::Span;
use super::syntax::{Spanned, Table, Value};
use super::value;
use crate::control::cluster::{Balance, Entry, Target};
use crate::control::policy::Access;
use crate::control::snapshot::ProxyVersion;

/// A route as configured.
#[derive(Debug)]
pub struct RouteConfig {
    /// Its name, normalised.
    pub name: Arc<str>,
    /// Its endpoints; at least one.
    pub endpoints: Vec<Entry>,
    /// How endpoints are chosen.
    pub balance: Balance,
    /// Who may use it.
    pub access: Access,
    /// The PROXY header to send.
    pub send_proxy: Option<ProxyVersion>,
    /// Datacenter label.
    pub datacenter: Option<Arc<str>>,
    /// Service label.
    pub service: Option<Arc<str>>,
    /// Overrides the limit.
    pub connect_timeout: Option<Duration>,
    /// Overrides the limit.
    pub idle_timeout: Option<Duration>,
    /// Local addresses to dial from.
    pub source_addresses: Vec<IpAddr>,
    /// Where its label stands.
    pub(crate) at: Span,
}

/// Reads one route; `None` when it has no usable name.
pub(super) fn read<'r>(
    label: (&'r str, Span),
    table: &'r Table<'_>,
    errors: &'r mut Vec<Diagnostic>,
) -> Option<RouteConfig> {
    let (text, at) = label;
    let what = What {
        kind: "route",
        label: Some(text),
    };
    let mut reader = Reader::new(table, at, what, errors);
    let name = reader.keep(value::route_name(text), at);
    let millisecond = Duration::from_millis(1);
    let route = RouteConfig {
        name: name.as_deref().unwrap_or(text).into(),
        endpoints: endpoints(&mut reader),
        balance: reader.word("balance", BALANCE).unwrap_or_default(),
        access: access::read(&mut reader),
        send_proxy: reader.word("send_proxy", SEND_PROXY),
        datacenter: reader.parsed("datacenter", |text| value::label(text, 64)),
        service: reader.parsed("service", |text| value::label(text, 253)),
        connect_timeout: reader
            .parsed("connect_timeout", |text| value::duration(text, millisecond)),
        idle_timeout: reader.parsed("idle_timeout", |text| value::duration(text, millisecond)),
        source_addresses: source_addresses(&mut reader),
        at,
    };
    reader.finish();
    name.map(|_| route)
}

const BALANCE: &[(&str, Balance)] = &[
    ("round_robin", Balance::RoundRobin),
    ("least_connections", Balance::LeastConnections),
    ("random", Balance::Random),
    ("source_hash", Balance::SourceHash),
];

const SEND_PROXY: &[(&str, ProxyVersion)] = &[("v1", ProxyVersion::V1), ("v2", ProxyVersion::V2)];

/// As much as Consul allows is 128; more than this is a share of nothing for the others.
const MOST_WEIGHT: u32 = 1000;

fn endpoints(reader: &mut Reader<'_, '_>) -> Vec<Entry> {
    let values = reader.list("endpoints");
    if values.is_empty() {
        reader.missing(
            "endpoints",
            "expected at least one, such as \"10.2.0.2:443\"",
        );
    }
    let mut entries: Vec<(Entry, Span)> = Vec::with_capacity(values.len());
    for value in values {
        entries.extend(endpoint(reader, value).map(|entry| (entry, value.at)));
    }
    refuse_repeated(reader, &entries);
    entries.into_iter().map(|(entry, _)| entry).collect()
}

/// A string, or an object with a weight.
fn endpoint<'r>(reader: &mut Reader<'r, '_>, value: &'r Spanned<Value<'_>>) -> Option<Entry> {
    match &value.value {
        Value::String(text) => {
            let target = reader.keep(value::target(text), value.at)?;
            Some(Entry::unchecked(target, 1))
        }
        Value::Table(table) => {
            let what = What {
                kind: "endpoint",
                label: None,
            };
            let mut reader = Reader::new(table, value.at, what, reader.errors());
            let given = reader.has("address");
            let target = reader.parsed("address", value::target);
            if !given {
                reader.missing("address", "expected `address = \"10.2.0.2:443\"`");
            }
            let weight = reader.number("weight", 1..=MOST_WEIGHT).unwrap_or(1);
            reader.finish();
            Some(Entry::unchecked(target?, weight))
        }
        _ => reader.unexpected(value, "endpoints", "a string or an object"),
    }
}

fn refuse_repeated(reader: &mut Reader<'_, '_>, entries: &[(Entry, Span)]) {
    // The usual handful needs no table.
    if entries.len() < 2 {
        return;
    }
    let mut first: HashMap<&Target, Span> = HashMap::with_capacity(entries.len());
    for (entry, at) in entries {
        if let Some(before) = first.insert(&entry.target, *at) {
            let message = format!("the endpoint {} stands twice", entry.target);
            reader.error(
                Diagnostic::new(
                    *at,
                    message,
                    "expected each endpoint once; give it a weight",
                )
                .also(before, "the first one"),
            );
        }
    }
}

fn source_addresses(reader: &mut Reader<'_, '_>) -> Vec<IpAddr> {
    let given = reader.parsed_list("source_addresses", value::source_address);
    for (at, (address, span)) in given.iter().enumerate() {
        let before = given[..at]
            .iter()
            .find(|(other, _)| other.is_ipv4() == address.is_ipv4());
        if let Some((_, before)) = before {
            reader.error(
                Diagnostic::new(
                    *span,
                    "two source addresses are of one family",
                    "expected at most one IPv4 and one IPv6 address",
                )
                .also(*before, "the first one"),
            );
        }
    }
    given.into_iter().map(|(address, _)| address).collect()
}
