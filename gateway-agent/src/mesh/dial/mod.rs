//! The dialing side: how a proxy reaches an upstream.
//!
//! downstream and upstream -> the proxy's registration and what it says of the upstream -> levels
//! of precedence -> the chain of the upstream's resolver -> per target a mode, and from it the
//! endpoints, the server name and the identity to expect.
//!
//! culvert dials for nobody: this answers what Consul tells a proxy to do, for people who ask why
//! a connection goes where it goes. Deliberately not here: which request a router or splitter
//! sends where; all that they name are targets.

use std::fmt;
use std::str::FromStr;

use super::Mesh;
use super::name::{Name, ServiceName};

mod chain;
mod display;
mod downstream;
mod endpoints;
mod heads;
mod identity;
mod levels;
mod plan;
mod reach;
mod refusal;
mod subset;
mod target;
#[cfg(test)]
mod tests;
mod upstream;

use target::Caller;

pub use plan::{Asked, Asker, Level, Plan, Step, Target, Via};
pub use refusal::Refusal;

/// Who dials whom.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Who dials.
    pub downstream: Downstream<'a>,
    /// Whom.
    pub upstream: &'a ServiceName,
    /// Where; `None`: where the registration says, else where the proxy is.
    pub datacenter: Option<&'a Name>,
    /// The peer that it is imported from; excludes `datacenter`.
    pub peer: Option<&'a Name>,
    /// Which precedence holds.
    pub rules: ModeRules,
}

/// Who dials.
#[derive(Clone, Copy, Debug)]
pub enum Downstream<'a> {
    /// A proxy of this service, or a gateway of this name.
    Service(&'a ServiceName),
    /// The proxy or gateway with this ID, or the proxy of the instance with this ID.
    Proxy(&'a str),
}

/// Which precedence of gateway modes holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub enum ModeRules {
    /// That of 1.8 to 1.13, where `upstream_config` says nothing of modes.
    #[serde(rename = "1.8")]
    V1_8,
    /// That of 1.14 and later.
    #[default]
    #[serde(rename = "1.14")]
    V1_14,
}

impl ModeRules {
    /// The word of configuration.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::V1_8 => "1.8",
            Self::V1_14 => "1.14",
        }
    }
}

impl fmt::Display for ModeRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl FromStr for ModeRules {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        [Self::V1_8, Self::V1_14]
            .into_iter()
            .find(|rules| rules.label() == text)
            .ok_or_else(|| {
                Refusal::new(format!("there are no mode rules `{text}`"))
                    .help("write \"1.14\" (1.14 and later) or \"1.8\" (1.8 to 1.13)")
            })
    }
}

/// Tells how a proxy reaches an upstream.
///
/// # Errors
///
/// When something in the question is not known, or does not dial.
pub fn dial(mesh: &Mesh, question: &Question<'_>) -> Result<Plan, Refusal> {
    let mut notes = Vec::new();
    let asker = downstream::find(mesh, question.downstream, &mut notes)?;
    let asked = upstream::find(mesh, &asker, question, &mut notes)?;
    let own = levels::of_downstream(mesh, &asker, &asked, question.rules);
    levels::note_unasked(&asker, question.rules, &own, &mut notes);
    let caller = Caller {
        mesh,
        asker: &asker,
        asked: &asked,
        own: &own,
    };
    let (targets, failover) = caller.reach(question.rules, &mut notes);
    let levels = levels::of_plan(mesh, &own, &targets);
    let protocol = upstream::protocol(mesh, &asked);
    Ok(Plan {
        levels,
        downstream: asker.into_plan(),
        upstream: asked.into_plan(),
        rules: question.rules,
        protocol,
        targets,
        failover,
        notes,
    })
}
