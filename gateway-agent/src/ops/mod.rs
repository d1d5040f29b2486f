//! Operations: what the people who run culvert see of it and do to it.

pub mod systemd;
