//! An object of the cases file while it is read: keys without regard to case and underscores,
//! and each that nobody asked for is an error.

use std::collections::BTreeMap;

use serde_json::Value;

pub(crate) struct Fields {
    what: String,
    left: BTreeMap<String, (String, Value)>,
}

impl Fields {
    pub(crate) fn of(what: &str, value: &Value) -> Result<Self, String> {
        let map = value
            .as_object()
            .ok_or_else(|| format!("{what} is no object: {value}"))?;
        let left = map
            .iter()
            .map(|(key, value)| (fold(key), (key.clone(), value.clone())));
        Ok(Self {
            what: what.to_owned(),
            left: left.collect(),
        })
    }

    /// The value of the first of these keys that is there; null is as good as absent.
    pub(crate) fn take(&mut self, keys: &[&str]) -> Option<Value> {
        let found: Vec<_> = keys
            .iter()
            .filter_map(|key| self.left.remove(*key))
            .map(|(_, value)| value)
            .filter(|value| !value.is_null())
            .collect();
        found.into_iter().next()
    }

    pub(crate) fn text(&mut self, keys: &[&str]) -> String {
        self.take(keys)
            .map(|value| text(&value))
            .unwrap_or_default()
    }

    pub(crate) fn number(&mut self, keys: &[&str]) -> Result<Option<u64>, String> {
        let told = self.take(keys);
        told.map(|value| {
            number(&value).ok_or_else(|| format!("{}: {value} is no number", self.what))
        })
        .transpose()
    }

    /// A truth value, also as a text or a number; false where it is absent.
    pub(crate) fn flag(&mut self, keys: &[&str]) -> Result<bool, String> {
        let told = self.take(keys).map_or(String::new(), |value| text(&value));
        match told.to_ascii_lowercase().as_str() {
            "true" | "1" => Ok(true),
            "" | "false" | "0" => Ok(false),
            _ => Err(format!("{}: {told} is neither true nor false", self.what)),
        }
    }

    /// Fails if a key was not asked for.
    pub(crate) fn end(self) -> Result<(), String> {
        let unknown: Vec<_> = self.left.into_values().map(|(key, _)| key).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        Err(format!(
            "{} has unknown keys: {}",
            self.what,
            unknown.join(", ")
        ))
    }
}

pub(crate) fn fold(key: &str) -> String {
    key.replace(['_', '-'], "").to_ascii_lowercase()
}

/// The pairs of an object; none where it is absent.
pub(crate) fn pairs(what: &str, value: Option<Value>) -> Result<Vec<(String, Value)>, String> {
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Object(map)) => Ok(map.into_iter().collect()),
        Some(other) => Err(format!("{what} is no object: {other}")),
    }
}

pub(crate) fn list(value: &Value) -> Vec<Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(list) => list.clone(),
        one => vec![one.clone()],
    }
}

pub(crate) fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// `host:port`, however it is told: as one text, as `[host, port]` (a name may stand before them) or
/// as an object of these.
pub(crate) fn address(value: &Value) -> Result<String, String> {
    let (host, port) = match value {
        Value::Object(_) => {
            let mut fields = Fields::of("an address", value)?;
            fields.take(&["name"]);
            let host = fields.text(&["address", "addr", "host", "ip"]);
            let port = fields.text(&["port"]);
            fields.end()?;
            (host, port)
        }
        Value::Array(parts) => match parts.as_slice() {
            [host, port] | [_, host, port] => (text(host), text(port)),
            _ => return Err(format!("{value} is no address")),
        },
        one => (text(one), String::new()),
    };
    Ok(match port.as_str() {
        "" => host,
        port if host.contains(':') && !host.starts_with('[') => format!("[{host}]:{port}"),
        port => format!("{host}:{port}"),
    })
}

pub(crate) fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}
