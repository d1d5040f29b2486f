//! The kernel half's handle in the agent, and the only module that names aya.
//!
//! `Datapath` loads and attaches the programs and is the one writer of the agent's maps. State lives
//! in the kernel, pinned in bpffs under `culvert/<instance>/abi-<n>`: it outlives the agent, and the
//! next agent of that instance adopts it. While no agent holds listening sockets, `steer` passes every
//! flow and the kernel answers as for any port that nobody listens on.
//!
//! Not here: what a route or a listener is. Callers hand in names for ids and plain destinations.
//! Calls here block for system calls (microseconds to some 30 ms): from async code use a blocking task.

#![expect(
    unsafe_code,
    reason = "maps and rings of the kernel, each block with its proof"
)]

mod accounts;
mod datapath;
pub mod decode;
mod error;
mod events;
mod layout;
mod load;
mod local_routes;
mod logs;
mod names;
mod object;
mod pins;
pub mod probe;
mod raw;
pub mod splice;
pub mod steer;
mod tables;

pub use accounts::{Accounts, RouteAccount};
pub use datapath::{Datapath, RouteStat, detach};
pub use error::BpfError;
pub use events::{Event, EventReader};
pub use gateway_common::abi::splice::{SpliceCount, SpliceStats, Stream};
pub use gateway_common::abi::{counter::SteerCount, event::EventCode, steer::Family};
pub use load::{ProgramSize, sizes};
pub use local_routes::{LocalRoute, PROTOCOL as LOCAL_ROUTE_PROTOCOL, list as list_local_routes};
pub use logs::KernelLog;
pub use object::embedded;
pub use splice::{Joined, Splices};
pub use steer::{Destination, Plan, PlanError};

use std::path::PathBuf;

use gateway_common::abi::size;

/// Whether the agent wants the kernel half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Use it where it works, run without it elsewhere.
    #[default]
    Auto,
    /// Do not touch the kernel.
    Off,
    /// Do not start without it.
    Required,
}

/// What [`Datapath::open`] needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of the gateway on this host: letters, digits, `-` and `_`, at most 64. Part of the pin path.
    pub instance: String,
    /// Where bpffs is mounted.
    pub bpffs: PathBuf,
    /// Whether the kernel half is wanted.
    pub mode: Mode,
    /// Entries of `DESTINATIONS`; the old and the new rows of a reload must fit together.
    pub destinations: u32,
    /// Number of listeners; each has two entries of `LISTENERS`.
    pub listeners: u32,
    /// Entries of `ROUTES` and of the maps counted by route.
    pub routes: u32,
}

impl Settings {
    /// Default settings for an instance. Sizes matter on a cold start only: pinned maps keep theirs.
    pub fn new(instance: impl Into<String>) -> Self {
        Self {
            instance: instance.into(),
            bpffs: PathBuf::from("/sys/fs/bpf"),
            mode: Mode::Auto,
            destinations: size::DESTINATIONS,
            listeners: size::LISTENERS / 2,
            routes: size::ROUTES,
        }
    }
}

/// Whether the kernel half is in use, for `status` and the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Availability {
    /// Loaded and attached.
    Ready,
    /// Not in use.
    Unavailable {
        /// Why not.
        reason: String,
        /// What to do about it.
        remedy: String,
    },
}
