//! How `splice` keeps a direction of a spliced connection within its budget.
//!
//! A direction is named by the cookie of the socket that its bytes arrive at. Two maps of two writers:
//! the program counts in `STREAMS`, the agent answers in `FORWARDED`. Bytes in order: whatever was
//! passed to the agent must be forwarded by it before the program redirects again.

use super::plain;

/// Which of a connection's two streams.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From the client to the endpoint.
    Upstream = 0,
    /// From the endpoint to the client.
    Downstream = 1,
}

impl Direction {
    /// Both, in index order.
    pub const BOTH: [Self; 2] = [Self::Upstream, Self::Downstream];

    /// The other one.
    #[must_use]
    pub const fn reverse(self) -> Self {
        match self {
            Self::Upstream => Self::Downstream,
            Self::Downstream => Self::Upstream,
        }
    }
}

/// Value of `STREAMS`: what the program did with the bytes that arrived at a socket. The agent makes
/// the entry, with zeros; from then on the program alone writes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// Bytes redirected to the peer.
    pub redirected: u64,
    /// Bytes left to the agent, which forwards them.
    pub passed: u64,
    /// Segments redirected; one may be as large as the kernel's offloads make it.
    pub packets: u64,
    /// Before the last segment: bytes redirected that the peer's socket had not taken yet.
    pub backlog: u64,
    /// Largest [`Self::backlog`] so far, the segment itself included.
    pub most_backlog: u64,
    /// Bytes passed that may still queue behind bytes redirected to this socket; see [`Self::mark`].
    pub hidden: u64,
    /// When bytes were hidden last, nanoseconds of the kernel's monotonic clock.
    pub hidden_at: u64,
    /// Value of [`Self::redirected`] when the agent was last asked to review the windows.
    pub reviewed: u64,
    /// The peer's write sequence number from which the backlog is counted; see [`Self::BASED`].
    pub base: u32,
    /// Low half of what had been redirected to this socket when bytes were first hidden: once the
    /// socket has taken that much, they are not any more.
    pub mark: u32,
    /// Sequence number of the first byte that has not been seen yet; see [`Self::SEEN`].
    pub next: u32,
    /// [`Self::BASED`], [`Self::PAUSED`], [`Self::SEEN`].
    pub state: u32,
    /// Times that the direction was paused.
    pub pauses: u32,
    /// Times that it was resumed.
    pub resumes: u32,
    /// Segments passed because no live peer was found.
    pub orphans: u32,
    /// Bytes cut off since they had been seen before.
    pub repeated: u32,
}

impl Stream {
    /// Bit of [`Self::state`]: `base` is set.
    pub const BASED: u32 = 1;

    /// Bit of [`Self::state`]: what arrives is passed.
    pub const PAUSED: u32 = 2;

    /// How many budgets may be [`Self::hidden`] at once: the kernel's worker, which brings them to light,
    /// may be late by so much.
    pub const MOST_HIDDEN: u64 = 16;

    /// Bit of [`Self::state`]: `next` is set.
    pub const SEEN: u32 = 4;

    /// Whether what arrives is passed.
    pub const fn is_paused(&self) -> bool {
        self.state & Self::PAUSED != 0
    }

    /// Whether as much is hidden that the agent should know, with such a budget.
    pub const fn hides_much(&self, budget: u32) -> bool {
        self.hidden > budget as u64
    }

    /// Whether more is hidden than may be, with such a budget.
    pub const fn hides_too_much(&self, budget: u32) -> bool {
        self.hidden > budget as u64 * Self::MOST_HIDDEN
    }
}

/// Value of `FORWARDED`: what the agent did with a direction, and what it allows. Written by the agent
/// only.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// Bytes that were passed and have been written to the peer.
    pub forwarded: u64,
    /// Cookie of the peer: the key of the other direction.
    pub peer: u64,
    /// The agent is to look at the windows after so many redirected bytes; zero: never.
    pub review: u64,
    /// Bytes that may wait in the kernel while no socket's buffer is charged with them, nor has room for
    /// them.
    pub budget: u32,
    /// How many of these may be redirected ones, which wait for a reader; what the reader's own socket
    /// passes would wait with them, so nothing but a test of the kernel allows any.
    pub beyond: u32,
    /// Not zero: nothing is redirected.
    pub held: u32,
    /// Id that the direction is counted under, key of `SPLICE_STATS`.
    pub route: u32,
    /// Number of a [`Direction`].
    pub direction: u32,
    /// Not zero: segments are redirected though their own socket's buffer has no room for more windows, because
    /// the agent announces one when there is.
    pub patient: u32,
}

/// Value of `SPLICE_STATS`, per CPU: what was redirected under a route, from clients and to them.
/// Entries made by the agent, with zeros; then written by `splice` alone.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpliceStats {
    /// Segments redirected, by direction.
    pub packets: [u64; 2],
    /// Bytes redirected, by direction.
    pub bytes: [u64; 2],
    /// Bytes left to the agent, by direction.
    pub passed: [u64; 2],
}

/// What `splice` did, over all connections: `SPLICE_COUNTS` is indexed by these.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpliceCount {
    /// Segments redirected.
    Redirected = 0,
    /// Segments passed to the agent: their direction is paused.
    Passed = 1,
    /// Directions paused.
    Pauses = 2,
    /// Directions resumed.
    Resumes = 3,
    /// Segments passed because no live peer was found.
    Orphans = 4,
    /// Segments passed because the agent had no entry for their socket.
    Unknown = 5,
    /// Redirections that the kernel refused; passed.
    Refused = 6,
    /// Times that more passed bytes queued behind redirected ones than may.
    Overruns = 7,
    /// Segments dropped before TCP had seen them, because of that.
    Shed = 8,
    /// Segments of which a part had been seen before.
    Repeated = 9,
    /// No count but a sum of changes: bytes redirected that wait for their sockets.
    Backlog = 10,
}

impl SpliceCount {
    /// Every counter, in index order.
    pub const ALL: [Self; 11] = [
        Self::Redirected,
        Self::Passed,
        Self::Pauses,
        Self::Resumes,
        Self::Orphans,
        Self::Unknown,
        Self::Refused,
        Self::Overruns,
        Self::Shed,
        Self::Repeated,
        Self::Backlog,
    ];

    /// Number of counters: the size of the map.
    pub const COUNT: u32 = 11;

    /// The name that people and metrics see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Redirected => "redirected",
            Self::Passed => "passed",
            Self::Pauses => "pauses",
            Self::Resumes => "resumes",
            Self::Orphans => "orphans",
            Self::Unknown => "unknown",
            Self::Refused => "refused",
            Self::Overruns => "overruns",
            Self::Shed => "shed",
            Self::Repeated => "repeated",
            Self::Backlog => "backlog",
        }
    }
}

const _: () = assert!(SpliceCount::ALL.len() == SpliceCount::COUNT as usize);

plain!(Stream: 96, Forwarded: 48, SpliceStats: 48);
