//! `exported-services`: what peers and other partitions may use. Its name is the partition.

use std::collections::BTreeMap;

use crate::control::snapshot::Place;
use crate::mesh::name::{Name, ServiceName};

/// What peers and other partitions may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportedServices {
    /// The partition whose services these are.
    pub partition: Name,
    /// The exports.
    pub services: Vec<Export>,
    /// Metadata.
    pub meta: BTreeMap<String, String>,
    /// Where it stands.
    pub at: Place,
}

/// One exported service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// The service; the name `*` stands for all of its namespace but `consul`.
    pub service: ServiceName,
    /// Who may use it.
    pub consumers: Vec<Consumer>,
    /// Where it stands.
    pub at: Place,
}

/// Who may use an exported service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consumer {
    /// A peer, by its name here.
    Peer(Name),
    /// Another partition (Enterprise).
    Partition(Name),
    /// A group of both (Enterprise).
    SamenessGroup(Name),
}
