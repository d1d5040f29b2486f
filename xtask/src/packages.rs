//! Programs of the distribution that tasks need: installed where that is possible, else asked for.

use std::fs;
use std::process::Command;

use anyhow::{Result, bail};

use crate::command::{find, is_root, run};

/// A program and the Debian package that brings it.
pub(crate) struct Needed<'a> {
    pub(crate) program: &'a str,
    pub(crate) package: &'a str,
}

/// What the demo and the end-to-end tests run beside culvert.
pub(crate) const TESTS: &[Needed<'_>] = &[
    Needed {
        program: "curl",
        package: "curl",
    },
    Needed {
        program: "openssl",
        package: "openssl",
    },
    Needed {
        program: "dnsmasq",
        package: "dnsmasq-base",
    },
];

/// What the torture runs beyond that: other people's TLS, HTTP/2 and their judge.
pub(crate) const TORTURE: &[Needed<'_>] = &[
    Needed {
        program: "gnutls-cli",
        package: "gnutls-bin",
    },
    Needed {
        program: "h2load",
        package: "nghttp2-client",
    },
    Needed {
        program: "nghttpd",
        package: "nghttp2-server",
    },
    Needed {
        program: "hexdump",
        package: "bsdextrautils",
    },
    Needed {
        program: "testssl",
        package: "testssl.sh",
    },
];

/// Makes sure of programs: installs the missing ones on Debian or Ubuntu as root.
pub(crate) fn ensure(needed: &[Needed<'_>]) -> Result<()> {
    let missing: Vec<&Needed<'_>> = needed
        .iter()
        .filter(|tool| find(tool.program).is_none())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
    if !(is_debian() && is_root()) {
        let programs: Vec<&str> = missing.iter().map(|tool| tool.program).collect();
        bail!(
            "missing: {}; on Debian or Ubuntu install with\n  \
             sudo apt-get install --no-install-recommends {}",
            programs.join(", "),
            packages.join(" ")
        );
    }
    run(apt().arg("update"))?;
    run(apt()
        .args(["install", "--yes", "--no-install-recommends"])
        .args(packages))
}

fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    apt.arg("--quiet").env("DEBIAN_FRONTEND", "noninteractive");
    apt
}

fn is_debian() -> bool {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    release.lines().any(|line| {
        line.strip_prefix("ID=")
            .or_else(|| line.strip_prefix("ID_LIKE="))
            .is_some_and(|ids| {
                ids.trim_matches('"')
                    .split(' ')
                    .any(|id| id == "debian" || id == "ubuntu")
            })
    })
}
