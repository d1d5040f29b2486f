//! What both halves of culvert share: no_std, no allocation, no dependencies.
#![no_std]
