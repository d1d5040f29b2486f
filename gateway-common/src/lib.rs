//! What both halves of culvert share: no_std, no allocation, no dependencies.
#![no_std]
#![deny(clippy::indexing_slicing)]

#[cfg(test)]
extern crate std;

pub mod limits;
pub mod wire;
