//! Which instances belong to a subset.

use crate::mesh::catalog::Instance;
use crate::mesh::derive::Asked;
use crate::mesh::entries::resolver::Subset;
use crate::mesh::filter::Filter;

/// Whether an instance belongs to a subset. A filter that does not parse is refused where it is
/// read; one that is met here all the same takes nothing.
pub(super) fn holds(subset: &Subset, instance: &Instance) -> bool {
    let filter = subset.filter.trim();
    let matches = |filter: Filter| filter.matches(&Asked::new(instance));
    filter.is_empty() || Filter::parse(filter).is_ok_and(matches)
}
