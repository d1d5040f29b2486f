//! Counters of `steer`: one list for both halves. `STEER_COUNTS` is indexed by these.

/// What `steer` did with a look-up of a port that is ours, and what became of events.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SteerCount {
    /// TCP look-ups whose port has a class.
    Lookups = 0,
    /// Passed: the address is no destination of that port.
    Elsewhere = 1,
    /// Handed to a listener's socket.
    Steered = 2,
    /// Passed: the listener has no socket (the agent is not running, or has not filled it in).
    NoSocket = 3,
    /// Passed: the kernel refused the socket.
    Refused = 4,
    /// Passed: another sk_lookup program had chosen a socket already.
    Taken = 5,
    /// Events not sent because `EVENTS` was full.
    EventLost = 6,
    /// Events not sent because one like it had just been sent from that CPU.
    EventMuted = 7,
}

impl SteerCount {
    /// Every counter, in index order.
    pub const ALL: [Self; 8] = [
        Self::Lookups,
        Self::Elsewhere,
        Self::Steered,
        Self::NoSocket,
        Self::Refused,
        Self::Taken,
        Self::EventLost,
        Self::EventMuted,
    ];

    /// Number of counters: the size of the map.
    pub const COUNT: u32 = 8;

    /// The name that people and metrics see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lookups => "lookups",
            Self::Elsewhere => "elsewhere",
            Self::Steered => "steered",
            Self::NoSocket => "no_socket",
            Self::Refused => "refused",
            Self::Taken => "taken",
            Self::EventLost => "event_lost",
            Self::EventMuted => "event_muted",
        }
    }
}

const _: () = assert!(SteerCount::ALL.len() == SteerCount::COUNT as usize);
