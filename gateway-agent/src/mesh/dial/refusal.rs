//! Questions that have no answer, and what was probably meant.

use std::fmt;

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Refusal {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            help: None,
        }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Suggests the nearest of the known names; where none is near, tells them if they are few.
    pub(super) fn nearest(self, given: &str, known: impl IntoIterator<Item = String>) -> Self {
        let mut known: Vec<String> = known.into_iter().collect();
        known.sort();
        known.dedup();
        let folded = given.to_lowercase();
        let near = known
            .iter()
            .map(|name| {
                (
                    strsim::damerau_levenshtein(&folded, &name.to_lowercase()),
                    name,
                )
            })
            .filter(|(distance, name)| *distance <= name.chars().count().max(3) / 3)
            .min();
        let help = match near {
            Some((_, name)) => format!("did you mean `{name}`?"),
            None if known.is_empty() => "none is known at all".to_owned(),
            None if known.len() > FEW => return self,
            None => format!("known: {}", known.join(", ")),
        };
        self.help(help)
    }
}

/// As many names as are read at a glance.
const FEW: usize = 8;

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.help {
            Some(help) => write!(f, ": {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Refusal {}
