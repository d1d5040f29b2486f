//! One source of one entry: its rank, whom it applies to, and what it decides.

use std::cmp::{Ordering, Reverse};
use std::sync::Arc;

use super::entry::{ANY, Action, Rule, ServiceIntentions, Source};
use super::permission::{Answer, CompiledPermission};
use super::{Applies, Identity, Matched, Named, Request};

/// An intention with its precedence.
#[derive(Clone, Debug)]
pub(super) struct Ranked {
    entry: Arc<ServiceIntentions>,
    source: Source,
    precedence: u8,
    says: Says,
}

#[derive(Clone, Debug)]
enum Says {
    Action(Action),
    Permissions(Vec<CompiledPermission>),
}

/// What an intention decides.
pub(super) struct Verdict {
    pub(super) allowed: bool,
    pub(super) rule: Matched,
    pub(super) reason: String,
}

impl Ranked {
    /// All sources of an entry.
    pub(super) fn of(entry: &Arc<ServiceIntentions>) -> impl Iterator<Item = Self> {
        entry.sources.iter().map(|source| Self {
            entry: Arc::clone(entry),
            source: source.clone(),
            precedence: precedence(entry, source),
            says: match &source.rule {
                Rule::Action(action) => Says::Action(*action),
                Rule::Permissions(permissions) => {
                    Says::Permissions(permissions.iter().map(CompiledPermission::new).collect())
                }
            },
        })
    }

    /// Highest precedence first. At equal precedence at most one names who asks; the rest of the key
    /// makes the order that of the names, not that in which entries came.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }

    fn rank(&self) -> impl Ord {
        let source = &self.source;
        (
            Reverse(self.precedence),
            &source.sameness_group,
            &source.peer,
            (&source.partition, &source.namespace, &source.name),
            (&source.at.file, source.at.line, source.at.column),
        )
    }

    /// Consul: service, namespace and partition must be equal, in the trust domain of the federation
    /// or of the named peer. What a peer calls its partitions is the peer's business.
    pub(super) fn applies(&self, from: &Identity<'_>) -> Applies {
        let source = &self.source;
        let covers = |pattern: &str, name: &str| pattern == ANY || pattern == name;
        if !covers(&source.name, from.service) || !covers(&source.namespace, from.namespace) {
            return Applies::No;
        }
        if source.sameness_group.is_some() {
            return Applies::Unknown;
        }
        let same_trust = source.peer.as_deref() == from.peer;
        let same_partition = from.peer.is_some() || *source.partition == *from.partition;
        if same_trust && same_partition {
            Applies::Yes
        } else {
            Applies::No
        }
    }

    /// Decides for an identity that it applies to, or may apply to.
    pub(super) fn decide(
        &self,
        from: &Identity<'_>,
        protocol_is_http: bool,
        request: &Request,
        default: Action,
    ) -> Verdict {
        let rule = self.told(from);
        let by = format!("the intention of {} for {}", rule.source, rule.destination);
        let verdict = |allowed, rule, reason| Verdict {
            allowed,
            rule,
            reason,
        };
        if let (Applies::Unknown, Some(group)) = (rule.applies, &self.source.sameness_group) {
            let reason = format!(
                "{by} could decide, but who belongs to sameness group `{group}` is not known here"
            );
            return verdict(false, rule, reason);
        }
        match &self.says {
            Says::Action(Action::Deny) => verdict(false, rule, format!("{by} is to deny")),
            Says::Action(Action::Allow) => {
                let (allowed, reason) = self.allow(format!("{by} is to allow"));
                verdict(allowed, rule, reason)
            }
            // Consul: what depends on a request denies where there are none.
            Says::Permissions(_) if !protocol_is_http => {
                let reason = format!(
                    "{by} has permissions for requests, and the service's protocol has none"
                );
                verdict(false, rule, reason)
            }
            Says::Permissions(permissions) => {
                let (index, allowed, reason) = self.by_request(permissions, request, &by, default);
                let rule = Matched {
                    action: index.and_then(|index| Some(permissions.get(index)?.action())),
                    permission: index,
                    ..rule
                };
                verdict(allowed, rule, reason)
            }
        }
    }

    /// The first permission that matches acts; one that cannot be decided could, which refuses.
    fn by_request(
        &self,
        permissions: &[CompiledPermission],
        request: &Request,
        by: &str,
        default: Action,
    ) -> (Option<usize>, bool, String) {
        for (index, permission) in permissions.iter().enumerate() {
            let action = permission.action();
            let which = format!("permission {} of {by}", index + 1);
            match permission.matches(request) {
                Answer::No => {}
                Answer::Unseen(parts) => {
                    let parts = parts.join(" and ");
                    let reason =
                        format!("{which} is to {action} by {parts}, which the gateway cannot see");
                    return (Some(index), false, reason);
                }
                Answer::Yes if action == Action::Deny => {
                    return (Some(index), false, format!("{which} is to deny"));
                }
                Answer::Yes => {
                    let (allowed, reason) = self.allow(format!("{which} is to allow"));
                    return (Some(index), allowed, reason);
                }
            }
        }
        let reason = format!("no permission of {by} matches: the default policy is to {default}");
        if default == Action::Deny {
            return (None, false, reason);
        }
        let (allowed, reason) = self.allow(reason);
        (None, allowed, reason)
    }

    /// What the entry still asks of whoever is allowed.
    fn allow(&self, reason: String) -> (bool, String) {
        if self.entry.jwt.is_none() {
            return (true, reason);
        }
        let reason = format!("{reason} those with a JWT, which the gateway cannot see");
        (false, reason)
    }

    /// The intention for people.
    pub(super) fn told(&self, from: &Identity<'_>) -> Matched {
        Matched {
            precedence: self.precedence,
            source: shown_source(&self.source),
            destination: shown(
                &self.entry.name,
                &self.entry.namespace,
                &self.entry.partition,
            ),
            action: match self.says {
                Says::Action(action) => Some(action),
                Says::Permissions(_) => None,
            },
            permission: None,
            applies: self.applies(from),
            at: self.source.at.clone(),
        }
    }
}

/// Consul: 9, 6 or 3 by the destination, less 0, 1 or 2 by the source.
fn precedence(entry: &ServiceIntentions, source: &Source) -> u8 {
    let wildness = |namespace: &str, name: &str| match (namespace, name) {
        (ANY, _) => 2,
        (_, ANY) => 1,
        _ => 0,
    };
    9 - 3 * wildness(&entry.namespace, &entry.name) - wildness(&source.namespace, &source.name)
}

fn shown_source(source: &Source) -> String {
    let name = shown(&source.name, &source.namespace, &source.partition);
    match (&source.peer, &source.sameness_group) {
        (Some(peer), _) => format!("{name} of peer `{peer}`"),
        (None, Some(group)) => format!("{name} of sameness group `{group}`"),
        (None, None) => name,
    }
}

fn shown(name: &str, namespace: &str, partition: &str) -> String {
    let name = Named {
        name,
        namespace,
        partition,
    };
    format!("`{name}`")
}
