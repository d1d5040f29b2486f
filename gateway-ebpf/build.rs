//! Rebuilds the object when its linker changes: the linker compiles it, so it is a compiler like rustc.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Set by cargo when a linker was configured, as `cargo xtask ebpf` does, by absolute path.
    if let Ok(linker) = std::env::var("RUSTC_LINKER") {
        println!("cargo::rerun-if-changed={linker}");
    }
}
