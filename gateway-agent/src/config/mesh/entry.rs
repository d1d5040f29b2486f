//! A config entry in a file of the mesh: the one place that hands it to its reader.

use super::gathered::Gathered;
use super::scope::Scope;
use crate::config::diagnostic::Diagnostic;
use crate::config::source::Span;
use crate::config::syntax::Table;

/// Reads one entry and keeps it, unless one of its kind and name is there.
pub(super) fn read(
    _table: &Table<'_>,
    _at: Span,
    _scope: &Scope<'_>,
    _gathered: &mut Gathered,
    _errors: &mut Vec<Diagnostic>,
) {
}
