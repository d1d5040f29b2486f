//! The rig: namespaces, peers with odd habits, and the agent under test as a process.
//!
//! The suite in `tests/` drives the built binary only and imports nothing of the agent: what it
//! proves, it proves from outside. Needs root for its namespaces; see [`skip`] for what happens
//! without.

#![deny(unsafe_code)]

pub mod agent;
pub mod bench;
pub mod bpffs;
pub mod config;
pub mod engines;
mod home;
pub mod memory;
pub mod mesh;
pub mod netns;
pub mod objects;
pub mod peers;
pub mod process;
pub mod skip;
pub mod sockets;
pub mod supervisor;
pub mod topology;
pub mod wait;
pub mod wire;

pub use home::request;
