//! `service-splitter`: shares of a service's requests that go elsewhere.

use std::collections::BTreeMap;

use super::headers::HeaderChanges;
use crate::control::snapshot::Place;
use crate::mesh::name::{Name, ServiceName};

/// Shares of a service's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSplitter {
    /// The service.
    pub service: ServiceName,
    /// The shares; together they are the whole.
    pub splits: Vec<Split>,
    /// Metadata.
    pub meta: BTreeMap<String, String>,
    /// Where it stands.
    pub at: Place,
}

/// One share. An empty name means: as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Its size in hundredths of a per cent, which is as fine as Consul splits.
    pub weight: u32,
    /// The service.
    pub service: Name,
    /// Its subset.
    pub subset: String,
    /// Its namespace.
    pub namespace: Name,
    /// Its partition.
    pub partition: Name,
    /// Changes to the request.
    pub request_headers: HeaderChanges,
    /// Changes to the answer.
    pub response_headers: HeaderChanges,
    /// Where it stands.
    pub at: Place,
}

impl Split {
    /// The whole, in hundredths of a per cent.
    pub const WHOLE: u32 = 10_000;
}
