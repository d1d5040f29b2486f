//! Whether entries fit together: what Consul looks at over the whole graph when one is written.
//!
//! A service that nobody knows is no fault, since it may come later. A subset that its resolver
//! does not have, or a peer that there is no peering with, is one: a gateway would quietly route
//! to nobody.

use std::collections::BTreeSet;

use super::Entries;
use crate::control::snapshot::Place;
use crate::mesh::name::{Name, ServiceName};

mod cycles;
mod protocols;
mod references;
#[cfg(test)]
mod tests;

/// What is wrong between entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What it is, naming the entry.
    pub message: String,
    /// What was expected.
    pub expected: String,
    /// Where.
    pub at: Place,
    /// Other places that have to do with it, and what they are.
    pub also: Vec<(Place, String)>,
    /// What to do next.
    pub help: Option<String>,
}

impl Problem {
    fn new(at: &Place, message: String, expected: impl Into<String>) -> Self {
        Self {
            message,
            expected: expected.into(),
            at: at.clone(),
            also: Vec::new(),
            help: None,
        }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl Entries {
    /// Everything that is wrong between entries. `peers` are those with a peering.
    #[must_use]
    pub fn check(&self, peers: &BTreeSet<Name>) -> Vec<Problem> {
        let mut problems = Vec::new();
        references::check(self, peers, &mut problems);
        protocols::check(self, &mut problems);
        cycles::redirects(self, &mut problems);
        cycles::splits(self, &mut problems);
        problems
    }
}

/// Where something leads from a service; empty names mean: as it was.
fn other(from: &ServiceName, service: &Name, namespace: &Name, partition: &Name) -> ServiceName {
    let or = |given: &Name, own: &Name| {
        if given.as_str().is_empty() {
            own.clone()
        } else {
            given.clone()
        }
    };
    ServiceName {
        name: or(service, &from.name),
        namespace: or(namespace, &from.namespace),
        partition: or(partition, &from.partition),
    }
}
