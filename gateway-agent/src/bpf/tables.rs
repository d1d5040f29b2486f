//! Typed maps behind the datapath, opened from their pins. The only place that turns plans, names and
//! sockets into map entries.

use core::mem;
use std::{
    os::fd::{AsRawFd as _, BorrowedFd},
    path::Path,
};

use aya::{
    maps::{
        Array, HashMap, LpmTrie, Map, MapData, MapError, PerCpuArray, PerCpuHashMap, PerCpuValues,
        lpm_trie::Key,
    },
    util::nr_cpus,
};
use gateway_common::abi::{
    counter::SteerCount,
    route::{ListenerName, RouteName, RouteStats},
    steer::{CLASS_BITS, CLASS_NONE, DestinationKey, Family, Target, listener_slot},
};
use rustix::io::Errno;

use super::{
    BpfError,
    layout::{self, Layout},
    steer::{Row, Rows, Tables},
};

/// `bpf_map_update_elem`: only make an entry, never replace one.
const BPF_NOEXIST: u64 = 1;

/// The maps that the datapath itself writes or reads.
pub(crate) struct Maps {
    ports: Array<MapData, u16>,
    destinations: LpmTrie<MapData, DestinationKey, Target>,
    /// Read and written as an array of 64-bit values, which is what its kind looks like from here: a
    /// descriptor goes in, the socket's cookie comes out.
    listeners: Array<MapData, u64>,
    pub(crate) listener_names: HashMap<MapData, u32, ListenerName>,
    pub(crate) routes: HashMap<MapData, u32, RouteName>,
    route_stats: PerCpuHashMap<MapData, u32, RouteStats>,
    steer_counts: PerCpuArray<MapData, u64>,
    /// Entries that `destinations` holds.
    room: usize,
}

impl Maps {
    pub(crate) fn open(directory: &Path) -> Result<Self, BpfError> {
        let destinations = pinned(directory, &layout::DESTINATIONS)?;
        let room = destinations.info().map(|info| info.max_entries() as usize);
        let room = room.map_err(|error| BpfError::map("DESTINATIONS", "measure", error))?;
        Ok(Self {
            ports: typed(directory, &layout::PORTS, Map::Array)?,
            destinations: convert("DESTINATIONS", Map::LpmTrie(destinations))?,
            listeners: typed(directory, &layout::LISTENERS, Map::Array)?,
            listener_names: typed(directory, &layout::LISTENER_NAMES, Map::HashMap)?,
            routes: typed(directory, &layout::ROUTES, Map::HashMap)?,
            route_stats: typed(directory, &layout::ROUTE_STATS, Map::PerCpuHashMap)?,
            steer_counts: typed(directory, &layout::STEER_COUNTS, Map::PerCpuArray)?,
            room,
        })
    }

    /// What `PORTS` and `DESTINATIONS` hold. Right only while nobody else writes: at adoption.
    pub(crate) fn tables(&self) -> Result<Tables, BpfError> {
        let failed = |name| move |error| BpfError::map(name, "read", error);
        let ports: Result<Vec<_>, _> = self.ports.iter().collect();
        let mut tables = Tables {
            ports: ports.map_err(failed("PORTS"))?,
            ..Tables::default()
        };
        for entry in self.destinations.iter() {
            let (key, target) = entry.map_err(failed("DESTINATIONS"))?;
            let data = key.data();
            let class = data.class().unwrap_or(CLASS_NONE);
            tables
                .classes
                .entry(class)
                .or_default()
                .insert(row(key.prefix_len(), data), target);
        }
        Ok(tables)
    }

    /// Adds the rows of a class; those written before a failure stay, see [`Self::remove_rows`].
    pub(crate) fn add_rows(&mut self, class: u16, rows: &Rows) -> Result<(), BpfError> {
        rows.iter().try_for_each(|(row, target)| {
            self.destinations
                .insert(&key(class, *row), target, 0)
                .map_err(|error| BpfError::map("DESTINATIONS", "write", error))
        })
    }

    /// Removes the rows of a class that are there.
    pub(crate) fn remove_rows(&mut self, class: u16, rows: &Rows) -> Result<(), BpfError> {
        rows.keys()
            .try_for_each(|row| match self.destinations.remove(&key(class, *row)) {
                Err(error) if !is_missing(&error) => {
                    Err(BpfError::map("DESTINATIONS", "remove from", error))
                }
                _ => Ok(()),
            })
    }

    /// Whether a number of rows fits.
    pub(crate) fn make_sure_of_room(&self, wanted: usize) -> Result<(), BpfError> {
        let (name, capacity) = ("DESTINATIONS", self.room);
        if wanted <= capacity {
            Ok(())
        } else {
            Err(BpfError::Full {
                name,
                wanted,
                capacity,
            })
        }
    }

    /// Turns a port to a class.
    pub(crate) fn set_port(&mut self, port: u16, class: u16) -> Result<(), BpfError> {
        self.ports
            .set(u32::from(port), class, 0)
            .map_err(|error| BpfError::map("PORTS", "write", error))
    }

    /// Puts a listening socket into its slot.
    pub(crate) fn set_listener(
        &mut self,
        listener: u32,
        family: Family,
        socket: BorrowedFd<'_>,
    ) -> Result<(), BpfError> {
        let slots = self.listeners.len();
        let slot = listener_slot(listener, family)
            .filter(|slot| *slot < slots)
            .ok_or(BpfError::Full {
                name: "LISTENERS",
                wanted: listener as usize + 1,
                capacity: slots as usize / 2,
            })?;
        let descriptor = u64::from(socket.as_raw_fd().unsigned_abs());
        self.listeners
            .set(slot, descriptor, 0)
            .map_err(|error| BpfError::map("LISTENERS", "put a socket into", error))
    }

    /// Makes the entry of counts of a new route, which the programs then own, and writes its name.
    pub(crate) fn add_route(&mut self, id: u32, name: &RouteName) -> Result<(), BpfError> {
        let cpus = nr_cpus().map_err(|(_, error)| BpfError::map("ROUTE_STATS", "size", error))?;
        let zeros = PerCpuValues::try_from(vec![RouteStats::default(); cpus])
            .map_err(|error| BpfError::map("ROUTE_STATS", "size", error))?;
        match self.route_stats.insert(id, zeros, BPF_NOEXIST) {
            // Left by an agent that was killed before it wrote the name: no row has led to it yet.
            Err(error) if errno(&error) == Some(Errno::EXIST) => {}
            added => added.map_err(|error| refused("ROUTE_STATS", id, error))?,
        }
        self.routes
            .insert(id, name, BPF_NOEXIST)
            .map_err(|error| refused("ROUTES", id, error))
    }

    /// Writes the name of a new listener.
    pub(crate) fn add_listener(&mut self, id: u32, name: &ListenerName) -> Result<(), BpfError> {
        self.listener_names
            .insert(id, name, BPF_NOEXIST)
            .map_err(|error| refused("LISTENER_NAMES", id, error))
    }

    /// The kernel's counts of a route, all CPUs together; zeros when the programs have no entry.
    pub(crate) fn route_stats(&self, id: u32) -> Result<RouteStats, BpfError> {
        match self.route_stats.get(&id, 0) {
            Ok(values) => Ok(sum(values.iter())),
            Err(error) if is_missing(&error) => Ok(RouteStats::default()),
            Err(error) => Err(BpfError::map("ROUTE_STATS", "read", error)),
        }
    }

    /// A counter of `steer`, all CPUs together.
    pub(crate) fn steer_count(&self, counter: SteerCount) -> Result<u64, BpfError> {
        let values = self.steer_counts.get(&(counter as u32), 0);
        let values = values.map_err(|error| BpfError::map("STEER_COUNTS", "read", error))?;
        Ok(values
            .iter()
            .fold(0, |sum: u64, value| sum.wrapping_add(*value)))
    }
}

/// Adds the counts of all CPUs.
pub(crate) fn sum<'a>(values: impl Iterator<Item = &'a RouteStats>) -> RouteStats {
    values.fold(RouteStats::default(), |sum, one| RouteStats {
        lookups: sum.lookups.wrapping_add(one.lookups),
        steered: sum.steered.wrapping_add(one.steered),
        passed: sum.passed.wrapping_add(one.passed),
    })
}

/// Whether an error says that there is no such entry.
pub(crate) fn is_missing(error: &MapError) -> bool {
    matches!(error, MapError::KeyNotFound | MapError::ElementNotFound)
        || errno(error) == Some(Errno::NOENT)
}

fn errno(error: &MapError) -> Option<Errno> {
    let MapError::SyscallError(error) = error else {
        return None;
    };
    Errno::from_io_error(&error.io_error)
}

/// The error of an entry that could not be added. Ids are given in order: as many entries are in use.
fn refused(name: &'static str, id: u32, error: MapError) -> BpfError {
    match errno(&error) {
        Some(Errno::TOOBIG) => BpfError::Full {
            name,
            wanted: id as usize + 1,
            capacity: id as usize,
        },
        _ => BpfError::map(name, "write", error),
    }
}

/// Opens a pinned map under a type of aya's; the layout has been compared before.
pub(crate) fn typed<T>(
    directory: &Path,
    map: &Layout,
    kind: fn(MapData) -> Map,
) -> Result<T, BpfError>
where
    T: TryFrom<Map, Error = MapError>,
{
    convert(map.name, kind(pinned(directory, map)?))
}

fn convert<T: TryFrom<Map, Error = MapError>>(name: &'static str, map: Map) -> Result<T, BpfError> {
    T::try_from(map).map_err(|error| BpfError::map(name, "convert", error))
}

fn pinned(directory: &Path, map: &Layout) -> Result<MapData, BpfError> {
    MapData::from_pin(directory.join(map.name))
        .map_err(|error| BpfError::map(map.name, "open pinned", error))
}

fn key(class: u16, row: Row) -> Key<DestinationKey> {
    let address = row.address.to_be_bytes();
    Key::new(
        CLASS_BITS + u32::from(row.bits),
        DestinationKey::new(class, words(address)),
    )
}

fn row(prefix_len: u32, key: DestinationKey) -> Row {
    let bits = prefix_len.saturating_sub(CLASS_BITS).min(128);
    Row {
        address: u128::from_be_bytes(bytes(key.address)),
        bits: u8::try_from(bits).unwrap_or(128),
    }
}

/// The words whose bytes in memory are these.
fn words(bytes: [u8; 16]) -> [u32; 4] {
    // SAFETY: both are sixteen bytes of plain data without padding.
    unsafe { mem::transmute(bytes) }
}

/// The bytes in memory of these words.
pub(crate) fn bytes(words: [u32; 4]) -> [u8; 16] {
    // SAFETY: both are sixteen bytes of plain data without padding.
    unsafe { mem::transmute(words) }
}
