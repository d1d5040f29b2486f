//! The kernel object inside the binary, if the build found one.

/// The embedded object; none in a build made without one (see `build.rs`).
pub fn embedded() -> Option<&'static [u8]> {
    #[cfg(culvert_bpf)]
    {
        Some(aya::include_bytes_aligned!(concat!(
            env!("OUT_DIR"),
            "/culvert-bpf"
        )))
    }
    #[cfg(not(culvert_bpf))]
    {
        None
    }
}
