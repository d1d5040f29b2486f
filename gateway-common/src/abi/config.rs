//! Globals of the object that the loader may override before it loads the programs.

/// Name of the global with the least time in nanoseconds between two events of one code from one CPU.
pub const EVENT_INTERVAL_NS: &str = "EVENT_INTERVAL_NS";

/// Its default: ten events a second, code and CPU are enough to diagnose with and cheap under attack.
pub const EVENT_INTERVAL_NS_DEFAULT: u64 = 100_000_000;
