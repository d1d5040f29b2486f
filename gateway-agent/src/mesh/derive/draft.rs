//! Draft: the routes and notes of one unit while it is derived.

use std::collections::HashSet;

use gateway_common::wire::ServerName;

use super::Note;
use crate::control::snapshot::Place;
use crate::mesh::catalog::Instance;
use crate::mesh::route::{MeshRoute, Role};

/// How many instances a reason names: enough to find them, few enough to read.
const TOLD_INSTANCES: usize = 3;

/// The routes and notes of one unit.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) routes: Vec<MeshRoute>,
    pub(super) notes: Vec<Note>,
    /// The texts of the notes.
    noted: HashSet<String>,
}

impl Draft {
    /// Adds a route, if its name can come in a hello. A star that the role does not put there
    /// itself would otherwise take names that belong to others.
    pub(super) fn add(&mut self, route: MeshRoute) {
        let exact = match route.role {
            Role::RemoteDc | Role::RemotePartition | Role::RemoteServers => {
                route.name.strip_prefix("*.").unwrap_or(&route.name)
            }
            _ => &route.name,
        };
        match exact.parse::<ServerName>() {
            Ok(_) => self.routes.push(route),
            Err(why) => {
                let text = format!("no client can ask for the name {}: {why}", route.name);
                self.note(text, route.reason.entries);
            }
        }
    }

    /// Adds a note, once.
    pub(super) fn note(&mut self, text: String, at: Vec<Place>) {
        if self.noted.insert(text.clone()) {
            self.notes.push(Note { text, at });
        }
    }
}

/// The places of the first few instances.
pub(super) fn places<'a>(
    instances: impl IntoIterator<Item = &'a Instance>,
) -> impl Iterator<Item = Place> {
    instances
        .into_iter()
        .take(TOLD_INSTANCES)
        .map(|instance| instance.at.clone())
}

/// `1 instance`, `2 instances`.
pub(super) fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
