//! Why a better engine did not move a connection's bytes: the one list of reasons.
//!
//! People read the phrase, metrics count the label: what a kernel says is never a label.

use core::fmt;
use std::io;
use std::sync::Arc;

use crate::control::snapshot::EngineKind;

/// An engine that was preferred to the one that was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fallback {
    /// The engine.
    pub engine: EngineKind,
    /// Why it was not used.
    pub why: Why,
}

/// Why an engine was not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// This build does not have it.
    NotInBuild,
    /// This host does not have it, for a reason that all connections share.
    Unavailable(Arc<str>),
    /// It does not take this connection's sockets.
    Refused(Arc<str>),
}

impl Why {
    /// The kernel refuses both sockets.
    pub(super) fn refused(error: &io::Error) -> Self {
        Self::Refused(format!("the kernel refuses the sockets: {error}").into())
    }

    /// The label in metrics: stable, from a fixed set.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::NotInBuild => "not_in_build",
            Self::Unavailable(_) => "unavailable",
            Self::Refused(_) => "refused",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInBuild => f.write_str("not in this build"),
            Self::Unavailable(reason) | Self::Refused(reason) => f.write_str(reason),
        }
    }
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.engine.label(), self.why)
    }
}
