//! The chain of decisions for a server name, as `explain` shows it.

use serde::{Deserialize, Serialize};

use super::Endpoint;
use crate::control::explain;

/// What culvert would do with a connection, step by step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The steps, in order; the last is where it ends.
    pub steps: Vec<Step>,
    /// Whether the connection would be forwarded.
    pub allowed: bool,
    /// The reason in a few words.
    pub reason: String,
    /// Every endpoint of the route; empty when no route was found.
    pub endpoints: Vec<Endpoint>,
    /// Where the connection would go, if it would.
    pub endpoint: Option<String>,
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Which decision.
    pub step: String,
    /// Whether the connection gets past it.
    pub passed: bool,
    /// What was found, and by which rule.
    pub found: String,
    /// Where that is configured: file, line, column.
    pub at: Option<String>,
    /// Likewise: what else shaped it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
}

impl From<explain::Explanation> for Explanation {
    fn from(chain: explain::Explanation) -> Self {
        let explain::Explanation {
            steps,
            allowed,
            reason,
            endpoints,
            endpoint,
        } = chain;
        Self {
            steps: steps.into_iter().map(Step::from).collect(),
            allowed,
            reason,
            endpoints: endpoints.into_iter().map(Endpoint::from).collect(),
            endpoint,
        }
    }
}

impl From<explain::Step> for Step {
    fn from(step: explain::Step) -> Self {
        let explain::Step {
            step,
            passed,
            found,
            at,
            also,
        } = step;
        Self {
            step: step.to_owned(),
            passed,
            found,
            at,
            also,
        }
    }
}
