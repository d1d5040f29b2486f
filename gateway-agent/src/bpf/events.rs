//! Reads the kernel's events: numbers from the ring buffer, typed here, told to tracing.

use core::fmt;
use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    path::Path,
};

use aya::maps::{Map, MapData, RingBuf};
use gateway_common::abi::event::{Event as Raw, EventCode};
use serde::Serialize;
use tokio::io::{Interest, unix::AsyncFd};

use super::{BpfError, layout, tables};

/// An event of the kernel half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub code: EventCode,
    /// `CLOCK_MONOTONIC` in nanoseconds.
    pub time_ns: u64,
    /// Errno of the kernel's refusal, where there was one.
    pub error: Option<i32>,
    /// Listener id.
    pub listener: u32,
    /// Route id.
    pub route: u32,
    /// Where the flow wants to go.
    pub local: SocketAddr,
    /// Where it comes from.
    pub remote: SocketAddr,
}

impl Event {
    /// Reads an event of this ABI; none when it is no such thing.
    fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < size_of::<Raw>() {
            return None;
        }
        // SAFETY: long enough, plain data, read without asking for alignment.
        let raw: Raw = unsafe { bytes.as_ptr().cast::<Raw>().read_unaligned() };
        Some(Self {
            code: EventCode::from_wire(raw.code)?,
            time_ns: raw.time_ns,
            error: (raw.error != 0).then_some(raw.error.saturating_neg()),
            listener: raw.listener,
            route: raw.route,
            local: SocketAddr::new(address(raw.local), raw.local_port),
            remote: SocketAddr::new(address(raw.remote), raw.remote_port),
        })
    }
}

impl Serialize for Event {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            code,
            local,
            remote,
            listener,
            ..
        } = self;
        write!(f, "{} {remote} -> {local} listener {listener}", code.name())
    }
}

/// An address of the ABI, IPv4 as IPv4.
pub(crate) fn address(words: [u32; 4]) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from(tables::bytes(words))).to_canonical()
}

/// The one reader of an instance's events.
pub struct EventReader {
    ring: AsyncFd<RingBuf<MapData>>,
}

impl fmt::Debug for EventReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventReader").finish_non_exhaustive()
    }
}

impl EventReader {
    /// Needs a Tokio runtime with I/O.
    pub(crate) fn open(directory: &Path) -> Result<Self, BpfError> {
        let ring = tables::typed(directory, &layout::EVENTS, Map::RingBuf)?;
        // SAFETY: the ring owns its map's descriptor, open and the same until the ring is dropped.
        let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) };
        let ring =
            ring.map_err(|error| BpfError::map("EVENTS", "watch", io::Error::from(error)))?;
        Ok(Self { ring })
    }

    /// The next event. Safe to cancel: an event is taken off the ring only when it is returned.
    pub async fn next(&mut self) -> io::Result<Event> {
        loop {
            let mut ready = self.ring.readable_mut().await?;
            let ring = ready.get_inner_mut();
            while let Some(item) = ring.next() {
                if let Some(event) = Event::parse(&item) {
                    return Ok(event);
                }
            }
            ready.clear_ready();
        }
    }

    /// Tells tracing of every event, until the ring fails. Runs for good: spawn it and abort it.
    pub async fn report(mut self) -> io::Result<()> {
        loop {
            let event = self.next().await?;
            tracing::warn!(
                event = event.code.name(),
                src = %event.remote,
                dst = %event.local,
                listener = event.listener,
                route = event.route,
                errno = event.error,
                "the kernel passed a flow that it could not steer"
            );
        }
    }
}
