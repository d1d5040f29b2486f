//! Fields that several definitions share: names, addresses, metadata, checks' words.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::config::diagnostic::Diagnostic;
use crate::config::reader::{Reader, Wrong};
use crate::config::source::Span;
use crate::config::syntax::{Table, Value};
use crate::config::value;
use crate::mesh::catalog::{GatewayMode, Kind, Placed, Status, TaggedAddress, Weights};
use crate::mesh::name::Name;

use super::scope::Scope;
use super::weak::scalar;

/// The text of a key, for the label of messages, before anything is checked.
pub(super) fn label<'r>(table: &'r Table<'_>, keys: &[&str]) -> Option<&'r str> {
    keys.iter().find_map(|key| {
        let item = table
            .items
            .iter()
            .find(|item| item.key.value.eq_ignore_ascii_case(key))?;
        match &item.value.value {
            Value::String(text) => Some(&**text),
            _ => None,
        }
    })
}

impl Reader<'_, '_> {
    /// A name of a service, node, peer, ...: anything that can be seen, but no wildcard.
    pub(super) fn name(&mut self, key: &'static str) -> Option<(Name, Span)> {
        let (text, at) = self.text(key)?;
        if text.is_empty() {
            return None;
        }
        let name = self.keep(name(&text), at)?;
        Some((name, at))
    }

    /// A name, or the one that stands for an absent namespace or partition.
    pub(super) fn name_or_default(&mut self, key: &'static str) -> Name {
        self.name(key)
            .map_or_else(Name::default_name, |(name, _)| name)
    }

    /// An address or host name without a port; empty when absent.
    pub(super) fn host(&mut self, key: &'static str) -> String {
        self.text(key)
            .and_then(|(text, at)| self.keep(host(&text), at))
            .unwrap_or_default()
    }

    /// A port; 0 is none.
    pub(super) fn port(&mut self, key: &'static str) -> u16 {
        self.weak_number(key, 0..=65_535).unwrap_or_default()
    }

    /// `tagged_addresses` of a service.
    pub(super) fn tagged_addresses(&mut self) -> BTreeMap<String, TaggedAddress> {
        let mut tagged = BTreeMap::new();
        for (table, _) in self.tables("tagged_addresses") {
            for item in &table.items {
                let Value::Table(inner) = &item.value.value else {
                    let key = &item.key.value;
                    self.unexpected::<()>(&item.value, key, "an object with `address` and `port`");
                    continue;
                };
                let address = tagged_address(inner, item.key.at, &item.key.value, self.errors());
                let before = tagged.insert(item.key.value.to_string(), address);
                if before.is_some() {
                    let message = format!("the address `{}` stands twice", item.key.value);
                    self.error(Diagnostic::new(
                        item.key.at,
                        message,
                        "expected each tag once",
                    ));
                }
            }
        }
        tagged
    }

    /// `weights`.
    pub(super) fn weights(&mut self) -> Option<Weights> {
        let (table, at) = self.single("weights")?;
        let mut reader = Reader::folded(table, at, what("weights", None), self.errors());
        // Consul: both are 1 where absent, and at most 65535.
        let weights = Weights {
            passing: reader.weak_number("passing", 0..=65_535).unwrap_or(1),
            warning: reader.weak_number("warning", 0..=65_535).unwrap_or(1),
        };
        reader.finish();
        Some(weights)
    }

    /// `mesh_gateway { mode = ... }`.
    pub(super) fn gateway_mode(&mut self, scope: &Scope<'_>) -> Option<Placed<GatewayMode>> {
        let (table, at) = self.single("mesh_gateway")?;
        let mut reader = Reader::folded(table, at, what("mesh_gateway", None), self.errors());
        let mode = reader
            .text("mode")
            .filter(|(text, _)| !text.is_empty())
            .and_then(|(text, at)| {
                let value = reader.as_word(&text, at, "mode", MODES)?;
                let at = scope.place(at);
                Some(Placed { value, at })
            });
        reader.finish();
        mode
    }

    /// `status` of a check, or the short form of one.
    pub(super) fn status(&mut self) -> Option<Status> {
        let (text, at) = self.text("status").filter(|(text, _)| !text.is_empty())?;
        self.as_word(&text, at, "status", STATUSES)
    }

    /// `maintenance`, or as Consul's interface calls it.
    pub(super) fn maintenance(&mut self) -> bool {
        let ours = self.weak_bool("maintenance");
        let consuls = self.weak_bool("enable_maintenance");
        ours.or(consuls).unwrap_or_default()
    }

    /// Takes keys that Consul knows and that change nothing here.
    pub(super) fn ignored(&mut self, keys: &[&'static str]) {
        for key in keys {
            // Asking makes it known.
            drop(self.all(key));
        }
    }
}

pub(super) const MODES: &[(&str, GatewayMode)] = &[
    ("none", GatewayMode::None),
    ("local", GatewayMode::Local),
    ("remote", GatewayMode::Remote),
];

const STATUSES: &[(&str, Status)] = &[
    ("passing", Status::Passing),
    ("warning", Status::Warning),
    ("critical", Status::Critical),
    // Consul's word in its node view.
    ("maintenance", Status::Critical),
];

pub(super) const KINDS: &[(&str, Kind)] = &[
    ("connect-proxy", Kind::ConnectProxy),
    ("mesh-gateway", Kind::MeshGateway),
    ("terminating-gateway", Kind::TerminatingGateway),
    ("ingress-gateway", Kind::IngressGateway),
    ("api-gateway", Kind::ApiGateway),
];

/// What a block is, for messages.
pub(super) fn what<'r>(
    kind: &'static str,
    label: Option<&'r str>,
) -> crate::config::reader::What<'r> {
    crate::config::reader::What { kind, label }
}

/// A name: anything that can be seen, but no wildcard and no separator of ours.
pub(super) fn name(text: &str) -> Result<Name, Wrong> {
    let fine = |c: char| !c.is_control() && !c.is_whitespace() && !matches!(c, '*' | '/');
    if text.is_empty() || text.len() > 253 || !text.chars().all(fine) {
        return Err(Wrong::new(
            format!("`{}` is not a name", text.escape_debug()),
            "expected 1 to 253 bytes without spaces, `*` and `/`",
        ));
    }
    Ok(Name::new(text))
}

/// An address or a host name, without a port.
pub(super) fn host(text: &str) -> Result<String, Wrong> {
    if text.is_empty() || text.parse::<IpAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    let named = value::host_name(text).ok().map(|_| text.to_owned());
    named.ok_or_else(|| {
        let message = format!("`{text}` is neither an address nor a host name");
        Wrong::new(message, EXPECTED_HOST)
    })
}

const EXPECTED_HOST: &str =
    "expected such as \"10.0.0.5\", \"fd00::5\" or \"db.internal\"; the port stands in `port`";

fn tagged_address(
    table: &Table<'_>,
    at: Span,
    tag: &str,
    errors: &mut Vec<Diagnostic>,
) -> TaggedAddress {
    let mut reader = Reader::folded(table, at, what("address", Some(tag)), errors);
    let address = TaggedAddress {
        address: reader.host("address"),
        port: reader.port("port"),
    };
    if address.address.is_empty() && !reader.has("address") {
        reader.missing("address", "expected `address = \"203.0.113.1\"`");
    }
    reader.finish();
    address
}

/// Metadata of a service or node: at most 64 pairs of 128 and 512 bytes. `reserved`: whether a
/// key that starts with `consul-` may stand.
pub(super) fn meta(
    reader: &mut Reader<'_, '_>,
    reserved: impl Fn(&str) -> bool,
) -> BTreeMap<String, String> {
    let mut meta = BTreeMap::new();
    for (table, at) in reader.tables("meta") {
        for item in &table.items {
            let (key, at) = (&*item.key.value, item.key.at);
            let Some(text) = scalar(&item.value.value) else {
                reader.unexpected::<()>(&item.value, key, "a string in quotes");
                continue;
            };
            if let Some((message, expected)) = wrong_pair(key, &text, &reserved) {
                reader.error(Diagnostic::new(at, message, expected));
            } else if meta.insert(key.to_owned(), text).is_some() {
                let message = format!("`{key}` stands twice in `meta`");
                reader.error(Diagnostic::new(at, message, "expected each key once"));
            }
        }
        if meta.len() > MOST_META {
            let message = format!("there are {} pairs in `meta`", meta.len());
            reader.error(Diagnostic::new(at, message, "expected at most 64"));
        }
    }
    meta
}

const MOST_META: usize = 64;

fn wrong_pair(
    key: &str,
    text: &str,
    reserved: &impl Fn(&str) -> bool,
) -> Option<(String, &'static str)> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let bad_key = || format!("`{}` is no key of `meta`", key.escape_debug());
    if key.starts_with("consul-") && !reserved(key) {
        let expected = "expected another one: keys that start with `consul-` are Consul's own";
        return Some((bad_key(), expected));
    }
    if key.is_empty() || key.len() > 128 || !key.chars().all(fine) {
        return Some((bad_key(), "expected 1 to 128 letters, digits, `-` and `_`"));
    }
    (text.len() > 512).then(|| {
        let message = format!("the value of `{key}` has {} bytes", text.len());
        (message, "expected at most 512")
    })
}
