//! Explain: the chain of decisions for a server name, in the order of the data path.
//!
//! Pure: it asks the same functions that connections go through, and moves nothing by asking.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use super::cluster::{Ask, EndpointState, NoEndpoint};
use super::policy::{Access, Verdict};
use super::routes::Match;
use super::snapshot::{Listener, Route, Snapshot};
use crate::mesh::route::Health;

/// What culvert would do with a connection, step by step.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Explanation {
    /// The steps, in order; the last is where it ends.
    pub steps: Vec<Step>,
    /// Whether the connection would be forwarded.
    pub allowed: bool,
    /// The reason in a few words.
    pub reason: String,
    /// Every endpoint of the route with its health; empty when no route was found.
    pub endpoints: Vec<EndpointState>,
    /// Where the connection would go, if it would.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Step {
    /// Which decision: `name`, `listener`, `listener access`, `route`, `route access`,
    /// `route refusal`, `route limit`, `endpoint`, `engine`.
    pub step: &'static str,
    /// Whether the connection gets past it.
    pub passed: bool,
    /// What was found, and by which rule.
    pub found: String,
    /// Where that is configured: `file:line:column`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// What else shaped it: `file:line:column` each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            let mark = if step.passed { "ok" } else { "no" };
            write!(f, "{:<16} {mark}  {}", step.step, step.found)?;
            let places: Vec<&str> = step.at.iter().chain(&step.also).map(|at| &**at).collect();
            if places.is_empty() {
                writeln!(f)?;
            } else {
                writeln!(f, "  ({})", places.join(", "))?;
            }
            if step.step == "endpoint" {
                for endpoint in &self.endpoints {
                    writeln!(f, "{:<20} {}", "", Shown(endpoint))?;
                }
            }
        }
        let answer = if self.allowed { "allowed" } else { "refused" };
        write!(f, "{answer}: {}", self.reason)
    }
}

struct Shown<'e>(&'e EndpointState);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EndpointState {
            address,
            host,
            weight,
            health,
            active,
            failures,
            ejections,
            ejected_ms,
        } = self.0;
        write!(f, "{address}")?;
        if let Some(host) = host {
            write!(f, " of {host}")?;
        }
        write!(f, "  weight {weight}  active {active}  failures {failures}")?;
        match health {
            Health::Up => write!(f, "  up")?,
            Health::Down => write!(f, "  down")?,
            Health::Unknown => {}
        }
        match ejected_ms {
            Some(left) => write!(f, "  ejected for {left} ms more (ejection {ejections})"),
            None if *health == Health::Down => Ok(()),
            None => write!(f, "  usable"),
        }
    }
}

/// Explains what would happen to a connection to `name` from `from` on `listener`.
///
/// An empty `name` stands for a hello without one. Without `from`, access is not judged; without
/// `listener`, the first one is taken.
#[must_use]
pub fn explain(
    snapshot: &Snapshot,
    name: &str,
    from: Option<IpAddr>,
    listener: Option<&str>,
    now: Instant,
) -> Explanation {
    let mut chain = Chain::default();
    let outcome = chain.walk(snapshot, name, from, listener, now);
    let (allowed, reason) = match outcome {
        Ok(endpoint) => {
            let reason = format!("forwarded to {endpoint}");
            chain.endpoint = Some(endpoint);
            (true, reason)
        }
        Err(reason) => (false, reason),
    };
    Explanation {
        steps: chain.steps,
        allowed,
        reason,
        endpoints: chain.endpoints,
        endpoint: chain.endpoint,
    }
}

#[derive(Default)]
struct Chain {
    steps: Vec<Step>,
    endpoints: Vec<EndpointState>,
    endpoint: Option<String>,
}

impl Chain {
    /// Takes each step; answers with the endpoint, or with why it ends before.
    fn walk(
        &mut self,
        snapshot: &Snapshot,
        name: &str,
        from: Option<IpAddr>,
        listener: Option<&str>,
        now: Instant,
    ) -> Result<String, String> {
        let name = self.name(name)?;
        let listener = self.listener(snapshot, listener)?;
        self.access("listener access", &listener.access, from)?;
        let found = self.route(snapshot, listener, name.as_deref())?;
        self.access("route access", &found.route.access, from)?;
        self.refusal(found.route)?;
        let endpoint = self.endpoint(found, from, now)?;
        let engines: Vec<_> = snapshot
            .engine
            .prefer
            .iter()
            .map(|engine| engine.label())
            .collect();
        self.passed(
            "engine",
            format!("the first that fits of: {}", engines.join(", ")),
            None,
        );
        Ok(endpoint)
    }

    fn name(&mut self, name: &str) -> Result<Option<String>, String> {
        if name.is_empty() {
            self.passed("name", "the hello has no server name".to_owned(), None);
            return Ok(None);
        }
        let normal = match crate::config::server_name(name) {
            Ok(normal) => normal,
            Err(why) => return self.ends("name", why, None),
        };
        let text = if normal == name {
            format!("{normal} as it is")
        } else {
            format!("{name} is compared as {normal}")
        };
        self.passed("name", text, None);
        Ok(Some(normal))
    }

    fn listener<'s>(
        &mut self,
        snapshot: &'s Snapshot,
        name: Option<&str>,
    ) -> Result<&'s Arc<Listener>, String> {
        let found = match name {
            Some(name) => snapshot.listener(name),
            None => snapshot.listeners.first(),
        };
        let Some(listener) = found else {
            let wanted = name.unwrap_or_default();
            return self.ends(
                "listener",
                format!("no listener is named \"{wanted}\""),
                None,
            );
        };
        let why = match name {
            Some(_) => "as asked",
            None if snapshot.listeners.len() == 1 => "the only one",
            None => "the first one; choose with --listener",
        };
        let text = format!("\"{}\", {why}", listener.name);
        self.passed("listener", text, Some(listener.at.to_string()));
        Ok(listener)
    }

    fn access(
        &mut self,
        step: &'static str,
        access: &Access,
        from: Option<IpAddr>,
    ) -> Result<(), String> {
        let Some(source) = from else {
            let text = if access.is_open() {
                "open to all"
            } else {
                "not judged: no source given"
            };
            self.passed(step, text.to_owned(), None);
            return Ok(());
        };
        let Verdict { allowed, rule } = access.verdict(source);
        let word = if allowed { "allowed" } else { "denied" };
        let by = match rule {
            Some(rule) => format!("by {rule}"),
            None if access.is_open() => "as there is no rule".to_owned(),
            None if allowed => "as no deny covers it".to_owned(),
            None => "as no allow covers it".to_owned(),
        };
        let text = format!("{source} is {word} {by}");
        if allowed {
            self.passed(step, text, None);
            Ok(())
        } else {
            self.ends(step, text, None)
        }
    }

    fn route<'s>(
        &mut self,
        snapshot: &'s Snapshot,
        listener: &Listener,
        name: Option<&str>,
    ) -> Result<Match<'s>, String> {
        match snapshot.route_for(listener, name) {
            Ok(found) => {
                let Route {
                    name, origin, at, ..
                } = &**found.route;
                let mut text = format!("\"{name}\" by {} match", found.kind);
                let mut also = Vec::new();
                if let Some(mesh) = origin.mesh() {
                    text += &format!("; {}: {}", mesh.role, mesh.reason.rule);
                    let more = mesh.reason.entries.iter().skip(1);
                    also.extend(more.map(ToString::to_string));
                } else if let Some(hidden) =
                    snapshot.mesh.as_ref().and_then(|mesh| mesh.shadowed(name))
                {
                    text += &format!("; it stands in place of the mesh's {} route", hidden.role);
                }
                self.passed("route", text, Some(at.to_string()));
                if let Some(step) = self.steps.last_mut() {
                    step.also = also;
                }
                Ok(found)
            }
            Err(why) => self.ends("route", why.to_string(), None),
        }
    }

    /// What the route itself says, whoever asks.
    fn refusal(&mut self, route: &Route) -> Result<(), String> {
        if let Some(why) = &route.refused {
            return self.ends("route refusal", why.to_string(), None);
        }
        let Some(most) = route.max_connections else {
            return Ok(());
        };
        let now = route.uses.now();
        let text = format!("{now} of {most} connections are in use");
        if now < most {
            self.passed("route limit", text, None);
            Ok(())
        } else {
            self.ends("route limit", text, None)
        }
    }

    fn endpoint(
        &mut self,
        found: Match<'_>,
        from: Option<IpAddr>,
        now: Instant,
    ) -> Result<String, String> {
        let cluster = &found.route.cluster;
        self.endpoints = cluster.survey(now);
        let source = from.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let balance = found.route.balance.label();
        match cluster.preview(&Ask {
            now,
            source,
            tried: &[],
        }) {
            Ok(pick) => {
                let address = pick.endpoint.address.to_string();
                let panic = if pick.panic {
                    "; too few are usable, all are used"
                } else {
                    ""
                };
                let text = format!("{address} by {balance}{panic}");
                self.passed("endpoint", text, None);
                Ok(address)
            }
            Err(why) => {
                let names = cluster.unresolved().join(", ");
                let text = match why {
                    NoEndpoint::Unresolved => format!("{why}: {names}"),
                    _ => why.to_string(),
                };
                self.ends("endpoint", text, None)
            }
        }
    }

    fn passed(&mut self, step: &'static str, found: String, at: Option<String>) {
        self.steps.push(Step {
            step,
            passed: true,
            found,
            at,
            also: Vec::new(),
        });
    }

    fn ends<T>(
        &mut self,
        step: &'static str,
        found: String,
        at: Option<String>,
    ) -> Result<T, String> {
        self.steps.push(Step {
            step,
            passed: false,
            found: found.clone(),
            at,
            also: Vec::new(),
        });
        Err(found)
    }
}

#[cfg(test)]
mod tests;
