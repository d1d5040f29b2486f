//! Ids of routes and listeners by name. The pinned maps are the memory: an id means the same after a
//! restart, and is given once.

use std::collections::HashMap;

use gateway_common::abi::route::{
    DATACENTER_BYTES, LISTENER_BYTES, ListenerName, RouteName, SERVICE_BYTES, padded, unpadded,
};

use super::{BpfError, tables::Maps};

/// What has been given so far.
#[derive(Debug, Default)]
pub(crate) struct Names {
    routes: HashMap<(String, String), u32>,
    listeners: HashMap<String, u32>,
    next_route: u32,
    next_listener: u32,
}

impl Names {
    /// Reads what former agents gave. Entries that are no text are skipped: their ids stay taken.
    pub(crate) fn read(maps: &Maps) -> Result<Self, BpfError> {
        let mut names = Self::default();
        for entry in maps.routes.iter() {
            let (id, name) = entry.map_err(|error| BpfError::map("ROUTES", "read", error))?;
            names.next_route = names.next_route.max(id.saturating_add(1));
            if let (Some(datacenter), Some(service)) =
                (unpadded(&name.datacenter), unpadded(&name.service))
            {
                names
                    .routes
                    .insert((datacenter.to_owned(), service.to_owned()), id);
            }
        }
        for entry in maps.listener_names.iter() {
            let (id, name) =
                entry.map_err(|error| BpfError::map("LISTENER_NAMES", "read", error))?;
            names.next_listener = names.next_listener.max(id.saturating_add(1));
            if let Some(name) = unpadded(&name.name) {
                names.listeners.insert(name.to_owned(), id);
            }
        }
        Ok(names)
    }

    /// The id of a route; writes its name when it is new.
    pub(crate) fn route(
        &mut self,
        maps: &mut Maps,
        datacenter: &str,
        service: &str,
    ) -> Result<u32, BpfError> {
        let key = (datacenter.to_owned(), service.to_owned());
        if let Some(id) = self.routes.get(&key) {
            return Ok(*id);
        }
        let name = RouteName {
            datacenter: fit::<DATACENTER_BYTES>(datacenter)?,
            service: fit::<SERVICE_BYTES>(service)?,
            flags: 0,
        };
        let id = self.next_route;
        maps.add_route(id, &name)?;
        self.next_route = id.saturating_add(1);
        self.routes.insert(key, id);
        Ok(id)
    }

    /// The id of a listener; writes its name when it is new.
    pub(crate) fn listener(&mut self, maps: &mut Maps, name: &str) -> Result<u32, BpfError> {
        if let Some(id) = self.listeners.get(name) {
            return Ok(*id);
        }
        let id = self.next_listener;
        maps.add_listener(
            id,
            &ListenerName {
                name: fit::<LISTENER_BYTES>(name)?,
            },
        )?;
        self.next_listener = id.saturating_add(1);
        self.listeners.insert(name.to_owned(), id);
        Ok(id)
    }

    /// Every route: id, datacenter, service.
    pub(crate) fn routes(&self) -> impl Iterator<Item = (u32, &str, &str)> {
        self.routes
            .iter()
            .map(|((datacenter, service), id)| (*id, &**datacenter, &**service))
    }
}

fn fit<const N: usize>(name: &str) -> Result<[u8; N], BpfError> {
    padded(name).ok_or_else(|| BpfError::NameTooLong {
        name: name.to_owned(),
        limit: N,
    })
}
