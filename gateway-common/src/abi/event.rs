//! Events that the kernel half sends up through `EVENTS`: numbers only, one fixed size.

use super::{plain, steer::Address};

/// One event. Fields that mean nothing for a code are zero.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Time since boot in nanoseconds, suspend not counted (`CLOCK_MONOTONIC`).
    pub time_ns: u64,
    /// What happened: an [`EventCode`].
    pub code: u16,
    /// Destination port of the flow, host order.
    pub local_port: u16,
    /// Errno of the kernel's refusal, negative; else zero.
    pub error: i32,
    /// Listener id.
    pub listener: u32,
    /// Route id.
    pub route: u32,
    /// Destination address of the flow.
    pub local: Address,
    /// Source address of the flow.
    pub remote: Address,
    /// Source port of the flow, host order.
    pub remote_port: u16,
    /// Zero.
    pub padding: [u16; 3],
}

/// Kinds of events.
#[repr(u16)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventCode {
    /// A flow matched a destination, but its listener has no socket: it was passed.
    NoSocket = 1,
    /// A flow matched a destination, but the kernel refused the listener's socket: it was passed.
    Refused = 2,
}

impl EventCode {
    /// Number of slots that `EVENT_CLOCK` needs: codes are indexes there, and 0 is unused.
    pub const SLOTS: u32 = 3;

    /// The code of a number from the wire; none when this ABI does not know it.
    pub const fn from_wire(code: u16) -> Option<Self> {
        match code {
            1 => Some(Self::NoSocket),
            2 => Some(Self::Refused),
            _ => None,
        }
    }

    /// The name that people and metrics see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoSocket => "no_socket",
            Self::Refused => "refused",
        }
    }
}

plain!(Event: 64);
