//! What an access line says: the one list of its fields, in order, for both forms.

use core::time::Duration;

use crate::control::snapshot::EngineKind;
use crate::proxy::close::CloseReason;
use crate::proxy::record::{ConnectionRecord, LegFacts};

/// A value of one field.
pub(super) enum Value {
    /// Nothing is known.
    Absent,
    /// A whole number.
    Number(u64),
    /// A yes or no.
    Flag(bool),
    /// A text; may hold whatever a client sent.
    Text(String),
    /// Texts, likewise.
    List(Vec<String>),
}

/// Every field of the line, in order.
pub(super) fn fields(record: &ConnectionRecord) -> Vec<(&'static str, Value)> {
    let hello = record.hello.as_ref();
    let route = record.route.as_ref();
    let name = hello.and_then(|hello| hello.server_name.as_ref());
    vec![
        (
            "time",
            Value::Text(humantime::format_rfc3339_millis(record.started).to_string()),
        ),
        ("conn", Value::Number(record.id)),
        ("listener", Value::Text(record.listener.to_string())),
        ("src", Value::Text(record.source.to_string())),
        (
            "peer",
            text((record.peer != record.source).then_some(record.peer)),
        ),
        ("dst", Value::Text(record.destination.to_string())),
        ("sni", text(name)),
        ("route", text(route.map(|(route, _)| &route.name))),
        ("match", text(route.map(|(_, kind)| kind.label()))),
        ("endpoint", text(record.endpoint)),
        ("engine", text(record.engine.map(EngineKind::label))),
        (
            "engine_notes",
            Value::List(record.fallbacks.iter().map(ToString::to_string).collect()),
        ),
        ("reason", Value::Text(record.reason.label().into())),
        ("detail", detail(record)),
        ("sent", Value::Number(record.sent)),
        ("received", Value::Number(record.received)),
        ("ms", Value::Number(milliseconds(record.lasted))),
        ("hello_ms", number(record.hello_took.map(milliseconds))),
        ("connect_ms", number(record.connect_took.map(milliseconds))),
        (
            "alpn",
            hello.map_or(Value::Absent, |hello| Value::List(hello.alpn.clone())),
        ),
        ("ech", flag(hello.map(|hello| hello.ech))),
        ("pq", flag(hello.map(|hello| hello.post_quantum))),
        ("ja4", text(hello.map(|hello| &hello.ja4))),
        ("version", text(hello.map(|hello| version(hello.version)))),
        (
            "rtt_us",
            number(record.client_leg.map(|leg| u64::from(leg.rtt_us))),
        ),
        ("retrans", number(record.client_leg.map(retransmissions))),
        (
            "upstream_rtt_us",
            number(record.upstream_leg.map(|leg| u64::from(leg.rtt_us))),
        ),
        (
            "upstream_retrans",
            number(record.upstream_leg.map(retransmissions)),
        ),
        (
            "hello_bytes",
            number(hello.map(|hello| u64::from(hello.bytes))),
        ),
        (
            "records",
            number(hello.map(|hello| u64::from(hello.records))),
        ),
        ("attempts", Value::Number(u64::from(record.attempts))),
    ]
}

/// The label alone does not say what was wrong with a hello, or why a route refuses.
fn detail(record: &ConnectionRecord) -> Value {
    match &record.reason {
        CloseReason::Hello(error) => Value::Text(error.to_string()),
        CloseReason::RouteRefused => {
            let route = record.route.as_ref();
            text(route.and_then(|(route, _)| route.refused.as_ref()))
        }
        _ => Value::Absent,
    }
}

/// The version's short name (RFC 8446 section 4.2.1, RFC 6101).
fn version(wire: u16) -> String {
    match wire {
        0x0304 => "tls1.3".into(),
        0x0303 => "tls1.2".into(),
        0x0302 => "tls1.1".into(),
        0x0301 => "tls1.0".into(),
        0x0300 => "ssl3".into(),
        other => format!("{other:#06x}"),
    }
}

fn text(value: Option<impl ToString>) -> Value {
    value.map_or(Value::Absent, |value| Value::Text(value.to_string()))
}

fn number(value: Option<u64>) -> Value {
    value.map_or(Value::Absent, Value::Number)
}

fn flag(value: Option<bool>) -> Value {
    value.map_or(Value::Absent, Value::Flag)
}

fn retransmissions(leg: LegFacts) -> u64 {
    u64::from(leg.retransmissions)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
