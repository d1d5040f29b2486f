//! Capacities of the maps, each with its reason. Those called "default" are settings of the agent.

/// Entries of `PORTS`: every TCP port number.
pub const PORTS: u32 = 65_536;

/// Default entries of `DESTINATIONS`. Rows are made as needed; both the old and the new rows of a
/// reload must fit at once.
pub const DESTINATIONS: u32 = 65_536;

/// Default entries of `LISTENERS`: 512 listeners, a slot for each family. Eight bytes a slot.
pub const LISTENERS: u32 = 1_024;

/// Default entries of `ROUTES`, `ROUTE_STATS` and `ROUTE_ACCEPTS`. Rows are made as needed.
pub const ROUTES: u32 = 16_384;

/// Bytes of `EVENTS`, a power of two of pages: 4,096 events, more than a second of the allowed rate on
/// a hundred CPUs.
pub const EVENT_BYTES: u32 = 256 * 1_024;

/// Entries of `PEERS`, `STREAMS` and `FORWARDED`: two for each connection, 131,072 connections. Rows are
/// made as needed.
pub const STREAMS: u32 = 262_144;
