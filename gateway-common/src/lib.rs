//! What both halves of culvert share: no_std, no allocation, no dependencies.
#![no_std]
#![deny(clippy::indexing_slicing, unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod abi;
pub mod limits;
// The kernel half reads no hello, and a BPF stack of 512 bytes has no room for one.
#[cfg(not(target_arch = "bpf"))]
pub mod wire;
