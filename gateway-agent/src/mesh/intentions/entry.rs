//! The `service-intentions` entry as it was read. Names are not resolved and patterns not compiled.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::control::snapshot::Place;

/// The name that stands for any service, or any namespace.
pub(super) const ANY: &str = "*";

/// Who may speak to one service, or to all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceIntentions {
    /// The destination, or `*`.
    pub name: Arc<str>,
    /// Its namespace, or `*`; `default` when not given.
    pub namespace: Arc<str>,
    /// Its partition; `default` when not given.
    pub partition: Arc<str>,
    /// Who asks, in the order of the entry; precedence does not follow it.
    pub sources: Vec<Source>,
    /// A token that every allowed request must carry.
    pub jwt: Option<JwtRequirement>,
    /// Free text for people.
    pub meta: BTreeMap<String, String>,
    /// Where the entry stands.
    pub at: Place,
}

/// One intention: a source and what holds for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The service, or `*`.
    pub name: Arc<str>,
    /// Its namespace, or `*`; `default` when not given.
    pub namespace: Arc<str>,
    /// Its partition; `default` when not given.
    pub partition: Arc<str>,
    /// The peer that it lives in; otherwise this federation.
    pub peer: Option<Arc<str>>,
    /// A group of partitions and peers, which only Consul knows.
    pub sameness_group: Option<Arc<str>>,
    /// What holds for it.
    pub rule: Rule,
    /// Free text for people.
    pub description: String,
    /// Which kind of identity the name is.
    pub kind: SourceKind,
    /// Where the source stands.
    pub at: Place,
}

/// Which kind of identity a source is. Consul: `Type`, with one value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceKind {
    /// A service of Consul.
    #[default]
    Consul,
}

/// What holds for a source: one answer, or one that depends on the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The same for every connection.
    Action(Action),
    /// The first that matches a request acts.
    Permissions(Vec<Permission>),
}

/// Allow or deny.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Served.
    Allow,
    /// Refused.
    Deny,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        })
    }
}

/// What is done with the requests that match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// What is done.
    pub action: Action,
    /// Which requests; all when absent.
    pub http: Option<HttpMatch>,
    /// A token that they must carry.
    pub jwt: Option<JwtRequirement>,
}

/// Which requests: all that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpMatch {
    /// The path, without its query.
    pub path: Option<PathMatch>,
    /// Every one must hold.
    pub headers: Vec<HeaderMatch>,
    /// One of these; any when empty.
    pub methods: Vec<String>,
}

/// What a path must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathMatch {
    /// This.
    Exact(String),
    /// Starts with this.
    Prefix(String),
    /// Matches this as a whole.
    Regex(String),
}

/// What a header must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderMatch {
    /// The header's name, in any case.
    pub name: String,
    /// What is asked of it.
    pub test: HeaderTest,
    /// Holds when the test does not.
    pub invert: bool,
    /// Texts are compared without ASCII case; a regular expression is not.
    pub ignore_case: bool,
}

/// What is asked of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderTest {
    /// It is there.
    Present,
    /// It is this.
    Exact(String),
    /// It starts with this.
    Prefix(String),
    /// It ends with this.
    Suffix(String),
    /// It contains this.
    Contains(String),
    /// It matches this as a whole.
    Regex(String),
}

/// A token of any of these providers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JwtRequirement {
    /// The providers.
    pub providers: Vec<JwtProvider>,
}

/// Whose token, and what it must claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtProvider {
    /// Name of the provider's entry.
    pub name: String,
    /// Every one must hold.
    pub verify_claims: Vec<VerifyClaim>,
}

/// A claim that a token must make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyClaim {
    /// Keys from the outside in.
    pub path: Vec<String>,
    /// The value there.
    pub value: String,
}
