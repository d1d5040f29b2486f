//! Reloads and what is wrong with a configuration.

use serde::{Deserialize, Serialize};

use super::timestamp;
use crate::config::{ConfigErrors, ErrorItem};
use crate::control;

/// The answer to a reload that succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Generation now in force; the same as before when the file says nothing new.
    pub generation: u64,
}

/// The answer to a reload that failed: the last good configuration stays in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadRefused {
    /// Generation still in force.
    pub generation: u64,
    /// Every error.
    pub errors: Vec<ConfigError>,
    /// The same for people, with the source lines.
    pub text: String,
}

/// How the last reload went, and all before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastReload {
    /// Whether it succeeded; if not, an older configuration is in force.
    pub ok: bool,
    /// When; before the first, when the agent started.
    pub at: String,
    /// What was wrong.
    pub errors: Vec<ConfigError>,
    /// The same for people, with the source lines; empty when nothing was.
    pub text: String,
    /// Reloads that succeeded so far.
    pub succeeded: u64,
    /// Reloads that failed so far.
    pub failed: u64,
}

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigError {
    /// The file.
    pub file: String,
    /// Line, from 1; 0 when the error is not in the text.
    pub line: u32,
    /// Column in characters, from 1; 0 when the error is not in the text.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What was expected; may be empty.
    pub expected: String,
    /// What to do next.
    pub help: Option<String>,
    /// Other places that have to do with it.
    pub also: Vec<String>,
}

impl ReloadRefused {
    /// Says why.
    #[must_use]
    pub fn new(generation: u64, errors: &ConfigErrors) -> Self {
        Self {
            generation,
            errors: list(errors),
            text: errors.to_string(),
        }
    }
}

impl From<&control::LastReload> for LastReload {
    fn from(last: &control::LastReload) -> Self {
        let errors = last.errors.as_ref();
        Self {
            ok: last.ok(),
            at: timestamp(last.at),
            errors: errors.map(list).unwrap_or_default(),
            text: errors.map(ToString::to_string).unwrap_or_default(),
            succeeded: last.good,
            failed: last.bad,
        }
    }
}

fn list(errors: &ConfigErrors) -> Vec<ConfigError> {
    errors.items().map(ConfigError::from).collect()
}

impl From<ErrorItem> for ConfigError {
    fn from(item: ErrorItem) -> Self {
        let ErrorItem {
            file,
            line,
            column,
            message,
            expected,
            help,
            also,
        } = item;
        Self {
            file,
            line,
            column,
            message,
            expected,
            help,
            also,
        }
    }
}
