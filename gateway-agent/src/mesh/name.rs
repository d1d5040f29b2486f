//! Names of datacenters, namespaces, partitions, peers and services.
//!
//! Consul keeps the case that a name was written in and ignores it in every look-up; so do
//! these types.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// One name. Compares without regard to the case of ASCII letters.
#[derive(Clone, Default)]
pub struct Name(Arc<str>);

impl Name {
    /// Takes a name as it was written.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The name that an absent namespace or partition has.
    #[must_use]
    pub fn default_name() -> Self {
        Self::new(DEFAULT)
    }

    /// Whether it is `default`, which is also what an absent one means.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.0.is_empty() || self.0.eq_ignore_ascii_case(DEFAULT)
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const DEFAULT: &str = "default";

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Name {}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        self.0.eq_ignore_ascii_case(other)
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        let (ours, theirs) = (self.0.bytes(), other.0.bytes());
        let folded = |byte: u8| byte.to_ascii_lowercase();
        ours.map(folded).cmp(theirs.map(folded))
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for byte in self.0.bytes() {
            state.write_u8(byte.to_ascii_lowercase());
        }
        state.write_u8(0xff);
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl serde::Serialize for Name {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A service in its namespace and partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct ServiceName {
    /// The service; `*` in intentions and exports.
    pub name: Name,
    /// Its namespace, `default` where none is told.
    pub namespace: Name,
    /// Its partition, `default` where none is told.
    pub partition: Name,
}

impl ServiceName {
    /// A service of the default namespace and partition.
    #[must_use]
    pub fn plain(name: &str) -> Self {
        Self::new(name, "", "")
    }

    /// A service; an empty namespace or partition is the default one.
    #[must_use]
    pub fn new(name: &str, namespace: &str, partition: &str) -> Self {
        let or_default = |text: &str| {
            if text.is_empty() {
                Name::default_name()
            } else {
                Name::new(text)
            }
        };
        Self {
            name: Name::new(name),
            namespace: or_default(namespace),
            partition: or_default(partition),
        }
    }
}

impl fmt::Display for ServiceName {
    /// `web`, `team/web`, `blue/team/web`: as little as says it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.partition.is_default() {
            write!(f, "{}/", self.partition)?;
        }
        if !(self.partition.is_default() && self.namespace.is_default()) {
            write!(f, "{}/", self.namespace)?;
        }
        write!(f, "{}", self.name)
    }
}

/// A datacenter and a partition in it: what shares a set of mesh gateways.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct Locality {
    /// The datacenter.
    pub datacenter: Name,
    /// The partition, `default` where none is told.
    pub partition: Name,
}

impl Locality {
    /// The default partition of a datacenter.
    #[must_use]
    pub fn of(datacenter: &str) -> Self {
        Self {
            datacenter: Name::new(datacenter),
            partition: Name::default_name(),
        }
    }
}

impl fmt::Display for Locality {
    /// `dc1`, `blue/dc1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.partition.is_default() {
            write!(f, "{}/", self.partition)?;
        }
        write!(f, "{}", self.datacenter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_does_not_count_in_any_comparison() {
        let (upper, lower) = (Name::new("Web-API"), Name::new("web-api"));
        assert_eq!(upper, lower);
        assert_eq!(upper.cmp(&lower), Ordering::Equal);
        let set: std::collections::HashSet<_> = [upper, lower].into();
        assert_eq!(set.len(), 1);
        assert_ne!(Name::new("web"), Name::new("web-api"));
        assert!(Name::new("web") < Name::new("Web-api"));
    }

    #[test]
    fn a_service_is_written_with_as_little_as_says_it() {
        assert_eq!(ServiceName::plain("web").to_string(), "web");
        assert_eq!(ServiceName::new("web", "team", "").to_string(), "team/web");
        assert_eq!(
            ServiceName::new("web", "", "blue").to_string(),
            "blue/default/web"
        );
    }
}
