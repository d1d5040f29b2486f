//! Fields that several kinds have.

use crate::config::diagnostic::Diagnostic;
use crate::config::reader::{Reader, What};
use crate::config::source::Span;
use crate::config::syntax::{Table, Value};
use crate::mesh::catalog::{GatewayMode, Placed};
use crate::mesh::entries::router::Timeout;
use crate::mesh::entries::service_defaults::{PassiveHealthCheck, UpstreamLimits};
use crate::mesh::filter::re2::{self, Anchor};
use crate::mesh::name::Name;

use super::Scope;

/// A key, and what its value becomes.
pub(super) type Make<V, T> = (&'static str, fn(V) -> T);

/// Reads a table within an entry and refuses what it does not know.
pub(super) fn inside<T>(
    outer: &mut Reader<'_, '_>,
    (table, at): (&Table<'_>, Span),
    kind: &'static str,
    read: impl FnOnce(&mut Reader<'_, '_>) -> T,
) -> T {
    labelled(outer, (table, at), kind, None, read)
}

/// As [`inside`], of a table that messages call by its name.
pub(super) fn labelled<T>(
    outer: &mut Reader<'_, '_>,
    (table, at): (&Table<'_>, Span),
    kind: &'static str,
    label: Option<&str>,
    read: impl FnOnce(&mut Reader<'_, '_>) -> T,
) -> T {
    let mut reader = Reader::folded(table, at, What { kind, label }, outer.errors());
    let value = read(&mut reader);
    reader.finish();
    value
}

/// The one table of this name, read.
pub(super) fn block<T>(
    outer: &mut Reader<'_, '_>,
    key: &'static str,
    read: impl FnOnce(&mut Reader<'_, '_>) -> T,
) -> Option<T> {
    let table = outer.single(key)?;
    Some(inside(outer, table, key, read))
}

/// Tables by free names: `subsets { v1 { ... } }`, `subsets = { v1 = { ... } }` or
/// `subsets "v1" { ... }`. A name stands once.
pub(super) fn named<'r, 's>(
    reader: &mut Reader<'r, 's>,
    key: &'static str,
) -> Vec<(&'r str, Span, &'r Table<'s>)> {
    let mut found: Vec<(&'r str, Span, &'r Table<'s>)> = Vec::new();
    for item in reader.all(key) {
        match (&item.labels[..], &item.value.value) {
            ([], Value::Table(table)) => gather(reader, key, table, &mut found),
            ([], Value::List(list)) => {
                for value in list {
                    match &value.value {
                        Value::Table(table) => gather(reader, key, table, &mut found),
                        _ => {
                            reader.unexpected::<()>(value, key, "an object: `{ ... }`");
                        }
                    }
                }
            }
            ([], Value::Null) => {}
            ([label], Value::Table(table)) => found.push((&label.value, label.at, table)),
            _ => {
                reader.unexpected::<()>(&item.value, key, "blocks by name: `{ v1 = { ... } }`");
            }
        }
    }
    refuse_repeated(reader, key, found.iter().map(|(name, at, _)| (*name, *at)));
    found
}

fn gather<'r, 's>(
    reader: &mut Reader<'r, 's>,
    key: &'static str,
    table: &'r Table<'s>,
    found: &mut Vec<(&'r str, Span, &'r Table<'s>)>,
) {
    for item in &table.items {
        let (name, at) = (&*item.key.value, item.key.at);
        match &item.value.value {
            Value::Table(table) => found.push((name, at, table)),
            // One object as a list of one, as HCL 1 makes them.
            Value::List(list) => match &list[..] {
                [only] => match &only.value {
                    Value::Table(table) => found.push((name, at, table)),
                    _ => {
                        reader.unexpected::<()>(only, key, "an object: `{ ... }`");
                    }
                },
                _ => {
                    reader.unexpected::<()>(&item.value, key, "one object a name: `{ ... }`");
                }
            },
            _ => {
                reader.unexpected::<()>(&item.value, key, "an object: `{ ... }`");
            }
        }
    }
}

/// Complains about each name that stands again. `what` is what they name.
pub(super) fn refuse_repeated<K: Ord + std::fmt::Display>(
    reader: &mut Reader<'_, '_>,
    what: &str,
    names: impl Iterator<Item = (K, Span)>,
) {
    let mut first = std::collections::BTreeMap::new();
    for (name, at) in names {
        if let Some(before) = first.get(&name) {
            let message = format!("`{name}` stands twice in `{what}`");
            reader.error(
                Diagnostic::new(at, message, "expected each once").also(*before, "the first one"),
            );
        } else {
            first.insert(name, at);
        }
    }
}

/// A text; empty where it is not given.
pub(super) fn text(reader: &mut Reader<'_, '_>, key: &'static str) -> String {
    reader.text(key).map(|(text, _)| text).unwrap_or_default()
}

/// A name; empty where it is not given.
pub(super) fn name(reader: &mut Reader<'_, '_>, key: &'static str) -> Name {
    Name::new(&text(reader, key))
}

/// Texts without their places.
pub(super) fn texts(reader: &mut Reader<'_, '_>, key: &'static str) -> Vec<String> {
    reader
        .texts(key)
        .into_iter()
        .map(|(text, _)| text)
        .collect()
}

/// A truth value; false where it is not given.
pub(super) fn flag(reader: &mut Reader<'_, '_>, key: &'static str) -> bool {
    reader.weak_bool(key).unwrap_or_default()
}

/// One of a few words; an empty one counts as absent.
pub(super) fn word<T: Copy>(
    reader: &mut Reader<'_, '_>,
    key: &'static str,
    words: &[(&str, T)],
) -> Option<T> {
    let (text, at) = reader.text(key).filter(|(text, _)| !text.is_empty())?;
    reader.as_word(&text, at, key, words)
}

/// One of a few words, kept as a text.
pub(super) fn one_of(reader: &mut Reader<'_, '_>, key: &'static str, words: &[&str]) -> String {
    let Some((text, at)) = reader.text(key).filter(|(text, _)| !text.is_empty()) else {
        return String::new();
    };
    let pairs: Vec<_> = words.iter().map(|word| (*word, ())).collect();
    reader.as_word(&text, at, key, &pairs);
    text
}

/// A protocol, lower case; empty where none is given.
pub(super) fn protocol(reader: &mut Reader<'_, '_>, key: &'static str) -> String {
    let Some((text, at)) = reader.text(key).filter(|(text, _)| !text.is_empty()) else {
        return String::new();
    };
    let text = text.to_ascii_lowercase();
    reader.as_word(&text, at, key, &PROTOCOLS.map(|word| (word, ())));
    text
}

const PROTOCOLS: [&str; 4] = ["tcp", "http", "http2", "grpc"];

/// A port.
pub(super) fn port(reader: &mut Reader<'_, '_>, key: &'static str) -> Option<u16> {
    reader.weak_number(key, 1..=u16::MAX)
}

/// How threads share connections.
pub(super) fn balance(reader: &mut Reader<'_, '_>, key: &'static str) -> String {
    one_of(reader, key, &["exact_balance"])
}

/// `mesh_gateway { mode = "local" }`. Consul: an empty mode asks the next level, `none` does not.
pub(super) fn mesh_gateway(
    reader: &mut Reader<'_, '_>,
    scope: &Scope<'_>,
) -> Option<Placed<GatewayMode>> {
    block(reader, "mesh_gateway", |reader| {
        let (text, at) = reader.text("mode").filter(|(text, _)| !text.is_empty())?;
        let modes = [GatewayMode::None, GatewayMode::Local, GatewayMode::Remote];
        if let Some(mode) = modes.into_iter().find(|mode| mode.label() == text) {
            return Some(Placed {
                value: mode,
                at: scope.place(at),
            });
        }
        let message = format!("`{text}` is no mesh gateway mode");
        let known = modes.map(GatewayMode::label);
        let expected = format!("expected one of: {}", known.join(", "));
        reader.error(Diagnostic::new(at, message, expected).nearest(&text, known.into_iter()));
        None
    })
    .flatten()
}

/// Limits on an upstream, given side by side.
pub(super) fn limits(reader: &mut Reader<'_, '_>) -> UpstreamLimits {
    let mut limit = |key| reader.weak_number(key, 0..=u32::MAX);
    UpstreamLimits {
        max_connections: limit("max_connections"),
        max_pending_requests: limit("max_pending_requests"),
        max_concurrent_requests: limit("max_concurrent_requests"),
    }
}

/// `passive_health_check { ... }`
pub(super) fn passive_health_check(reader: &mut Reader<'_, '_>) -> Option<PassiveHealthCheck> {
    block(reader, "passive_health_check", |reader| {
        PassiveHealthCheck {
            interval: reader
                .weak_duration("interval", false)
                .map(|(time, _)| time),
            max_failures: reader.weak_number("max_failures", 0..=u32::MAX),
            enforcing_consecutive_5xx: reader.weak_number("enforcing_consecutive_5xx", 0..=100),
            max_ejection_percent: reader.weak_number("max_ejection_percent", 0..=100),
            base_ejection_time: reader
                .weak_duration("base_ejection_time", false)
                .map(|(time, _)| time),
        }
    })
}

/// A limit of time whose negative values switch it off. Consul: 1.18 on, in routers.
pub(super) fn timeout(reader: &mut Reader<'_, '_>, key: &'static str) -> Timeout {
    let off = reader.all(key).any(|item| match &item.value.value {
        Value::String(text) => text.starts_with('-'),
        Value::Number(text) => text.starts_with('-'),
        _ => false,
    });
    match reader.weak_duration(key, true) {
        Some(_) if off => Timeout::Off,
        Some((time, _)) if !time.is_zero() => Timeout::After(time),
        _ => Timeout::Usual,
    }
}

/// Whether something is given; null and an empty list or object are nothing.
pub(super) fn given(reader: &mut Reader<'_, '_>, key: &'static str) -> bool {
    reader.all(key).any(|item| match &item.value.value {
        Value::Null => false,
        Value::List(list) => !list.is_empty(),
        Value::Table(table) => !table.items.is_empty(),
        _ => true,
    })
}

/// Complains about a regular expression that does not compile.
pub(super) fn check_regex(reader: &mut Reader<'_, '_>, pattern: &str, at: Span) {
    if let Err(reason) = re2::compile(pattern, Anchor::Whole) {
        let message = format!("the regular expression does not compile: {reason}");
        reader.error(Diagnostic::new(at, message, "expected the syntax of RE2"));
    }
}
