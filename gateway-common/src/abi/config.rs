//! Globals of the object that the loader may override before it loads the programs.

/// Name of the global with the least time in nanoseconds between two events of one code from one CPU.
pub const EVENT_INTERVAL_NS: &str = "EVENT_INTERVAL_NS";

/// Its default: ten events a second, code and CPU are enough to diagnose with and cheap under attack.
pub const EVENT_INTERVAL_NS_DEFAULT: u64 = 100_000_000;

/// Name of the global with the offset of `write_seq` in the kernel's `struct tcp_sock`, in bytes. The
/// offsets below are the running kernel's own, read from its BTF.
pub const WRITE_SEQ: &str = "WRITE_SEQ";

/// Name of the global with the offset of `sk_sndbuf` in the kernel's `struct sock`.
pub const SNDBUF: &str = "SNDBUF";

/// Name of the global with the offset of `sk_wmem_queued` in the kernel's `struct sock`.
pub const WMEM_QUEUED: &str = "WMEM_QUEUED";

/// Name of the global with the offset of `copied_seq` in the kernel's `struct tcp_sock`.
pub const COPIED_SEQ: &str = "COPIED_SEQ";

/// Name of the global with the offset of `window_clamp` in the kernel's `struct tcp_sock`.
pub const WINDOW_CLAMP: &str = "WINDOW_CLAMP";

/// Name of the global with the offset of `sk_rcvbuf` in the kernel's `struct sock`.
pub const RCVBUF: &str = "RCVBUF";

/// Name of the global with the offset of `sk_backlog.rmem_alloc` in the kernel's `struct sock`.
pub const RMEM_ALLOC: &str = "RMEM_ALLOC";

/// Name of the global with the offset of `sk_backlog.len` in the kernel's `struct sock`.
pub const BACKLOG_LEN: &str = "BACKLOG_LEN";

/// Name of the global that is 0 where the budget is not to be kept: to measure what it prevents.
pub const BOUNDED: &str = "BOUNDED";
