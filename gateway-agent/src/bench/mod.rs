//! `culvert bench`: throughput, round trips and connections through gateways that route by SNI.
//!
//! The client sends a hello, like any TLS client, and behind it, in the clear or inside TLS, a
//! payload that both ends check byte by byte. In reading order: `pattern` is the payload, `wire`
//! the few messages around it, `hello` and `tls` what the gateway sees, `stream` and `exchange`
//! one connection at either end, `client` and `server` the two ends, `report` what comes of it.
//!
//! Deliberately absent: traffic that this end did not ask for. A server answers, a client goes
//! to the one address that it is given.

pub(crate) mod client;
pub(crate) mod error;
mod exchange;
pub(crate) mod hello;
mod pattern;
pub(crate) mod report;
pub(crate) mod server;
mod stream;
mod tls;
mod wire;
