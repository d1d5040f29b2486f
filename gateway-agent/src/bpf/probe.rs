//! What this host offers the kernel half, for `culvert check`: needs no privilege and changes nothing.
//!
//! A finding that fails says why the kernel half will not run here; the gateway still does, on the copy
//! engine.

use core::fmt;
use std::{fs, io};

use aya::{
    programs::{ProgramError, ProgramType},
    sys::is_program_supported,
};
use rustix::{
    io::Errno,
    process::{Resource, getrlimit},
};
use serde::Serialize;

use super::{Settings, decode, list_local_routes, local_routes, object, pins};

/// The oldest kernel that the kernel half is meant for.
const FLOOR: (u32, u32) = (5, 15);

/// The first kernel that charges BPF memory to the cgroup instead of `RLIMIT_MEMLOCK`.
const CGROUP_CHARGED: (u32, u32) = (5, 11);

/// Bytes that may be locked where that counts: the maps at their default sizes, and room to grow.
const MEMLOCK: u64 = 64 << 20;

const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_BPF: u32 = 39;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Works, with less safety, speed or certainty.
    Warn,
    /// The kernel half does not run.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub name: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub found: String,
    /// What to do, where there is something.
    pub remedy: Option<String>,
}

impl Finding {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name,
            level: Level::Ok,
            found: found.into(),
            remedy: None,
        }
    }

    fn warn(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            name,
            level: Level::Warn,
            found: found.into(),
            remedy: Some(remedy.into()),
        }
    }

    fn fail(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            name,
            level: Level::Fail,
            found: found.into(),
            remedy: Some(remedy.into()),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Fail => "fail",
        };
        write!(f, "{level}: {}: {}", self.name, self.found)?;
        self.remedy
            .iter()
            .try_for_each(|remedy| write!(f, "; {remedy}"))
    }
}

/// Looks at everything that the kernel half of an instance depends on.
pub fn run(settings: &Settings) -> Vec<Finding> {
    let version = kernel_version();
    let mut findings = vec![
        object(),
        kernel(version.as_ref()),
        btf(),
        sk_lookup(),
        capabilities(),
        memlock(version.as_ref()),
        unprivileged(),
        jit(),
        bpffs(settings),
        pins_of(settings),
        local(settings),
    ];
    if !pins::valid_instance(&settings.instance) {
        findings.push(Finding::fail(
            "instance",
            format!("{:?} cannot name a pin", settings.instance),
            "use letters, digits, - and _, at most 64",
        ));
    }
    findings
}

fn object() -> Finding {
    let name = "kernel object";
    match object::embedded() {
        Some(bytes) => Finding::ok(name, format!("embedded, {} bytes", bytes.len())),
        None => Finding::fail(
            name,
            "not in this binary",
            "build it with `cargo xtask ebpf`, then build culvert again",
        ),
    }
}

/// Release of the running kernel, with its first two numbers.
struct Version {
    release: String,
    number: Option<(u32, u32)>,
}

fn kernel_version() -> Option<Version> {
    let release = sysctl("kernel/osrelease")?;
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    let number = match (parts.next(), parts.next()) {
        (Some(major), Some(minor)) => major.parse().ok().zip(minor.parse().ok()),
        _ => None,
    };
    Some(Version { release, number })
}

fn kernel(version: Option<&Version>) -> Finding {
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

fn btf() -> Finding {
    match fs::metadata("/sys/kernel/btf/vmlinux") {
        Ok(_) => Finding::ok("btf", "present"),
        Err(error) => Finding::warn(
            "btf",
            format!("absent ({error})"),
            "steering works without; later engines need CONFIG_DEBUG_INFO_BTF",
        ),
    }
}

fn sk_lookup() -> Finding {
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

fn capabilities() -> Finding {
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

fn memlock(version: Option<&Version>) -> Finding {
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

fn unprivileged() -> Finding {
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

fn jit() -> Finding {
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

fn bpffs(settings: &Settings) -> Finding {
    let path = settings.bpffs.display();
    if pins::is_bpffs(&settings.bpffs) {
        return Finding::ok("bpffs", format!("mounted at {path}"));
    }
    Finding::fail(
        "bpffs",
        format!("not mounted at {path}"),
        format!("`mount -t bpf bpf {path}`"),
    )
}

/// Pins of the instance: of which ABI, and whether they can be adopted.
fn pins_of(settings: &Settings) -> Finding {
    let name = "pins";
    let found = match decode::find(&settings.bpffs) {
        Ok(found) => found,
        Err(error) => return Finding::warn(name, error.to_string(), error.remedy()),
    };
    let ours: Vec<_> = found
        .iter()
        .filter(|pins| pins.instance == settings.instance)
        .collect();
    for pins in &ours {
        if let Err(error) = pins.check() {
            return Finding::fail(name, error.to_string(), error.remedy());
        }
    }
    match ours.first() {
        Some(pins) => Finding::ok(name, format!("{}, will be adopted", pins.path.display())),
        None => Finding::ok(name, format!("none of {}", settings.instance)),
    }
}

/// Local routes of culvert in this network namespace.
fn local(settings: &Settings) -> Finding {
    let name = "local routes";
    let routes = match list_local_routes() {
        Ok(routes) => routes,
        Err(error) => return Finding::warn(name, error.to_string(), error.remedy()),
    };
    let metric = local_routes::metric(&settings.instance);
    let (ours, others): (Vec<_>, Vec<_>) =
        routes.into_iter().partition(|route| route.metric == metric);
    let ours: Vec<_> = ours
        .into_iter()
        .map(|route| route.prefix.to_string())
        .collect();
    let ours = if ours.is_empty() {
        "none".to_owned()
    } else {
        ours.join(", ")
    };
    Finding::ok(name, format!("{ours}; {} of other gateways", others.len()))
}

#[cfg(test)]
mod tests {
    use super::{Level, run};
    use crate::bpf::Settings;

    #[test]
    fn every_finding_that_is_not_fine_names_a_remedy() {
        let nowhere = Settings {
            bpffs: "/proc".into(),
            ..Settings::new("a.b")
        };
        let findings = run(&nowhere);
        let failed: Vec<_> = findings
            .iter()
            .filter(|one| one.level != Level::Ok)
            .collect();
        assert!(failed.iter().any(|one| one.name == "bpffs"));
        assert!(failed.iter().any(|one| one.name == "instance"));
        assert!(failed.iter().all(|one| one.remedy.is_some()), "{failed:?}");
    }
}
