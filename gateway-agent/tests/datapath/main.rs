//! The kernel half on the running kernel: every test on a host of its own (namespaces, bpffs).

mod decode;
mod host;
mod pins;
mod steer;
