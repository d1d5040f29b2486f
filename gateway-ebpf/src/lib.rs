//! Empty on purpose: lets cargo track the kernel half as a dependency.
#![no_std]
