//! What `mesh::entries` finds wrong between entries -> errors of the text.

use std::collections::BTreeSet;

use crate::config::diagnostic::Diagnostic;
use crate::config::source::Sources;
use crate::mesh::entries::{Entries, Problem};
use crate::mesh::name::Name;

/// Complains about entries that do not fit together. `peers` are those with a peering.
pub(in crate::config) fn check(
    entries: &Entries,
    peers: &BTreeSet<Name>,
    sources: &Sources,
    errors: &mut Vec<Diagnostic>,
) {
    let problems = entries.check(peers).into_iter();
    errors.extend(problems.map(|problem| diagnostic(problem, sources)));
}

fn diagnostic(problem: Problem, sources: &Sources) -> Diagnostic {
    let Some(at) = sources.span(&problem.at) else {
        return Diagnostic::elsewhere(format!("{}: {}", problem.at, problem.message));
    };
    let mut diagnostic = Diagnostic::new(at, problem.message, problem.expected);
    for (place, what) in problem.also {
        if let Some(at) = sources.span(&place) {
            diagnostic = diagnostic.also(at, what);
        }
    }
    match problem.help {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}
