//! `service-router`: which service a request goes to, by what it asks for.

use std::collections::BTreeMap;
use std::time::Duration;

use super::headers::HeaderChanges;
use crate::control::snapshot::Place;
use crate::mesh::name::{Name, ServiceName};

/// Routes of a service's requests.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceRouter {
    /// The service.
    pub service: ServiceName,
    /// Routes in order; after the last, all goes to the service itself.
    pub routes: Vec<ServiceRoute>,
    /// Metadata.
    pub meta: BTreeMap<String, String>,
    /// Where it stands.
    pub at: Place,
}

/// One route.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceRoute {
    /// The requests that it takes.
    pub matches: RequestMatch,
    /// Where they go; `None`: to the service itself.
    pub destination: Option<RouteDestination>,
    /// Where it stands.
    pub at: Place,
}

/// What a request must be like; all that is given holds at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestMatch {
    /// Its path.
    pub path: PathMatch,
    /// Whether the path's case does not count.
    pub case_insensitive: bool,
    /// Its headers.
    pub headers: Vec<FieldMatch>,
    /// Its query parameters.
    pub query: Vec<FieldMatch>,
    /// Its methods, upper case; empty: any.
    pub methods: Vec<String>,
}

/// What a path must be like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PathMatch {
    /// Anything.
    #[default]
    Any,
    /// This.
    Exact(String),
    /// Starting like this.
    Prefix(String),
    /// Matching this as a whole.
    Regex(String),
}

/// What a header or query parameter must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldMatch {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: ValueMatch,
    /// Whether it must not be like that.
    pub invert: bool,
}

/// What a value must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueMatch {
    /// There.
    Present,
    /// This.
    Exact(String),
    /// Starting like this.
    Prefix(String),
    /// Ending like this.
    Suffix(String),
    /// Matching this as a whole.
    Regex(String),
}

/// Where the requests of a route go. An empty name means: as it was.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteDestination {
    /// The service.
    pub service: Name,
    /// Its subset.
    pub subset: String,
    /// Its namespace.
    pub namespace: Name,
    /// Its partition.
    pub partition: Name,
    /// What the matched prefix or path becomes.
    pub prefix_rewrite: String,
    /// Limit of one request.
    pub request_timeout: Timeout,
    /// Limit of silence on one request.
    pub idle_timeout: Timeout,
    /// How often a request is tried again, and when.
    pub retry: Retry,
    /// Changes to the request.
    pub request_headers: HeaderChanges,
    /// Changes to the answer.
    pub response_headers: HeaderChanges,
    /// Where it stands.
    pub at: Place,
}

/// A limit of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timeout {
    /// Nothing said: the usual one.
    #[default]
    Usual,
    /// None.
    Off,
    /// This.
    After(Duration),
}

/// When a request is tried again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retry {
    /// How often; `None`: the usual number.
    pub count: Option<u32>,
    /// Whether it is after a dial that failed.
    pub on_connect_failure: bool,
    /// Envoy's words for when it is.
    pub on: Vec<String>,
    /// The answers after which it is.
    pub on_status: Vec<u16>,
}
