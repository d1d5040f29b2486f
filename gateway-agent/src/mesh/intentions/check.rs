//! What an entry of intentions may not say.
//!
//! The first functions are for whoever reads an entry: they judge what was given side by side, which
//! the types of a read entry can no longer show. [`entry`] judges the entry as a whole. All answer in
//! words for people, and tell everything that is wrong.

use std::collections::BTreeMap;

use super::entry::{
    ANY, HeaderMatch, HeaderTest, HttpMatch, JwtRequirement, PathMatch, Permission, Rule,
    ServiceIntentions, Source,
};
use crate::control::snapshot::Place;
use crate::mesh::filter::re2::{self, Anchor};

/// The methods that a permission may name.
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE",
];

/// A source has an action or permissions, not both and not neither.
#[must_use]
pub fn action_or_permissions(action: bool, permissions: bool) -> Option<String> {
    match (action, permissions) {
        (true, true) => Some("a source has an action or permissions, not both".to_owned()),
        (false, false) => Some("a source must have an action or permissions".to_owned()),
        _ => None,
    }
}

/// A permission has at most one kind of path; `given` are the names of those that it has.
#[must_use]
pub fn path_kinds(given: &[&str]) -> Option<String> {
    (given.len() > 1).then(|| format!("a permission has one kind of path, not {}", list(given)))
}

/// A header has exactly one test; `given` are the names of those that it has.
#[must_use]
pub fn header_kinds(header: &str, given: &[&str]) -> Option<String> {
    match given {
        [_] => None,
        [] => Some(format!(
            "the header `{header}` needs a test: one of present, exact, prefix, suffix, contains, \
             regex"
        )),
        several => Some(format!(
            "the header `{header}` has one test, not {}",
            list(several)
        )),
    }
}

/// Everything that is wrong with an entry, with the place of the entry or of the source.
#[must_use]
pub fn entry(entry: &ServiceIntentions) -> Vec<(Place, String)> {
    let mut found: Vec<(Place, String)> = destination(entry)
        .into_iter()
        .map(|message| (entry.at.clone(), message))
        .collect();
    for source in &entry.sources {
        let messages = source_by_itself(entry, source);
        found.extend(
            messages
                .into_iter()
                .map(|message| (source.at.clone(), message)),
        );
    }
    found.extend(repeated_sources(entry));
    found
}

fn destination(entry: &ServiceIntentions) -> Vec<String> {
    let mut found = name(&entry.name, &entry.namespace, &entry.partition);
    if entry.sources.is_empty() && entry.jwt.is_none() {
        found.push(format!(
            "the intentions for `{}` need at least one source",
            entry.name
        ));
    }
    found.extend(entry.jwt.iter().flat_map(jwt));
    found
}

fn source_by_itself(entry: &ServiceIntentions, source: &Source) -> Vec<String> {
    let mut found = name(&source.name, &source.namespace, &source.partition);
    let peer = source.peer.as_deref();
    let group = source.sameness_group.as_deref();
    if peer.is_some() && group.is_some() {
        found.push("a source has a peer or a sameness group, not both".to_owned());
    }
    for (what, name) in [("peer", peer), ("sameness group", group)] {
        if name.is_some_and(|name| name.is_empty() || name == ANY) {
            found.push(format!("the {what} of a source must be named"));
        }
        if name.is_some() && *source.partition != *"default" {
            found.push(format!("a source has a {what} or a partition, not both"));
        }
    }
    let Rule::Permissions(permissions) = &source.rule else {
        return found;
    };
    if *entry.name == *ANY {
        found.push("permissions need a destination with a name, not `*`".to_owned());
    }
    if permissions.is_empty() {
        found.push("the list of permissions is empty: use an action instead".to_owned());
    }
    for (index, one) in permissions.iter().enumerate() {
        let messages = permission(one).into_iter();
        found.extend(messages.map(|message| format!("permission {}: {message}", index + 1)));
    }
    found
}

fn name(name: &str, namespace: &str, partition: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (what, value) in [
        ("name", name),
        ("namespace", namespace),
        ("partition", partition),
    ] {
        if value.is_empty() {
            found.push(format!("the {what} of a service must not be empty"));
        } else if value != ANY && value.contains(ANY) {
            found.push(format!(
                "`*` stands for a whole {what}, not for a part of `{value}`"
            ));
        }
    }
    if namespace == ANY && name != ANY {
        found.push(format!(
            "`{name}` cannot be named in any namespace: use `*` for the name too"
        ));
    }
    if partition == ANY {
        found.push("a partition must be named: `*` is not allowed for it".to_owned());
    }
    found
}

fn permission(permission: &Permission) -> Vec<String> {
    let mut found: Vec<String> = permission.jwt.iter().flat_map(jwt).collect();
    if let Some(http) = &permission.http {
        found.extend(http_match(http));
    }
    found
}

fn http_match(http: &HttpMatch) -> Vec<String> {
    let mut found = Vec::new();
    if *http == HttpMatch::default() {
        found
            .push("`http` is empty: give a path, a header or a method, or leave it out".to_owned());
    }
    match &http.path {
        Some(PathMatch::Exact(path) | PathMatch::Prefix(path)) if !path.starts_with('/') => {
            found.push(format!("the path `{path}` must start with `/`"));
        }
        Some(PathMatch::Regex(pattern)) => found.extend(regex("the path", pattern)),
        _ => {}
    }
    found.extend(http.headers.iter().flat_map(header));
    let mut seen: Vec<String> = Vec::new();
    for method in &http.methods {
        let upper = method.to_ascii_uppercase();
        if !METHODS.contains(&upper.as_str()) {
            found.push(format!(
                "`{method}` is not a method: use one of {}",
                METHODS.join(", ")
            ));
        } else if seen.contains(&upper) {
            found.push(format!("the method {upper} is given twice"));
        }
        seen.push(upper);
    }
    found
}

fn header(header: &HeaderMatch) -> Vec<String> {
    let mut found = Vec::new();
    if header.name.is_empty() {
        found.push("a header must have a name".to_owned());
    }
    let what = format!("the header `{}`", header.name);
    if let HeaderTest::Regex(pattern) = &header.test {
        found.extend(regex(&what, pattern));
    }
    if header.ignore_case && matches!(header.test, HeaderTest::Regex(_) | HeaderTest::Present) {
        found.push(format!(
            "{what} cannot ignore case: that goes with exact, prefix, suffix and contains"
        ));
    }
    found
}

fn regex(what: &str, pattern: &str) -> Option<String> {
    re2::compile(pattern, Anchor::Whole)
        .err()
        .map(|reason| format!("the regular expression of {what} does not compile: {reason}"))
}

fn jwt(jwt: &JwtRequirement) -> Vec<String> {
    let mut found = Vec::new();
    if jwt.providers.is_empty() {
        found.push("a JWT needs at least one provider".to_owned());
    }
    for provider in &jwt.providers {
        if provider.name.is_empty() {
            found.push("a JWT's provider must have a name".to_owned());
        }
        if provider
            .verify_claims
            .iter()
            .any(|claim| claim.path.is_empty())
        {
            found.push(format!(
                "a claim of the JWT's provider `{}` needs a path",
                provider.name
            ));
        }
    }
    found
}

/// Two rules for one source would make the order of the entry decide.
fn repeated_sources(entry: &ServiceIntentions) -> Vec<(Place, String)> {
    let mut first = BTreeMap::new();
    let mut found = Vec::new();
    for source in &entry.sources {
        let key = (
            &source.peer,
            &source.sameness_group,
            &source.partition,
            &source.namespace,
            &source.name,
        );
        if let Some(before) = first.get(&key) {
            let message = format!("the source `{}` is already given at {before}", source.name);
            found.push((source.at.clone(), message));
        } else {
            first.insert(key, &source.at);
        }
    }
    found
}

fn list(names: &[&str]) -> String {
    names.join(" and ")
}
