//! What this host offers the kernel half, for `culvert check`: needs no privilege and changes nothing.
//!
//! A finding that fails says why the kernel half will not run here; the gateway still does, on the copy
//! engine.

mod kernel;
mod ours;

use core::fmt;

use serde::Serialize;

use super::{Settings, pins};

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
    let version = kernel::Version::read();
    let mut findings = vec![
        ours::object(),
        kernel::release(version.as_ref()),
        kernel::btf(),
        kernel::sk_lookup(),
        kernel::capabilities(),
        kernel::memlock(version.as_ref()),
        kernel::unprivileged(),
        kernel::jit(),
        ours::bpffs(settings),
        ours::pins(settings),
        ours::local_routes(settings),
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
