//! Intentions: who may speak to whom.
//!
//! The entries whose destination matches are ranked; the first whose source matches decides, and
//! nothing is combined. Consul: precedence is that of the destination first (9 for a name, 6 for a
//! namespace, 3 for everything), less 0, 1 or 2 for the source likewise.
//!
//! A gateway that passes TLS through sees no request. What depends on one is then undecidable, and
//! the answer to that is no, with the part that cannot be seen: a guess would open what somebody
//! meant to close. Not here: reading entries, and finding out who asks.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::control::snapshot::Place;
use crate::mesh::spiffe::SpiffeId;

pub mod check;
mod entry;
mod permission;
mod ranked;
#[cfg(test)]
mod tests;

pub use entry::{
    Action, HeaderMatch, HeaderTest, HttpMatch, JwtProvider, JwtRequirement, PathMatch, Permission,
    Rule, ServiceIntentions, Source, SourceKind, VerifyClaim,
};

use entry::ANY;
use ranked::Ranked;

/// The intentions of a mesh, ranked and compiled.
#[derive(Clone, Debug)]
pub struct Intentions {
    /// By partition, namespace and name of the destination, in lower case: Consul looks them up
    /// without regard to it. Each list is in order of precedence.
    by_destination: BTreeMap<String, ByNamespace>,
    default: Action,
}

type ByNamespace = BTreeMap<String, ByName>;
type ByName = BTreeMap<String, Vec<Ranked>>;

impl Intentions {
    /// Ranks the sources of all entries.
    ///
    /// `default` is what holds where no intention does. Consul: `default_intention_policy`, and
    /// without one the default policy of ACLs, which is to allow when ACLs are off.
    #[must_use]
    pub fn new(entries: &[Arc<ServiceIntentions>], default: Action) -> Self {
        let mut by_destination: BTreeMap<_, ByNamespace> = BTreeMap::new();
        for entry in entries {
            let list = by_destination
                .entry(entry.partition.to_ascii_lowercase())
                .or_default()
                .entry(entry.namespace.to_ascii_lowercase())
                .or_default()
                .entry(entry.name.to_ascii_lowercase())
                .or_default();
            list.extend(Ranked::of(entry));
            list.sort_by(Ranked::order);
        }
        Self {
            by_destination,
            default,
        }
    }

    /// Decides whether `from` may speak to `to`.
    #[must_use]
    pub fn decide(
        &self,
        from: &Identity<'_>,
        to: &Destination<'_>,
        protocol_is_http: bool,
        request: &Request,
    ) -> Decision {
        let ranked = || self.about(to);
        let (allowed, rule, reason) = ranked()
            .find(|ranked| ranked.applies(from) != Applies::No)
            .map_or_else(
                || {
                    (
                        self.default == Action::Allow,
                        None,
                        self.by_default(from, to),
                    )
                },
                |ranked| {
                    let default = self.default;
                    let verdict = ranked.decide(from, protocol_is_http, request, default);
                    (verdict.allowed, Some(verdict.rule), verdict.reason)
                },
            );
        Decision {
            allowed,
            rule,
            reason,
            considered: ranked().map(|ranked| ranked.told(from)).collect(),
        }
    }

    /// The intentions whose destination matches, highest precedence first.
    fn about(&self, to: &Destination<'_>) -> impl Iterator<Item = &Ranked> {
        let [partition, namespace, service] =
            [to.partition, to.namespace, to.service].map(str::to_ascii_lowercase);
        let by_namespace = self.by_destination.get(&partition);
        [(&*namespace, &*service), (&namespace, ANY), (ANY, ANY)]
            .map(|(namespace, name)| by_namespace?.get(namespace)?.get(name))
            .into_iter()
            .flatten()
            .flatten()
    }

    fn by_default(&self, from: &Identity<'_>, to: &Destination<'_>) -> String {
        let default = self.default;
        format!("no intention for {to} has the source {from}: the default policy is to {default}")
    }
}

/// Who asks. Consul: the datacenter is not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    /// The service.
    pub service: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its partition.
    pub partition: &'a str,
    /// The peer whose trust domain vouches for it; otherwise this federation's does.
    pub peer: Option<&'a str>,
}

impl<'a> Identity<'a> {
    /// The identity that a certificate gives; only services have one here.
    ///
    /// The caller has checked the trust domain: this federation's, or that of `peer`.
    #[must_use]
    pub fn of(id: &'a SpiffeId, peer: Option<&'a str>) -> Option<Self> {
        match id {
            SpiffeId::Service {
                service,
                namespace,
                partition,
                ..
            } => Some(Self {
                service,
                namespace,
                partition,
                peer,
            }),
            SpiffeId::MeshGateway { .. } | SpiffeId::Agent { .. } | SpiffeId::Server { .. } => None,
        }
    }
}

impl fmt::Display for Identity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Named {
            name: self.service,
            namespace: self.namespace,
            partition: self.partition,
        };
        write!(f, "`{name}`")?;
        self.peer
            .map_or(Ok(()), |peer| write!(f, " of peer `{peer}`"))
    }
}

/// Who is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination<'a> {
    /// The service.
    pub service: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its partition.
    pub partition: &'a str,
}

impl fmt::Display for Destination<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Named {
            name: self.service,
            namespace: self.namespace,
            partition: self.partition,
        };
        write!(f, "`{name}`")
    }
}

/// What is known of a request. `None` is what the gateway cannot see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Option<String>,
    /// The path, with or without a query.
    pub path: Option<String>,
    /// All headers, in their order.
    pub headers: Option<Vec<(String, String)>>,
}

/// The answer, and how it came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether the source may speak to the destination.
    pub allowed: bool,
    /// The intention that decided; none when the default policy did.
    pub rule: Option<Matched>,
    /// Why, for people.
    pub reason: String,
    /// All intentions for the destination, highest precedence first.
    pub considered: Vec<Matched>,
}

/// One intention for the destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched {
    /// From 9, the most specific, to 1.
    pub precedence: u8,
    /// Its source.
    pub source: String,
    /// Its destination.
    pub destination: String,
    /// What it says; none when that depends on the request.
    pub action: Option<Action>,
    /// Index of the permission that decided, or that could not be decided.
    pub permission: Option<usize>,
    /// Whether its source is who asks.
    pub applies: Applies,
    /// Where it stands.
    pub at: Place,
}

/// Whether an intention's source is who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applies {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// It is given by a sameness group, whose members are not known here.
    Unknown,
}

/// A name with its namespace and partition where these say something.
struct Named<'a> {
    name: &'a str,
    namespace: &'a str,
    partition: &'a str,
}

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.partition, self.namespace) {
            ("default", "default") => f.write_str(self.name),
            ("default", namespace) => write!(f, "{namespace}/{}", self.name),
            (partition, namespace) => write!(f, "{partition}/{namespace}/{}", self.name),
        }
    }
}
