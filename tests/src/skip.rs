//! What happens to a test that this machine cannot run.
//!
//! The reason is printed and, so that `cargo xtask test` can count it, appended to the file named
//! by `CULVERT_SKIPS`. With `CI=true` a skip is a failure: a pipeline that silently tests less is
//! worse than a red one.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::thread;

/// Tells whether the calling test must return early because it lacks root.
#[must_use]
pub fn without_root() -> bool {
    if rustix::process::geteuid().is_root() {
        return false;
    }
    record("needs root for network namespaces: run `sudo -E cargo xtask test`");
    true
}

/// Notes that the calling test does not run, and why.
///
/// # Panics
///
/// With `CI=true`, always.
pub fn record(reason: &str) {
    let thread = thread::current();
    let test = thread.name().unwrap_or("unnamed test");
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "{test} was to skip: {reason}"
    );
    eprintln!("skipped {test}: {reason}");
    let Some(list) = std::env::var_os("CULVERT_SKIPS") else {
        return;
    };
    let written = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&list)
        .and_then(|mut file| writeln!(file, "{test}: {reason}"));
    if let Err(error) = written {
        eprintln!("cannot note the skip in {}: {error}", list.display());
    }
}
