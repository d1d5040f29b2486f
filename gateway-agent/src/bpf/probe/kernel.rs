//! What the kernel and this process's privileges offer.

use std::{fs, io};

use aya::{
    programs::{ProgramError, ProgramType},
    sys::is_program_supported,
};
use rustix::{
    io::Errno,
    process::{Resource, getrlimit},
};

use super::Finding;

/// The oldest kernel that the kernel half is meant for.
const FLOOR: (u32, u32) = (5, 15);

/// The first kernel that charges BPF memory to the cgroup instead of `RLIMIT_MEMLOCK`.
const CGROUP_CHARGED: (u32, u32) = (5, 11);

/// Bytes that may be locked where that counts: the maps at their default sizes, and room to grow.
const MEMLOCK: u64 = 64 << 20;

const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_BPF: u32 = 39;

/// Release of the running kernel, with its first two numbers.
pub(super) struct Version {
    release: String,
    number: Option<(u32, u32)>,
}

impl Version {
    pub(super) fn read() -> Option<Self> {
        let release = sysctl("kernel/osrelease")?;
        let mut parts = release.split(|c: char| !c.is_ascii_digit());
        let number = match (parts.next(), parts.next()) {
            (Some(major), Some(minor)) => major.parse().ok().zip(minor.parse().ok()),
            _ => None,
        };
        Some(Self { release, number })
    }
}

pub(super) fn release(version: Option<&Version>) -> Finding {
    let name = "kernel";
    let Some(Version { release, number }) = version else {
        return Finding::warn(name, "release unknown", "see the finding sk_lookup");
    };
    match number {
        Some(number) if *number >= FLOOR => Finding::ok(name, release),
        _ => Finding::warn(
            name,
            format!("{release}, not tested below {}.{}", FLOOR.0, FLOOR.1),
            "use a newer kernel, or see the finding sk_lookup",
        ),
    }
}

pub(super) fn btf() -> Finding {
    match fs::metadata("/sys/kernel/btf/vmlinux") {
        Ok(_) => Finding::ok("btf", "present"),
        Err(error) => Finding::warn(
            "btf",
            format!("absent ({error})"),
            "steering works without; later engines need CONFIG_DEBUG_INFO_BTF",
        ),
    }
}

pub(super) fn sk_lookup() -> Finding {
    let name = "sk_lookup";
    match is_program_supported(ProgramType::SkLookup) {
        Ok(true) => Finding::ok(name, "supported"),
        Ok(false) => Finding::fail(
            name,
            "not supported",
            "use Linux 5.9 or newer with CONFIG_BPF",
        ),
        Err(error) if denied(&error) => Finding::warn(
            name,
            "cannot tell without CAP_BPF",
            "run `culvert check` as root",
        ),
        Err(error) => Finding::warn(name, error.to_string(), "run `culvert check` as root"),
    }
}

fn denied(error: &ProgramError) -> bool {
    let ProgramError::SyscallError(error) = error else {
        return false;
    };
    matches!(
        Errno::from_io_error(&error.io_error),
        Some(Errno::PERM | Errno::ACCESS)
    )
}

pub(super) fn capabilities() -> Finding {
    let name = "capabilities";
    let set = match effective() {
        Ok(set) => set,
        Err(error) => return Finding::warn(name, error.to_string(), "mount /proc"),
    };
    let has = |bit: u32| set >> bit & 1 == 1 || set >> CAP_SYS_ADMIN & 1 == 1;
    let wanted = [(CAP_BPF, "CAP_BPF"), (CAP_NET_ADMIN, "CAP_NET_ADMIN")];
    let missing: Vec<_> = wanted
        .into_iter()
        .filter(|(bit, _)| !has(*bit))
        .map(|(_, name)| name)
        .collect();
    if missing.is_empty() {
        return Finding::ok(name, "CAP_BPF, CAP_NET_ADMIN");
    }
    let missing = missing.join(", ");
    let remedy = format!("run as root, or give the unit AmbientCapabilities={missing}");
    Finding::fail(name, format!("missing {missing}"), remedy)
}

/// The effective capabilities of this process, a bit each.
fn effective() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let set = set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    set.ok_or_else(|| io::Error::other("no CapEff in /proc/self/status"))
}

pub(super) fn memlock(version: Option<&Version>) -> Finding {
    let name = "memlock";
    if version
        .and_then(|version| version.number)
        .is_some_and(|number| number >= CGROUP_CHARGED)
    {
        return Finding::ok(name, "not limited: BPF memory is charged to the cgroup");
    }
    match getrlimit(Resource::Memlock).current {
        Some(bytes) if bytes < MEMLOCK => Finding::warn(
            name,
            format!("{bytes} bytes, which may be too few"),
            "set LimitMEMLOCK=infinity in the unit",
        ),
        Some(bytes) => Finding::ok(name, format!("{bytes} bytes")),
        None => Finding::ok(name, "unlimited"),
    }
}

pub(super) fn unprivileged() -> Finding {
    let name = "unprivileged_bpf";
    match sysctl("kernel/unprivileged_bpf_disabled").as_deref() {
        Some("0") => Finding::warn(
            name,
            "any user may load programs",
            "set sysctl kernel.unprivileged_bpf_disabled=1",
        ),
        Some(_) => Finding::ok(name, "off"),
        None => Finding::ok(name, "no such setting"),
    }
}

pub(super) fn jit() -> Finding {
    let name = "bpf_jit";
    match sysctl("net/core/bpf_jit_enable").as_deref() {
        Some("0") => Finding::warn(
            name,
            "programs are interpreted",
            "set sysctl net.core.bpf_jit_enable=1",
        ),
        Some(_) => Finding::ok(name, "on"),
        // Always on is built without the setting, and it is not shown in a network namespace.
        None => Finding::ok(name, "no such setting"),
    }
}

fn sysctl(name: &str) -> Option<String> {
    Some(
        fs::read_to_string(format!("/proc/sys/{name}"))
            .ok()?
            .trim()
            .to_owned(),
    )
}
