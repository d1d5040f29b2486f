//! The kernel half: what its own probe found, weighed by what the configuration needs of it.

use super::{Finding, State};
use crate::bpf::probe::{self, Level};
use crate::bpf::{Mode, Settings, splice};
use crate::control::Snapshot;
use crate::control::snapshot::{EngineKind, SteerMode};

pub(super) fn findings(snapshot: &Snapshot) -> Vec<Finding> {
    let need = Need::of(snapshot);
    let settings = Settings {
        bpffs: snapshot.settings.steer.bpffs.clone(),
        mode: match snapshot.settings.steer.mode {
            SteerMode::Auto => Mode::Auto,
            SteerMode::Off => Mode::Off,
            SteerMode::Required => Mode::Required,
        },
        ..Settings::new(&*snapshot.instance)
    };
    let mut findings: Vec<Finding> = probe::run(&settings)
        .into_iter()
        .map(|found| Finding {
            name: format!("steer: {}", found.name),
            state: need.weigh(found.level),
            found: found.found,
            remedy: found.remedy,
        })
        .collect();
    if need == Need::SwitchedOff {
        findings.push(Finding::fail(
            "steer: mode",
            "listeners have destinations, and steering is switched off",
            "set steer.mode to \"auto\" or \"required\", or remove the destinations",
        ));
    }
    findings.extend(engines(snapshot));
    findings
}

/// What the configuration needs of the kernel half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing: no listener has destinations.
    Nothing,
    /// Listeners have destinations, and nothing may steer them.
    SwitchedOff,
    /// Listeners have destinations, or it is required.
    Steering,
}

impl Need {
    fn of(snapshot: &Snapshot) -> Self {
        let destinations = snapshot
            .listeners
            .iter()
            .any(|one| !one.destinations.is_empty());
        match (snapshot.settings.steer.mode, destinations) {
            (SteerMode::Required, _) | (SteerMode::Auto, true) => Self::Steering,
            (SteerMode::Off, true) => Self::SwitchedOff,
            (SteerMode::Auto | SteerMode::Off, false) => Self::Nothing,
        }
    }

    /// What is bad for the kernel half is bad for this host only if it is needed.
    pub(super) fn weigh(self, level: Level) -> State {
        match (self, level) {
            (_, Level::Ok) => State::Ok,
            (Self::Nothing | Self::SwitchedOff, _) => State::Note,
            (Self::Steering, Level::Warn) => State::Warn,
            (Self::Steering, Level::Fail) => State::Fail,
        }
    }
}

/// Preferred engines that this build or this kernel does not have. The sockmap engine is tried out only
/// when asked for: see `culvert check --self-test`.
fn engines(snapshot: &Snapshot) -> impl Iterator<Item = Finding> {
    let engine = |engine: &EngineKind| match engine {
        EngineKind::Copy => None,
        EngineKind::Packet => Some(Finding::warn(
            "engine",
            "packet is preferred, and this build does not have it",
            "nothing, if the next engine will do; else remove it from engine.prefer",
        )),
        EngineKind::Sockmap => Some(match splice::known_bad() {
            Some(reason) => Finding::warn(
                "engine",
                format!("sockmap is preferred: {reason}"),
                "nothing, if the next engine will do",
            ),
            None => Finding::ok(
                "engine",
                "sockmap is preferred, and tried out when the agent starts",
            ),
        }),
    };
    snapshot.engine.prefer.iter().filter_map(engine)
}
