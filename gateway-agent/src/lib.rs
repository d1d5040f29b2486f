//! The agent, module by module in reading order.

#![deny(unsafe_code)]
//!
//! What each module is for stands at its own head; here is one line each, as plain comments, because
//! rustdoc would resolve the links of a module documented in both places from here.

// The wiring: what starts in which order, what stops in which order.
pub mod app;
// The kernel half: programs, maps, links; the only module that names aya.
pub mod bpf;
// The command line.
pub mod cli;
// Measuring gateways: client and server of `culvert bench`.
mod bench;
// Reading the configuration: text -> tree -> checked settings, every error at once.
pub mod config;
// Where the routes live and change: snapshot, route table, policy, clusters, reload, explain.
pub mod control;
// The mesh: from catalog and config entries to routes, modes and permissions; pure.
pub mod mesh;
// Ending in order.
pub mod drain;
// What the people who run culvert see of it and do to it.
pub mod ops;
// The data path: nine steps from accept to close.
pub mod proxy;
// System calls that no crate of ours wraps.
pub mod sys;
// Word to one task, for which waiting takes no memory.
pub mod word;
