//! System calls that no crate of ours wraps: all `unsafe` outside `bpf/` lives here.
//!
//! Each function is a thin, safe wrapper around one call; policy (when, with which numbers) is the
//! callers'.

#![expect(unsafe_code, reason = "system calls, each block with its proof")]

pub mod descriptors;
pub mod inherit;
pub mod netns;
pub mod tcp;
pub mod timer;
pub mod watch;
