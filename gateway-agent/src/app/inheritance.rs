//! Listening sockets that outlive the agent, by the service manager's descriptor store.

use std::os::fd::{BorrowedFd, OwnedFd};

use std::collections::HashMap;

use crate::ops::systemd::{self, Inherited};
use crate::proxy::accept::{Inheritance, Place};

/// What the service manager handed over, and what it keeps for us.
pub(super) struct ServiceManager {
    inherited: Inherited,
    /// Whether there is a manager that keeps descriptors.
    keeps: bool,
    /// Sockets stored for each place.
    stored: HashMap<Place, usize>,
}

impl ServiceManager {
    /// Takes up what was inherited.
    #[must_use]
    pub(super) fn new(inherited: Inherited) -> Self {
        let keeps = systemd::is_listening();
        Self {
            inherited,
            keeps,
            stored: HashMap::new(),
        }
    }
}

impl Inheritance for ServiceManager {
    fn take(&mut self, place: &Place) -> Vec<OwnedFd> {
        match place {
            // By address, so that sockets of a socket unit are found whatever their name.
            Place::Address(address) => self.inherited.take(*address),
            Place::Steered { .. } => {
                let named = self.inherited.take_named(&name(place));
                named.into_iter().map(|(_, socket)| socket).collect()
            }
        }
    }

    fn store(&mut self, place: &Place, index: usize, socket: BorrowedFd<'_>) {
        if self.keeps {
            systemd::store(&systemd::store_name(&name(place), index), socket);
            self.stored.insert(place.clone(), index + 1);
        }
    }

    fn settle(&mut self) {
        let inherited = core::mem::take(&mut self.inherited);
        for leftover in inherited.finish() {
            tracing::warn!(name = leftover.name, address = %leftover.address,
                "close an inherited socket that no listener wants");
            systemd::unstore(&leftover.name);
        }
    }

    fn forget(&mut self, place: &Place) {
        for index in 0..self.stored.remove(place).unwrap_or(0) {
            systemd::unstore(&systemd::store_name(&name(place), index));
        }
    }
}

/// What the sockets of a place are called in the descriptor store.
fn name(place: &Place) -> String {
    match place {
        Place::Address(address) => address.to_string(),
        Place::Steered { listener, v6 } => {
            format!("steered-{}-{listener}", if *v6 { "v6" } else { "v4" })
        }
    }
}
