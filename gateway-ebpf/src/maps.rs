//! Every map, one place: kind, key -> value, writer, reader, size.
//!
//! Sizes are what the object asks for by itself; the agent overrides those that are settings. Maps are
//! not pinned by the object: the agent pins them under its instance and ABI.

use core::{cell::UnsafeCell, ffi::c_void};

use aya_ebpf::{
    bindings::{
        BPF_F_NO_PREALLOC, bpf_map_def,
        bpf_map_type::{BPF_MAP_TYPE_SOCKHASH, BPF_MAP_TYPE_SOCKMAP},
    },
    macros::map,
    maps::{Array, HashMap, LpmTrie, PerCpuArray, PerCpuHashMap, RingBuf},
};
use gateway_common::abi::{
    counter::SteerCount,
    event::EventCode,
    route::{ListenerName, RouteAccepts, RouteName, RouteStats},
    size,
    splice::{Forwarded, SpliceCount, SpliceStats, Stream},
    steer::{DestinationKey, Target},
};

/// Port (host order) -> port class. Writer: agent. Reader: `steer`. All 65,536 ports.
#[map]
pub(crate) static PORTS: Array<u16> = Array::with_max_entries(size::PORTS, 0);

/// (port class, address) -> listener and route, longest prefix first. Writer: agent. Reader: `steer`.
/// Size is a setting.
#[map]
pub(crate) static DESTINATIONS: LpmTrie<DestinationKey, Target> =
    LpmTrie::with_max_entries(size::DESTINATIONS, 0);

/// Listener slot -> listening socket, any member of its SO_REUSEPORT group. Writer: agent. Reader:
/// `steer`. Size is a setting. The kernel empties a slot when its socket closes.
#[map]
pub(crate) static LISTENERS: Sockets = Sockets::new(BPF_MAP_TYPE_SOCKMAP, 4, size::LISTENERS);

/// Route id -> its names. Writer and reader: agent; programs know ids only. Size is a setting.
#[map]
pub(crate) static ROUTES: HashMap<u32, RouteName> =
    HashMap::with_max_entries(size::ROUTES, BPF_F_NO_PREALLOC);

/// Listener id -> its name. Writer and reader: agent. One row for each pair of slots.
#[map]
pub(crate) static LISTENER_NAMES: HashMap<u32, ListenerName> =
    HashMap::with_max_entries(size::LISTENERS / 2, BPF_F_NO_PREALLOC);

/// Route id -> what the kernel did, per CPU. Entries made by the agent, with zeros; then written by
/// `steer` alone. Reader: agent. Size as `ROUTES`.
#[map]
pub(crate) static ROUTE_STATS: PerCpuHashMap<u32, RouteStats> =
    PerCpuHashMap::with_max_entries(size::ROUTES, BPF_F_NO_PREALLOC);

/// Route id -> what the agent accepted. Writer and reader: agent. Size as `ROUTES`.
#[map]
pub(crate) static ROUTE_ACCEPTS: HashMap<u32, RouteAccepts> =
    HashMap::with_max_entries(size::ROUTES, BPF_F_NO_PREALLOC);

/// Counter -> count, per CPU. Writer: programs. Reader: agent. One slot a counter.
#[map]
pub(crate) static STEER_COUNTS: PerCpuArray<u64> =
    PerCpuArray::with_max_entries(SteerCount::COUNT, 0);

/// Event code -> time of the last event of that code from this CPU, nanoseconds. Writer and reader:
/// programs. One slot a code.
#[map]
pub(crate) static EVENT_CLOCK: PerCpuArray<u64> =
    PerCpuArray::with_max_entries(EventCode::SLOTS, 0);

/// Events. Writer: programs. Reader: one agent.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(size::EVENT_BYTES, 0);

/// Socket cookie -> peer socket; a socket in it has `splice` judge what arrives. Writer: agent. Reader:
/// `splice`. The kernel removes an entry when its socket closes.
#[map]
pub(crate) static PEERS: Sockets = Sockets::new(BPF_MAP_TYPE_SOCKHASH, 8, size::STREAMS);

/// Socket cookie -> what became of the bytes that arrived there. Entries made and removed by the agent,
/// with zeros; written by `splice` alone. Reader: agent. Size as `PEERS`.
#[map]
pub(crate) static STREAMS: HashMap<u64, Stream> =
    HashMap::with_max_entries(size::STREAMS, BPF_F_NO_PREALLOC);

/// Socket cookie -> what the agent forwarded and allows. Writer: agent. Reader: `splice`. Size as
/// `PEERS`.
#[map]
pub(crate) static FORWARDED: HashMap<u64, Forwarded> =
    HashMap::with_max_entries(size::STREAMS, BPF_F_NO_PREALLOC);

/// Splice route id -> what was redirected, per CPU. Entries made by the agent, with zeros; then written
/// by `splice` alone. Reader: agent. Size as `ROUTES`.
#[map]
pub(crate) static SPLICE_STATS: PerCpuHashMap<u32, SpliceStats> =
    PerCpuHashMap::with_max_entries(size::ROUTES, BPF_F_NO_PREALLOC);

/// Splice route id -> its names. Writer and reader: agent. Size as `ROUTES`.
#[map]
pub(crate) static SPLICE_ROUTES: HashMap<u32, RouteName> =
    HashMap::with_max_entries(size::ROUTES, BPF_F_NO_PREALLOC);

/// Counter -> count, per CPU. Writer: `splice`. Reader: agent. One slot a counter.
#[map]
pub(crate) static SPLICE_COUNTS: PerCpuArray<u64> =
    PerCpuArray::with_max_entries(SpliceCount::COUNT, 0);

/// A map of sockets whose values are 64 bits wide, unlike aya's: only then does the kernel answer a look-up
/// from user space, with the socket's cookie, so that people can see what is in it.
#[repr(transparent)]
pub(crate) struct Sockets(UnsafeCell<bpf_map_def>);

// SAFETY: the static is a descriptor that the loader reads from the object; at run time its address
// alone is used, as the kernel's handle of the map.
unsafe impl Sync for Sockets {}

impl Sockets {
    const fn new(type_: u32, key_size: u32, max_entries: u32) -> Self {
        Self(UnsafeCell::new(bpf_map_def {
            type_,
            key_size,
            value_size: 8,
            max_entries,
            map_flags: 0,
            id: 0,
            pinning: 0,
        }))
    }

    /// The map's handle for the kernel's helpers.
    pub(crate) fn as_ptr(&self) -> *mut c_void {
        self.0.get().cast()
    }
}
