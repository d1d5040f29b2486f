//! Memory as `/proc` tells of it: lines such as `Anonymous:  12 kB`.

use std::fs;

use anyhow::{Context as _, Result};

/// The bytes of one field of the whole host.
pub fn of_host(field: &str) -> Result<u64> {
    read("/proc/meminfo", field)
}

/// The bytes of one field of a process; `file` is one of those below its directory.
pub fn of_process(process: u32, file: &str, field: &str) -> Result<u64> {
    read(&format!("/proc/{process}/{file}"), field)
}

fn read(path: &str, field: &str) -> Result<u64> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    bytes(&text, field).with_context(|| format!("{path} has no {field}"))
}

fn bytes(text: &str, field: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(field))?;
    let kilobytes: u64 = value.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::{bytes, of_host, of_process};

    #[test]
    fn sizes_are_told_in_kilobytes() {
        let text = "A:  1 kB\nSlab:     20 kB\n";
        assert_eq!(bytes(text, "Slab:"), Some(20_480));
        assert_eq!(bytes(text, "B:"), None);
    }

    #[test]
    fn this_process_takes_some_of_what_the_host_has() {
        let own = of_process(std::process::id(), "status", "VmRSS:").unwrap();
        let all = of_host("MemTotal:").unwrap();
        assert!(own > 100_000 && own < all, "{own} of {all}");
        assert!(of_process(std::process::id(), "status", "Nothing:").is_err());
    }
}
