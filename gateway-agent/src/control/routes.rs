//! RouteTable: server name -> route.
//!
//! Pure and immutable. Exact names and wildcards sit in one hash table, a wildcard under its
//! suffix with the leading dot (`*.example.com` under `.example.com`). A look-up asks for the
//! whole name, then for each suffix from the longest on: its cost grows with the labels of the
//! name and never with the number of routes. Defaults are not here but in the snapshot, since a
//! listener may override them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::snapshot::Route;

/// All routes of a snapshot, in the order of the configuration.
#[derive(Debug, Default)]
pub struct RouteTable {
    routes: Vec<Arc<Route>>,
    /// Pattern (a wildcard without its `*`) -> index in `routes`.
    index: HashMap<Box<str>, u32>,
}

impl RouteTable {
    /// Builds the table. Of two routes with one pattern the later wins; configuration refuses
    /// them before they come here.
    #[must_use]
    pub fn new(routes: Vec<Arc<Route>>) -> Self {
        let index = (0_u32..)
            .zip(&routes)
            .map(|(at, route)| (key(&route.name).into(), at))
            .collect();
        Self { routes, index }
    }

    /// Finds the route of a server name: the exact one, else the wildcard with the longest
    /// suffix. `name` is normalised (lower case, no trailing dot), as a `ServerName` is.
    #[must_use]
    pub fn lookup(&self, name: &str) -> Option<Match<'_>> {
        // A name that starts with a dot would read as a wildcard's key.
        if name.starts_with('.') {
            return None;
        }
        if let Some(route) = self.find(name) {
            return Some(Match {
                route,
                kind: MatchKind::Exact,
            });
        }
        name.match_indices('.')
            .find_map(|(dot, _)| self.find(&name[dot..]))
            .map(|route| Match {
                route,
                kind: MatchKind::Wildcard,
            })
    }

    /// All routes, in the order of the configuration.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Route>> {
        self.routes.iter()
    }

    /// The route of this configured name (`*.example.com` for a wildcard), normalised.
    #[must_use]
    pub fn get(&self, route_name: &str) -> Option<&Arc<Route>> {
        // A key with a leading dot belongs to a wildcard and is no route's name.
        if route_name.starts_with('.') {
            return None;
        }
        self.find(key(route_name))
    }

    /// How many routes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether there is no route.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    fn find(&self, key: &str) -> Option<&Arc<Route>> {
        self.index
            .get(key)
            .and_then(|&at| self.routes.get(at as usize))
    }
}

fn key(route_name: &str) -> &str {
    route_name.strip_prefix('*').unwrap_or(route_name)
}

/// A route and why it was chosen.
#[derive(Clone, Copy, Debug)]
pub struct Match<'a> {
    /// The route.
    pub route: &'a Arc<Route>,
    /// Which rule chose it.
    pub kind: MatchKind,
}

/// The rule that chose a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchKind {
    /// The name itself is configured.
    Exact,
    /// The longest configured `*.suffix` covers the name.
    Wildcard,
    /// Nothing matched (or the hello named nothing) and the default names a route.
    Default,
}

impl MatchKind {
    /// The word for logs and tables.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Wildcard => "wildcard",
            Self::Default => "default",
        }
    }
}

impl fmt::Display for MatchKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Config;
    use crate::control::Snapshot;

    fn snapshot(names: &[String], more: &str) -> Snapshot {
        let mut text = format!("listener \"l\" {{ address = \"127.0.0.1:1\" {more} }}\n");
        for name in names {
            text += &format!("route \"{name}\" {{ endpoints = \"127.0.0.1:2\" }}\n");
        }
        Snapshot::build(&Config::parse("test.hcl", text).unwrap(), None)
    }

    fn found(snapshot: &Snapshot, name: Option<&str>) -> Result<(String, MatchKind), String> {
        snapshot
            .route_for(&snapshot.listeners[0], name)
            .map(|found| (found.route.name.to_string(), found.kind))
            .map_err(|why| format!("{why:?}"))
    }

    #[test]
    fn a_wildcard_does_not_cover_its_own_suffix_nor_half_a_label() {
        let snapshot = snapshot(&["*.x.test".to_owned()], "");
        for name in ["x.test", ".x.test", "ax.test", "test", "", "."] {
            assert!(snapshot.routes.lookup(name).is_none(), "{name}");
        }
        assert!(snapshot.routes.lookup("a.b.x.test").is_some());
    }

    #[test]
    fn a_suffix_with_its_dot_is_no_name_of_a_route() {
        let snapshot = snapshot(&["*.x.test".to_owned()], "");
        assert!(snapshot.routes.get(".x.test").is_none());
        assert!(snapshot.routes.get("*.x.test").is_some());
    }

    #[test]
    fn defaults_take_unknown_names_and_hellos_without_one() {
        let rejecting = snapshot(&["a.test".to_owned()], "");
        assert_eq!(
            found(&rejecting, Some("b.test")),
            Err("UnknownName".to_owned())
        );
        assert_eq!(found(&rejecting, None), Err("NoServerName".to_owned()));
        let routing = snapshot(&["a.test".to_owned()], "default = { route = \"a.test\" }");
        for name in [Some("b.test"), None] {
            assert_eq!(
                found(&routing, name),
                Ok(("a.test".to_owned(), MatchKind::Default))
            );
        }
    }

    /// Names of few labels, so that they meet often.
    fn name() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(vec!["a", "b", "ab"]), 1..5)
            .prop_map(|labels| labels.join("."))
    }

    fn naive(patterns: &[String], name: &str) -> Option<String> {
        if patterns.iter().any(|pattern| pattern == name) {
            return Some(name.to_owned());
        }
        let covers = |pattern: &&String| {
            pattern
                .strip_prefix('*')
                .is_some_and(|suffix| name.ends_with(suffix))
        };
        patterns
            .iter()
            .filter(covers)
            .max_by_key(|pattern| pattern.len())
            .cloned()
    }

    proptest! {
        #[test]
        fn agrees_with_a_scan_of_all_patterns(
            patterns in prop::collection::btree_set((any::<bool>(), name()), 0..20),
            names in prop::collection::vec(name(), 1..20),
        ) {
            let patterns: Vec<String> = patterns
                .into_iter()
                .map(|(wild, name)| if wild { format!("*.{name}") } else { name })
                .collect();
            let snapshot = snapshot(&patterns, "");
            for name in names {
                let route = snapshot.routes.lookup(&name).map(|found| found.route.name.to_string());
                prop_assert_eq!(route, naive(&patterns, &name));
            }
        }
    }
}
