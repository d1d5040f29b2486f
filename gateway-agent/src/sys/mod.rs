//! System calls that no crate of ours wraps: all `unsafe` outside `bpf/` lives here.
//!
//! Each function is a thin, safe wrapper around one call; policy (when, with which numbers) is the
//! callers'.

pub mod descriptors;
pub mod inherit;
pub mod tcp;
