//! What each map of this ABI looks like: compared with a pin before it is used, and the guide to decode it.

use gateway_common::abi::{
    counter::SteerCount,
    event::EventCode,
    route::{ListenerName, RouteAccepts, RouteName, RouteStats},
    size,
    splice::{Forwarded, SpliceCount, SpliceStats, Stream},
    steer::{DestinationKey, Target},
};

use super::Settings;

/// Kind of a map, as the kernel numbers it and as people read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Hash,
    Array,
    PerCpuHash,
    PerCpuArray,
    Trie,
    Sockets,
    Peers,
    Ring,
}

impl Kind {
    /// The kernel's `enum bpf_map_type`.
    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::Hash => 1,
            Self::Array => 2,
            Self::PerCpuHash => 5,
            Self::PerCpuArray => 6,
            Self::Trie => 11,
            Self::Sockets => 15,
            Self::Peers => 18,
            Self::Ring => 27,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::Array => "array",
            Self::PerCpuHash => "percpu_hash",
            Self::PerCpuArray => "percpu_array",
            Self::Trie => "lpm_trie",
            Self::Sockets => "sockmap",
            Self::Peers => "sockhash",
            Self::Ring => "ringbuf",
        }
    }

    pub(crate) const fn is_per_cpu(self) -> bool {
        matches!(self, Self::PerCpuHash | Self::PerCpuArray)
    }

    pub(crate) fn of(number: u32) -> Option<Self> {
        let all = [
            Self::Hash,
            Self::Array,
            Self::PerCpuHash,
            Self::PerCpuArray,
            Self::Trie,
            Self::Sockets,
            Self::Peers,
            Self::Ring,
        ];
        all.into_iter().find(|kind| kind.number() == number)
    }
}

/// One map.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Bytes; of the trie with the prefix length in front.
    pub(crate) key: usize,
    /// Bytes; of one CPU where there is a value for each.
    pub(crate) value: usize,
}

const fn layout<K, V>(name: &'static str, kind: Kind) -> Layout {
    Layout {
        name,
        kind,
        key: size_of::<K>(),
        value: size_of::<V>(),
    }
}

pub(crate) const PORTS: Layout = layout::<u32, u16>("PORTS", Kind::Array);
pub(crate) const DESTINATIONS: Layout =
    layout::<(u32, DestinationKey), Target>("DESTINATIONS", Kind::Trie);
pub(crate) const LISTENERS: Layout = layout::<u32, u64>("LISTENERS", Kind::Sockets);
pub(crate) const LISTENER_NAMES: Layout = layout::<u32, ListenerName>("LISTENER_NAMES", Kind::Hash);
pub(crate) const ROUTES: Layout = layout::<u32, RouteName>("ROUTES", Kind::Hash);
pub(crate) const ROUTE_STATS: Layout = layout::<u32, RouteStats>("ROUTE_STATS", Kind::PerCpuHash);
pub(crate) const ROUTE_ACCEPTS: Layout = layout::<u32, RouteAccepts>("ROUTE_ACCEPTS", Kind::Hash);
pub(crate) const STEER_COUNTS: Layout = layout::<u32, u64>("STEER_COUNTS", Kind::PerCpuArray);
pub(crate) const EVENT_CLOCK: Layout = layout::<u32, u64>("EVENT_CLOCK", Kind::PerCpuArray);
pub(crate) const EVENTS: Layout = layout::<(), ()>("EVENTS", Kind::Ring);

pub(crate) const PEERS: Layout = layout::<u64, u64>("PEERS", Kind::Peers);
pub(crate) const STREAMS: Layout = layout::<u64, Stream>("STREAMS", Kind::Hash);
pub(crate) const FORWARDED: Layout = layout::<u64, Forwarded>("FORWARDED", Kind::Hash);
pub(crate) const SPLICE_STATS: Layout =
    layout::<u32, SpliceStats>("SPLICE_STATS", Kind::PerCpuHash);
pub(crate) const SPLICE_ROUTES: Layout = layout::<u32, RouteName>("SPLICE_ROUTES", Kind::Hash);
pub(crate) const SPLICE_COUNTS: Layout = layout::<u32, u64>("SPLICE_COUNTS", Kind::PerCpuArray);

/// The maps of `splice`, pinned apart: they do not outlive their agent.
pub(crate) const SPLICE: [Layout; 6] = [
    PEERS,
    STREAMS,
    FORWARDED,
    SPLICE_STATS,
    SPLICE_ROUTES,
    SPLICE_COUNTS,
];

/// Every map of `steer`, pinned to outlive the agent.
pub(crate) const ALL: [Layout; 10] = [
    PORTS,
    DESTINATIONS,
    LISTENERS,
    LISTENER_NAMES,
    ROUTES,
    ROUTE_STATS,
    ROUTE_ACCEPTS,
    STEER_COUNTS,
    EVENT_CLOCK,
    EVENTS,
];

impl Layout {
    /// Entries on a cold start; bytes for the ring.
    pub(crate) fn entries(&self, settings: &Settings) -> u32 {
        match self.name {
            "DESTINATIONS" => settings.destinations,
            "LISTENERS" => settings.listeners.saturating_mul(2),
            "LISTENER_NAMES" => settings.listeners,
            "ROUTES" | "ROUTE_STATS" | "ROUTE_ACCEPTS" => settings.routes,
            "STEER_COUNTS" => SteerCount::COUNT,
            "EVENT_CLOCK" => EventCode::SLOTS,
            "EVENTS" => size::EVENT_BYTES,
            _ => size::PORTS,
        }
    }
}

impl Layout {
    /// Entries of a map of `splice`.
    pub(crate) fn splice_entries(&self, routes: u32) -> u32 {
        match self.name {
            "SPLICE_STATS" | "SPLICE_ROUTES" => routes,
            "SPLICE_COUNTS" => SpliceCount::COUNT,
            _ => size::STREAMS,
        }
    }

    /// The fewest entries, for a map that a load of the object makes and nobody uses; bytes for the
    /// ring, of which a page is the least.
    pub(crate) fn least(&self) -> u32 {
        match self.kind {
            Kind::Ring => 4_096,
            _ => 1,
        }
    }
}

impl Layout {
    /// What the map should be, in words.
    pub(crate) fn describe(&self) -> String {
        format!(
            "{} with {} byte keys and {} byte values",
            self.kind.name(),
            self.key,
            self.value
        )
    }
}

/// What a map that should follow a layout is instead, in words; none when it follows it.
pub(crate) fn difference(layout: &Layout, kind: u32, key: u32, value: u32) -> Option<String> {
    let same = kind == layout.kind.number()
        && usize::try_from(key) == Ok(layout.key)
        && usize::try_from(value) == Ok(layout.value);
    let name = Kind::of(kind).map_or_else(|| format!("type {kind}"), |kind| kind.name().to_owned());
    (!same).then(|| format!("{name} with {key} byte keys and {value} byte values"))
}
