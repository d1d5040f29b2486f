//! Scope: what a definition belongs to, by the blocks around it.

use crate::config::source::{Sources, Span};
use crate::control::snapshot::Place;
use crate::mesh::name::{Locality, Name};

/// What surrounds a definition.
#[derive(Clone)]
pub(super) struct Scope<'a> {
    pub(super) sources: &'a Sources,
    pub(super) realm: Realm,
    pub(super) datacenter: Name,
    pub(super) partition: Name,
    /// The datacenter whose block is around it, if one is.
    pub(super) fixed_datacenter: Option<Name>,
}

/// Which of two lists of instances a definition goes to. Nodes of one name may stand in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Realm {
    /// What the datacenter itself tells.
    Catalog,
    /// What its federation state tells.
    Federation,
}

impl Scope<'_> {
    pub(super) fn place(&self, at: Span) -> Place {
        self.sources.place(at)
    }

    pub(super) fn locality(&self) -> Locality {
        Locality {
            datacenter: self.datacenter.clone(),
            partition: self.partition.clone(),
        }
    }
}
