//! What this host offers a configuration, for `check`: each finding with its remedy.
//!
//! Only looks: nothing on the host changes, and the addresses that it binds for a moment use port
//! 0, so that a running agent is not disturbed. What the kernel offers to BPF is `bpf::probe`'s to
//! find.

mod files;
mod limits;
mod listeners;
mod steer;

use serde::{Deserialize, Serialize};

use crate::control::Snapshot;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at.
    pub name: String,
    /// Whether it is as it should be.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do about it; absent where nothing needs to be done.
    pub remedy: Option<String>,
}

/// Whether something is as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is.
    Ok,
    /// It is not, and this configuration does not need it.
    Note,
    /// The agent runs, but with less than it could have.
    Warn,
    /// The agent would not start, or not do what the configuration says.
    Fail,
}

impl Finding {
    fn ok(name: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            state: State::Ok,
            found: found.into(),
            remedy: None,
        }
    }

    fn warn(name: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (found, remedy) = (found.into(), Some(remedy.into()));
        Self {
            name: name.into(),
            state: State::Warn,
            found,
            remedy,
        }
    }

    fn fail(name: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            state: State::Fail,
            ..Self::warn(name, found, remedy)
        }
    }
}

/// Looks at everything that `snapshot` needs of this host, as the calling user would find it.
#[must_use]
pub fn findings(snapshot: &Snapshot) -> Vec<Finding> {
    let mut findings = limits::findings(&snapshot.limits);
    findings.extend(files::findings(snapshot));
    findings.extend(listeners::findings(snapshot));
    findings.extend(steer::findings(snapshot));
    findings
}

/// A number below `/proc/sys`, in this network namespace.
fn sysctl(name: &str) -> Option<u64> {
    let path = format!("/proc/sys/{}", name.replace('.', "/"));
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests;
