//! Changes to headers, as routers, splitters and ingress gateways make them.

use std::collections::BTreeMap;

/// Changes to the headers of a request or an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderChanges {
    /// Put beside what is there.
    pub add: BTreeMap<String, String>,
    /// Put in place of what is there.
    pub set: BTreeMap<String, String>,
    /// Taken out.
    pub remove: Vec<String>,
}

impl HeaderChanges {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.set.is_empty() && self.remove.is_empty()
    }
}
