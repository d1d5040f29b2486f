//! A mesh as a whole: everything that a source tells, and who we are in it.

use std::sync::Arc;

use super::catalog::{Catalog, Opaque, TaggedAddress};
use super::dial::ModeRules;
use super::entries::Entries;
use super::intentions::{Action, Intentions};
use super::name::{Locality, ServiceName};
use crate::control::snapshot::Place;

/// Everything that is known about the mesh. A source replaces it as a whole; parts that have not
/// changed are equal to what they were, and equal parts cost no derivation.
#[derive(Clone, Debug, PartialEq)]
pub struct Mesh {
    /// Where we are.
    pub here: Locality,
    /// The trust domain, `<uuid>.consul`.
    pub trust_domain: Arc<str>,
    /// The DNS domain of the agents, which ends the names of servers; usually `consul`.
    pub domain: Arc<str>,
    /// Who we are.
    pub gateway: Gateway,
    /// Services, nodes, checks.
    pub catalog: Catalog,
    /// Config entries.
    pub entries: Entries,
    /// What holds where no intention does.
    pub default_intention: Action,
    /// Which precedence of gateway modes holds.
    pub mode_rules: ModeRules,
}

impl Mesh {
    /// Its intentions, ranked.
    #[must_use]
    pub fn intentions(&self) -> Intentions {
        let entries: Vec<_> = self.entries.intentions.values().map(Arc::clone).collect();
        Intentions::new(&entries, self.default_intention)
    }

    /// Whether a service is registered anywhere, or imported from a peer.
    #[must_use]
    pub fn knows(&self, service: &ServiceName) -> bool {
        let here = self.catalog.localities.values().any(|census| {
            census.connect.contains_key(service)
                || census
                    .all
                    .iter()
                    .any(|instance| instance.service_name() == *service)
        });
        let mut imported = self.catalog.imported.keys();
        here || imported.any(|(_, imported)| imported == service)
    }
}

/// The mesh gateway that culvert is: its registration.
#[derive(Clone, Debug, PartialEq)]
pub struct Gateway {
    /// Its service.
    pub service: ServiceName,
    /// Its address; empty: all of the host's.
    pub address: String,
    /// Its port; 0 when it has none.
    pub port: u16,
    /// Its addresses by tag: `lan`, `wan`, ...
    pub tagged: std::collections::BTreeMap<String, TaggedAddress>,
    /// Its metadata; `consul-wan-federation` = `1` makes it serve the servers.
    pub meta: std::collections::BTreeMap<String, String>,
    /// `proxy.config` of its registration.
    pub config: Opaque,
    /// Where it stands.
    pub at: Place,
}
