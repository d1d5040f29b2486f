//! Operations: what the people who run culvert see of it and do to it.
//!
//! Everything here watches or answers; nothing here decides about a connection.

pub mod access_log;
pub mod admin;
pub mod host;
pub mod log;
pub mod metrics;
pub mod systemd;
pub mod view;

#[cfg(test)]
mod fixtures;
