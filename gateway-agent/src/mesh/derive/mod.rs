//! From a mesh to the routes of one of its mesh gateways.
//!
//! `Mesh` -> [`View`] (what this gateway reads of it) -> units (a service, a group of remote
//! gateways, the servers, an exported or imported service, a peer: what changes as one, with its
//! inputs) -> [`Derived`] (all routes by name). A unit whose inputs are equal to what they were
//! keeps its routes, so that a small change to a large mesh costs little more than the comparison.
//!
//! Deliberately not here: how health turns into a choice of endpoints at run time (panic,
//! ejection), and any look-up by server name; both are `control`'s.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

use super::route::{DnsDiscovery, MeshRoute};
use crate::control::snapshot::Place;

mod address;
mod binds;
mod chain;
mod draft;
mod endpoints;
mod exported;
mod held;
mod imported;
mod peering;
mod remote;
mod servers;
mod service;
mod subject;
mod terms;
#[cfg(test)]
mod tests;
mod unit;
mod view;

pub use binds::binds;
pub use subject::Asked;
pub use view::View;

use terms::Terms;
use unit::{Key, Unit};

/// Where culvert decides otherwise than Consul, one switch a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fidelity {
    /// Whether the name of any server here is always routed in a WAN federation; Consul routes it
    /// only if the own datacenter has a federation state.
    pub any_server: bool,
    /// How host names of remote gateways are resolved where the registration says nothing; Consul
    /// takes the first one only.
    pub hostnames: DnsDiscovery,
    /// Whether host names of local instances are resolved; Consul leaves them unusable.
    pub local_hostnames: bool,
    /// Whether a gateway without an address listens at those of both families; Consul takes
    /// `0.0.0.0` unless its agents are dual-stack.
    pub both_families: bool,
    /// Whether no peer may name its service like something of ours; Consul takes any name that a
    /// peer tells, and an exact name goes before the `*` of a datacenter.
    pub own_names: bool,
    /// Whether of several endpoints with one address only one stays, and none without an address
    /// or a port; Consul keeps them all.
    pub distinct: bool,
}

impl Fidelity {
    /// Exactly Consul.
    #[must_use]
    pub fn consul() -> Self {
        Self {
            any_server: false,
            hostnames: DnsDiscovery::LogicalDns,
            local_hostnames: false,
            both_families: false,
            own_names: false,
            distinct: false,
        }
    }
}

impl Default for Fidelity {
    /// Culvert's own decisions.
    fn default() -> Self {
        Self {
            any_server: true,
            hostnames: DnsDiscovery::StrictDns,
            local_hostnames: true,
            both_families: true,
            own_names: true,
            distinct: true,
        }
    }
}

/// Something that an operator should know: it works, but perhaps not as meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What.
    pub text: String,
    /// Where it stands, the most telling place first; few.
    pub at: Vec<Place>,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = self.at.first() {
            write!(f, "{at}: ")?;
        }
        f.write_str(&self.text)
    }
}

/// The routes of a gateway, and what they were derived from.
#[derive(Clone, Debug, Default)]
pub struct Derived {
    /// What all routes share; `None`: nothing is derived yet.
    terms: Option<Terms>,
    units: BTreeMap<Key, Arc<Unit>>,
    routes: Vec<Arc<MeshRoute>>,
    notes: Vec<Note>,
}

impl Derived {
    /// Derives everything.
    #[must_use]
    pub fn new(view: &View, fidelity: &Fidelity) -> Self {
        Self::default().update(view, fidelity)
    }

    /// Derives what has changed, keeps the rest. The result is that of [`Self::new`].
    #[must_use]
    pub fn update(&self, view: &View, fidelity: &Fidelity) -> Self {
        let mut notes = Vec::new();
        let terms = Terms::of(view, fidelity, &mut notes);
        let kept = self.terms.as_ref() == Some(&terms);
        let units = unit::all(view, &terms)
            .map(|(key, inputs)| {
                let former = self.units.get(&key);
                let unit = match former {
                    Some(former) if kept && former.inputs == inputs => Arc::clone(former),
                    _ => Arc::new(Unit::derive(inputs, &terms, former)),
                };
                (key, unit)
            })
            .collect::<BTreeMap<_, _>>();
        let routes = gather(&units, &mut notes);
        Self {
            terms: Some(terms),
            units,
            routes,
            notes,
        }
    }

    /// All routes, sorted by name; no two have one name.
    pub fn routes(&self) -> impl ExactSizeIterator<Item = &Arc<MeshRoute>> {
        self.routes.iter()
    }

    /// What an operator should know.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }
}

/// Sorts the routes of all units by name. Of two with one name the earlier unit's stays: what a
/// peer says comes last, so that no peer takes a name of ours.
fn gather(units: &BTreeMap<Key, Arc<Unit>>, notes: &mut Vec<Note>) -> Vec<Arc<MeshRoute>> {
    notes.extend(units.values().flat_map(|unit| unit.notes.iter().cloned()));
    let mut routes: Vec<_> = units
        .values()
        .flat_map(|unit| unit.routes.iter().map(Arc::clone))
        .collect();
    // Stable: routes of one name stay in the order of their units.
    routes.sort_by(|a, b| a.name.cmp(&b.name));
    routes.dedup_by(|loser, winner| {
        let meet = loser.name == winner.name;
        if meet {
            notes.push(collision(winner, loser));
        }
        meet
    });
    // A service that peers use has its subsets looked at once for them and once for us.
    let mut told = HashSet::new();
    notes.retain(|note| told.insert(note.text.clone()));
    routes
}

fn collision(winner: &MeshRoute, loser: &MeshRoute) -> Note {
    Note {
        text: format!(
            "the name {} stands for two things: {} (used) and {} (left out); rename one of them",
            winner.name, winner.reason.rule, loser.reason.rule
        ),
        at: loser
            .reason
            .entries
            .iter()
            .chain(&winner.reason.entries)
            .cloned()
            .collect(),
    }
}
