//! Operations: what the people who run culvert see of it and do to it.
//!
//! Everything here watches or answers; nothing here decides about a connection.

pub mod access_log;
pub mod log;
pub mod metrics;
pub mod systemd;

#[cfg(test)]
mod fixtures;
