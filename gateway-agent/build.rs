//! Embeds the kernel object: the one that `CULVERT_BPF_OBJECT` names, else the one that
//! `cargo xtask ebpf` left in `target/bpf`, else none.
//!
//! Nothing is built here: a plain `cargo build` needs no BPF toolchain, and without an object the agent
//! says so and runs on the copy engine. The crate's code asks `cfg(culvert_bpf)`.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

const OBJECT: &str = "CULVERT_BPF_OBJECT";

fn main() {
    println!("cargo::rerun-if-env-changed={OBJECT}");
    println!("cargo::rerun-if-changed=build.rs");
    if let Err(error) = embed() {
        println!("cargo::error=cannot embed the kernel object: {error}");
    }
}

/// Copies the object to where the crate includes it from, if there is one.
fn embed() -> io::Result<()> {
    if let Some(object) = find()? {
        fs::copy(
            &object,
            Path::new(&variable("OUT_DIR")?).join("culvert-bpf"),
        )?;
        println!("cargo::rustc-cfg=culvert_bpf");
    } else {
        println!(
            "cargo::warning=no kernel object to embed: this culvert will not steer destinations; \
             `cargo xtask ebpf` builds it"
        );
    }
    Ok(())
}

/// The object to embed. One that was asked for by name must exist.
fn find() -> io::Result<Option<PathBuf>> {
    if let Some(named) = env::var_os(OBJECT).filter(|path| !path.is_empty()) {
        let named = PathBuf::from(named);
        println!("cargo::rerun-if-changed={}", named.display());
        if !named.is_file() {
            let text = format!("{OBJECT} names {}, which is no file", named.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        return Ok(Some(named));
    }
    let folder = Path::new(&variable("CARGO_MANIFEST_DIR")?).join("../target/bpf");
    // Cargo takes a path that is missing for one that has changed, at every build: so the folder must
    // be there. Where it cannot be made (a read-only tree), the price is just that.
    let made = fs::create_dir_all(&folder);
    println!("cargo::rerun-if-changed={}", folder.display());
    let object = folder.join("culvert");
    Ok((made.is_ok() && object.is_file()).then_some(object))
}

fn variable(name: &str) -> io::Result<String> {
    env::var(name).map_err(|error| io::Error::other(format!("{name}: {error}")))
}
