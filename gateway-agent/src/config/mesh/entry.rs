//! A config entry in a file of the mesh: the one place that hands it to its reader.

use super::entries;
use super::gathered::Gathered;
use super::scope::Scope;
use crate::config::diagnostic::Diagnostic;
use crate::config::source::Span;
use crate::config::syntax::Table;

/// Reads one entry and keeps it, unless one of its kind and name is there.
pub(super) fn read(
    table: &Table<'_>,
    at: Span,
    scope: &Scope<'_>,
    gathered: &mut Gathered,
    errors: &mut Vec<Diagnostic>,
) {
    let within = entries::Scope {
        sources: scope.sources,
        partition: scope.partition.as_str(),
    };
    let Some(entry) = entries::read(table, at, &within, errors) else {
        return;
    };
    let what = entry.to_string();
    if let Err(first) = gathered.entries.insert(entry) {
        let message = format!("{what} stands twice");
        let mut diagnostic = Diagnostic::new(at, message, "expected one entry of a kind and name");
        if let Some(first) = scope.sources.span(&first) {
            diagnostic = diagnostic.also(first, "the first one");
        }
        errors.push(diagnostic);
    }
}
