//! One function a map: bytes of its entries -> rows. Bytes that make no sense become unknown cells.

use core::ops::RangeInclusive;
use std::collections::BTreeMap;

use aya::Pod;
use gateway_common::abi::{
    counter::SteerCount,
    event::EventCode,
    route::{ListenerName, RouteAccepts, RouteName, RouteStats, unpadded},
    splice::{Forwarded, SpliceCount, SpliceStats, Stream},
    steer::{CLASS_BITS, CLASS_NONE, DestinationKey, Target},
};
use ipnet::IpNet;

use super::{
    super::{BpfError, events, layout, layout::Layout, raw::Entry, splice, tables},
    Pinned,
    table::Cell,
};

type Columns = &'static [&'static str];
type Rows = Vec<Vec<Cell>>;

/// Columns and rows of a map, in a useful order.
pub(super) fn decode(pinned: &Pinned, layout: &Layout) -> Result<(Columns, Rows), BpfError> {
    let entries = read(pinned, layout)?;
    let (columns, mut rows): (Columns, Rows) = match layout.name {
        "PORTS" => (&["ports", "class"], ports(&entries)),
        "DESTINATIONS" => (
            &[
                "ports",
                "prefix",
                "listener",
                "listener_name",
                "route",
                "datacenter",
                "service",
            ],
            destinations(&entries, &Names::read(pinned)?, &ports_of_classes(pinned)?),
        ),
        "LISTENERS" => (
            &["listener", "listener_name", "family", "socket_cookie"],
            listeners(&entries, &Names::read(pinned)?),
        ),
        "LISTENER_NAMES" => (&["listener", "listener_name"], listener_names(&entries)),
        "ROUTES" => (
            &["route", "datacenter", "service", "flags"],
            routes(&entries),
        ),
        "ROUTE_STATS" => (
            &[
                "route",
                "datacenter",
                "service",
                "lookups",
                "steered",
                "passed",
            ],
            route_stats(&entries, &Names::read(pinned)?),
        ),
        "ROUTE_ACCEPTS" => (
            &[
                "route",
                "datacenter",
                "service",
                "connections",
                "upstream_bytes",
                "downstream_bytes",
            ],
            route_accepts(&entries, &Names::read(pinned)?),
        ),
        "PEERS" => (&["socket_cookie", "peer_cookie"], peers(&entries)),
        "STREAMS" => (
            &[
                "socket_cookie",
                "redirected",
                "passed",
                "segments",
                "backlog",
                "most_backlog",
                "hidden",
                "paused",
                "pauses",
                "resumes",
                "orphans",
                "repeated",
            ],
            streams(&entries),
        ),
        "FORWARDED" => (
            &[
                "socket_cookie",
                "peer_cookie",
                "forwarded",
                "budget",
                "route",
                "direction",
            ],
            forwarded(&entries),
        ),
        "SPLICE_ROUTES" => (
            &["route", "datacenter", "service", "flags"],
            routes(&entries),
        ),
        "SPLICE_STATS" => (
            &[
                "route",
                "datacenter",
                "service",
                "upstream_segments",
                "upstream_bytes",
                "upstream_relayed",
                "downstream_segments",
                "downstream_bytes",
                "downstream_relayed",
            ],
            splice_stats(&entries, &Names::of_splices(pinned)?),
        ),
        "SPLICE_COUNTS" => (&["counter", "count"], splice_counts(&entries)),
        "STEER_COUNTS" => (&["counter", "count"], steer_counts(&entries)),
        "EVENT_CLOCK" => (&["event", "last_ns"], event_clock(&entries)),
        // A ring buffer has one reader, the agent: there is nothing to look at.
        _ => (&[], Vec::new()),
    };
    if !matches!(layout.name, "STEER_COUNTS" | "SPLICE_COUNTS") {
        rows.sort();
    }
    Ok((columns, rows))
}

fn read(pinned: &Pinned, layout: &Layout) -> Result<Vec<Entry>, BpfError> {
    let entries = pinned.open(layout)?.entries();
    entries.map_err(|error| BpfError::map(layout.name, "read", error))
}

/// What ids stand for.
struct Names {
    listeners: BTreeMap<u32, ListenerName>,
    routes: BTreeMap<u32, RouteName>,
}

impl Names {
    fn read(pinned: &Pinned) -> Result<Self, BpfError> {
        Ok(Self {
            listeners: typed(&read(pinned, &layout::LISTENER_NAMES)?).collect(),
            routes: typed(&read(pinned, &layout::ROUTES)?).collect(),
        })
    }

    fn of_splices(pinned: &Pinned) -> Result<Self, BpfError> {
        Ok(Self {
            listeners: BTreeMap::new(),
            routes: typed(&read(pinned, &layout::SPLICE_ROUTES)?).collect(),
        })
    }

    fn listener(&self, id: u32) -> [Cell; 2] {
        let name = self
            .listeners
            .get(&id)
            .and_then(|name| unpadded(&name.name));
        [Cell::Number(id.into()), Cell::text(name)]
    }

    fn route(&self, id: u32) -> [Cell; 3] {
        let name = self.routes.get(&id);
        let datacenter = name.and_then(|name| unpadded(&name.datacenter));
        let service = name.and_then(|name| unpadded(&name.service));
        [
            Cell::Number(id.into()),
            Cell::text(datacenter),
            Cell::text(service),
        ]
    }
}

fn ports(entries: &[Entry]) -> Rows {
    let row = |(range, class): (RangeInclusive<u16>, u16)| {
        vec![Cell::range(&range), Cell::Number(class.into())]
    };
    ranges(entries).into_iter().map(row).collect()
}

/// Neighbouring ports of one class, without those of no class.
fn ranges(entries: &[Entry]) -> Vec<(RangeInclusive<u16>, u16)> {
    let mut ranges: Vec<(RangeInclusive<u16>, u16)> = Vec::new();
    for (port, class) in typed::<u32, u16>(entries).filter(|(_, class)| *class != CLASS_NONE) {
        let Ok(port) = u16::try_from(port) else {
            continue;
        };
        match ranges.last_mut() {
            Some((range, last)) if *last == class && range.end().checked_add(1) == Some(port) => {
                *range = *range.start()..=port;
            }
            _ => ranges.push((port..=port, class)),
        }
    }
    ranges
}

/// The ports of each class, as ranges.
type Classes = BTreeMap<u16, Vec<(u16, u16)>>;

fn ports_of_classes(pinned: &Pinned) -> Result<Classes, BpfError> {
    let mut classes = Classes::new();
    for (range, class) in ranges(&read(pinned, &layout::PORTS)?) {
        classes
            .entry(class)
            .or_default()
            .push((*range.start(), *range.end()));
    }
    Ok(classes)
}

fn destinations(entries: &[Entry], names: &Names, classes: &Classes) -> Rows {
    let row = |(key, value): &Entry| {
        let (bits, data) = key.split_at_checked(4)?;
        let (bits, data): (u32, DestinationKey) = (plain(bits)?, plain(data)?);
        let Target { listener, route } = plain(value)?;
        let ports = data.class().and_then(|class| classes.get(&class).cloned());
        let mut row = vec![ports.map_or(Cell::Unknown, Cell::Ports), prefix(bits, data)];
        row.extend(names.listener(listener));
        row.extend(names.route(route));
        Some(row)
    };
    entries.iter().filter_map(row).collect()
}

/// The prefix of a trie's key, IPv4 as IPv4.
fn prefix(bits: u32, key: DestinationKey) -> Cell {
    let bits = bits
        .checked_sub(CLASS_BITS)
        .and_then(|bits| u8::try_from(bits).ok());
    let address = events::address(key.address);
    let bits = bits.and_then(|bits| {
        if address.is_ipv4() {
            bits.checked_sub(96)
        } else {
            Some(bits)
        }
    });
    let prefix = bits.and_then(|bits| IpNet::new(address, bits).ok());
    prefix.map_or(Cell::Unknown, Cell::Prefix)
}

fn listeners(entries: &[Entry], names: &Names) -> Rows {
    let row = |(slot, cookie): (u32, u64)| {
        let family = if slot.is_multiple_of(2) {
            "ipv4"
        } else {
            "ipv6"
        };
        let mut row = names.listener(slot / 2).to_vec();
        row.extend([Cell::Text(family.to_owned()), Cell::Number(cookie)]);
        row
    };
    typed(entries).map(row).collect()
}

fn listener_names(entries: &[Entry]) -> Rows {
    let row = |(id, name): (u32, ListenerName)| {
        vec![Cell::Number(id.into()), Cell::text(unpadded(&name.name))]
    };
    typed(entries).map(row).collect()
}

fn routes(entries: &[Entry]) -> Rows {
    let row = |(id, name): (u32, RouteName)| {
        let RouteName {
            datacenter,
            service,
            flags,
        } = &name;
        vec![
            Cell::Number(id.into()),
            Cell::text(unpadded(datacenter)),
            Cell::text(unpadded(service)),
            Cell::Number((*flags).into()),
        ]
    };
    typed(entries).map(row).collect()
}

fn route_stats(entries: &[Entry], names: &Names) -> Rows {
    let row = |(key, values): &Entry| {
        let cpus: Vec<RouteStats> = cpus(values).collect();
        let RouteStats {
            lookups,
            steered,
            passed,
        } = tables::sum(cpus.iter());
        let mut row = names.route(plain(key)?).to_vec();
        row.extend([lookups, steered, passed].map(Cell::Number));
        Some(row)
    };
    entries.iter().filter_map(row).collect()
}

fn route_accepts(entries: &[Entry], names: &Names) -> Rows {
    let row = |(id, counts): (u32, RouteAccepts)| {
        let RouteAccepts {
            connections,
            upstream_bytes,
            downstream_bytes,
        } = counts;
        let mut row = names.route(id).to_vec();
        row.extend([connections, upstream_bytes, downstream_bytes].map(Cell::Number));
        row
    };
    typed(entries).map(row).collect()
}

fn steer_counts(entries: &[Entry]) -> Rows {
    let row = |(key, values): &Entry| {
        let index: u32 = plain(key)?;
        let counter = SteerCount::ALL
            .into_iter()
            .find(|counter| *counter as u32 == index);
        let sum = cpus(values).fold(0, u64::wrapping_add);
        Some(vec![
            Cell::text(counter.map(SteerCount::name)),
            Cell::Number(sum),
        ])
    };
    entries.iter().filter_map(row).collect()
}

fn peers(entries: &[Entry]) -> Rows {
    let row = |(cookie, peer): (u64, u64)| vec![Cell::Number(cookie), Cell::Number(peer)];
    typed(entries).map(row).collect()
}

fn streams(entries: &[Entry]) -> Rows {
    let row = |(cookie, stream): (u64, Stream)| {
        let paused = if stream.is_paused() { "yes" } else { "no" };
        let Stream {
            redirected,
            passed,
            packets,
            backlog,
            most_backlog,
            hidden,
            hidden_at: _,
            reviewed: _,
            base: _,
            mark: _,
            next: _,
            state: _,
            pauses,
            resumes,
            orphans,
            repeated,
        } = stream;
        let bytes = [
            cookie,
            redirected,
            passed,
            packets,
            backlog,
            most_backlog,
            hidden,
        ];
        let mut row: Vec<Cell> = bytes.into_iter().map(Cell::Number).collect();
        row.push(Cell::Text(paused.to_owned()));
        row.extend([pauses, resumes, orphans, repeated].map(|count| Cell::Number(count.into())));
        row
    };
    typed(entries).map(row).collect()
}

fn forwarded(entries: &[Entry]) -> Rows {
    let row = |(cookie, row): (u64, Forwarded)| {
        let direction = match row.direction {
            0 => "upstream",
            _ => "downstream",
        };
        vec![
            Cell::Number(cookie),
            Cell::Number(row.peer),
            Cell::Number(row.forwarded),
            Cell::Number(row.budget.into()),
            Cell::Number(row.route.into()),
            Cell::Text(direction.to_owned()),
        ]
    };
    typed(entries).map(row).collect()
}

fn splice_stats(entries: &[Entry], names: &Names) -> Rows {
    let row = |(key, values): &Entry| {
        let SpliceStats {
            packets,
            bytes,
            passed,
        } = splice::sum(cpus(values));
        let mut row = names.route(plain(key)?).to_vec();
        for direction in [0, 1] {
            let counts = [packets[direction], bytes[direction], passed[direction]];
            row.extend(counts.map(Cell::Number));
        }
        Some(row)
    };
    entries.iter().filter_map(row).collect()
}

fn splice_counts(entries: &[Entry]) -> Rows {
    let row = |(key, values): &Entry| {
        let index: u32 = plain(key)?;
        let all = SpliceCount::ALL.into_iter();
        let counter = all.into_iter().find(|counter| *counter as u32 == index);
        let sum = cpus(values).fold(0, u64::wrapping_add);
        Some(vec![
            Cell::text(counter.map(SpliceCount::name)),
            Cell::Number(sum),
        ])
    };
    entries.iter().filter_map(row).collect()
}

/// When each event was last sent, from any CPU; those that never were are left out.
fn event_clock(entries: &[Entry]) -> Rows {
    let row = |(key, values): &Entry| {
        let code = EventCode::from_wire(u16::try_from(plain::<u32>(key)?).ok()?)?;
        let last: u64 = cpus(values).max().filter(|last| *last != 0)?;
        Some(vec![Cell::Text(code.name().to_owned()), Cell::Number(last)])
    };
    entries.iter().filter_map(row).collect()
}

/// Entries as typed keys and values.
fn typed<K: Pod, V: Pod>(entries: &[Entry]) -> impl Iterator<Item = (K, V)> {
    entries
        .iter()
        .filter_map(|(key, value)| Some((plain(key)?, plain(value)?)))
}

/// The values of all CPUs, each padded to eight bytes.
fn cpus<T: Pod>(values: &[u8]) -> impl Iterator<Item = T> {
    let padded = size_of::<T>().next_multiple_of(8);
    values
        .chunks_exact(padded)
        .filter_map(|one| plain(one.get(..size_of::<T>())?))
}

/// Bytes as a value of exactly their size.
fn plain<T: Pod>(bytes: &[u8]) -> Option<T> {
    if bytes.len() != size_of::<T>() {
        return None;
    }
    // SAFETY: plain data, as many bytes as it takes, read without asking for alignment.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}
